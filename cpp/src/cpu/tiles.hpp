// The inner loops: one block of nodes (two vectors side by side) against one tile of samples. Lanes
// are nodes, so no loop has a remainder: padded nodes have scale 0 and weights 0.
//
// X is a tile of samples already divided by sqrt(d); Z, slope and D are (rows, block).
#pragma once

#include <type_traits>

#include "cpu/layout.hpp"
#include "cpu/samples.hpp"
#include "math/activations.hpp"

namespace asymfast::cpu {

// Pairs of accumulators that the register file holds beside the operands.
inline constexpr int kMostRows = tuning::kMostRows<kVectorBytes>;

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

// Z = X W for one block W (d, block): the pre-activations Z_j(x_i), or the first V vectors of them.
template <int V = 2, class T>
inline void preactivations(Samples<T> X, const T* W, T* Z) {
  in_groups(X.rows, [=](Index first, auto group) {
    constexpr int R = decltype(group)::value;
    Vec<T> sum[R][V] = {};
    const T* x = X.row(first);
    const Vec<T>* w = as_vectors(W);
    for (Index l = 0; l < X.d; ++l, w += 2) {
#pragma GCC unroll 12
      for (int r = 0; r < R; ++r) {
        const Vec<T> x_rl = broadcast<Vec<T>>(x[r * X.stride + l]);
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) sum[r][v] += x_rl * w[v];
      }
    }
    Vec<T>* z = as_vectors(Z + first * kBlock<T>);
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) z[2 * r + v] = sum[r][v];
  });
}

// f(outputs) with `outputs` the constant 1 where k is 1, else k itself: one output is the common
// case, and its loops over outputs then vanish.
template <class F>
inline void with_outputs(Index k, F&& f) {
  if (k == 1)
    f(std::integral_constant<Index, 1>{});
  else
    f(k);
}

// F (k vectors) += c_q v for the two vectors v of a block, lane by lane. Of two products a compiler
// may fuse either with their sum: here it is said which, so that all compilers give the same bits.
template <class T, class Outputs>
ASYMFAST_INLINE void add_outputs(Vec<T> left, Vec<T> right, const Vec<T>* c, Outputs k, Vec<T>* F) {
  for (Index q = 0; q < k; ++q) F[q] += fma(left, c[2 * q], right * c[2 * q + 1]);
}

// D = slope sum_q c_q r_q for the two vectors of a block: dL/dZ for the residual r = dL/df.
template <class T, class Outputs>
ASYMFAST_INLINE void pull_residual(Vec<T> left, Vec<T> right, const T* r, const Vec<T>* c,
                                   Outputs k, Vec<T>* D) {
  Vec<T> sum[2] = {};
  for (Index q = 0; q < k; ++q) {
    const Vec<T> r_q = broadcast<Vec<T>>(r[q]);
    sum[0] += r_q * c[2 * q];
    sum[1] += r_q * c[2 * q + 1];
  }
  D[0] = left * sum[0];
  D[1] = right * sum[1];
}

// F (rows, k vectors) += c_q sigma(Z); Z <- sigma'(Z).
template <class Sigma, class T>
inline void activate_and_differentiate(T* Z, Index rows, const T* c, Index k, Vec<T>* F) {
  const Vec<T>* scale = as_vectors(c);
  Vec<T>* z = as_vectors(Z);
  with_outputs(k, [=](auto outputs) {
    for (Index i = 0; i < rows; ++i) {
      const auto left = Sigma::value_and_slope(z[2 * i]);
      const auto right = Sigma::value_and_slope(z[2 * i + 1]);
      z[2 * i] = left.slope;
      z[2 * i + 1] = right.slope;
      add_outputs<T>(left.value, right.value, scale, outputs, F + i * outputs);
    }
  });
}

