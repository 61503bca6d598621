// The end of a switch that has returned for every value of its enumeration.
#pragma once

namespace asymfast {

[[noreturn]] inline void unreachable() {
#if defined(_MSC_VER) && !defined(__clang__)
  __assume(false);
#else
  __builtin_unreachable();
#endif
}

}  // namespace asymfast
