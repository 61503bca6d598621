// The matrix of all outputs from kept slopes. Sums run in double, in the order of the groups of
// nodes, a tile of K by one thread: K does not depend on the number of threads. Cost: (n k)^2 m
// flop, twice that where not symmetric; n k x 512 doubles of memory or twice that.
#include "cpu/ntg_of_slopes.hpp"

#include <Eigen/Core>

#include "parallel.hpp"

namespace asymfast::cpu {

namespace {

using tuning::kNodesOfGroup;
using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

}  // namespace

template <class T>
void ntg_of_slopes(const Layout<T>& layout, const std::vector<const T*>& lefts,
                   const std::vector<double>& shares, const T* right, const T* c, Samples<T> X,
                   double* K, const Context& context) {
  const Index n = layout.n, k = layout.k, size = n * k, blocks_of_group = kNodesOfGroup / kBlock<T>;
  const bool symmetric = lefts.size() == 1 && lefts[0] == right;
  Eigen::Map<Matrix> out(K, size, size);
  out.setZero();
  Matrix cR(size, kNodesOfGroup), cL(symmetric ? 0 : size, kNodesOfGroup);
  const Matrix& cL_or_R = symmetric ? cR : cL;
  const std::vector<const T*> rights{right};
  const std::vector<double> ones{1};

  // Row i of c s of a block into its place among the group's.
  const auto fill = [&](Matrix& cS, const std::vector<const T*>& frames,
                        const std::vector<double>& weights, Index i, Index block, Index first) {
    double s[kBlock<T>] = {};
    for (std::size_t l = 0; l < frames.size(); ++l) {
      const T* slopes = frames[l] + (block * n + i) * kBlock<T>;
      for (Index j = 0; j < kBlock<T>; ++j) s[j] += weights[l] * double(slopes[j]);
    }
    for (Index q = 0; q < k; ++q) {
      const T* c_q = c + (block * k + q) * kBlock<T>;
      double* row = &cS(i * k + q, (block - first) * kBlock<T>);
      for (Index j = 0; j < kBlock<T>; ++j) row[j] = double(c_q[j]) * s[j];
    }
  };

  const Index side = std::clamp<Index>(ceil_div(size, 4), 16, 128);
  const Index tiles = ceil_div(size, side);
  for (Index first = 0; first < layout.blocks; first += blocks_of_group) {
    const Range group{first, std::min(layout.blocks, first + blocks_of_group)};
    const Index nodes = group.size() * kBlock<T>;
    parallel_for(context, n, Share::evenly, context.threads, [&](Index i, Index) {
      for (Index block = group.first; block < group.last; ++block) {
        fill(cR, rights, ones, i, block, group.first);
        if (!symmetric) fill(cL, lefts, shares, i, block, group.first);
      }
    });
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

template void ntg_of_slopes(const Layout<float>&, const std::vector<const float*>&,
                            const std::vector<double>&, const float*, const float*, Samples<float>,
                            double*, const Context&);
template void ntg_of_slopes(const Layout<double>&, const std::vector<const double*>&,
                            const std::vector<double>&, const double*, const double*,
                            Samples<double>, double*, const Context&);

}  // namespace asymfast::cpu
