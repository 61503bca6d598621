// sin and cos.
#pragma once

#include <cmath>

#include "math/lanes.hpp"

namespace asymfast {

// pi / 2 in three parts, the first two so short that their products with z / (pi / 2) are exact.
template <class T>
struct QuarterTurn;
template <>
struct QuarterTurn<float> {
  static constexpr float range = 8192.0f, magic = 12582912.0f;
  static constexpr float high = 1.5703125f, middle = 4.837512969970703125e-4f,
                         low = 7.54978995489188216e-8f;
};
template <>
struct QuarterTurn<double> {
  static constexpr double range = 1e6, magic = 6755399441055744.0;
  static constexpr double high = 1.57079632673412561417, middle = 6.07710050630396597660e-11,
                          low = 2.02226624879595063154e-21;
};

// (sin r - r) / r^3 and (cos r - 1 + r^2 / 2) / r^4 by r^2 on |r| <= pi / 4.
template <class V>
ASYMFAST_INLINE V sin_tail(V r2, float) {
  return polynomial(r2, -0.166666647f, 0.00833274877f, -0.000195879586f);
}
template <class V>
ASYMFAST_INLINE V sin_tail(V r2, double) {
  return polynomial(r2, -0.166666666666666646, 0.00833333333333094798, -0.000198412698367574073,
                    2.75573161017890584e-6, -2.50511316602924707e-8, 1.59181145115724822e-10);
}
template <class V>
ASYMFAST_INLINE V cos_tail(V r2, float) {
  return polynomial(r2, 0.0416666647f, -0.00138883034f, 2.45479901e-5f);
}
template <class V>
ASYMFAST_INLINE V cos_tail(V r2, double) {
  return polynomial(r2, 0.0416666666666666654, -0.00138888888888873968, 0.0000248015872987647882,
                    -2.75573172711752222e-7, 2.08761461385850531e-9, -1.13826222523842159e-11);
}

template <class V>
struct SinAndCos {
  V sin, cos;
};

// The library's, lane by lane, where |z| is beyond the range. (Nobody's weights are there, but
// what runs away should do so by the right values.)
template <class V>
#if defined(__GNUC__)
[[gnu::noinline, gnu::cold]]
#endif
ASYMFAST_DEVICE void sin_and_cos_of_huge(V z, SinAndCos<V>& out) {
  using T = ScalarOf<V>;
  constexpr int lanes = sizeof(V) / sizeof(T);  // NOLINT(bugprone-sizeof-expression): V may be T
  T x[lanes], s[lanes], c[lanes];
  std::memcpy(x, &z, sizeof x);
  std::memcpy(s, &out.sin, sizeof s);
  std::memcpy(c, &out.cos, sizeof c);
  for (int i = 0; i < lanes; ++i)
    if (std::abs(x[i]) > QuarterTurn<T>::range) {
      s[i] = std::sin(x[i]);
      c[i] = std::cos(x[i]);
    }
  std::memcpy(&out.sin, s, sizeof s);
  std::memcpy(&out.cos, c, sizeof c);
}

template <class V>
ASYMFAST_INLINE SinAndCos<V> sin_and_cos(V z) {
  using T = ScalarOf<V>;
  using Bits = BitsOf<V>;
  using Q = QuarterTurn<T>;
  constexpr T two_over_pi = T(0.63661977236758134308);
  const V rounded = fma(z, broadcast<V>(two_over_pi), broadcast<V>(Q::magic));
  const V n = rounded - Q::magic;
  V r = fma(n, broadcast<V>(-Q::high), z);
  r = fma(n, broadcast<V>(-Q::middle), r);
  r = fma(n, broadcast<V>(-Q::low), r);
  const V r2 = r * r;
  const V sin_r = fma(r * r2, sin_tail(r2, T{}), r);
  const V cos_r =
      fma(r2 * r2, cos_tail(r2, T{}), fma(r2, broadcast<V>(T(-0.5)), broadcast<V>(T(1))));
  const Bits quarters = bit_cast<Bits>(rounded);
  const auto odd = (quarters & 1) != 0;
  constexpr int to_sign = 8 * sizeof(T) - 2;  // bit 1 counts half turns
  const Bits sin_sign = (quarters & 2) << to_sign, cos_sign = ((quarters + 1) & 2) << to_sign;
  SinAndCos<V> out = {bit_cast<V>(bit_cast<Bits>(odd ? cos_r : sin_r) ^ sin_sign),
                      bit_cast<V>(bit_cast<Bits>(odd ? sin_r : cos_r) ^ cos_sign)};
  if (__builtin_expect(any(abs(z) > broadcast<V>(Q::range)), 0)) sin_and_cos_of_huge(z, out);
  return out;
}

}  // namespace asymfast
