// The logistic function and its integral.
#pragma once

#include "math/exp.hpp"

namespace asymfast {

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

}  // namespace asymfast
