// e^-x, and what is made of it: the logistic function and its integral, erf, and the tail of the
// normal distribution; sin and cos. (tests/remez.py finds the polynomials.)
#pragma once

#include <cmath>

#include "math/lanes.hpp"

namespace asymfast {

template <class T>
struct ExpConstants;
template <>
struct ExpConstants<float> {
  static constexpr float limit = 87.3f;        // e^-limit and e^limit are normal numbers
  static constexpr float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  static constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
  static constexpr int bias = 127, mantissa = 23;
};
template <>
struct ExpConstants<double> {
  static constexpr double limit = 708.3;
  static constexpr double magic = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr double ln2_high = 0.6931471803691238, ln2_low = 1.9082149292705877e-10;
  static constexpr int bias = 1023, mantissa = 52;
};

// (e^-r - 1 + r) / r^2 on |r| <= ln(2) / 2.
template <class V>
ASYMFAST_INLINE V exp_minus_tail(V r, float) {
  return polynomial(r, 0.500000003f, -0.166665769f, 0.0416663752f, -0.00836318404f, 0.00139411214f);
}
template <class V>
ASYMFAST_INLINE V exp_minus_tail(V r, double) {
  return polynomial(r, 0.500000000000000102, -0.166666666666666745, 0.0416666666666241189,
                    -0.0083333333333222073, 0.00138888889172174569, -0.000198412698865909993,
                    0.000024801521290973346, -2.75572423366803571e-6, 2.76200905184994294e-7,
                    -2.51100498958587163e-8);
}

// e^-x = power (1 + rest) with power = 2^n, |x| <= limit. A NaN in x is one in rest.
template <class V>
struct PowerAndRest {
  V power, rest;
};
template <class V>
ASYMFAST_INLINE PowerAndRest<V> reduced_exp_minus(V x) {
  using T = ScalarOf<V>;
  using C = ExpConstants<T>;
  constexpr T log2_e = T(1.4426950408889634074);
  const V rounded = fma(x, broadcast<V>(-log2_e), broadcast<V>(C::magic));
  const V n = rounded - C::magic;
  const V r = fma(n, broadcast<V>(C::ln2_low), fma(n, broadcast<V>(C::ln2_high), x));
  const BitsOf<V> exponent = bit_cast<BitsOf<V>>(rounded) + C::bias;
  return {bit_cast<V>(shifted_left(exponent, C::mantissa)), fma(r * r, exp_minus_tail(r, T{}), -r)};
}

// e^-x for |x| <= limit within 1.5 ulp (float with AVX-512: 4 ulp at the ends); NaN stays NaN.
template <class V>
ASYMFAST_INLINE V exp_minus(V x) {
  const PowerAndRest<V> e = reduced_exp_minus(x);
  return fma(e.power, e.rest, e.power);
}

#if defined(__CUDA_ARCH__)

// The device's 2^t within 2 ulp, where log2(e) x is t and a rest.
ASYMFAST_INLINE float exp_minus(float x) {
  constexpr float log2_e = 1.4426950408889634074f, log2_e_rest = 1.9259629911266175e-8f;
  const float t = x * -log2_e;
  const float rest = fmaf(x, -log2_e_rest, fmaf(x, -log2_e, -t));
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(t));
  return fmaf(power, rest * 0.69314718055994530942f, power);
}

#endif

#if defined(__AVX512F__)

// 2^(k/32) and 2^(k/16), with k taken off the bits that hold it in n: adding n, shifted to the
// exponent, to the k-th bits gives 2^(n/32).
alignas(64) inline constexpr std::uint32_t kPowersOfTwoFloat[32] = {
    0x3f800000, 0x3f7ecd87, 0x3f7daac3, 0x3f7c980f, 0x3f7b95c2, 0x3f7aa43a, 0x3f79c3d3, 0x3f78f4f0,
    0x3f7837f0, 0x3f778d3a, 0x3f76f532, 0x3f767043, 0x3f75fed7, 0x3f75a15b, 0x3f75583f, 0x3f7523f6,
    0x3f7504f3, 0x3f74fbaf, 0x3f7508a4, 0x3f752c4d, 0x3f75672a, 0x3f75b9be, 0x3f76248c, 0x3f76a81e,
    0x3f7744fd, 0x3f77fbb8, 0x3f78ccdf, 0x3f79b907, 0x3f7ac0c7, 0x3f7be4ba, 0x3f7d257d, 0x3f7e83b3};
