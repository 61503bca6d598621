// The inner loops: one block of nodes (two vectors side by side) against one tile of samples. Lanes
// are nodes, so no loop has a remainder: padded nodes have scale 0 and weights 0.
//
// X is a tile of samples already divided by sqrt(d); Z, slopes and D are (rows, block).
#pragma once

#include <type_traits>
#include <vector>

#include "cpu/layout.hpp"
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

// f(first, integral_constant<int, R>) over [0, total) in groups of R rows of nearly equal size.
template <class F>
inline void in_groups(Index total, F&& f) {
  const Index groups = ceil_div(total, kMostRows);
  for (Index g = 0; g < groups; ++g) {
    const Range rows = piece(total, groups, g);
    with_constant<kMostRows>(rows.size(), [&](auto R) { f(rows.first, R); });
  }
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

// sum += x v^T in registers, for R numbers x that are `stride` elements apart and V vectors v.
template <int R, int V, class T>
ASYMFAST_INLINE void add_outer(Vec<T> (&sum)[R][V], const T* x, Index stride, const Vec<T>* v) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    const Vec<T> x_r = broadcast<Vec<T>>(x[r * stride]);
#pragma GCC unroll 4
    for (int i = 0; i < V; ++i) sum[r][i] += x_r * v[i];
  }
}

// sum = the first V vectors of the pre-activations Z_j(x_i) of R samples, for one block W (d,
// block).
template <int R, int V, class T>
ASYMFAST_INLINE void sum_inputs(Vec<T> (&sum)[R][V], Samples<T> X, Index first, const T* W) {
  const T* x = X.row(first);
  for (Index l = 0; l < X.d; ++l) add_outer(sum, x + l, X.stride, as_vectors(W) + 2 * l);
}

// Z = X W, or the first V vectors of it.
template <int V = 2, class T>
inline void preactivations(Samples<T> X, const T* W, T* Z) {
  in_groups(X.rows, [=](Index first, auto group) {
    constexpr int R = decltype(group)::value;
    Vec<T> sum[R][V] = {};
    sum_inputs(sum, X, first, W);
    Vec<T>* z = as_vectors(Z + first * kBlock<T>);
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) z[2 * r + v] = sum[r][v];
  });
}

// Two vectors of each sample, as loops over a tile read them: (*this)(use) calls use(sample, left,
// right). Either they lie in memory ...
template <class T>
struct Stored {
  const T* values;
  Index rows;

  template <class Use>
  ASYMFAST_INLINE void operator()(const Use& use) const {
    const Vec<T>* v = as_vectors(values);
    for (Index i = 0; i < rows; ++i) use(i, v[2 * i], v[2 * i + 1]);
  }
};
// ... or they are pre-activations of few inputs: sums of d products, too short to be worth storing
// for a second pass. These are used while they stand in registers, some samples at a time.
template <class Sigma, class T>
struct InRegisters {
  Samples<T> X;
  const T* W;

  template <class Use>
  ASYMFAST_INLINE void operator()(const Use& use) const {
    Index i = 0;
    for (; i + kTogether <= X.rows; i += kTogether) some<kTogether>(i, use);
    for (; i < X.rows; ++i) some<1>(i, use);
  }

 private:
  // Where sigma is long, its code stands in a loop for two samples at a time: for all of them it
  // would be a fifth of the kernels' code, and no faster (10 % slower with erf and gelu).
  template <Activation... long_ones>
  static constexpr bool kIsOneOf = (std::is_same_v<Sigma, ActivationMath<long_ones>> || ...);

  template <int R, class Use>
  ASYMFAST_INLINE void some(Index first, const Use& use) const {
    Vec<T> z[R][2] = {};
    sum_inputs(z, X, first, W);
    if constexpr (kIsOneOf<Activation::erf, Activation::gelu, Activation::sin, Activation::cos>) {
#pragma GCC unroll 2
      for (int r = 0; r < R; ++r) use(first + r, z[r][0], z[r][1]);
    } else {
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) use(first + r, z[r][0], z[r][1]);
    }
  }
};

// F (k vectors) += c_q v for the two vectors v of a block, lane by lane. Of two products a compiler
// may fuse either with their sum: here it is said which, so that all compilers give the same bits.
template <class T, class Outputs>
ASYMFAST_INLINE void add_outputs(Vec<T> left, Vec<T> right, const Vec<T>* c, Outputs k, Vec<T>* F) {
  for (Index q = 0; q < k; ++q) F[q] += fma(left, c[2 * q], right * c[2 * q + 1]);
}

template <class T>
ASYMFAST_INLINE void put(Vec<T> left, Vec<T> right, Index i, T* to) {
  as_vectors(to)[2 * i] = left;
  as_vectors(to)[2 * i + 1] = right;
}

// F (rows, k vectors) += c_q sigma(Z). slopes, unless null, gets sigma'(Z); it may lie where Z
// does. Engine and single calls share the code (noinline): a call is for a tile of samples.
template <class Sigma, class T, class Source>
[[gnu::noinline]] void activate(Source Z, const T* c, Index k, T* slopes, Vec<T>* F) {
  const Vec<T>* scale = as_vectors(c);
  with_outputs(k, [=](auto outputs) {
    if (slopes) {
      Z([=](Index i, Vec<T> z0, Vec<T> z1) {
        const auto left = derivatives(Sigma{}, z0), right = derivatives(Sigma{}, z1);
        put(left.slope, right.slope, i, slopes);
        add_outputs<T>(left.value, right.value, scale, outputs, F + i * outputs);
      });
    } else {
      Z([=](Index i, Vec<T> z0, Vec<T> z1) {
        add_outputs<T>(derivatives(Sigma{}, z0).value, derivatives(Sigma{}, z1).value, scale,
                       outputs, F + i * outputs);
      });
    }
  });
}

