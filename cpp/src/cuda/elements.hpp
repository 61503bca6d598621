// Kernels that go through elements, each by itself.
#pragma once

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "cuda/block.hpp"
#include "cuda/memory.hpp"

namespace asymfast::cuda {

// Blocks for a loop over elements.
inline int blocks_for(Index size) {
  return static_cast<int>(std::clamp<Index>((size + 255) / 256, 1, 1024));
}

// each(e) for e = 0, ..., size - 1, in any order.
template <class Each>
struct Elements {
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 1;
  static constexpr bool kCooperative = false;

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
  Device::template launch<Elements<Each>>(0, 1, blocks_for(size), 0, {size, each});
}

// results[rank] = start + element(e) + ..., over the elements of a block, where a + b stands for
// both(a, b), in an order of its own.
template <class Result, class Element, class Both>
struct Reduction {
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 1;
  static constexpr bool kCooperative = false;
  static constexpr std::size_t kShared = kThreads * sizeof(Result) + kSharedAlignment;

  struct Args {
    Index size;
    Result start;
    Element element;
    Both both;
    Result* results;  // (blocks,)
  };

  template <class Block>
  ASYMFAST_DEVICE static void run(Block& block, const Args& at) {
    Carver carver(block.shared);
    Result* of_threads = carver.take<Result>(kThreads);
    Result result = at.start;
    for (Index e = Index(block.rank) * kThreads + block.thread; e < at.size;
         e += Index(block.ranks) * kThreads)
      result = at.both(result, at.element(e));
    of_threads[block.thread] = result;
    block.sync();
    if (block.thread != 0) return;
    for (int t = 1; t < kThreads; ++t) result = at.both(result, of_threads[t]);
    at.results[block.rank] = result;
  }
};

// The results of all blocks.
template <class Device, class Result, class Element, class Both>
std::vector<Result> reduce(Index size, Result start, const Element& element, const Both& both) {
  using Kernel = Reduction<Result, Element, Both>;
  const int blocks = blocks_for(size);
  const Memory<Device, Result> results(blocks);
  Device::template launch<Kernel>(0, 1, blocks, Kernel::kShared,
                                  {size, start, element, both, results.data()});
  std::vector<Result> of_blocks(blocks);
  results.copy_out(of_blocks.data());
  return of_blocks;
}

// Where x is NaN or infinite for the first time; `size`: nowhere.
template <class Device, class T>
Index first_bad(const T* x, Index size) {
  const DeviceLock lock(device_mutex());
  const std::vector<Index> firsts = reduce<Device>(
      size, size, ASYMFAST_ON_DEVICE(Index e) { return x[e] - x[e] == T(0) ? size : e; },
      ASYMFAST_ON_DEVICE(Index a, Index b) { return a < b ? a : b; });
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
