// Kernels on Jacobians of the past (frames.hpp), which are kept as the slopes s = sigma'(Z) of
// their points: row i k + q of such a Jacobian has the blocks sqrt(lambda_j) a_jq s_ij x_i / sqrt
// d, with c_jq = sqrt(lambda_j) a_jq in what follows. Sums are in double, each in an order of its
// own.
#pragma once

#include "cuda/elements.hpp"
#include "cuda/tile.hpp"

namespace asymfast::cuda {

// C = A B, or C += A B, of (rows, inner) and (inner, cols). An operand that runs along `outer` lies
// in memory with its rows (A) or columns (B) one after the other, else with the inner index. Where
// tiles are few, slices of the inner index are summed apart, each to a C of its own.
template <class Shape, Runs a_runs, Runs b_runs>
struct Product {
  static constexpr int kThreads = Shape::threads;
  static constexpr int kBlocks = 1;
  static constexpr bool kCooperative = false;
  static constexpr std::size_t kShared = Panels<Shape, double>::bytes + kSharedAlignment;

  struct Args {
    Index rows, cols, inner;
    const double *A, *B;
    Index a_stride, b_stride;
    double* C;  // (slices, rows, cols)
    bool add;
    Index slices;
  };

  ASYMFAST_INLINE static Index tiles(Index size) { return (size + Shape::tile - 1) / Shape::tile; }

  template <class Block>
  ASYMFAST_DEVICE static void run(Block& block, const Args& at) {
    constexpr int reg = Shape::reg, tile = Shape::tile;
    Carver carver(block.shared);
    const Panels<Shape, double> panels(carver);
    const Index across = tiles(at.cols), all = tiles(at.rows) * across;
    for (Index t = block.rank; t < all * at.slices; t += block.ranks) {
      const Index slice = t / all, i0 = t % all / across * tile, l0 = t % across * tile;
      const Index first = at.inner * slice / at.slices;
      const Index last = at.inner * (slice + 1) / at.slices;
      const int rows = int(at.rows - i0 < tile ? at.rows - i0 : tile);
      const int cols = int(at.cols - l0 < tile ? at.cols - l0 : tile);
      double sums[reg][reg] = {};
      tile_product<Shape>(block,
                          operand<a_runs, double>(rows, from<a_runs>(at.A, at.a_stride, i0, first)),
                          operand<b_runs, double>(cols, from<b_runs>(at.B, at.b_stride, l0, first)),
                          last - first, panels, sums);
      for (int r = 0; r < reg; ++r)
        for (int s = 0; s < reg; ++s) {
          const int i = Shape::template place<double>(block.thread / Shape::side, r);
          const int l = Shape::template place<double>(block.thread % Shape::side, s);
          if (i >= rows || l >= cols) continue;
          double& to = at.C[(slice * at.rows + i0 + i) * at.cols + l0 + l];
          to = at.add ? to + sums[r][s] : sums[r][s];
        }
    }
  }

 private:
  template <Runs runs>
  ASYMFAST_DEVICE static auto from(const double* matrix, Index stride, Index outer, Index inner) {
    return [=](Index at) {
      return runs == Runs::inner ? matrix + (outer + at) * stride + inner
                                 : matrix + (inner + at) * stride + outer;
    };
  }
};

// Slopes between those of frames: sum_l shares[l] slopes[l].
template <class T>
struct Blended {
  static constexpr int kMost = 16;

  int count;
  double shares[kMost];
  const T* slopes[kMost];  // (n, m)

  ASYMFAST_DEVICE double operator()(Index e) const {
    double sum = 0;
    for (int l = 0; l < count; ++l) sum += shares[l] * double(slopes[l][e]);
    return sum;
  }
};

// to (n k, nodes) <- c s of so many nodes from `first` on, of all or of those in a list.
template <class T>
struct Weighed {
  Blended<T> from;
  const T* c;  // (m, k)
  Index m, k;
  const Index* which;  // null: all
  Index first, nodes;
  double* to;

  ASYMFAST_DEVICE void operator()(Index e) const {
    const Index row = e / nodes, at = first + e % nodes, j = which ? which[at] : at;
    to[e] = double(c[j * k + row % k]) * from(row / k * m + j);
  }
};

// pulled_ij <- sum_l s_lij sum_q c_jq u_liq, so that pulled^T X is sum_l J_l^T u_l.
template <class T>
struct PulledBySlopes {
  Blended<T> from;  // shares are not looked at
  const T *c, *u;   // (m, k), (frames, n, k)
  Index n, m, k;
  T* pulled;  // (n, m)

  ASYMFAST_DEVICE void operator()(Index e) const {
    const Index i = e / m, j = e % m;
    double sum = 0;
    for (int l = 0; l < from.count; ++l) {
      double weight = 0;
      for (Index q = 0; q < k; ++q) weight += double(c[j * k + q]) * double(u[(l * n + i) * k + q]);
      sum += double(from.slopes[l][e]) * weight;
    }
    pulled[e] = T(sum);
  }
};

// K (n k, n k) <- the sum of slices of it, times the inner products of the samples.
template <class T>
struct TimesGram {
  const T* X;  // (n, d) / sqrt d
  Index d, k, size, slices;
  const double* parts;  // (slices, n k, n k)
  double* K;            // may be the only slice

  ASYMFAST_DEVICE void operator()(Index e) const {
    const T *x = X + e / size / k * d, *x2 = X + e % size / k * d;
    double gram = 0, sum = 0;
    for (Index l = 0; l < d; ++l) gram += double(x[l]) * double(x2[l]);
    for (Index slice = 0; slice < slices; ++slice) sum += parts[slice * size * size + e];
    K[e] = gram * sum;
  }
};

// to (n k, d, count) <- x_il V_iv for `count` columns of V (n k, columns) from `first` on.
template <class T>
struct TimesInputs {
  const T* X;
  Index d, k, count;
  const double* V;
  Index columns, first;
  double* to;

  ASYMFAST_DEVICE void operator()(Index e) const {
    const Index row = e / (d * count), l = e / count % d, v = e % count;
    to[e] = double(X[row / k * d + l]) * V[row * columns + first + v];
  }
};

// The same columns of `to` (n k, columns) <- sum_l x_il from (n k, d, count).
template <class T>
struct OverInputs {
  const T* X;
  Index d, k, count;
  const double* from;
  Index columns, first;
  double* to;

  ASYMFAST_DEVICE void operator()(Index e) const {
    const Index row = e / count, v = e % count;
    double sum = 0;
    for (Index l = 0; l < d; ++l)
      sum += double(X[row / k * d + l]) * from[(row * d + l) * count + v];
    to[row * columns + first + v] = sum;
  }
};

// (one_e - other_e)^8, and its sum.
template <class T>
struct SlopeDistance {
  using Result = double;
  const T *one, *other;

  ASYMFAST_DEVICE double start() const { return 0; }
  ASYMFAST_DEVICE double element(Index e) const {
    const double difference = double(one[e]) - double(other[e]), square = difference * difference;
    return square * square * square * square;
  }
  ASYMFAST_DEVICE double both(double a, double b) const { return a + b; }
};

}  // namespace asymfast::cuda
