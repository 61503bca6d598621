// exp, expm1 and log1p for floats, doubles and vectors of them, without branches.
#pragma once

#include "math/lanes.hpp"

namespace asymfast {

// x = shift ln 2 + r with |r| <= ln(2)/2, and p = e^r - 1.
template <class V>
struct Reduced {
  V p;
  BitsOf<V> shift;
};

template <class T>
struct ExpConstants;
template <>
struct ExpConstants<float> {
  static constexpr float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  static constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
  static constexpr float lowest = -104.0f, highest = 89.0f;  // e^x is 0 below, inf above
  static constexpr int bias = 127, mantissa = 23;
};
template <>
struct ExpConstants<double> {
  static constexpr double magic = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr double ln2_high = 0.6931471803691238, ln2_low = 1.9082149292705877e-10;
  static constexpr double lowest = -746.0, highest = 710.0;
  static constexpr int bias = 1023, mantissa = 52;
};

// (e^r - 1 - r) / r^2 by its Taylor series; on |r| <= ln(2)/2 the first term left out is below
// 2e-9 (float) and 1e-18 (double) of the result.
template <class V>
ASYMFAST_INLINE V exp_tail(V r, float) {
  V q = broadcast<V>(1.0f / 5040);
  q = q * r + 1.0f / 720;
  q = q * r + 1.0f / 120;
  q = q * r + 1.0f / 24;
  q = q * r + 1.0f / 6;
  return q * r + 0.5f;
}
template <class V>
ASYMFAST_INLINE V exp_tail(V r, double) {
  V q = broadcast<V>(1.0 / 6227020800);
  q = q * r + 1.0 / 479001600;
  q = q * r + 1.0 / 39916800;
  q = q * r + 1.0 / 3628800;
  q = q * r + 1.0 / 362880;
  q = q * r + 1.0 / 40320;
  q = q * r + 1.0 / 5040;
  q = q * r + 1.0 / 720;
  q = q * r + 1.0 / 120;
  q = q * r + 1.0 / 24;
  q = q * r + 1.0 / 6;
  return q * r + 0.5;
}

template <class V>
ASYMFAST_INLINE Reduced<V> exp_reduce(V x) {
  using T = ScalarOf<V>;
  using C = ExpConstants<T>;
  constexpr T log2_e = T(1.4426950408889634074);
  x = at_most(at_least(x, C::lowest), C::highest);
  const V rounded = x * log2_e + C::magic;
  const V count = rounded - C::magic;
  const V r = (x - count * C::ln2_high) - count * C::ln2_low;
  const BitsOf<V> origin = bit_cast<BitsOf<V>>(broadcast<V>(C::magic));
  return {r + r * r * exp_tail(r, T{}), bit_cast<BitsOf<V>>(rounded) - origin};
}

// x 2^shift, in two factors so that results below the normal range round only once more.
template <class V>
ASYMFAST_INLINE V scale_by_power_of_two(V x, BitsOf<V> shift) {
  using C = ExpConstants<ScalarOf<V>>;
  const BitsOf<V> half = shift >> 1;
  const BitsOf<V> rest = shift - half;
  return x * bit_cast<V>((half + C::bias) << C::mantissa) *
         bit_cast<V>((rest + C::bias) << C::mantissa);
}

// e^x within 2 ulp; 0 and inf where it leaves the range; NaN stays NaN.
template <class V>
ASYMFAST_INLINE V exp(V x) {
  const Reduced<V> e = exp_reduce(x);
  return scale_by_power_of_two(e.p + ScalarOf<V>(1), e.shift);
}

// e^x - 1 for x <= 0 within 2 ulp, also near 0.
template <class V>
ASYMFAST_INLINE V expm1_of_nonpositive(V x) {
  const Reduced<V> e = exp_reduce(x);
  const V power = scale_by_power_of_two(broadcast<V>(1), e.shift);
  return e.p * power + (power - ScalarOf<V>(1));
}

// log(1 + u) for 0 <= u <= 1 within 2 ulp: 2 atanh(t), t = u / (2 + u) <= 1/3, by its series in
// t^2.
template <class V>
ASYMFAST_INLINE V log1p_of_unit(V u) {
  using T = ScalarOf<V>;
  constexpr int terms = sizeof(T) == 4 ? 8 : 17;  // (1/9)^terms / (2 terms + 1) < eps / 8
  const V t = u / (u + T(2));
  const V t2 = t * t;
  V series = broadcast<V>(T(1) / (2 * terms + 1));
  for (int i = terms - 1; i >= 1; --i) series = series * t2 + T(1) / (2 * i + 1);
  return T(2) * (t + t * t2 * series);
}

}  // namespace asymfast
