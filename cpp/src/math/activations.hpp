// sigma, sigma' and sigma'' of every activation, for V = float, double or a vector of them. Each
// formula is free of overflow and of cancellation: 1 - s is always computed as s(-z).
//
// `value_and_slope` is what a training step needs, `value` and `slope` are either alone, bit for
// bit the same; `curvature` is sigma''. The bits do not depend on the code around a call: sums of
// products are written as `fma`.
#pragma once

#include <cmath>

#include "asymfast/activation.hpp"
#include "math/elementary.hpp"
#include "math/exp.hpp"

namespace asymfast {

template <class V>
struct ValueAndSlope {
  V value, slope;
};

// s = 1 / (1 + e^-z), c = 1 - s = s(-z), u = e^-|z|.
template <class V>
struct Logistic {
  V s, c, u;
};

template <class V>
ASYMFAST_INLINE Logistic<V> logistic(V z) {
  const V u = exp(-abs(z));
  const V large = ScalarOf<V>(1) / (u + ScalarOf<V>(1));
  const V small = u * large;
  const auto positive = z >= V{};
  return {positive ? large : small, positive ? small : large, u};
}

// z where |z| matters to a product with s or c, finite where they vanish: inf * 0 would be NaN.
// Both are exactly 0 from |z| = 750 on.
template <class V>
ASYMFAST_INLINE V tamed(V z) {
  return at_most(at_least(z, ScalarOf<V>(-1e4)), ScalarOf<V>(1e4));
}

template <Activation>
struct ActivationMath;

// What is not asked for is never computed: everything is inlined.
template <Activation activation>
struct EachAlone {
  template <class V>
  ASYMFAST_INLINE static V value(V z) {
    return ActivationMath<activation>::value_and_slope(z).value;
  }
  template <class V>
  ASYMFAST_INLINE static V slope(V z) {
    return ActivationMath<activation>::value_and_slope(z).slope;
  }
};

template <>
struct ActivationMath<Activation::swish> : EachAlone<Activation::swish> {
  // s = 1 / (1 + e^-z), c = 1 - s = e^-z s. Where z leaves the range of the exponential, s is the
  // limit at its lower end, value at both; c then is nothing beside s.
  template <class V>
  ASYMFAST_INLINE static ValueAndSlope<V> value_and_slope(V z) {
    using T = ScalarOf<V>;
    constexpr T limit = ExpRange<T>::limit;
    const V bounded_below = at_least(z, -limit);
    const V e = exp_minus(at_most(bounded_below, limit));
    const V s = z < broadcast<V>(-limit) ? V{} : T(1) / (e + T(1));
    const V value = product(bounded_below, s);
    return {value, fma(at_most(value, limit), e * s, s)};
  }
  template <class V>
  ASYMFAST_INLINE static V curvature(V z) {
    const Logistic<V> l = logistic(z);
    return l.s * l.c * (ScalarOf<V>(2) + tamed(z) * (l.c - l.s));
  }
};

template <>
struct ActivationMath<Activation::relu> : EachAlone<Activation::relu> {
  template <class V>
  ASYMFAST_INLINE static ValueAndSlope<V> value_and_slope(V z) {
    const auto off = z <= V{};  // false for NaN, whose value therefore stays
    return {off ? V{} : z, off ? V{} : broadcast<V>(1)};
  }
  template <class V>
  ASYMFAST_INLINE static V curvature(V) {
    return V{};
  }
};

template <>
struct ActivationMath<Activation::tanh> : EachAlone<Activation::tanh> {
  template <class V>
  ASYMFAST_INLINE static ValueAndSlope<V> value_and_slope(V z) {
    using T = ScalarOf<V>;
    const V e = expm1_of_nonpositive(T(-2) * abs(z));  // u - 1 with u = e^-2|z|
    const V size = -e / (e + T(2));
    const V u = e + T(1);
    const V denominator = u + T(1);
    return {z < V{} ? -size : size, T(4) * exp(T(-2) * abs(z)) / (denominator * denominator)};
  }
  template <class V>
  ASYMFAST_INLINE static V curvature(V z) {
    const auto [value, slope] = value_and_slope(z);
    return ScalarOf<V>(-2) * value * slope;
  }
};

template <>
struct ActivationMath<Activation::erf> : EachAlone<Activation::erf> {
  template <class V>
  ASYMFAST_INLINE static ValueAndSlope<V> value_and_slope(V z) {
    using T = ScalarOf<V>;
    const V bounded = tamed(z);  // z^2 must not overflow to inf - inf anywhere
    return {lanewise([](T x) { return std::erf(x); }, z),
            T(1.1283791670955125739) * exp(-(bounded * bounded))};
  }
  template <class V>
  ASYMFAST_INLINE static V curvature(V z) {
    return ScalarOf<V>(-2) * tamed(z) * value_and_slope(z).slope;
  }
};

template <>
struct ActivationMath<Activation::gelu> : EachAlone<Activation::gelu> {
  template <class V>
  ASYMFAST_INLINE static V density(V z) {
    using T = ScalarOf<V>;
    const V bounded = tamed(z);
    return T(0.39894228040143267794) * exp(T(-0.5) * (bounded * bounded));
  }
  template <class V>
  ASYMFAST_INLINE static ValueAndSlope<V> value_and_slope(V z) {
    using T = ScalarOf<V>;
    const V phi =
        lanewise([](T x) { return T(0.5) * std::erfc(T(-0.70710678118654752440) * x); }, z);
    return {at_least(z, T(-1e4)) * phi, phi + tamed(z) * density(z)};
  }
  template <class V>
  ASYMFAST_INLINE static V curvature(V z) {
    const V bounded = tamed(z);
    return density(z) * (ScalarOf<V>(2) - bounded * bounded);
  }
};

template <>
struct ActivationMath<Activation::softplus> : EachAlone<Activation::softplus> {
  template <class V>
  ASYMFAST_INLINE static ValueAndSlope<V> value_and_slope(V z) {
    const Logistic<V> l = logistic(z);
    return {at_least(z, ScalarOf<V>(0)) + log1p_of_unit(l.u), l.s};
  }
  template <class V>
  ASYMFAST_INLINE static V curvature(V z) {
    const Logistic<V> l = logistic(z);
    return l.s * l.c;
  }
};

template <>
struct ActivationMath<Activation::sigmoid> : EachAlone<Activation::sigmoid> {
  template <class V>
  ASYMFAST_INLINE static ValueAndSlope<V> value_and_slope(V z) {
    const Logistic<V> l = logistic(z);
    return {l.s, l.s * l.c};
  }
  template <class V>
  ASYMFAST_INLINE static V curvature(V z) {
    const Logistic<V> l = logistic(z);
    return l.s * l.c * (l.c - l.s);
  }
};

template <>
struct ActivationMath<Activation::sin> : EachAlone<Activation::sin> {
  template <class V>
  ASYMFAST_INLINE static ValueAndSlope<V> value_and_slope(V z) {
    using T = ScalarOf<V>;
    return {lanewise([](T x) { return std::sin(x); }, z),
            lanewise([](T x) { return std::cos(x); }, z)};
  }
  template <class V>
  ASYMFAST_INLINE static V curvature(V z) {
    using T = ScalarOf<V>;
    return lanewise([](T x) { return -std::sin(x); }, z);
  }
};

template <>
struct ActivationMath<Activation::cos> : EachAlone<Activation::cos> {
  template <class V>
  ASYMFAST_INLINE static ValueAndSlope<V> value_and_slope(V z) {
    using T = ScalarOf<V>;
    return {lanewise([](T x) { return std::cos(x); }, z),
            lanewise([](T x) { return -std::sin(x); }, z)};
  }
  template <class V>
  ASYMFAST_INLINE static V curvature(V z) {
    using T = ScalarOf<V>;
    return lanewise([](T x) { return -std::cos(x); }, z);
  }
};

template <>
struct ActivationMath<Activation::identity> : EachAlone<Activation::identity> {
  template <class V>
  ASYMFAST_INLINE static ValueAndSlope<V> value_and_slope(V z) {
    return {z, broadcast<V>(1)};
  }
  template <class V>
  ASYMFAST_INLINE static V curvature(V) {
    return V{};
  }
};

// Calls f with ActivationMath<activation>, so that loops are compiled once for each activation.
template <class F>
decltype(auto) with_activation(Activation activation, F&& f) {
  switch (activation) {
    case Activation::swish: return f(ActivationMath<Activation::swish>{});
    case Activation::relu: return f(ActivationMath<Activation::relu>{});
    case Activation::tanh: return f(ActivationMath<Activation::tanh>{});
    case Activation::erf: return f(ActivationMath<Activation::erf>{});
    case Activation::gelu: return f(ActivationMath<Activation::gelu>{});
    case Activation::softplus: return f(ActivationMath<Activation::softplus>{});
    case Activation::sigmoid: return f(ActivationMath<Activation::sigmoid>{});
    case Activation::sin: return f(ActivationMath<Activation::sin>{});
    case Activation::cos: return f(ActivationMath<Activation::cos>{});
    case Activation::identity: return f(ActivationMath<Activation::identity>{});
  }
  __builtin_unreachable();
}

}  // namespace asymfast
