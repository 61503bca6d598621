// Vectors of the machine's width, by the vector extension that GCC and Clang share. The scalar
// maths beside this file is written for any V that is a float, a double or one of these vectors.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#define ASYMFAST_HD __host__ __device__
#else
#define ASYMFAST_HD
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

// Scalar: the element; Bits: signed integers of the same width, lane by lane.
template <class V>
struct LaneTraits;
template <>
struct LaneTraits<float> {
  using Scalar = float;
  using Bits = std::int32_t;
};
template <>
struct LaneTraits<double> {
  using Scalar = double;
  using Bits = std::int64_t;
};
template <>
struct LaneTraits<FloatVec> {
  using Scalar = float;
  using Bits = IntVec;
};
template <>
struct LaneTraits<DoubleVec> {
  using Scalar = double;
  using Bits = LongVec;
};

template <class V>
using ScalarOf = typename LaneTraits<V>::Scalar;
template <class V>
using BitsOf = typename LaneTraits<V>::Bits;

template <class T>
struct VecOf;
template <>
struct VecOf<float> {
  using type = FloatVec;
};
template <>
struct VecOf<double> {
  using type = DoubleVec;
};
template <class T>
using Vec = typename VecOf<T>::type;

template <class T>
inline constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

template <class To, class From>
ASYMFAST_HD inline To bit_cast(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

// x in every lane. (x - 0 folds to x for every x; 0 + x does not for -0.)
template <class V>
ASYMFAST_HD inline V broadcast(ScalarOf<V> x) {
  return x - V{};
}

template <class V>
ASYMFAST_HD inline V abs(V x) {
  return x < V{} ? -x : x;
}

// Comparisons with NaN are false: these keep a NaN in x.
template <class V>
ASYMFAST_HD inline V at_least(V x, ScalarOf<V> low) {
  const V bound = broadcast<V>(low);
  return x < bound ? bound : x;
}
template <class V>
ASYMFAST_HD inline V at_most(V x, ScalarOf<V> high) {
  const V bound = broadcast<V>(high);
  return x > bound ? bound : x;
}

// f applied to each lane: for functions that have no vector form here.
template <class V, class F>
inline V lanewise(F f, V x) {
  using T = ScalarOf<V>;
  T lane[sizeof(V) / sizeof(T)];
  std::memcpy(lane, &x, sizeof x);
  for (T& value : lane) value = f(value);
  std::memcpy(&x, lane, sizeof x);
  return x;
}

// The sum of all lanes, in double, in a fixed order.
template <class V>
inline double sum_of_lanes(V x) {
  using T = ScalarOf<V>;
  constexpr int lanes = sizeof(V) / sizeof(T);
  T lane[lanes];
  std::memcpy(lane, &x, sizeof x);
  double half[lanes / 2];
  for (int i = 0; i < lanes / 2; ++i) half[i] = double(lane[i]) + double(lane[i + lanes / 2]);
  for (int width = lanes / 4; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) half[i] += half[i + width];
  return half[0];
}

}  // namespace asymfast
