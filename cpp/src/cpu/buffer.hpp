// Memory aligned for vector loads, zeroed unless asked otherwise.
#pragma once

#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <new>

#include "asymfast/views.hpp"

namespace asymfast::cpu {

template <class T>
class Buffer {
 public:
  Buffer() = default;
  enum class Contents { zero, unset };

  explicit Buffer(Index size, Contents contents = Contents::zero) : size_(size) {
    constexpr std::size_t alignment = 64;
    constexpr auto most = std::size_t(std::numeric_limits<Index>::max()) - alignment;
    if (size < 0 || std::size_t(size) > most / sizeof(T)) throw std::bad_alloc();
    const std::size_t bytes =
        (static_cast<std::size_t>(size) * sizeof(T) + alignment - 1) / alignment * alignment;
    if (bytes == 0) return;
    data_.reset(static_cast<T*>(std::aligned_alloc(alignment, bytes)));
    if (!data_) throw std::bad_alloc();
    if (contents == Contents::zero) std::memset(data_.get(), 0, bytes);
  }

  T* data() const noexcept { return data_.get(); }
  Index size() const noexcept { return size_; }

 private:
  struct Free {
    void operator()(T* p) const noexcept { std::free(p); }
  };
  std::unique_ptr<T[], Free> data_;
  Index size_ = 0;
};

}  // namespace asymfast::cpu
