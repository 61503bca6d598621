// Lower Cholesky factor of a symmetric matrix and solves with it, panel by panel. What a panel does
// to the rest is cut into tiles that do not depend on the number of threads, and neither do the
// results.
#pragma once

#include <Eigen/Cholesky>

#include "cpu/buffer.hpp"
#include "cpu/layout.hpp"
#include "rescue.hpp"
#include "watch.hpp"

namespace asymfast::cpu {

class CholeskyFactor {
 public:
  CholeskyFactor(Index n, const Context& context)
      : context_(context),
        memory_(n * n, Buffer<double>::Contents::unset),
        L_(memory_.data(), n, n) {}

  // Of K / size + shift I; only the lower triangle of K is read. False if that is not positive
  // definite, or the call was abandoned.
  bool factorise(MatrixView<const double> K, double size, double shift) {
    copy_lower(K, size);
    L_.diagonal().array() += shift;
    for (Index first = 0; first < L_.rows(); first += kPanel) {
      const Index width = width_of(first), rest = L_.rows() - first - width;
      auto corner = L_.block(first, first, width, width);
      Eigen::LLT<Eigen::Ref<Eigen::MatrixXd>> factor(corner);
      if (factor.info() != Eigen::Success) return false;
      auto below = L_.block(first + width, first, rest, width);
      in_tiles(rest, kPanel, rest > 2 * kPanel, [&](Index i, Index height) {
        auto rows = below.middleRows(i, height);
        corner.triangularView<Eigen::Lower>().transpose().solveInPlace<Eigen::OnTheRight>(rows);
      });
      const Index tiles = ceil_div(rest, kPanel);
      in_tiles(tiles * tiles, 1, tiles > 2, [&](Index tile, Index) {
        const Index i = tile / tiles * kPanel, j = tile % tiles * kPanel;
        if (j > i) return;
        const Index height = std::min(kPanel, rest - i), breadth = std::min(kPanel, rest - j);
        L_.block(first + width + i, first + width + j, height, breadth).noalias() -=
            below.middleRows(i, height) * below.middleRows(j, breadth).transpose();
      });
      if (context_.watch.stopped()) return false;
    }
    return true;
  }

  // x with L L^T x = b.
  Eigen::VectorXd solve(const Eigen::VectorXd& b) const {
    const Index n = L_.rows();
    Eigen::VectorXd x = b;
    for (Index first = 0; first < n; first += kPanel) {
      const Index width = width_of(first), next = first + width;
      auto here = x.segment(first, width);
      const auto corner = diagonal(first);
      corner.triangularView<Eigen::Lower>().solveInPlace(here);
      in_tiles(n - next, kRows, n - next > kManyRows, [&](Index i, Index height) {
        x.segment(next + i, height).noalias() -= L_.block(next + i, first, height, width) * here;
      });
    }
    for (Index first = (n - 1) / kPanel * kPanel; first >= 0; first -= kPanel) {
      const Index width = width_of(first), next = first + width;
      auto here = x.segment(first, width);
      in_tiles(width, kColumns, n - next > kManyRows, [&](Index j, Index breadth) {
        here.segment(j, breadth).noalias() -=
            L_.block(next, first + j, n - next, breadth).transpose() * x.tail(n - next);
      });
      const auto corner = diagonal(first);
      corner.triangularView<Eigen::Lower>().transpose().solveInPlace(here);
    }
    return x;
  }

 private:
  static constexpr Index kPanel = 96, kRows = 256, kColumns = 8, kManyRows = 512;

  Index width_of(Index first) const { return std::min(kPanel, L_.rows() - first); }
  // Of the panel that starts at `first`.
  Eigen::Block<const Eigen::Map<Eigen::MatrixXd>> diagonal(Index first) const {
    return L_.block(first, first, width_of(first), width_of(first));
  }

  // work(first, count) over [0, total) in tiles of `side`, by several threads where that pays.
  template <class Work>
  void in_tiles(Index total, Index side, bool pays, Work&& work) const {
    const Index tiles = ceil_div(total, side);
    Rescue rescue;
#pragma omp parallel for schedule(dynamic) num_threads(context_.threads) if (pays)
    for (Index tile = 0; tile < tiles; ++tile) {
      context_.watch.tick();
      if (context_.watch.stopped()) continue;
      rescue([&] { work(tile * side, std::min(side, total - tile * side)); });
    }
    rescue.rethrow();
  }

  // K is stored by rows, the copy by columns.
  void copy_lower(MatrixView<const double> K, double size) {
    constexpr Index kSide = 64;
    const Index n = K.rows, tiles = ceil_div(n, kSide);
    in_tiles(tiles * tiles, 1, tiles > 2, [&](Index tile, Index) {
      const Index row = tile / tiles * kSide, col = tile % tiles * kSide;
      for (Index j = col; j < std::min(n, col + kSide); ++j)
        for (Index i = std::max(row, j); i < std::min(n, row + kSide); ++i)
          L_(i, j) = K(i, j) / size;
    });
  }

  const Context& context_;
  Buffer<double> memory_;
  Eigen::Map<Eigen::MatrixXd> L_;
};

}  // namespace asymfast::cpu
