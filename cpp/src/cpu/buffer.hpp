// Memory aligned for vector loads, zeroed unless asked otherwise.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "asymfast/views.hpp"

namespace asymfast::cpu {

// Asks for large pages within [start, start + bytes), where the system has them: a fresh page costs
// a fault and its clearing, and each page one of the few places of the translation cache.
inline void advise_huge_pages([[maybe_unused]] void* start, [[maybe_unused]] std::size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr std::uintptr_t kPage = 4096;
  constexpr std::size_t kWorthwhile = std::size_t(2) << 20;
  if (bytes < kWorthwhile) return;
  const std::size_t before = (0 - reinterpret_cast<std::uintptr_t>(start)) % kPage;
  madvise(static_cast<char*>(start) + before, (bytes - before) / kPage * kPage, MADV_HUGEPAGE);
#endif
}

enum class Contents { zero, unset };

template <class T>
class Buffer {
 public:
  Buffer() = default;

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
