// The inner loop of a move along several Jacobians kept as slopes: residuals are pulled back to the
// pre-activations together, so that one product with X serves all of them.
#pragma once

#include "cpu/tiles.hpp"

namespace asymfast::cpu {

// D (rows, block) = sum_l slopes[l] sum_q c_q u_l,q with u_l (rows, k), `stride` elements apart.
template <class T>
inline void pull_residuals(const T* const* slopes, Index count, const T* u, Index stride,
                           Index rows, const T* c, Index k, T* D) {
  const Vec<T>* scale = as_vectors(c);
  Vec<T>* out = as_vectors(D);
  for (Index i = 0; i < rows; ++i) {
    Vec<T> left{}, right{};
    for (Index l = 0; l < count; ++l) {
      const T* u_i = u + l * stride + i * k;
      Vec<T> l_left{}, l_right{};
      for (Index q = 0; q < k; ++q) {
        const Vec<T> u_iq = broadcast<Vec<T>>(u_i[q]);
        l_left += u_iq * scale[2 * q];
        l_right += u_iq * scale[2 * q + 1];
      }
      const Vec<T>* s = as_vectors(slopes[l]) + 2 * i;
      left += s[0] * l_left;
      right += s[1] * l_right;
    }
    out[2 * i] = left;
    out[2 * i + 1] = right;
  }
}

}  // namespace asymfast::cpu
