// The inner loops: one block of nodes (two vectors side by side) against one tile of samples. Lanes
// are nodes, so no loop has a remainder: padded nodes have scale 0 and weights 0.
//
// X (rows, d) is a tile of samples already divided by sqrt(d); Z, slope and D are (rows, block).
#pragma once

#include <type_traits>

#include "cpu/layout.hpp"
#include "math/activations.hpp"

namespace asymfast::cpu {

// Pairs of accumulators that the register file holds beside the operands.
inline constexpr int kMostRows = kVectorBytes == 64 ? 12 : 6;

template <class T>
inline Vec<T>* as_vectors(T* p) {
  return reinterpret_cast<Vec<T>*>(p);
}
template <class T>
inline const Vec<T>* as_vectors(const T* p) {
  return reinterpret_cast<const Vec<T>*>(p);
}

// f(integral_constant<int, rows>): turns 1 <= rows <= R into a constant to unroll by.
template <int R, class F>
inline void with_constant(Index rows, F&& f) {
  if constexpr (R > 1)
    if (rows != R) return with_constant<R - 1>(rows, f);
  f(std::integral_constant<int, R>{});
}

// f(first, integral_constant<int, R>) over [0, total) in groups of R rows, as equal as they come.
template <class F>
inline void in_groups(Index total, F&& f) {
  const Index groups = ceil_div(total, kMostRows);
  for (Index g = 0; g < groups; ++g) {
    const Range rows = piece(total, groups, g);
    with_constant<kMostRows>(rows.size(), [&](auto R) { f(rows.first, R); });
  }
}

// Z = X W for one block W (d, block): the pre-activations Z_j(x_i).
template <class T>
inline void preactivations(const T* X, Index rows, Index d, const T* W, T* Z) {
  in_groups(rows, [=](Index first, auto group) {
    constexpr int R = decltype(group)::value;
    Vec<T> sum[R][2] = {};
    const T* x = X + first * d;
    const Vec<T>* w = as_vectors(W);
    for (Index l = 0; l < d; ++l) {
      const Vec<T> w0 = w[2 * l], w1 = w[2 * l + 1];
#pragma GCC unroll 12
      for (int r = 0; r < R; ++r) {
        const Vec<T> x_rl = broadcast<Vec<T>>(x[r * d + l]);
        sum[r][0] += x_rl * w0;
        sum[r][1] += x_rl * w1;
      }
    }
    Vec<T>* z = as_vectors(Z + first * kBlock<T>);
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      z[2 * r] = sum[r][0];
      z[2 * r + 1] = sum[r][1];
    }
  });
}

// slope = sigma'(Z), in place if slope is Z; F (rows, k vectors) += c_q sigma(Z), lane by lane.
template <class Sigma, class T>
inline void activate(const T* Z, Index rows, const T* c, Index k, T* slope, Vec<T>* F) {
  const Vec<T>* z = as_vectors(Z);
  const Vec<T>* scale = as_vectors(c);
  Vec<T>* s = as_vectors(slope);
  for (Index i = 0; i < rows; ++i) {
    const auto left = Sigma::value_and_slope(z[2 * i]);
    const auto right = Sigma::value_and_slope(z[2 * i + 1]);
    s[2 * i] = left.slope;
    s[2 * i + 1] = right.slope;
    for (Index q = 0; q < k; ++q)
      F[i * k + q] += left.value * scale[2 * q] + right.value * scale[2 * q + 1];
  }
}

// F (rows, k vectors) += c_q slope Z: the outputs' derivative along a direction with Z = X
// direction.
template <class T>
inline void push_direction(const T* Z, const T* slope, Index rows, const T* c, Index k, Vec<T>* F) {
  const Vec<T>* z = as_vectors(Z);
  const Vec<T>* s = as_vectors(slope);
  const Vec<T>* scale = as_vectors(c);
  for (Index i = 0; i < rows; ++i) {
    const Vec<T> left = s[2 * i] * z[2 * i], right = s[2 * i + 1] * z[2 * i + 1];
    for (Index q = 0; q < k; ++q) F[i * k + q] += left * scale[2 * q] + right * scale[2 * q + 1];
  }
}

// D = slope sum_q c_q r_q: dL/dZ for the residual r = dL/df (rows, k).
template <class T>
inline void pull_residual(const T* slope, const T* r, Index rows, const T* c, Index k, T* D) {
  const Vec<T>* s = as_vectors(slope);
  const Vec<T>* scale = as_vectors(c);
  Vec<T>* out = as_vectors(D);
  for (Index i = 0; i < rows; ++i) {
    Vec<T> left{}, right{};
    for (Index q = 0; q < k; ++q) {
      const Vec<T> r_iq = broadcast<Vec<T>>(r[i * k + q]);
      left += r_iq * scale[2 * q];
      right += r_iq * scale[2 * q + 1];
    }
    out[2 * i] = s[2 * i] * left;
    out[2 * i + 1] = s[2 * i + 1] * right;
  }
}

// G (d, block) += X^T D.
template <class T>
inline void accumulate_gradient(const T* X, Index rows, Index d, const T* D, T* G) {
  in_groups(d, [=](Index first, auto group) {
    constexpr int R = decltype(group)::value;
    Vec<T>* g = as_vectors(G + first * kBlock<T>);
    Vec<T> sum[R][2];
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      sum[r][0] = g[2 * r];
      sum[r][1] = g[2 * r + 1];
    }
    const T* x = X + first;
    const Vec<T>* dz = as_vectors(D);
    for (Index i = 0; i < rows; ++i, x += d) {
      const Vec<T> d0 = dz[2 * i], d1 = dz[2 * i + 1];
#pragma GCC unroll 12
      for (int r = 0; r < R; ++r) {
        const Vec<T> x_ir = broadcast<Vec<T>>(x[r]);
        sum[r][0] += x_ir * d0;
        sum[r][1] += x_ir * d1;
      }
    }
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      g[2 * r] = sum[r][0];
      g[2 * r + 1] = sum[r][1];
    }
  });
}

}  // namespace asymfast::cpu
