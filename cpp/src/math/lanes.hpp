// Vectors of the machine's width, by the vector extension that GCC and Clang share. The scalar
// maths beside this file is written for any V that is a float, a double or one of these vectors.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#if (defined(__x86_64__) || defined(_M_X64)) && !defined(__CUDACC__)
#include <immintrin.h>
#endif

// A call in a loop over vectors would spill all of them.
#if defined(__CUDACC__)
#define ASYMFAST_INLINE __host__ __device__ __forceinline__
#elif defined(__GNUC__) || defined(__clang__)  // clang-cl is not __GNUC__
#define ASYMFAST_INLINE inline __attribute__((always_inline))
#else
#define ASYMFAST_INLINE inline
#endif

// What nvcc compiles for the device alone.
#if defined(__CUDACC__)
#define ASYMFAST_DEVICE __device__
#else
#define ASYMFAST_DEVICE
#endif

namespace asymfast {

#if defined(__AVX512F__)
inline constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
inline constexpr int kVectorBytes = 32;
#else
inline constexpr int kVectorBytes = 16;
#endif

// Both compilers let a vector alias its elements.
using FloatVec = float __attribute__((vector_size(kVectorBytes)));
using DoubleVec = double __attribute__((vector_size(kVectorBytes)));
using IntVec = std::int32_t __attribute__((vector_size(kVectorBytes)));
using LongVec = std::int64_t __attribute__((vector_size(kVectorBytes)));

// The element of V; V of signed integers of the same width, lane by lane; the vector of T.
template <class V>
inline constexpr bool kOfFloats = std::is_same_v<V, float> || std::is_same_v<V, FloatVec>;
template <class V>
using ScalarOf = std::conditional_t<kOfFloats<V>, float, double>;
template <class V>
using BitsOf = std::conditional_t<std::is_arithmetic_v<V>,
                                  std::conditional_t<kOfFloats<V>, std::int32_t, std::int64_t>,
                                  std::conditional_t<kOfFloats<V>, IntVec, LongVec>>;
template <class T>
using Vec = std::conditional_t<kOfFloats<T>, FloatVec, DoubleVec>;

template <class T>
inline constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

template <class To, class From>
ASYMFAST_INLINE To bit_cast(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

// What a signed integer would lose at its upper end is lost without being undefined.
template <class Bits>
ASYMFAST_INLINE Bits shifted_left(Bits bits, int places) {
  if constexpr (std::is_integral_v<Bits>)
    return static_cast<Bits>(static_cast<std::make_unsigned_t<Bits>>(bits) << places);
  else
    return bits << places;
}

// x in every lane. (x - 0 folds to x for every x; 0 + x does not for -0.)
template <class V>
ASYMFAST_INLINE V broadcast(ScalarOf<V> x) {
  return x - V{};
}

// Asks for the cache line at p, which may be beyond the end.
ASYMFAST_INLINE void prefetch([[maybe_unused]] const void* p) {
#if defined(__GNUC__) || defined(__clang__)
  __builtin_prefetch(p);
#endif
}

template <class V>
ASYMFAST_INLINE V abs(V x) {
  const BitsOf<V> sign = bit_cast<BitsOf<V>>(broadcast<V>(ScalarOf<V>(-0.0)));
  return bit_cast<V>(bit_cast<BitsOf<V>>(x) & ~sign);
}

template <class V>
ASYMFAST_INLINE V with_sign_of(V z, V size) {
  const BitsOf<V> sign = bit_cast<BitsOf<V>>(broadcast<V>(ScalarOf<V>(-0.0)));
  return bit_cast<V>(bit_cast<BitsOf<V>>(size) | (bit_cast<BitsOf<V>>(z) & sign));
}

// 1 / x; on a device within 1 ulp for float.
template <class V>
ASYMFAST_INLINE V reciprocal(V x) {
  return ScalarOf<V>(1) / x;
}
#if defined(__CUDA_ARCH__)
ASYMFAST_INLINE float reciprocal(float x) {
  float inverse;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(inverse) : "f"(x));
  return inverse;
}
#endif

// larger, smaller: max and min; if a or b is NaN, b. fma: a b + c, rounded once where the machine
// can, else twice, but the same everywhere; of a * b + c the compiler decides anew at each place.
template <class V>
ASYMFAST_INLINE V larger(V a, V b) {
  return a > b ? a : b;
}
template <class V>
ASYMFAST_INLINE V smaller(V a, V b) {
  return a < b ? a : b;
}
template <class V>
ASYMFAST_INLINE V fma(V a, V b, V c) {
#if defined(__FP_FAST_FMA) || defined(__CUDACC__)
  if constexpr (std::is_same_v<V, ScalarOf<V>>) {
    return std::fma(a, b, c);
  } else {
    for (int i = 0; i < kLanes<ScalarOf<V>>; ++i) a[i] = std::fma(a[i], b[i], c[i]);
    return a;
  }
#else
  return a * b + c;
#endif
}

// The same by the instructions, which the compilers do not find in the above. (GCC warns of the
// undefined operands of its plain _mm512_max_ps, not of this form, which compiles to the same.)
#if defined(__CUDACC__)  // scalars only
#elif defined(__AVX512F__)
#define ASYMFAST_MM(name, ...) _mm512_##name(__VA_ARGS__)
#define ASYMFAST_MM_ALL(name, ...) _mm512_maskz_##name(-1, __VA_ARGS__)
#elif defined(__AVX2__)
#define ASYMFAST_MM(name, ...) _mm256_##name(__VA_ARGS__)
#define ASYMFAST_MM_ALL ASYMFAST_MM
#elif defined(__SSE2__)
#define ASYMFAST_MM(name, ...) _mm_##name(__VA_ARGS__)
#define ASYMFAST_MM_ALL ASYMFAST_MM
#endif
#if defined(ASYMFAST_MM)
ASYMFAST_INLINE FloatVec larger(FloatVec a, FloatVec b) {
  return ASYMFAST_MM_ALL(max_ps, a, b);
}
ASYMFAST_INLINE DoubleVec larger(DoubleVec a, DoubleVec b) {
  return ASYMFAST_MM_ALL(max_pd, a, b);
}
ASYMFAST_INLINE FloatVec smaller(FloatVec a, FloatVec b) {
  return ASYMFAST_MM_ALL(min_ps, a, b);
}
ASYMFAST_INLINE DoubleVec smaller(DoubleVec a, DoubleVec b) {
  return ASYMFAST_MM_ALL(min_pd, a, b);
}
#if defined(__FMA__)
ASYMFAST_INLINE FloatVec fma(FloatVec a, FloatVec b, FloatVec c) {
  return ASYMFAST_MM(fmadd_ps, a, b, c);
}
ASYMFAST_INLINE DoubleVec fma(DoubleVec a, DoubleVec b, DoubleVec c) {
  return ASYMFAST_MM(fmadd_pd, a, b, c);
}
#endif
#undef ASYMFAST_MM
#undef ASYMFAST_MM_ALL
#endif

// a b as a number of its own: a caller's sum with it stays a sum.
template <class V>
ASYMFAST_INLINE V product(V a, V b) {
  return fma(a, b, broadcast<V>(ScalarOf<V>(-0.0)));
}

// A NaN in x stays.
template <class V>
ASYMFAST_INLINE V at_least(V x, ScalarOf<V> low) {
  return larger(broadcast<V>(low), x);
}
template <class V>
ASYMFAST_INLINE V at_most(V x, ScalarOf<V> high) {
  return smaller(broadcast<V>(high), x);
}

// c0 + c1 x + c2 x^2 + ...
template <class V>
ASYMFAST_INLINE V polynomial(V, ScalarOf<V> c0) {
  return broadcast<V>(c0);
}
template <class V, class... Cs>
ASYMFAST_INLINE V polynomial(V x, ScalarOf<V> c0, ScalarOf<V> c1, Cs... more) {
  return fma(polynomial(x, c1, ScalarOf<V>(more)...), x, broadcast<V>(c0));
}

// Whether a comparison holds in any lane.
ASYMFAST_INLINE bool any(bool holds) {
  return holds;
}
#if !defined(__CUDACC__)
template <class Mask>
ASYMFAST_INLINE bool any(Mask holds) {
#if defined(__AVX512F__)
  const __m512i mask = bit_cast<__m512i>(holds);
  return _mm512_test_epi64_mask(mask, mask) != 0;
#elif defined(__AVX2__)
  return _mm256_movemask_epi8(bit_cast<__m256i>(holds)) != 0;
#elif defined(__SSE2__)
  return _mm_movemask_epi8(bit_cast<__m128i>(holds)) != 0;
#else
  const LongVec mask = bit_cast<LongVec>(holds);
  return (mask[0] | mask[1]) != 0;
#endif
}
#endif

}  // namespace asymfast
