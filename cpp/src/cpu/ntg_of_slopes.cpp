// The matrix of all outputs from kept slopes. Sums run in double, in the order of the groups of
// nodes, a tile of K by one thread: K does not depend on the number of threads. Cost: (n k)^2 m
// flop, twice that where not symmetric; n k x 512 doubles of memory or twice that.
#include "cpu/ntg_of_slopes.hpp"

#include <Eigen/Core>

#include "parallel.hpp"

namespace asymfast::cpu {

namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

}  // namespace

// By blocks, whose slopes of all samples lie together in every frame.
template <class T>
void weigh(const Layout<T>& layout, const Slopes<T>& from, const T* c, const Index* blocks,
           Index count, double* out, const Context& context) {
  parallel_for(context, count, Share::evenly, context.threads, [&](Index at, Index) {
    const Index block = blocks[at];
    for (Index i = 0; i < layout.n; ++i) {
      double s[kBlock<T>] = {};
      for (std::size_t l = 0; l < from.slopes.size(); ++l) {
        const T* slopes = from.slopes[l] + (block * layout.n + i) * kBlock<T>;
        for (Index j = 0; j < kBlock<T>; ++j) s[j] += from.shares[l] * double(slopes[j]);
      }
      for (Index q = 0; q < layout.k; ++q) {
        const T* c_q = c + (block * layout.k + q) * kBlock<T>;
        double* row = out + (i * layout.k + q) * kRowOfGroup + at * kBlock<T>;
        for (Index j = 0; j < kBlock<T>; ++j) row[j] = double(c_q[j]) * s[j];
      }
    }
  });
}

template <class T>
void ntg_of_slopes(const Layout<T>& layout, const Slopes<T>& left, const T* right, const T* c,
                   const std::vector<Index>& blocks, Samples<T> X, double* K,
                   const Context& context) {
  const Index n = layout.n, k = layout.k, size = n * k;
  const bool symmetric = left.slopes.size() == 1 && left.slopes[0] == right;
  Eigen::Map<Matrix> out(K, size, size);
  out.setZero();
  Matrix cR(size, kRowOfGroup), cL(symmetric ? 0 : size, kRowOfGroup);
  const Matrix& cL_or_R = symmetric ? cR : cL;

  const Index side = std::clamp<Index>(ceil_div(size, 4), 16, 128);
  const Index tiles = ceil_div(size, side);
  const auto all = static_cast<Index>(blocks.size());
  for (Index first = 0; first < all; first += kBlocksOfGroup<T>) {
    const Index count = std::min(all - first, kBlocksOfGroup<T>), nodes = count * kBlock<T>;
    weigh(layout, {{right}, {1}}, c, &blocks[first], count, cR.data(), context);
    if (!symmetric) weigh(layout, left, c, &blocks[first], count, cL.data(), context);
    parallel_for(context, tiles * tiles, Share::in_turn, context.threads, [&](Index tile, Index) {
      const Index row = tile / tiles, col = tile % tiles, i = row * side, l = col * side;
      if (symmetric && col > row) return;
      const Index height = std::min(side, size - i), width = std::min(side, size - l);
      out.block(i, l, height, width).noalias() +=
          cL_or_R.block(i, 0, height, nodes) * cR.block(l, 0, width, nodes).transpose();
    });
  }

  const Matrix x =
      Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>, 0,
                 Eigen::OuterStride<>>(X.data, n, X.d, Eigen::OuterStride<>(X.stride))
          .template cast<double>();
  const Matrix gram = x * x.transpose();
  for (Index i = 0; i < size; ++i)
    for (Index l = 0; l < (symmetric ? i + 1 : size); ++l) {
      out(i, l) *= gram(i / k, l / k);
      if (symmetric) out(l, i) = out(i, l);
    }
}

template void weigh(const Layout<float>&, const Slopes<float>&, const float*, const Index*, Index,
                    double*, const Context&);
template void weigh(const Layout<double>&, const Slopes<double>&, const double*, const Index*,
                    Index, double*, const Context&);
template void ntg_of_slopes(const Layout<float>&, const Slopes<float>&, const float*, const float*,
                            const std::vector<Index>&, Samples<float>, double*, const Context&);
template void ntg_of_slopes(const Layout<double>&, const Slopes<double>&, const double*,
                            const double*, const std::vector<Index>&, Samples<double>, double*,
                            const Context&);

}  // namespace asymfast::cpu
