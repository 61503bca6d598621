// Arrays in the memory of a device, the lock of those who use it, and what is done element by
// element.
#pragma once

#include <algorithm>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "archive.hpp"
#include "cuda/block.hpp"

namespace asymfast::cuda {

// Calls of one process to a device come one after the other.
inline std::recursive_mutex& device_mutex() {
  static std::recursive_mutex mutex;
  return mutex;
}
using DeviceLock = std::lock_guard<std::recursive_mutex>;

// `count` numbers between any of host and device, done on return; and on the device, to be done.
template <class Device, class U>
void transfer(U* to, const U* from, Index count) {
  if (count > 0) Device::transfer(to, from, static_cast<std::size_t>(count) * sizeof(U));
}
template <class Device, class U>
void copy(U* to, const U* from, Index count) {
  Device::copy(to, from, static_cast<std::size_t>(count) * sizeof(U));
}

// Numbers of the device go into an archive, and come back, by way of the host.
template <class Device, class U>
void serialise_on(Archive& archive, U* array, Index count) {
  std::vector<U> host(count);
  if (!archive.reading()) transfer<Device>(host.data(), array, count);
  archive.array(host.data(), count);
  if (archive.reading()) transfer<Device>(array, host.data(), count);
}

template <class Device, class U>
class Memory {
 public:
  Memory() = default;
  explicit Memory(Index size)
      : data_(size > 0 ? static_cast<U*>(Device::allocate(sizeof(U) * size)) : nullptr),
        size_(size) {}
  Memory(const U* from, Index size) : Memory(size) { transfer<Device>(data(), from, size); }
  explicit Memory(const std::vector<U>& host)
      : Memory(host.data(), static_cast<Index>(host.size())) {}

  static Memory zeros(Index size) {
    Memory memory(size);
    if (size > 0) Device::zero(memory.data(), sizeof(U) * size);
    return memory;
  }

  U* data() const { return data_.get(); }
  Index size() const { return size_; }
  bool empty() const { return size_ == 0; }
  void copy_out(U* host) const { transfer<Device>(host, data(), size_); }
  // Takes the contents of a vector, and its size where that is larger than what there is.
  void assign(const std::vector<U>& host) {
    const auto count = static_cast<Index>(host.size());
    if (count > size_) *this = Memory(count);
    transfer<Device>(data(), host.data(), count);
  }

 private:
  struct Release {
    void operator()(U* data) const { Device::release(data); }
  };
  std::unique_ptr<U, Release> data_;
  Index size_ = 0;
};

// One of `Slots`: zeros at first.
template <class Device, class U>
struct Slot : Memory<Device, U> {
  explicit Slot(Index size) : Memory<Device, U>(Memory<Device, U>::zeros(size)) {}
};

template <class Device, class U>
void serialise_array(Archive& archive, Slot<Device, U>& slot, Index size) {
  serialise_on<Device>(archive, slot.data(), size);
}

// ---- kernels that go through elements, each by itself

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
