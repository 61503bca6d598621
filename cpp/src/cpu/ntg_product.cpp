// Sums run in double, in the order of the groups of nodes, a tile of each product by one thread:
// they do not depend on the number of threads. With one copy of V for each input c, scaled by x_c,
// both Jacobians are plain matrix products. Cost: 4 n k m d count flop; 2 n k d count doubles of
// memory, and n k x 512 twice.
#include "cpu/ntg_product.hpp"

#include <Eigen/Core>

#include "cpu/ntg_of_slopes.hpp"
#include "parallel.hpp"

namespace asymfast::cpu {

namespace {

constexpr Index kTile = 64;
using tuning::kMostDense;
using tuning::kNodesOfGroup;

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// work(first, size) for tiles of [0, total).
template <class Work>
void for_tiles(Index total, const Context& context, Work&& work) {
  parallel_for(
      context, ceil_div(total, kTile), Share::in_turn, context.threads,
      [&](Index tile, Index) { work(tile * kTile, std::min(kTile, total - tile * kTile)); });
}

// Row i k + q of c s of a group of blocks.
template <class T>
void weigh(const Layout<T>& layout, const Slopes<T>& from, const T* c, Range group, Index row,
           double* out) {
  const Index i = row / layout.k, q = row % layout.k;
  for (Index block = group.first; block < group.last; ++block, out += kBlock<T>) {
    double s[kBlock<T>] = {};
    for (std::size_t l = 0; l < from.slopes.size(); ++l) {
      const T* slopes = from.slopes[l] + (block * layout.n + i) * kBlock<T>;
      for (Index j = 0; j < kBlock<T>; ++j) s[j] += from.shares[l] * double(slopes[j]);
    }
    const T* c_q = c + (block * layout.k + q) * kBlock<T>;
    for (Index j = 0; j < kBlock<T>; ++j) out[j] = double(c_q[j]) * s[j];
  }
}

// J_left (J_right^T V)
template <class T>
void by_vectors(const Layout<T>& layout, const Slopes<T>& left, const Slopes<T>& right, const T* c,
                Samples<T> X, MatrixView<const double> V, double* out, const Context& context) {
  const Index size = layout.n * layout.k, count = V.cols, all = layout.d * count;
  Matrix scaled(size, all), products = Matrix::Zero(size, all);  // columns [input][vector]
  for_tiles(size, context, [&](Index first, Index rows) {
    for (Index i = first; i < first + rows; ++i)
      for (Index l = 0; l < layout.d; ++l)
        for (Index v = 0; v < count; ++v)
          scaled(i, l * count + v) = double(X.row(i / layout.k)[l]) * V(i, v);
  });
  Matrix cS(size, kNodesOfGroup), G(kNodesOfGroup, all);
  const Index blocks_of_group = kNodesOfGroup / kBlock<T>;
  for (Index first = 0; first < layout.blocks; first += blocks_of_group) {
    const Range group{first, std::min(layout.blocks, first + blocks_of_group)};
    const Index nodes = group.size() * kBlock<T>;
    for_tiles(size, context, [&](Index i, Index rows) {
      for (Index row = i; row < i + rows; ++row) weigh(layout, right, c, group, row, &cS(row, 0));
    });
    for_tiles(all, context, [&](Index v, Index columns) {
      G.block(0, v, nodes, columns).noalias() =
          cS.leftCols(nodes).transpose() * scaled.middleCols(v, columns);
    });
    for_tiles(size, context, [&](Index i, Index rows) {
      for (Index row = i; row < i + rows; ++row) weigh(layout, left, c, group, row, &cS(row, 0));
      products.middleRows(i, rows).noalias() += cS.block(i, 0, rows, nodes) * G.topRows(nodes);
    });
  }
  for_tiles(size, context, [&](Index first, Index rows) {
    for (Index i = first; i < first + rows; ++i)
      for (Index v = 0; v < count; ++v) {
        double sum = 0;
        for (Index l = 0; l < layout.d; ++l)
          sum += double(X.row(i / layout.k)[l]) * products(i, l * count + v);
        out[i * count + v] = sum;
      }
  });
}

}  // namespace

template <class T>
void ntg_product(const Layout<T>& layout, const Slopes<T>& left, const T* right, const T* c,
                 Samples<T> X, MatrixView<const double> V, double* out, const Context& context) {
  const Index size = layout.n * layout.k;
  if (size > kMostDense || size > 2 * layout.d * V.cols)
    return by_vectors(layout, left, {{right}, {1}}, c, X, V, out, context);
  Matrix K(size, size);
  ntg_of_slopes(layout, left.slopes, left.shares, right, c, X, K.data(), context);
  const Eigen::Map<const Matrix> in(V.data, size, V.cols);
  Eigen::Map<Matrix> product(out, size, V.cols);
  for_tiles(size, context, [&](Index i, Index rows) {
    product.middleRows(i, rows).noalias() = K.middleRows(i, rows) * in;
  });
}

template void ntg_product(const Layout<float>&, const Slopes<float>&, const float*, const float*,
                          Samples<float>, MatrixView<const double>, double*, const Context&);
template void ntg_product(const Layout<double>&, const Slopes<double>&, const double*,
                          const double*, Samples<double>, MatrixView<const double>, double*,
                          const Context&);

}  // namespace asymfast::cpu
