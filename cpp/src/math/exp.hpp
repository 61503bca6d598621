// e^-x where it neither overflows nor underflows: what the logistic function needs.
#pragma once

#include "math/lanes.hpp"

namespace asymfast {

// x = n ln(2) / steps + r with an integer n. Adding `magic` rounds to a multiple of 1 / steps, and
// leaves n in the low bits.
template <class T>
struct ExpRange;
template <>
struct ExpRange<float> {
  static constexpr float limit = 87.3f;  // 126 ln 2, rounded down
  static constexpr float magic = 12582912.0f;
  static constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
  static constexpr int mantissa = 23;
};
template <>
struct ExpRange<double> {
  static constexpr double limit = 708.3;  // 1022 ln 2, rounded down
  static constexpr double magic = 6755399441055744.0;
  static constexpr double ln2_high = 0.6931471803691238, ln2_low = 1.9082149292705877e-10;
  static constexpr int mantissa = 52;
};

// e^-r on |r| <= ln(2) / 2 by the polynomials of least relative error: 1.9e-9 and 3.1e-18.
template <class V>
ASYMFAST_INLINE V exp_of_rest(V r, float) {
  return polynomial(r, 1.0f, -1.0000000363446836f, 0.499999920750457582f, -0.16666420072253814f,
                    0.0416682262048786395f, -0.00837482404301736274f, 0.00138368347480512828f);
}
template <class V>
ASYMFAST_INLINE V exp_of_rest(V r, double) {
  return polynomial(r, 1.0, -1.0, 0.50000000000000177, -0.166666666666661682, 0.0416666666664926296,
                    -0.00833333333355944249, 0.00138888889512610584, -0.000198412694324534986,
                    2.4801486481428435e-5, -2.75576226351942304e-6, 2.76323081747208471e-7,
                    -2.4994298684329889e-8);
}

// e^-x for |x| <= ExpRange::limit within 1.5 ulp; NaN stays NaN.
template <class V>
ASYMFAST_INLINE V exp_minus(V x) {
  using T = ScalarOf<V>;
  using Range = ExpRange<T>;
  const V rounded = fma(x, broadcast<V>(T(-1.4426950408889634074)), Range::magic);
  const V n = rounded - Range::magic;
  const V r = fma(n, broadcast<V>(Range::ln2_low), fma(n, broadcast<V>(Range::ln2_high), x));
  const BitsOf<V> shift = bit_cast<BitsOf<V>>(rounded) << Range::mantissa;
  return bit_cast<V>(bit_cast<BitsOf<V>>(exp_of_rest(r, T{})) + shift);
}

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

// Reduced by a table, |r| <= ln(2) / 64, a polynomial of degree 2 is enough: its least error is
// 5.4e-8. The 24 digits of ln 2 happen to be good for 28: n ln 2 needs no second part.
ASYMFAST_INLINE FloatVec exp_minus(FloatVec x) {
  constexpr float magic = ExpRange<float>::magic / 32;
  const FloatVec rounded = fma(x, broadcast<FloatVec>(-1.4426950408889634074f), magic);
  const FloatVec n = rounded - magic;
  const FloatVec r = fma(n, broadcast<FloatVec>(0.69314718055994530942f), x);
  const __m512i index = _mm512_castps_si512(rounded);
  const __m512i table = _mm512_permutex2var_epi32(_mm512_load_si512(kPowersOfTwoFloat), index,
                                                  _mm512_load_si512(kPowersOfTwoFloat + 16));
  const FloatVec power = bit_cast<FloatVec>(IntVec(table) + (IntVec(index) << (23 - 5)));
  return fma(power * r, polynomial(r, -1.0000148533f, 0.500008650356f), power);
}

// |r| <= ln(2) / 32 and degree 6, with error 7e-18.
ASYMFAST_INLINE DoubleVec exp_minus(DoubleVec x) {
  constexpr double magic = ExpRange<double>::magic / 16;
  const DoubleVec rounded = fma(x, broadcast<DoubleVec>(-1.4426950408889634074), magic);
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

}  // namespace asymfast
