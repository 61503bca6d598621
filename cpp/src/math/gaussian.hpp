// erf, and the tail of the normal distribution without cancellation.
#pragma once

#include "math/exp.hpp"

namespace asymfast {

// e^(a^2/2) Phi(-a) (1 + a/4) by w = (a - 4) / (a + 4), as far as e^(-a^2/2) is a normal number.
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

}  // namespace asymfast