// The same of stored Z, with values <- sigma(Z); they or the slopes may be where Z lies.
template <class Sigma, class T>
inline void activate_and_keep(Stored<T> Z, const T* c, Index k, T* values, T* slopes, Vec<T>* F) {
  Z([=](Index i, Vec<T> z0, Vec<T> z1) {
    const auto left = derivatives(Sigma{}, z0), right = derivatives(Sigma{}, z1);
    put(left.value, right.value, i, values);
    put(left.slope, right.slope, i, slopes);
    add_outputs<T>(left.value, right.value, as_vectors(c), k, F + i * k);
  });
}

// F (rows, k vectors) += c_q slope Z: the outputs' derivative along a direction with Z = X
// direction.
template <class T>
inline void push_direction(const T* Z, const T* slopes, Index rows, const T* c, Index k,
                           Vec<T>* F) {
  const Vec<T>*s = as_vectors(slopes), *scale = as_vectors(c);
  with_outputs(k, [=](auto outputs) {
    Stored<T>{Z, rows}([=](Index i, Vec<T> left, Vec<T> right) {
      add_outputs<T>(s[2 * i] * left, s[2 * i + 1] * right, scale, outputs, F + i * outputs);
    });
  });
}

// sum (2 vectors) = sum_q c_q r_q.
template <class T, class Outputs>
ASYMFAST_INLINE void weigh_residual(const T* r, const Vec<T>* c, Outputs k, Vec<T> (&sum)[2]) {
  sum[0] = sum[1] = Vec<T>{};
  for (Index q = 0; q < k; ++q) {
    const Vec<T> r_q = broadcast<Vec<T>>(r[q]);
    sum[0] += r_q * c[2 * q];
    sum[1] += r_q * c[2 * q + 1];
  }
}

// D = sigma'(v) sum_q c_q r_q = dL/dZ for the residual r = dL/df (rows, k); v may lie where D
// is.
template <class Sigma, class T, class Source, class Outputs>
[[gnu::noinline]] void pull(Source v, const T* r, const T* c, Outputs k, T* D) {
  v([=](Index i, Vec<T> left, Vec<T> right) {
    Vec<T> sum[2];
    weigh_residual(r + i * k, as_vectors(c), k, sum);
    put<T>(derivatives(Sigma{}, left).slope * sum[0], derivatives(Sigma{}, right).slope * sum[1], i,
           D);
  });
}

// The same from slopes.
struct SlopesThemselves {};
template <class V>
ASYMFAST_INLINE Derivatives<V> derivatives(SlopesThemselves, V v) {
  return {v, v};
}
template <class T>
inline void pull_slopes(const T* slopes, const T* r, Index rows, const T* c, Index k, T* D) {
  with_outputs(
      k, [=](auto outputs) { pull<SlopesThemselves>(Stored<T>{slopes, rows}, r, c, outputs, D); });
}

// D = sum_l slopes[l] sum_q c_q u_l,q with u_l (rows, k), `stride` elements apart: a move along
// several Jacobians, so that one product with X serves all of them. The slopes of this tile begin
// at `tile` in their arrays.
template <class T>
inline void pull_residuals(const std::vector<const T*>& slopes, Index tile, const T* u,
                           Index stride, Index rows, const T* c, Index k, T* D) {
  for (Index i = 0; i < rows; ++i) {
    Vec<T> left{}, right{}, sum[2];
    for (std::size_t l = 0; l < slopes.size(); ++l) {
      weigh_residual(u + Index(l) * stride + i * k, as_vectors(c), k, sum);
      const Vec<T>* s = as_vectors(slopes[l] + tile) + 2 * i;
      left += s[0] * sum[0];
      right += s[1] * sum[1];
    }
    put<T>(left, right, i, D);
  }
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
    for (Index i = 0; i < X.rows; ++i, x += X.stride) {
      if constexpr (far) prefetch(x + R + 4);  // of the next group
      add_outer(sum, x, 1, as_vectors(D) + 2 * i);
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

// W (d, block) <- W + step X^T D with one step (block) a node. The sum over the samples stays in
// registers; what the addition to W loses is kept for the next step.
template <class T>
inline void descend(Samples<T> X, const T* D, const T* step, T* W, T* lost) {
  in_groups(X.d, [=](Index first, auto group) {
    constexpr int R = decltype(group)::value;
    const Vec<T>* h = as_vectors(step);
    Vec<T>* w = as_vectors(W + first * kBlock<T>);
    Vec<T>* rest = as_vectors(lost + first * kBlock<T>);
    Vec<T> sum[R][2] = {};
    const T* x = X.data + first;
    for (Index i = 0; i < X.rows; ++i, x += X.stride) {
      const Index coming = std::min<Index>(i, 2 * R - 1);  // from far, one line after the other
      prefetch(w + coming);
      prefetch(rest + coming);
      add_outer(sum, x, 1, as_vectors(D) + 2 * i);
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
