// Large arrays on large pages, where the system gives them for the asking: a fresh page costs a
// fault and its clearing, and each page one of the few places of the translation cache.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace asymfast::cpu {

// Advice only, for the pages that lie within [start, start + bytes).
inline void advise_huge_pages([[maybe_unused]] void* start, [[maybe_unused]] std::size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr std::uintptr_t kPage = 4096;
  constexpr std::size_t kWorthwhile = std::size_t(2) << 20;
  if (bytes < kWorthwhile) return;
  const std::size_t before = (0 - reinterpret_cast<std::uintptr_t>(start)) % kPage;
  madvise(static_cast<char*>(start) + before, (bytes - before) / kPage * kPage, MADV_HUGEPAGE);
#endif
}

}  // namespace asymfast::cpu
