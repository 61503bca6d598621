// Lower Cholesky factor of a symmetric matrix and solves with it. L lies in memory as the products
// want it: a block of rows after the other, each up to its diagonal, column by column:
//
//   tile    a block of rows and as many columns: [column][row], the rows being the lanes
//   panel   a few columns of tiles: what all columns before it do to a panel is subtracted at once,
//           so every number of it is written twice in all
//
// The work on a panel is cut into pieces that do not depend on the number of threads, and neither
// do the results. Behind the last row L is continued by a unit matrix.
//
// Cost: n^3 / 3 flop and n^2 / 2 numbers; a solve 2 n^2 flop, each number of L being read twice.
#pragma once

#include <Eigen/Core>
#include <cmath>
#include <utility>

#include "cpu/in_double.hpp"
#include "cpu/panels.hpp"
#include "parallel.hpp"

namespace asymfast::cpu {

class CholeskyFactor {
 public:
  CholeskyFactor(Index n, const Context& context)
      : n_(n),
        blocks_(ceil_div(n, B)),
        context_(context),
        tiles_(blocks_ * (blocks_ + 1) / 2 * B * B, Contents::unset) {}

  // Of K / size + shift I; only the lower triangle of K is read. False if that is not positive
  // definite.
  bool factorise(MatrixView<const double> K, double size, double shift) {
    for (Index first = 0; first < blocks_; first += kWide) {
      const Range panel{first, std::min(blocks_, first + kWide)};
      in_pieces({first, blocks_}, kTall, [&](Range rows) {
        put(K, size, shift, rows, panel);
        subtract_before(rows, panel);
      });
      for (Index row = panel.first; row < panel.last; ++row) {
        divide_row(row, {panel.first, row});
        if (!factorise_diagonal(row, panel.first)) return false;
      }
      in_pieces({panel.last, blocks_}, kTall, [&](Range rows) {
        for (Index row = rows.first; row < rows.last; ++row) divide_row(row, panel);
      });
    }
    return true;
  }

  // x with L L^T x = b.
  Eigen::VectorXd solve(const Eigen::VectorXd& b) const {
    Buffer<double> x(blocks_ * B);
    std::copy_n(b.data(), n_, x.data());
    const Index panels = ceil_div(blocks_, kWide);
    for (Index p = 0; p < panels; ++p) solve_lower(panel_of(p), x.data());
    for (Index p = panels - 1; p >= 0; --p) solve_transposed(panel_of(p), x.data());
    return Eigen::Map<const Eigen::VectorXd>(x.data(), n_);
  }

 private:
  static constexpr Index B = kBlock<double>, V = B / kLanes<double>;
  // Columns of a panel, rows of a piece of it, both in blocks, and columns before it that are
  // multiplied while they are in the first-level cache; rows of a piece of a solve.
  static constexpr Index kWide = tuning::kWide / B, kTall = tuning::kTall / B,
                         kDeep = tuning::kDeep, kMany = tuning::kMany / B;

  Range panel_of(Index p) const { return {p * kWide, std::min(blocks_, (p + 1) * kWide)}; }

  // The numbers of a block of rows, from a column on.
  const double* at(Index row, Index column) const {
    return tiles_.data() + row * (row + 1) / 2 * B * B + column * B;
  }
  double* at(Index row, Index column) {
    return const_cast<double*>(std::as_const(*this).at(row, column));
  }

  // work(rows) over pieces of so many blocks of rows, by several threads where that pays.
  template <class Work>
  void in_pieces(Range rows, Index size, Work&& work) const {
    const Index pieces = ceil_div(rows.size(), size);
    parallel_for(context_, pieces, Share::in_turn, pieces > 2 ? context_.threads : 1,
                 [&](Index p, Index) {
                   const Index first = rows.first + p * size;
                   work(Range{first, std::min(rows.last, first + size)});
                 });
  }

  void put(MatrixView<const double> K, double size, double shift, Range rows, Range panel) {
    for (Index i = rows.first * B; i < rows.last * B; ++i) {
      double* row = at(i / B, 0) + i % B;
      const Index last = std::min(panel.last, i / B + 1) * B;
      const Index given = i < n_ ? std::min(last, i + 1) : panel.first * B;
      for (Index j = panel.first * B; j < given; ++j) row[j * B] = K(i, j) / size;
      for (Index j = given; j < last; ++j) row[j * B] = 0;
      if (i < last) row[i * B] = i < n_ ? row[i * B] + shift : 1;
    }
  }

  // From tiles of a panel, the products of the columns before it.
  void subtract_before(Range rows, Range panel) {
    alignas(kVectorBytes) double sums[kTall * kWide][B * B] = {};
    const auto each_tile = [&](auto&& work) {
      double (*sum)[B * B] = sums;
      for (Index column = panel.first; column < panel.last; ++column)
        for (Index row = rows.first; row < rows.last; ++row, ++sum)
          if (column <= row) work(row, column, *sum);
    };
    const Index before = panel.first * B;
    for (Index first = 0; first < before; first += kDeep)
      each_tile([&](Index row, Index column, double* sum) {
        add_products<B>(at(column, first), at(row, first), std::min(kDeep, before - first), {0, B},
                        B, sum);
      });
    each_tile(
        [&](Index row, Index column, const double* sum) { subtract(sum, at(row, column * B)); });
  }

  static void subtract(const double* sum, double* tile) {
    for (Index i = 0; i < B * V; ++i) as_vectors(tile)[i] -= as_vectors(sum)[i];
  }

