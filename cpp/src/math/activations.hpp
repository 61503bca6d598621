// sigma, sigma' and sigma'' of every activation, for V = float, double or a vector of them. Each
// formula is free of overflow and of cancellation: 1 - s is always computed as s(-z).
//
// Each of the three has the same bits whether it is asked for alone or with the others. They do not
// depend on the code around a call: sums of products are written as `fma`.
#pragma once

#include "asymfast/activation.hpp"
#include "math/exp.hpp"

namespace asymfast {

template <class V>
struct Derivatives {
  V value, slope, curvature{};
};

// z where |z| matters to a product with something that vanishes: inf * 0 would be NaN.
template <class V>
ASYMFAST_INLINE V tamed(V z, ScalarOf<V> limit) {
  return at_most(at_least(z, -limit), limit);
}
inline constexpr int kGaussianLimit = 40;  // e^(-z^2/2) is exactly 0 from here on

// An activation as a type. derivatives(it, z) are all three; what a caller does not use of them is
// never computed, as everything is inlined.
template <Activation>
struct ActivationMath {};

// s = 1 / (1 + e^-z), c = 1 - s = e^-z s. Where z leaves the range of the exponential, s is the
// limit at its lower end, value at both; c then is nothing beside s.
template <class V>
ASYMFAST_INLINE Derivatives<V> derivatives(ActivationMath<Activation::swish>, V z) {
  using T = ScalarOf<V>;
  constexpr T limit = ExpConstants<T>::limit;
  const V bounded_below = at_least(z, -limit);
  const V e = exp_minus(at_most(bounded_below, limit));
  const V s = z < broadcast<V>(-limit) ? V{} : reciprocal(e + T(1));
  const V value = product(bounded_below, s);
  const Logistic<V> l = logistic(z);
  return {value, fma(at_most(value, limit), e * s, s),
          l.s * l.c * fma(tamed(z, limit), l.c - l.s, broadcast<V>(T(2)))};
}

template <class V>
ASYMFAST_INLINE Derivatives<V> derivatives(ActivationMath<Activation::relu>, V z) {
  const auto off = z <= V{};  // false for NaN, whose value therefore stays
  return {off ? V{} : z, off ? V{} : broadcast<V>(1)};
}

// With u = e^-2|z|: (1 - u) / (1 + u) and 4 u / (1 + u)^2.
template <class V>
ASYMFAST_INLINE Derivatives<V> derivatives(ActivationMath<Activation::tanh>, V z) {
  using T = ScalarOf<V>;
  constexpr T limit = ExpConstants<T>::limit / 2;
  const V a = abs(z);
  const PowerAndRest<V> e = reduced_exp_minus(T(2) * at_most(a, limit));
  const V power = a > broadcast<V>(limit) ? V{} : e.power;
  const V u_minus_1 = fma(power, e.rest, power - T(1));
  const V inverse = reciprocal(u_minus_1 + T(2));
  const V double_inverse = inverse + inverse;
  const V u = fma(power, e.rest, power);
  const V value = with_sign_of(z, -u_minus_1 * inverse);
  const V slope = product(u * double_inverse, double_inverse);
  return {value, slope, T(-2) * value * slope};
}

template <class V>
ASYMFAST_INLINE Derivatives<V> derivatives(ActivationMath<Activation::erf>, V z) {
  using T = ScalarOf<V>;
  const V a = at_most(abs(z), T(kGaussianLimit));
  const V e = decay_of_product(a, a);
  const V tail = normal_tail(T(1.4142135623730950488) * a);  // erfc(a) / (2 e)
  const V far = fma(T(-2) * e, tail, broadcast<V>(T(1)));
  const V near = a * erf_ratio(a * a, T{});
  const V size = a > broadcast<V>(T(0.5)) ? far : near;
  const V slope = product(e, broadcast<V>(T(1.1283791670955125739)));
  return {with_sign_of(z, size), slope, T(-2) * tamed(z, T(kGaussianLimit)) * slope};
}

template <class V>
ASYMFAST_INLINE Derivatives<V> derivatives(ActivationMath<Activation::gelu>, V z) {
  using T = ScalarOf<V>;
  const V bounded = tamed(z, T(kGaussianLimit));
  const V e = decay_of_product(T(0.5) * bounded, bounded);  // e^(-z^2/2)
  const V tail = product(e, normal_tail(abs(bounded)));
  const V phi = z < V{} ? tail : T(1) - tail;
  const V density = e * T(0.39894228040143267794);
  return {product(at_least(z, T(-kGaussianLimit)), phi), fma(bounded, density, phi),
          density * fma(-bounded, bounded, broadcast<V>(T(2)))};
}

template <class V>
ASYMFAST_INLINE Derivatives<V> derivatives(ActivationMath<Activation::softplus>, V z) {
  const Logistic<V> l = logistic(z);
  return {plus_log1p_of_unit(at_least(z, ScalarOf<V>(0)), l.u), l.s, l.s * l.c};
}

template <class V>
ASYMFAST_INLINE Derivatives<V> derivatives(ActivationMath<Activation::sigmoid>, V z) {
  const Logistic<V> l = logistic(z);
  return {l.s, product(l.s, l.c), l.s * l.c * (l.c - l.s)};
}

template <class V>
ASYMFAST_INLINE Derivatives<V> derivatives(ActivationMath<Activation::sin>, V z) {
  const auto [sin, cos] = sin_and_cos(z);
  return {sin, cos, -sin};
}

template <class V>
ASYMFAST_INLINE Derivatives<V> derivatives(ActivationMath<Activation::cos>, V z) {
  const auto [sin, cos] = sin_and_cos(z);
  return {cos, -sin, -cos};
}

template <class V>
ASYMFAST_INLINE Derivatives<V> derivatives(ActivationMath<Activation::identity>, V z) {
  return {z, broadcast<V>(1)};
}

// Calls f with ActivationMath<activation>, so that loops are compiled once for each activation.
template <class F>
ASYMFAST_DEVICE decltype(auto) with_activation(Activation activation, F&& f) {
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
