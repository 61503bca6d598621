// Smallest eigenvalue of a symmetric matrix by Lanczos iterations on the inverse.
//
// A neural tangent Gram matrix is positive semi-definite: K + delta I with delta a few roundings of
// |K| has a Cholesky factor, and the Krylov space of its inverse finds the smallest eigenvector in
// a few dozen solves, also when it is clustered. The eigenvalue is then the Rayleigh quotient of
// that vector with K itself, in extended precision: its error is of second order in the vector's,
// far below the rounding of K, and the shift has no part in it. A matrix without a factor is not
// positive semi-definite; that and tiny ones are left to Eigen's QR algorithm.
//
// Cost: n^3 / 3 flop, 2 n^2 a solve.
#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <limits>
#include <vector>

#include "cpu/kernels.hpp"
#include "cpu/layout.hpp"

namespace asymfast::cpu {

namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

// v' K v / v' v; only the lower triangle of K is read.
double rayleigh_quotient(MatrixView<const double> K, const VectorXd& v) {
  long double quadratic = 0, norm2 = 0;
  for (Index i = 0; i < K.rows; ++i) {
    const double* row = K.row(i);
    long double below = 0;
    for (Index j = 0; j < i; ++j) below += (long double)(row[j]) * v[j];
    quadratic += v[i] * (2 * below + (long double)(row[i]) * v[i]);
    norm2 += (long double)(v[i]) * v[i];
  }
  return double(quadratic / norm2);
}

// Lower Cholesky factor in place, panel by panel; the panel's update of the rest is split into
// tiles.
bool factorise(MatrixXd& A, const Context& context) {
  const Index n = A.rows(), panel = 96;
  for (Index first = 0; first < n; first += panel) {
    const Index width = std::min(panel, n - first), rest = n - first - width;
    auto diagonal = A.block(first, first, width, width);
    Eigen::LLT<Eigen::Ref<MatrixXd>> factor(diagonal);
    if (factor.info() != Eigen::Success) return false;
    if (rest == 0) return true;
    auto below = A.block(first + width, first, rest, width);
    diagonal.triangularView<Eigen::Lower>().transpose().solveInPlace<Eigen::OnTheRight>(below);
    const Index tiles = ceil_div(rest, panel);
#pragma omp parallel for schedule(dynamic) num_threads(context.threads) if (tiles > 2)
    for (Index tile = 0; tile < tiles * tiles; ++tile) {
      const Index row = tile / tiles, col = tile % tiles;
      context.watch.tick();
      if (col > row || context.watch.stopped()) continue;
      const Index i = row * panel, j = col * panel;
      const Index height = std::min(panel, rest - i), breadth = std::min(panel, rest - j);
      A.block(first + width + i, first + width + j, height, breadth).noalias() -=
          below.middleRows(i, height) * below.middleRows(j, breadth).transpose();
    }
    if (context.watch.stopped()) return false;
  }
  return true;
}

// A fixed vector without symmetry, so that no eigenvector is orthogonal to it but by accident.
VectorXd starting_vector(Index n) {
  VectorXd v(n);
  std::uint64_t state = 0x9e3779b97f4a7c15u;
  for (Index i = 0; i < n; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    v[i] = 0.5 + double(state >> 11) * 0x1p-53;
    if (state >> 63) v[i] = -v[i];
  }
  return v.normalized();
}

// Eigenvector of the largest eigenvalue of (L L')^-1; empty if the iteration did not converge.
VectorXd dominant_of_inverse(const MatrixXd& L, const Context& context) {
  const Index n = L.rows(), most = std::min<Index>(n, 150);
  const auto solve = [&](const VectorXd& b) {
    VectorXd x = L.triangularView<Eigen::Lower>().solve(b);
    L.triangularView<Eigen::Lower>().transpose().solveInPlace(x);
    return x;
  };
  MatrixXd basis(n, most);
  VectorXd diagonal(most), off_diagonal(most);
  basis.col(0) = starting_vector(n);
  for (Index j = 0; j < most; ++j) {
    context.watch.tick();
    if (context.watch.stopped()) break;
    VectorXd w = solve(basis.col(j));
    diagonal[j] = basis.col(j).dot(w);
    for (int pass = 0; pass < 2; ++pass)  // twice is enough: orthogonal to rounding
      w -= basis.leftCols(j + 1) * (basis.leftCols(j + 1).transpose() * w);
    off_diagonal[j] = w.norm();

    Eigen::SelfAdjointEigenSolver<MatrixXd> ritz;
    ritz.computeFromTridiagonal(diagonal.head(j + 1), off_diagonal.head(j));
    const double largest = ritz.eigenvalues()[j];
    const double residual = off_diagonal[j] * std::abs(ritz.eigenvectors()(j, j));
    if (residual <= 1e-10 * largest || j + 1 == n)
      return solve(basis.leftCols(j + 1) * ritz.eigenvectors().col(j)).normalized();
    if (j + 1 < most) basis.col(j + 1) = w / off_diagonal[j];
  }
  return {};
}

}  // namespace

double min_eigenvalue(MatrixView<const double> K, const Context& context) {
  const Index n = K.rows;
  // Row-major lower is column-major upper: the transposed view has the lower triangle in place.
  const Eigen::Map<const Eigen::Matrix<double, -1, -1, Eigen::RowMajor>> input(K.data, n, n);
  const MatrixXd lower = input.triangularView<Eigen::Lower>();
  const double size = lower.cwiseAbs().maxCoeff();
  if (size == 0) return 0;

  constexpr Index kTiny = 32;
  if (n > kTiny) {
    // The vector does not depend on the unit of K: one by which no square overflows.
    const double delta = 4 * double(n) * std::numeric_limits<double>::epsilon();
    MatrixXd A = lower / size;
    A.diagonal().array() += delta;
    if (factorise(A, context)) {
      const VectorXd v = dominant_of_inverse(A, context);
      if (v.size() > 0) return rayleigh_quotient(K, v);
    }
    if (context.watch.stopped()) return 0;
  }
  const Eigen::SelfAdjointEigenSolver<MatrixXd> all(lower);
  return rayleigh_quotient(K, all.eigenvectors().col(0));
}

}  // namespace asymfast::cpu
