// Memory aligned for vector loads, zeroed unless asked otherwise.
#pragma once

#include <cstring>
#include <limits>
#include <memory>
#include <new>

#include "asymfast/views.hpp"
#include "cpu/huge_pages.hpp"

namespace asymfast::cpu {

template <class T>
class Buffer {
 public:
  Buffer() = default;
  enum class Contents { zero, unset };

  explicit Buffer(Index size, Contents contents = Contents::zero) : size_(size) {
    constexpr auto most = std::size_t(std::numeric_limits<Index>::max()) - kAlignment;
    if (size < 0 || std::size_t(size) > most / sizeof(T)) throw std::bad_alloc();
    // Whole vectors, so that the last one can be read to its end.
    const std::size_t bytes =
        (static_cast<std::size_t>(size) * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    if (bytes == 0) return;
    data_.reset(static_cast<T*>(::operator new(bytes, std::align_val_t(kAlignment))));
    advise_huge_pages(data_.get(), bytes);
    if (contents == Contents::zero) std::memset(data_.get(), 0, bytes);
  }

  T* data() const noexcept { return data_.get(); }
  Index size() const noexcept { return size_; }

 private:
  static constexpr std::size_t kAlignment = 64;

  struct Free {
    void operator()(T* p) const noexcept { ::operator delete(p, std::align_val_t(kAlignment)); }
  };
  std::unique_ptr<T[], Free> data_;
  Index size_ = 0;
};

}  // namespace asymfast::cpu
