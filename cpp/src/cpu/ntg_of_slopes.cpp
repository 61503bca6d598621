// Sums run in double, in the order of the groups of nodes, a tile of each product by one thread:
// they do not depend on the number of threads. Cost of the matrix: (n k)^2 m flop, twice that where
// it is not symmetric, and n k x 512 doubles of memory or twice that. Cost of products: 4 n k m d
// count flop, and 2 n k d count doubles more.
#include "cpu/ntg_of_slopes.hpp"

#include <Eigen/Core>

#include "parallel.hpp"

namespace asymfast::cpu {

namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Blocks are taken by groups, whose c s are formed first. Rows of these 4 KB apart would all
// compete for the same places of a cache.
template <class T>
constexpr Index kBlocksOfGroup = tuning::kNodesOfGroup / kBlock<T>;
constexpr Index kRowOfGroup = tuning::kNodesOfGroup + 8;
constexpr Index kTile = 64;

// work(blocks, count, nodes) for the groups of so many blocks, or fewer.
template <class T, class Work>
void for_groups(const Jacobians<T>& J, Work&& work) {
  const auto all = static_cast<Index>(J.blocks.size());
  for (Index first = 0; first < all; first += kBlocksOfGroup<T>) {
    const Index count = std::min(all - first, kBlocksOfGroup<T>);
    work(&J.blocks[first], count, count * kBlock<T>);
  }
}

// c s of `count` blocks: out (n k, kRowOfGroup), row i k + q. By blocks, whose slopes of all
// samples lie together in every saved Jacobian.
template <class T>
void weigh(const Jacobians<T>& J, const Slopes<T>& from, const Index* blocks, Index count,
           double* out, const Context& context) {
  const Layout<T>& layout = J.layout;
  parallel_for(context, count, Share::evenly, context.threads, [&](Index at, Index) {
    const Index block = blocks[at];
    for (Index i = 0; i < layout.n; ++i) {
      double s[kBlock<T>] = {};
      for (std::size_t l = 0; l < from.slopes.size(); ++l) {
        const T* slopes = from.slopes[l] + (block * layout.n + i) * kBlock<T>;
        for (Index j = 0; j < kBlock<T>; ++j) s[j] += from.shares[l] * double(slopes[j]);
      }
      for (Index q = 0; q < layout.k; ++q) {
        const T* c_q = J.c + (block * layout.k + q) * kBlock<T>;
        double* row = out + (i * layout.k + q) * kRowOfGroup + at * kBlock<T>;
        for (Index j = 0; j < kBlock<T>; ++j) row[j] = double(c_q[j]) * s[j];
      }
    }
  });
}

// work(first, size) for tiles of [0, total).
template <class Work>
void for_tiles(Index total, const Context& context, Work&& work) {
  parallel_for(
      context, ceil_div(total, kTile), Share::in_turn, context.threads,
      [&](Index tile, Index) { work(tile * kTile, std::min(kTile, total - tile * kTile)); });
}

// J_left (J_right^T V): with one copy of V for each input, scaled by it, both are plain products.
template <class T>
void by_vectors(const Jacobians<T>& J, MatrixView<const double> V, double* out,
                const Context& context) {
  const Index size = J.size(), k = J.layout.k, d = J.layout.d, count = V.cols, all = d * count;
  Matrix scaled(size, all), products = Matrix::Zero(size, all);  // columns [input][vector]
  for_tiles(size, context, [&](Index first, Index rows) {
    for (Index i = first; i < first + rows; ++i)
      for (Index l = 0; l < d; ++l)
        for (Index v = 0; v < count; ++v)
          scaled(i, l * count + v) = double(J.X.row(i / k)[l]) * V(i, v);
  });
  Matrix cS(size, kRowOfGroup), G(tuning::kNodesOfGroup, all);
  for_groups(J, [&](const Index* group, Index taken, Index nodes) {
    weigh(J, J.right, group, taken, cS.data(), context);
    for_tiles(all, context, [&](Index v, Index columns) {
      G.block(0, v, nodes, columns).noalias() =
          cS.leftCols(nodes).transpose() * scaled.middleCols(v, columns);
    });
    weigh(J, J.left, group, taken, cS.data(), context);
    for_tiles(size, context, [&](Index i, Index rows) {
      products.middleRows(i, rows).noalias() += cS.block(i, 0, rows, nodes) * G.topRows(nodes);
    });
  });
  for_tiles(size, context, [&](Index first, Index rows) {
    for (Index i = first; i < first + rows; ++i)
      for (Index v = 0; v < count; ++v) {
        double sum = 0;
        for (Index l = 0; l < d; ++l) sum += double(J.X.row(i / k)[l]) * products(i, l * count + v);
        out[i * count + v] = sum;
      }
  });
}

}  // namespace

template <class T>
void ntg_of_slopes(const Jacobians<T>& J, double* K, const Context& context) {
  const Index n = J.layout.n, k = J.layout.k, size = J.size();
  const bool symmetric = J.symmetric();
  Eigen::Map<Matrix> out(K, size, size);
  out.setZero();
  Matrix cR(size, kRowOfGroup), cL(symmetric ? 0 : size, kRowOfGroup);
  const Matrix& cL_or_R = symmetric ? cR : cL;

  const Index side = std::clamp<Index>(ceil_div(size, 4), 16, 128);
  const Index tiles = ceil_div(size, side);
  for_groups(J, [&](const Index* group, Index count, Index nodes) {
    weigh(J, J.right, group, count, cR.data(), context);
    if (!symmetric) weigh(J, J.left, group, count, cL.data(), context);
    parallel_for(context, tiles * tiles, Share::in_turn, context.threads, [&](Index tile, Index) {
      const Index row = tile / tiles, col = tile % tiles, i = row * side, l = col * side;
      if (symmetric && col > row) return;
      const Index height = std::min(side, size - i), width = std::min(side, size - l);
      out.block(i, l, height, width).noalias() +=
          cL_or_R.block(i, 0, height, nodes) * cR.block(l, 0, width, nodes).transpose();
    });
  });

  const Matrix x =
      Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>, 0,
                 Eigen::OuterStride<>>(J.X.data, n, J.X.d, Eigen::OuterStride<>(J.X.stride))
          .template cast<double>();
  const Matrix gram = x * x.transpose();
  for (Index i = 0; i < size; ++i)
    for (Index l = 0; l < (symmetric ? i + 1 : size); ++l) {
      out(i, l) *= gram(i / k, l / k);
      if (symmetric) out(l, i) = out(i, l);
    }
}

template <class T>
void ntg_product(const Jacobians<T>& J, MatrixView<const double> V, double* out,
                 const Context& context) {
  const Index size = J.size();
  if (size > tuning::kMostDense || size > 2 * J.layout.d * V.cols)
    return by_vectors(J, V, out, context);
  Matrix K(size, size);
  ntg_of_slopes(J, K.data(), context);
  const Eigen::Map<const Matrix> in(V.data, size, V.cols);
  Eigen::Map<Matrix> product(out, size, V.cols);
  for_tiles(size, context, [&](Index i, Index rows) {
    product.middleRows(i, rows).noalias() = K.middleRows(i, rows) * in;
  });
}

template void ntg_of_slopes(const Jacobians<float>&, double*, const Context&);
template void ntg_of_slopes(const Jacobians<double>&, double*, const Context&);
template void ntg_product(const Jacobians<float>&, MatrixView<const double>, double*,
                          const Context&);
template void ntg_product(const Jacobians<double>&, MatrixView<const double>, double*,
                          const Context&);

}  // namespace asymfast::cpu
