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

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// work(first, size) for tiles of [0, total).
template <class Work>
void for_tiles(Index total, const Context& context, Work&& work) {
  parallel_for(
      context, ceil_div(total, kTile), Share::in_turn, context.threads,
      [&](Index tile, Index) { work(tile * kTile, std::min(kTile, total - tile * kTile)); });
}

// J_left (J_right^T V)
template <class T>
void by_vectors(const Layout<T>& layout, const Slopes<T>& left, const Slopes<T>& right, const T* c,
                const std::vector<Index>& blocks, Samples<T> X, MatrixView<const double> V,
                double* out, const Context& context) {
  const Index size = layout.n * layout.k, count = V.cols, all = layout.d * count;
  Matrix scaled(size, all), products = Matrix::Zero(size, all);  // columns [input][vector]
  for_tiles(size, context, [&](Index first, Index rows) {
    for (Index i = first; i < first + rows; ++i)
      for (Index l = 0; l < layout.d; ++l)
        for (Index v = 0; v < count; ++v)
          scaled(i, l * count + v) = double(X.row(i / layout.k)[l]) * V(i, v);
  });
  Matrix cS(size, kRowOfGroup), G(tuning::kNodesOfGroup, all);
  const auto all_blocks = static_cast<Index>(blocks.size());
  for (Index first = 0; first < all_blocks; first += kBlocksOfGroup<T>) {
    const Index taken = std::min(all_blocks - first, kBlocksOfGroup<T>), nodes = taken * kBlock<T>;
    const Index* group = &blocks[first];
    weigh(layout, right, c, group, taken, cS.data(), context);
    for_tiles(all, context, [&](Index v, Index columns) {
      G.block(0, v, nodes, columns).noalias() =
          cS.leftCols(nodes).transpose() * scaled.middleCols(v, columns);
    });
    weigh(layout, left, c, group, taken, cS.data(), context);
    for_tiles(size, context, [&](Index i, Index rows) {
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
                 const std::vector<Index>& blocks, Samples<T> X, MatrixView<const double> V,
                 double* out, const Context& context) {
  const Index size = layout.n * layout.k;
  if (size > kMostDense || size > 2 * layout.d * V.cols)
    return by_vectors(layout, left, {{right}, {1}}, c, blocks, X, V, out, context);
  Matrix K(size, size);
  ntg_of_slopes(layout, left, right, c, blocks, X, K.data(), context);
  const Eigen::Map<const Matrix> in(V.data, size, V.cols);
  Eigen::Map<Matrix> product(out, size, V.cols);
  for_tiles(size, context, [&](Index i, Index rows) {
    product.middleRows(i, rows).noalias() = K.middleRows(i, rows) * in;
  });
}

template void ntg_product(const Layout<float>&, const Slopes<float>&, const float*, const float*,
                          const std::vector<Index>&, Samples<float>, MatrixView<const double>,
                          double*, const Context&);
template void ntg_product(const Layout<double>&, const Slopes<double>&, const double*,
                          const double*, const std::vector<Index>&, Samples<double>,
                          MatrixView<const double>, double*, const Context&);

}  // namespace asymfast::cpu
