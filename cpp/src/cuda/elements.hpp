// Kernels that go through elements, each by itself.
#pragma once

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "cuda/block.hpp"
#include "cuda/memory.hpp"

namespace asymfast::cuda {

// each(e) for e = 0, ..., size - 1, in any order.
template <class Each>
struct Elements : PlainKernel {
  struct Args {
    Index size;
    Each each;
  };

  template <class Block>
  ASYMFAST_DEVICE static void run(Block& block, const Args& args) {
    for (Index e = Index(block.rank) * kThreads + block.thread; e < args.size;
         e += Index(block.ranks) * kThreads)
      args.each(e);
  }
};

template <class Device, class Each>
void for_elements(Index size, const Each& each) {
  const Index blocks = std::clamp<Index>((size + 255) / 256, 1, 1024);
  Device::template launch<Elements<Each>>(0, 1, static_cast<int>(blocks), 0, {size, each});
}

// The results of part(first, step) for first = 0, ..., step - 1, which goes through every step-th
// element from the first on.
template <class Device, class Result, class Part>
std::vector<Result> in_parts(Index size, const Part& part) {
  const Index step = std::min<Index>(size, 4096);
  const Memory<Device, Result> results(step);
  Result* to = results.data();
  for_elements<Device>(step, ASYMFAST_ON_DEVICE(Index first) { to[first] = part(first, step); });
  std::vector<Result> of_parts(step);
  results.copy_out(of_parts.data());
  return of_parts;
}

// Where x is NaN or infinite for the first time; `size`: nowhere.
template <class Device, class T>
Index first_bad(const T* x, Index size) {
  const DeviceLock lock(device_mutex());
  const auto firsts = in_parts<Device, Index>(
      size, ASYMFAST_ON_DEVICE(Index first, Index step) {
        for (Index e = first; e < size; e += step)
          if (!(x[e] - x[e] == T(0))) return e;
        return size;
      });
  return *std::min_element(firsts.begin(), firsts.end());
}
template <class Device>
Index first_bad(const void* x, Index size, std::size_t itemsize) {
  return itemsize == sizeof(float) ? first_bad<Device>(static_cast<const float*>(x), size)
                                   : first_bad<Device>(static_cast<const double*>(x), size);
}

// x_e <- factor x_e, rounded, times factors_(e mod columns) unless they are null.
template <class Device, class T>
void scale(T* x, Index size, double factor, const T* factors = nullptr, Index columns = 1) {
  for_elements<Device>(
      size, ASYMFAST_ON_DEVICE(Index e) {
        const T scaled = T(double(x[e]) * factor);
        x[e] = factors ? scaled * factors[e % columns] : scaled;
      });
}

// sum_l shares[l] arrays[l]; of no array 0.
template <class T>
struct Blended {
  static constexpr int kMost = 16;

  int count = 0;
  double shares[kMost];
  const T* arrays[kMost];

  void add(double share, const T* array) {
    if (count == kMost) throw std::logic_error("cuda: too many arrays");
    shares[count] = share;
    arrays[count++] = array;
  }
  ASYMFAST_DEVICE double operator()(Index e) const {
    double sum = 0;
    for (int l = 0; l < count; ++l) sum += shares[l] * double(arrays[l][e]);
    return sum;
  }
};

}  // namespace asymfast::cuda
