// Arrays in the memory of a device.
#pragma once

#include <utility>
#include <vector>

#include "archive.hpp"
#include "asymfast/views.hpp"

namespace asymfast::cuda {

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

// What an engine keeps from one call to the next: arrays of one size, which come into being in
// their order, or all those before with them.
template <class Device, class U>
class Slots {
 public:
  explicit Slots(Index size) : size_(size) {}

  U* make(Index index) {
    while (count() <= index) arrays_.push_back(Memory<Device, U>::zeros(size_));
    return arrays_[index].data();
  }
  const U* operator[](Index index) const { return arrays_.at(index).data(); }
  Index count() const { return static_cast<Index>(arrays_.size()); }
  Index size() const { return size_; }  // of each

  void serialise(Archive& archive) {
    Index all = count();
    archive(all);
    std::vector<U> host(size_);
    for (Index l = 0; l < all; ++l) {
      if (!archive.reading()) arrays_[l].copy_out(host.data(), 0, size_);
      archive.array(host.data(), size_);
      if (!archive.reading()) continue;
      make(l);
      arrays_[l].copy_in(host.data(), 0, size_);
    }
  }

 private:
  Index size_;
  std::vector<Memory<Device, U>> arrays_;
};

}  // namespace asymfast::cuda
