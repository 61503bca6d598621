// Products of matrices: plain ones, and the NTG.
#pragma once

#include "cuda/tile.hpp"

namespace asymfast::cuda {

// C = A B, or C += A B, of (rows, inner) and (inner, cols). An operand that runs along `outer` lies
// in memory with its rows (A) or columns (B) one after the other, else with the inner index.
template <class Shape, Runs a_runs, Runs b_runs>
struct Product : PlainKernel {
  static constexpr int kThreads = Shape::threads;
  static constexpr std::size_t kShared = Panels<Shape, double>::bytes + kSharedAlignment;

  struct Args {
    Index rows, cols, inner;
    const double *A, *B;
    Index a_stride, b_stride;
    double* C;
    bool add;
  };

  template <class Block>
  ASYMFAST_DEVICE static void run(Block& block, const Args& at) {
    Carver carver(block.shared);
    const Panels<Shape, double> panels(carver);
    for_tiles<Shape>(block, at.rows, at.cols, [&](Index i0, int rows, Index l0, int cols) {
      double sums[Shape::reg][Shape::reg] = {};
      tile_product<Shape>(block, operand<a_runs, double>(rows, from<a_runs>(at.A, at.a_stride, i0)),
                          operand<b_runs, double>(cols, from<b_runs>(at.B, at.b_stride, l0)),
                          at.inner, panels, sums);
      for_results<Shape>(block, rows, cols, sums, [&](int i, int l, double sum) {
        double& to = at.C[(i0 + i) * at.cols + l0 + l];
        to = at.add ? to + sum : sum;
      });
    });
  }

 private:
  template <Runs runs>
  ASYMFAST_DEVICE static auto from(const double* matrix, Index stride, Index outer) {
    return [=](Index at) {
      return runs == Runs::inner ? matrix + (outer + at) * stride : matrix + at * stride + outer;
    };
  }
};

// K_il = (x_i.x2_l / d) sum_j v_j s_ij s2_lj, Eqs. (4) and (5) for s = sigma'(Z), in double; or K
// plus that. X and X2 are scaled by 1 / sqrt d. Symmetric: tiles on and below the diagonal,
// mirrored, so that K is symmetric to the bit. Cost: 2 n n2 m flop, half if symmetric.
template <class Shape, class T, class S, class E>
struct Ntg : PlainKernel {
  static constexpr int kThreads = Shape::threads;
  static constexpr std::size_t kShared = Panels<Shape, double>::bytes + kSharedAlignment;

  struct Args {
    Index rows, cols, d, m;
    Index k;          // rows and columns for each sample
    const T *X, *X2;  // (rows / k, d), (cols / k, d)
    const S *s, *s2;  // (rows, m), (cols, m)
    const double* v;  // (m,); null: 1
    E* K;             // (rows, cols)
    bool symmetric, add;
  };

  template <class Block>
  ASYMFAST_DEVICE static void run(Block& block, const Args& at) {
    constexpr int reg = Shape::reg;
    Carver carver(block.shared);
    const Panels<Shape, double> panels(carver);
    for_tiles<Shape>(block, at.rows, at.cols, [&](Index i0, int rows, Index l0, int cols) {
      if (at.symmetric && l0 > i0) return;
      double sums[reg][reg] = {}, products[reg][reg] = {};
      const auto doubles = [&](int count, const auto* matrix, Index first, Index k, Index stride) {
        return operand<Runs::inner, std::decay_t<decltype(*matrix)>>(
            count, [=](int i) { return matrix + (first + i) / k * stride; });
      };
      const auto weighed = operand<Runs::inner, S>(
          rows, [&](int i) { return at.s + (i0 + i) * at.m; },
          [&](S s, Index j) { return at.v ? at.v[j] * double(s) : double(s); });
      tile_product<Shape>(block, weighed, doubles(cols, at.s2, l0, 1, at.m), at.m, panels, sums);
      tile_product<Shape>(block, doubles(rows, at.X, i0, at.k, at.d),
                          doubles(cols, at.X2, l0, at.k, at.d), at.d, panels, products);
      for (int r = 0; r < reg; ++r)
        for (int s = 0; s < reg; ++s) sums[r][s] *= products[r][s];
      for_results<Shape>(block, rows, cols, sums, [&](int r, int s, double sum) {
        const Index i = i0 + r, l = l0 + s;
        if (at.symmetric && l > i) return;
        E& to = at.K[i * at.cols + l];
        to = E(at.add ? double(to) + sum : sum);
        if (at.symmetric) at.K[l * at.cols + i] = to;
      });
    });
  }
};

// Of one of these, with a block for each tile.
template <class Device, class Shape, class Kernel>
void launch_tiles(const typename Kernel::Args& args) {
  const Index tiles = Shape::tiles(args.rows) * Shape::tiles(args.cols), most = 1 << 15;
  Device::template launch<Kernel>(0, 1, static_cast<int>(tiles < most ? tiles : most),
                                  Kernel::kShared, args);
}

}  // namespace asymfast::cuda
