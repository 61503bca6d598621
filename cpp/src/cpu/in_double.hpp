// Vectors of results carried over into double: sums that must not round at the precision of T.
#pragma once

#include <utility>

#include "cpu/layout.hpp"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace asymfast::cpu {

struct WidenedFloats {
  DoubleVec low, high;
};

inline WidenedFloats widen(FloatVec x) {
#if defined(__AVX512F__)
  // GCC 12 makes four conversions and two insertions of __builtin_convertvector, and warns of the
  // undefined operands of its plain _mm512_cvtps_pd, not of this form, which compiles to the same.
  const auto low = (__m256)__builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7);
  const auto high = (__m256)__builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15);
  return {(DoubleVec)_mm512_maskz_cvtps_pd(0xff, low),
          (DoubleVec)_mm512_maskz_cvtps_pd(0xff, high)};
#else
  using Half = float __attribute__((vector_size(kVectorBytes / 2)));
  Half half[2];
  std::memcpy(half, &x, sizeof x);
  return {__builtin_convertvector(half[0], DoubleVec), __builtin_convertvector(half[1], DoubleVec)};
#endif
}

// to[lane] += x[lane].
inline void add_in_double(double* to, DoubleVec x) {
  *reinterpret_cast<DoubleVec*>(to) += x;
}
inline void add_in_double(double* to, FloatVec x) {
  const WidenedFloats wide = widen(x);
  reinterpret_cast<DoubleVec*>(to)[0] += wide.low;
  reinterpret_cast<DoubleVec*>(to)[1] += wide.high;
}

inline DoubleVec halves_added(DoubleVec x) {
  return x;
}
inline DoubleVec halves_added(FloatVec x) {
  const WidenedFloats wide = widen(x);
  return wide.low + wide.high;
}

// Neighbouring groups of `Width` lanes added: those of a and those of b, alternately.
template <int Width, int... Lane>
inline DoubleVec neighbours_added(DoubleVec a, DoubleVec b, std::integer_sequence<int, Lane...>) {
  constexpr int lanes = sizeof...(Lane);
  constexpr auto from = [](int lane, bool second) {
    return lane / (2 * Width) * (2 * Width) + lane % Width + (second ? Width : 0) +
           (lane % (2 * Width) < Width ? 0 : lanes);
  };
  return __builtin_shufflevector(a, b, from(Lane, false)...) +
         __builtin_shufflevector(a, b, from(Lane, true)...);
}

// x[0] = the sum of the lanes of each of `Count` vectors, one a lane; Count halves from call to
// call.
template <int Count>
inline void add_lanes(DoubleVec* x) {
  if constexpr (Count > 1) {
    constexpr int lanes = kLanes<double>;
    for (int i = 0; i < Count / 2; ++i)
      x[i] = neighbours_added<lanes / Count>(x[2 * i], x[2 * i + 1],
                                             std::make_integer_sequence<int, lanes>{});
    add_lanes<Count / 2>(x);
  }
}

// out[i] += the sum of the lanes of x[i], in double, in a fixed order.
template <class T>
inline void add_sums_of_lanes(const Vec<T>* x, Index count, double* out) {
  constexpr int lanes = kLanes<double>;
  for (Index first = 0; first < count; first += lanes) {
    const int some = static_cast<int>(std::min<Index>(lanes, count - first));
    DoubleVec sums[lanes] = {};
    for (int i = 0; i < some; ++i) sums[i] = halves_added(x[first + i]);
    add_lanes<lanes>(sums);
    for (int i = 0; i < some; ++i) out[first + i] += sums[0][i];
  }
}

}  // namespace asymfast::cpu
