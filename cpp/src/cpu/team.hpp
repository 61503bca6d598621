// OpenMP teams: how large, and the calling thread's number in its own.
#pragma once

#include <algorithm>
#include <cstddef>

#include "cpu/layout.hpp"

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace asymfast::cpu {

// A team costs a few microseconds to gather: small work is done by one thread.
template <class T>
int useful_threads(const Layout<T>& at, int wanted, Index pieces) {
  constexpr double kWorkOfAThread = 1e5;  // multiplications, some 10 us
  const double work = double(at.n) * double(at.m) * double(at.d + at.k + 16);
  const double most = std::min({double(wanted), double(pieces), 1 + work / kWorkOfAThread});
  return std::max(1, static_cast<int>(most));
}

inline std::size_t thread_number() {
#if defined(_OPENMP)
  return static_cast<std::size_t>(omp_get_thread_num());
#else
  return 0;
#endif
}

}  // namespace asymfast::cpu
