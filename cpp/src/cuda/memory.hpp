// Arrays in the memory of a device, and the lock of those who use it.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "asymfast/views.hpp"
#include "slots.hpp"

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

}  // namespace asymfast::cuda