// F (rows, k vectors) += c_q sigma(Z).
template <class Sigma, class T>
inline void activate(const T* Z, Index rows, const T* c, Index k, Vec<T>* F) {
  const Vec<T>*z = as_vectors(Z), *scale = as_vectors(c);
  with_outputs(k, [=](auto outputs) {
    for (Index i = 0; i < rows; ++i)
      add_outputs<T>(Sigma::value(z[2 * i]), Sigma::value(z[2 * i + 1]), scale, outputs,
                     F + i * outputs);
  });
}

// F (rows, k vectors) += c_q slope Z: the outputs' derivative along a direction with Z = X
// direction.
template <class T>
inline void push_direction(const T* Z, const T* slope, Index rows, const T* c, Index k, Vec<T>* F) {
  const Vec<T>*z = as_vectors(Z), *s = as_vectors(slope), *scale = as_vectors(c);
  with_outputs(k, [=](auto outputs) {
    for (Index i = 0; i < rows; ++i)
      add_outputs<T>(s[2 * i] * z[2 * i], s[2 * i + 1] * z[2 * i + 1], scale, outputs,
                     F + i * outputs);
  });
}

// D = slope sum_q c_q r_q for the residual r = dL/df (rows, k).
template <class T>
inline void pull(const T* slope, const T* r, Index rows, const T* c, Index k, T* D) {
  const Vec<T>*s = as_vectors(slope), *scale = as_vectors(c);
  with_outputs(k, [=](auto outputs) {
    for (Index i = 0; i < rows; ++i)
      pull_residual<T>(s[2 * i], s[2 * i + 1], r + i * outputs, scale, outputs,
                       as_vectors(D) + 2 * i);
  });
}

// The same with the slopes computed from Z.
template <class Sigma, class T>
inline void pull_through(const T* Z, const T* r, Index rows, const T* c, Index k, T* D) {
  const Vec<T>*z = as_vectors(Z), *scale = as_vectors(c);
  for (Index i = 0; i < rows; ++i)
    pull_residual<T>(Sigma::slope(z[2 * i]), Sigma::slope(z[2 * i + 1]), r + i * k, scale, k,
                     as_vectors(D) + 2 * i);
}

// G (d, block) += X^T D. far: X is larger than the first-level cache, and is read by columns.
template <bool far, class T>
inline void accumulate_columns(Samples<T> X, const T* D, T* G) {
  in_groups(X.d, [=](Index first, auto group) {
    constexpr int R = decltype(group)::value;
    Vec<T>* g = as_vectors(G + first * kBlock<T>);
    Vec<T> sum[R][2];
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      sum[r][0] = g[2 * r];
      sum[r][1] = g[2 * r + 1];
    }
    const T* x = X.data + first;
    const Vec<T>* dz = as_vectors(D);
    for (Index i = 0; i < X.rows; ++i, x += X.stride) {
      if constexpr (far) prefetch(x + R + 4);  // of the next group
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

template <class T>
inline void accumulate_gradient(Samples<T> X, const T* D, T* G) {
  constexpr Index kNear = 64 * 1024 / Index(sizeof(T));
  if (X.rows * X.d > kNear)
    accumulate_columns<true>(X, D, G);
  else
    accumulate_columns<false>(X, D, G);
}

// With one output the residual can go with the inputs, once for many nodes, and c with the sum:
//   X^T D = (r X)^T slope c.
template <class T>
inline Samples<T> weighed_inputs(Samples<T> X, const T* r, T* weighed) {
  for (Index i = 0; i < X.rows; ++i)
    for (Index l = 0; l < X.d; ++l) weighed[i * X.stride + l] = r[i] * X.row(i)[l];
  return {weighed, X.rows, X.d, X.stride};
}
template <class T>
inline void scale_nodes(T* G, Index d, const T* c) {
  Vec<T>* g = as_vectors(G);
  for (Index l = 0; l < d; ++l)
    for (Index half = 0; half < 2; ++half) g[2 * l + half] *= as_vectors(c)[half];
}

}  // namespace asymfast::cpu
