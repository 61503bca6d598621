// Products of matrices: plain ones, and the NTG.
#pragma once

#include "cuda/tile.hpp"

namespace asymfast::cuda {

// C = A B, or C += A B, of (rows, inner) and (inner, cols). An operand that runs along `outer` lies
// in memory with its rows (A) or columns (B) one after the other, else with the inner index. Where
// tiles are few, slices of the inner index are summed apart, each to a C of its own.
template <class Shape, Runs a_runs, Runs b_runs>
struct Product : PlainKernel {
  static constexpr int kThreads = Shape::threads;
  static constexpr std::size_t kShared = Panels<Shape, double>::bytes + kSharedAlignment;

  struct Args {
    Index rows, cols, inner;
    const double *A, *B;
    Index a_stride, b_stride;
    double* C;  // (slices, rows, cols)
    bool add;
    Index slices;

    Index tiles() const { return Shape::tiles(rows) * Shape::tiles(cols) * slices; }
  };

  template <class Block>
  ASYMFAST_DEVICE static void run(Block& block, const Args& at) {
    constexpr int reg = Shape::reg, tile = Shape::tile;
    Carver carver(block.shared);
    const Panels<Shape, double> panels(carver);
    const Index across = Shape::tiles(at.cols), all = Shape::tiles(at.rows) * across;
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

// K_il = (x_i.x2_l / d) sum_j v_j sigma'(Z_j(x_i)) sigma'(Z_j(x2_l)), Eqs. (4) and (5), in double.
// X and X2 are scaled by 1 / sqrt d. Symmetric: tiles on and below the diagonal, mirrored, so that
// K is symmetric to the bit. E is the type of K's elements. Cost: 2 n n2 m flop, half if symmetric.
template <class Shape, class T, class E>
struct Ntg : PlainKernel {
  static constexpr int kThreads = Shape::threads;

  struct Args {
    Index n, n2, d, m;
    bool symmetric;
    const T *X, *X2;            // (n, d), (n2, d)
    const T *slopes, *slopes2;  // (n, m), (n2, m)
    const double* v;            // (m,)
    E* K;                       // (n, n2)

    Index tiles() const { return Shape::tiles(n) * Shape::tiles(n2); }
  };

  static constexpr std::size_t kShared = Panels<Shape, double>::bytes + kSharedAlignment;

  template <class Block>
  ASYMFAST_DEVICE static void run(Block& block, const Args& at) {
    constexpr int reg = Shape::reg, tile = Shape::tile;
    Carver carver(block.shared);
    const Panels<Shape, double> panels(carver);
    const Index across = Shape::tiles(at.n2), all = Shape::tiles(at.n) * across;
    for (Index t = block.rank; t < all; t += block.ranks) {
      const Index i0 = t / across * tile, l0 = t % across * tile;
      if (at.symmetric && l0 > i0) continue;
      const int rows = int(at.n - i0 < tile ? at.n - i0 : tile);
      const int cols = int(at.n2 - l0 < tile ? at.n2 - l0 : tile);
      double sums[reg][reg] = {}, products[reg][reg] = {};
      const auto double_of = [](T x, Index) { return double(x); };
      tile_product<Shape>(block,
                          operand<Runs::inner, T>(
                              rows, [&](int i) { return at.slopes + (i0 + i) * at.m; },
                              [&](T slope, Index j) { return at.v[j] * double(slope); }),
                          operand<Runs::inner, T>(
                              cols, [&](int l) { return at.slopes2 + (l0 + l) * at.m; }, double_of),
                          at.m, panels, sums);
      tile_product<Shape>(block,
                          operand<Runs::inner, T>(
                              rows, [&](int i) { return at.X + (i0 + i) * at.d; }, double_of),
                          operand<Runs::inner, T>(
                              cols, [&](int l) { return at.X2 + (l0 + l) * at.d; }, double_of),
                          at.d, panels, products);
      for (int r = 0; r < reg; ++r)
        for (int s = 0; s < reg; ++s) {
          const Index i = i0 + Shape::template place<double>(block.thread / Shape::side, r);
          const Index l = l0 + Shape::template place<double>(block.thread % Shape::side, s);
          if (i >= at.n || l >= at.n2 || (at.symmetric && l > i)) continue;
          const E k = E(sums[r][s] * products[r][s]);
          at.K[i * at.n2 + l] = k;
          if (at.symmetric) at.K[l * at.n2 + i] = k;
        }
    }
  }
};

template <class Device, class Kernel>
void launch_tiles(const typename Kernel::Args& args) {
  const auto blocks = static_cast<int>(args.tiles() < 1 << 15 ? args.tiles() : 1 << 15);
  Device::template launch<Kernel>(0, 1, blocks, Kernel::kShared, args);
}

}  // namespace asymfast::cuda
