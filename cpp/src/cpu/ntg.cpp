// Neural tangent Gram matrix, Eq. (5):
//   K_il = (x_i.x2_l / d) sum_j v_j sigma'(Z_j(x_i)) sigma'(Z_j(x2_l)).
// Sums run in double whatever T is: the smallest eigenvalue lives far below float's rounding. Nodes
// come in groups, K in tiles; a tile is summed by one thread in the order of the groups, so K does
// not depend on the number of threads. Symmetric: the tiles of the lower triangle, mirrored. Cost:
// 2 n n2 m flop (half if symmetric), (n + n2) x 512 doubles of memory.
#include <Eigen/Core>

#include "cpu/hidden_layer.hpp"
#include "cpu/kernels.hpp"

namespace asymfast::cpu {

namespace {

constexpr Index kNodesOfGroup = 512;

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// S (n, group) = sigma'(Z), times v where it is given.
template <class T>
void fill_slopes(const HiddenLayer<T>& layer, Range blocks, const double* v, Matrix& S,
                 const Context& context) {
  const Index m = layer.at.m;
  layer.for_each(blocks, context, [&](Index block, Index i, const T*, const T* slopes) {
    const Index first = block * kBlock<T>;
    double* row = &S(i, first - blocks.first * kBlock<T>);
    for (Index j = 0; j < kBlock<T>; ++j) {
      const double weight = first + j >= m ? 0.0 : v ? v[first + j] : 1.0;
      row[j] = weight * double(slopes[j]);
    }
  });
}

// Large enough for efficient products, small enough to occupy all threads.
Index tile_side(Index n) {
  return std::clamp<Index>(ceil_div(n, 8), 16, 128);
}

template <class T>
Matrix in_double(MatrixView<const T> X) {
  return Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(
             X.data, X.rows, X.cols)
      .template cast<double>();
}

}  // namespace

template <class T>
void ntg(const NetworkView<T>& net, const double* v, MatrixView<const T> X, MatrixView<const T> X2,
         bool symmetric, MatrixView<double> K, const Context& context) {
  const HiddenLayer<T> left(net, X), right(net, X2);
  const Index n = X.rows, n2 = X2.rows, blocks_of_group = kNodesOfGroup / kBlock<T>;
  Eigen::Map<Matrix> out(K.data, n, n2);
  out.setZero();

  const Index side = tile_side(std::max(n, n2));
  const Index rows = ceil_div(n, side), cols = ceil_div(n2, side);
  const auto for_tiles = [&](auto&& work) {
#pragma omp parallel for schedule(dynamic) num_threads(context.threads)
    for (Index tile = 0; tile < rows * cols; ++tile) {
      const Index row = tile / cols, col = tile % cols;
      context.watch.tick();
      if ((symmetric && col > row) || context.watch.stopped()) continue;
      const Index i = row * side, l = col * side;
      work(i, std::min(side, n - i), l, std::min(side, n2 - l));
    }
  };

  Matrix S(n, kNodesOfGroup), vS2(n2, kNodesOfGroup);
  for (Index first = 0; first < left.at.blocks; first += blocks_of_group) {
    const Range group{first, std::min(left.at.blocks, first + blocks_of_group)};
    const Index nodes = group.size() * kBlock<T>;
    fill_slopes(left, group, nullptr, S, context);
    fill_slopes(right, group, v, vS2, context);
    for_tiles([&](Index i, Index height, Index l, Index width) {
      out.block(i, l, height, width).noalias() +=
          S.block(i, 0, height, nodes) * vS2.block(l, 0, width, nodes).transpose();
    });
  }

  const Matrix Xd = in_double(X), X2d = in_double(X2);
  const double per_dimension = 1 / double(X.cols);
  for_tiles([&](Index i, Index height, Index l, Index width) {
    const Matrix gram = Xd.middleRows(i, height) * X2d.middleRows(l, width).transpose();
    out.block(i, l, height, width).array() *= gram.array() * per_dimension;
  });
  if (symmetric)
    for (Index i = 0; i < n; ++i)
      for (Index l = 0; l < i; ++l) K(l, i) = K(i, l);
}

template void ntg(const NetworkView<float>&, const double*, MatrixView<const float>,
                  MatrixView<const float>, bool, MatrixView<double>, const Context&);
template void ntg(const NetworkView<double>&, const double*, MatrixView<const double>,
                  MatrixView<const double>, bool, MatrixView<double>, const Context&);

}  // namespace asymfast::cpu
