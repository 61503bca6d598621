// The calling thread's number in its OpenMP team.
#pragma once

#include <cstddef>

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace asymfast::cpu {

inline std::size_t thread_number() {
#if defined(_OPENMP)
  return static_cast<std::size_t>(omp_get_thread_num());
#else
  return 0;
#endif
}

}  // namespace asymfast::cpu
