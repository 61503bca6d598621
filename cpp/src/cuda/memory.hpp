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

template <class Device, class U>
class Memory {
 public:
  Memory() = default;
  explicit Memory(Index size) : size_(size) {
    if (size > 0) data_ = static_cast<U*>(Device::allocate(bytes(size)));
  }
  Memory(const U* host, Index size) : Memory(size) { copy_in(host, 0, size); }
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
    if (size > 0) Device::zero(memory.data_, bytes(size));
    return memory;
  }

  U* data() const { return data_; }
  Index size() const { return size_; }
  bool empty() const { return size_ == 0; }

  void copy_in(const U* host, Index first, Index count) {
    if (count > 0) Device::copy_in(data_ + first, host, bytes(count));
  }
  void copy_out(U* host, Index first, Index count) const {
    if (count > 0) Device::copy_out(host, data_ + first, bytes(count));
  }
  // Elements go into an archive, and come back, by way of the host.
  void serialise(Archive& archive, Index first, Index count) {
    std::vector<U> host(count);
    if (!archive.reading()) copy_out(host.data(), first, count);
    archive.array(host.data(), count);
    if (archive.reading()) copy_in(host.data(), first, count);
  }
  // Takes the contents of a vector, and its size where that is larger than what there is.
  void assign(const std::vector<U>& host) {
    const auto count = static_cast<Index>(host.size());
    if (count > size_) *this = Memory(count);
    copy_in(host.data(), 0, count);
  }

 private:
  static std::size_t bytes(Index count) { return static_cast<std::size_t>(count) * sizeof(U); }

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
  slot.serialise(archive, 0, size);
}

}  // namespace asymfast::cuda