alignas(64) inline constexpr std::uint64_t kPowersOfTwoDouble[16] = {
    0x3ff0000000000000, 0x3fefb5586cf9890f, 0x3fef72b83c7d517b, 0x3fef387a6e756238,
    0x3fef06fe0a31b715, 0x3feedea64c123422, 0x3feebfdad5362a27, 0x3feeab07dd485429,
    0x3feea09e667f3bcd, 0x3feea11473eb0187, 0x3feeace5422aa0db, 0x3feec49182a3f090,
    0x3feee89f995ad3ad, 0x3fef199bdd85529c, 0x3fef5818dcfba487, 0x3fefa4afa2a490da};

// With the table |r| <= ln(2) / 64, and the best c1 r + c2 r^2 for e^-r - 1 errs by 5.4e-8. The 24
// bits of ln 2 happen to be good for 28: n ln 2 needs no second part.
ASYMFAST_INLINE FloatVec exp_minus(FloatVec x) {
  constexpr float magic = ExpConstants<float>::magic / 32;
  const FloatVec rounded =
      fma(x, broadcast<FloatVec>(-1.4426950408889634074f), broadcast<FloatVec>(magic));
  const FloatVec n = rounded - magic;
  const FloatVec r = fma(n, broadcast<FloatVec>(0.69314718055994530942f), x);
  const __m512i index = _mm512_castps_si512(rounded);
  const __m512i table = _mm512_permutex2var_epi32(_mm512_load_si512(kPowersOfTwoFloat), index,
                                                  _mm512_load_si512(kPowersOfTwoFloat + 16));
  const FloatVec power = bit_cast<FloatVec>(IntVec(table) + (IntVec(index) << (23 - 5)));
  return fma(power * r, polynomial(r, -1.0000148533f, 0.500008650356f), power);
}

// |r| <= ln(2) / 32 and degree 6, with error 6.9e-18.
ASYMFAST_INLINE DoubleVec exp_minus(DoubleVec x) {
  constexpr double magic = ExpConstants<double>::magic / 16;
  const DoubleVec rounded =
      fma(x, broadcast<DoubleVec>(-1.4426950408889634074), broadcast<DoubleVec>(magic));
  const DoubleVec n = rounded - magic;
  const DoubleVec r = fma(n, broadcast<DoubleVec>(2.3190468138462996e-17),
                          fma(n, broadcast<DoubleVec>(0.69314718055994530942), x));
  const __m512i index = _mm512_castpd_si512(rounded);
  const __m512i table = _mm512_permutex2var_epi64(_mm512_load_si512(kPowersOfTwoDouble), index,
                                                  _mm512_load_si512(kPowersOfTwoDouble + 8));
  const DoubleVec power = bit_cast<DoubleVec>(LongVec(table) + (LongVec(index) << (52 - 4)));
  return fma(power * r,
             polynomial(r, -1.0, 0.499999999999995234, -0.16666666662843476, 0.0416666666905635019,
                        -0.00833349627650415389, 0.0013888685193862407),
             power);
}

#endif

// e^-x for x >= 0; 0 where that is not a normal number.
template <class V>
ASYMFAST_INLINE V decay(V x) {
  constexpr ScalarOf<V> limit = ExpConstants<ScalarOf<V>>::limit;
  return x > broadcast<V>(limit) ? V{} : exp_minus(at_most(x, limit));
}

// e^-ab for a b >= 0, finite: what rounding the product loses would be amplified by a b.
template <class V>
ASYMFAST_INLINE V decay_of_product(V a, V b) {
  const V ab = a * b;
  const V e = decay(ab);
  return fma(-e, fma(a, b, -ab), e);
}