  // From a tile, the products of the columns of its panel before it.
  void subtract_within(Index row, Index column, Index first) {
    alignas(kVectorBytes) double sum[B * B] = {};
    add_products<B>(at(column, first * B), at(row, first * B), (column - first) * B, {0, B}, B,
                    sum);
    subtract(sum, at(row, column * B));
  }

  // Tiles of a row below the diagonal, whose columns have their diagonal: L_ij = A_ij / L_jj^T.
  void divide_row(Index row, Range columns) {
    for (Index column = columns.first; column < columns.last; ++column) {
      subtract_within(row, column, columns.first);
      const double* diagonal = at(column, column * B);
      Vec<double>* tile = as_vectors(at(row, column * B));
      for (Index c = 0; c < B; ++c) {
        const Vec<double> inverse = broadcast<Vec<double>>(1 / diagonal[c * B + c]);
        for (Index v = 0; v < V; ++v) tile[c * V + v] *= inverse;
        subtract_column(tile, c, diagonal + c * B);
      }
    }
  }

  bool factorise_diagonal(Index row, Index first) {
    subtract_within(row, row, first);
    double* numbers = at(row, row * B);
    Vec<double>* tile = as_vectors(numbers);
    for (Index c = 0; c < B; ++c) {
      const double pivot = numbers[c * B + c];
      if (!(pivot > 0)) return false;
      const Vec<double> inverse = broadcast<Vec<double>>(1 / std::sqrt(pivot));
      for (Index v = 0; v < V; ++v) tile[c * V + v] *= inverse;
      numbers[c * B + c] = std::sqrt(pivot);
      subtract_column(tile, c, numbers + c * B);
    }
    return true;
  }

  // What column c of a tile does to those behind it, by a factor for each.
  static void subtract_column(Vec<double>* tile, Index c, const double* factors) {
    for (Index to = c + 1; to < B; ++to) {
      const Vec<double> factor = broadcast<Vec<double>>(factors[to]);
      for (Index v = 0; v < V; ++v) tile[to * V + v] -= tile[c * V + v] * factor;
    }
  }

  // x <- L^-1 x for the rows of a panel, and what they do to those below.
  void solve_lower(Range panel, double* x) const {
    for (Index row = panel.first; row < panel.last; ++row) {
      subtract_product(row, {panel.first, row}, x);
      const double* tile = at(row, row * B);
      double* here = x + row * B;
      for (Index c = 0; c < B; ++c) {
        here[c] /= tile[c * B + c];
        for (Index r = c + 1; r < B; ++r) here[r] -= tile[c * B + r] * here[c];
      }
    }
    in_pieces({panel.last, blocks_}, kMany, [&](Range rows) {
      for (Index row = rows.first; row < rows.last; ++row) subtract_product(row, panel, x);
    });
  }

  void subtract_product(Index row, Range columns, double* x) const {
    const Vec<double>* numbers = as_vectors(at(row, columns.first * B));
    Vec<double> sum[V] = {};
    for (Index j = columns.first * B; j < columns.last * B; ++j, numbers += V) {
      const Vec<double> x_j = broadcast<Vec<double>>(x[j]);
      for (Index v = 0; v < V; ++v) sum[v] += numbers[v] * x_j;
    }
    for (Index v = 0; v < V; ++v) as_vectors(x + row * B)[v] -= sum[v];
  }

  // x <- L^-T x for the rows of a panel, from those below.
  void solve_transposed(Range panel, double* x) const {
    const Index pieces = ceil_div(blocks_ - panel.last, kMany), width = panel.size() * B;
    Buffer<double> sums(pieces * kWide * B);
    in_pieces({panel.last, blocks_}, kMany, [&](Range rows) {
      Vec<double> lanes[kWide * B] = {};
      for (Index row = rows.first; row < rows.last; ++row) add_transposed(row, panel, x, lanes);
      double* sum = sums.data() + (rows.first - panel.last) / kMany * kWide * B;
      add_sums_of_lanes<double>(lanes, width, sum);
    });
    double* here = x + panel.first * B;
    for (Index p = 0; p < pieces; ++p)
      for (Index j = 0; j < width; ++j) here[j] -= sums.data()[p * kWide * B + j];

    for (Index row = panel.last - 1; row >= panel.first; --row) {
      const double* tile = at(row, row * B);
      double* last = x + row * B;
      for (Index c = B - 1; c >= 0; --c) {
        for (Index r = c + 1; r < B; ++r) last[c] -= tile[c * B + r] * last[r];
        last[c] /= tile[c * B + c];
      }
      Vec<double> lanes[kWide * B] = {};
      add_transposed(row, {panel.first, row}, x, lanes);
      double products[kWide * B] = {};
      add_sums_of_lanes<double>(lanes, (row - panel.first) * B, products);
      for (Index j = 0; j < (row - panel.first) * B; ++j) here[j] -= products[j];
    }
  }

  // lanes_j += L_ij x_i for the rows i of a block, lane by lane.
  void add_transposed(Index row, Range columns, const double* x, Vec<double>* lanes) const {
    const Vec<double>* numbers = as_vectors(at(row, columns.first * B));
    const Vec<double>* x_row = as_vectors(x + row * B);
    for (Index j = 0; j < columns.size() * B; ++j, numbers += V)
      for (Index v = 0; v < V; ++v) lanes[j] += numbers[v] * x_row[v];
  }

  Index n_, blocks_;
  const Context& context_;
  Buffer<double> tiles_;
};

}  // namespace asymfast::cpu
