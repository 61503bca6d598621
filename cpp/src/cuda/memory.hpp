// Arrays in the memory of a device, and the lock of those who use it.
#pragma once

#include <mutex>
#include <utility>
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

// `count` numbers to the device, to the host, and from one array of the device to another.
template <class Device, class U>
void copy_in(U* to, const U* host, Index count) {
  if (count > 0) Device::copy_in(to, host, static_cast<std::size_t>(count) * sizeof(U));
}
template <class Device, class U>
void copy_out(U* host, const U* from, Index count) {
  if (count > 0) Device::copy_out(host, from, static_cast<std::size_t>(count) * sizeof(U));
}
template <class Device, class U>
void copy_on(U* to, const U* from, Index count) {
  Device::copy(to, from, static_cast<std::size_t>(count) * sizeof(U));
}

// Numbers of the device go into an archive, and come back, by way of the host.
template <class Device, class U>
void serialise_on(Archive& archive, U* array, Index count) {
  std::vector<U> host(count);
  if (!archive.reading()) copy_out<Device>(host.data(), array, count);
  archive.array(host.data(), count);
  if (archive.reading()) copy_in<Device>(array, host.data(), count);
}

template <class Device, class U>
class Memory {
 public:
  Memory() = default;
  explicit Memory(Index size) : size_(size) {
    if (size > 0) data_ = static_cast<U*>(Device::allocate(bytes()));
  }
  Memory(const U* host, Index size) : Memory(size) { cuda::copy_in<Device>(data_, host, size); }
  explicit Memory(const std::vector<U>& host)
      : Memory(host.data(), static_cast<Index>(host.size())) {}
  Memory(Memory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Memory& operator=(Memory&& other) noexcept {
    std::swap(data_, other.data_), std::swap(size_, other.size_);
    return *this;
  }
  ~Memory() {
    if (data_) Device::release(data_);
  }

  static Memory zeros(Index size) {
    Memory memory(size);
    if (size > 0) Device::zero(memory.data_, memory.bytes());
    return memory;
  }

  U* data() const { return data_; }
  Index size() const { return size_; }
  bool empty() const { return size_ == 0; }
  void copy_out(U* host) const { cuda::copy_out<Device>(host, data_, size_); }
  // Takes the contents of a vector, and its size where that is larger than what there is.
  void assign(const std::vector<U>& host) {
    const auto count = static_cast<Index>(host.size());
    if (count > size_) *this = Memory(count);
    cuda::copy_in<Device>(data_, host.data(), count);
  }

 private:
  std::size_t bytes() const { return static_cast<std::size_t>(size_) * sizeof(U); }

  U* data_ = nullptr;
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