// s = 1 / (1 + e^-z), c = 1 - s = s(-z), u = e^-|z|; each without cancellation.
template <class V>
struct Logistic {
  V s, c, u;
};
template <class V>
ASYMFAST_INLINE Logistic<V> logistic(V z) {
  using T = ScalarOf<V>;
  const V u = decay(abs(z));
  const V large = reciprocal(u + T(1));
  const V small = u * large;
  const auto positive = z >= V{};
  return {positive ? large : small, positive ? small : large, u};
}

// atanh(t) / t by t^2 on t <= 1/3.
template <class V>
ASYMFAST_INLINE V atanh_ratio(V t2, float) {
  return polynomial(t2, 1.0f, 0.333331551f, 0.200125571f, 0.13978833f, 0.140957734f);
}
template <class V>
ASYMFAST_INLINE V atanh_ratio(V t2, double) {
  return polynomial(t2, 1.0, 0.333333333333330627, 0.200000000000964722, 0.142857142723117939,
                    0.111111120647024233, 0.0909086959777613727, 0.0769332378120871858,
                    0.0664997463888179183, 0.0605671045064422385, 0.0415536101138397506,
                    0.0853449636947136143);
}

// x + log(1 + u) for 0 <= u <= 1: log(1 + u) = 2 atanh(u / (2 + u)).
template <class V>
ASYMFAST_INLINE V plus_log1p_of_unit(V x, V u) {
  using T = ScalarOf<V>;
  const V t = u / (u + T(2));
  return fma(t + t, atanh_ratio(t * t, T{}), x);
}

// e^(a^2/2) Phi(-a) (1 + a/4), without cancellation, by w = (a - 4) / (a + 4), as far as e^(-a^2/2)
// is a normal number.
template <class V>
ASYMFAST_INLINE V scaled_tail(V w, float) {
  return polynomial(w, 0.188821284f, -0.151974152f, 0.0967842209f, -0.0466307376f, 0.0151011033f,
                    -0.00188209862f, -0.000879367784f, 0.0003935775f, 4.76431172e-5f,
                    -3.17100407e-5f);
}
template <class V>
ASYMFAST_INLINE V scaled_tail(V w, double) {
  return polynomial(w, 0.18882128260393787, -0.151974160492973008, 0.0967843501855548044,
                    -0.0466304644899167923, 0.0150991437226699195, -0.00188504724159465176,
                    -0.000869923090467398751, 0.00040770461310624602, 0.0000333360627693934238,
                    -0.0000577737241231392675, -4.76964451236635507e-7, 8.78613312591693811e-6,
                    1.78754740224680511e-7, -1.47997257713671831e-6, -1.56326187824281049e-7,
                    2.55401800705348853e-7, 6.60533553811179736e-8, -3.90685658988412984e-8,
                    -1.92978848415147546e-8, 3.96069534687692035e-9, 3.6387972490619218e-9,
                    -6.74703172330666189e-11, -2.9132627943383053e-10);
}

// e^(a^2/2) Phi(-a) for a >= 0 (float: to 13.5, double: to 38; beyond, something finite).
template <class V>
ASYMFAST_INLINE V normal_tail(V a) {
  using T = ScalarOf<V>;
  const V inverse = T(1) / (a + T(4));
  return inverse * T(4) * scaled_tail((a - T(4)) * inverse, T{});
}

// erf(x) / x by x^2 on |x| <= 1/2.
template <class V>
ASYMFAST_INLINE V erf_ratio(V x2, float) {
  return polynomial(x2, 1.12837917f, -0.376126093f, 0.11282838f, -0.0267581559f, 0.00471992814f);
}
template <class V>
ASYMFAST_INLINE V erf_ratio(V x2, double) {
  return polynomial(x2, 1.12837916709551257, -0.376126389031837505, 0.112837916709548708,
                    -0.0268661706450004287, 0.00522397762203151224, -0.000854832651240833873,
                    0.000120552863162370728, -0.0000149230078856375963, 1.63713307697419516e-6,
                    -1.46217695725739368e-7);
}

// ---- sin and cos

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
