// Inner loops of a step on a batch, beside those of tiles.hpp: one block of nodes against the
// batch.
#pragma once

#include "cpu/tiles.hpp"

namespace asymfast::cpu {

// value = sigma(Z) and slope = sigma'(Z), either may be Z; F (rows, k vectors) += c_q sigma(Z).
template <class Sigma, class T>
inline void activate_and_keep(const T* Z, Index rows, const T* c, Index k, T* value, T* slope,
                              Vec<T>* F) {
  const Vec<T>* z = as_vectors(Z);
  const Vec<T>* scale = as_vectors(c);
  Vec<T>* v = as_vectors(value);
  Vec<T>* s = as_vectors(slope);
  for (Index i = 0; i < rows; ++i) {
    const auto left = Sigma::value_and_slope(z[2 * i]);
    const auto right = Sigma::value_and_slope(z[2 * i + 1]);
    v[2 * i] = left.value;
    v[2 * i + 1] = right.value;
    s[2 * i] = left.slope;
    s[2 * i + 1] = right.slope;
    add_outputs<T>(left.value, right.value, scale, k, F + i * k);
  }
}

// W (d, block) <- W + step X^T D with one step (block) a node, D (rows, block). The
// sum over the samples stays in registers; what the addition to W loses is kept for the next step.
template <class T>
inline void descend(Samples<T> X, const T* D, const T* step, T* W, T* lost) {
  in_groups(X.d, [=](Index first, auto group) {
    constexpr int R = decltype(group)::value;
    const Vec<T>* h = as_vectors(step);
    Vec<T>* w = as_vectors(W + first * kBlock<T>);
    Vec<T>* rest = as_vectors(lost + first * kBlock<T>);
    Vec<T> sum[R][2] = {};
    const T* x = X.data + first;
    const Vec<T>* dz = as_vectors(D);
    for (Index i = 0; i < X.rows; ++i, x += X.stride) {
      const Index coming = std::min<Index>(i, 2 * R - 1);  // from far, one line after the other
      prefetch(w + coming);
      prefetch(rest + coming);
      const Vec<T> d0 = dz[2 * i], d1 = dz[2 * i + 1];
#pragma GCC unroll 12
      for (int r = 0; r < R; ++r) {
        const Vec<T> x_ir = broadcast<Vec<T>>(x[r]);
        sum[r][0] += x_ir * d0;
        sum[r][1] += x_ir * d1;
      }
    }
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r)
      for (int half = 0; half < 2; ++half) {
        const Vec<T> change = h[half] * sum[r][half] + rest[2 * r + half];
        const Vec<T> moved = w[2 * r + half] + change;
        rest[2 * r + half] = change - (moved - w[2 * r + half]);
        w[2 * r + half] = moved;
      }
  });
}

}  // namespace asymfast::cpu
