// Smallest eigenvalue of a symmetric matrix by Lanczos iterations on the inverse.
//
// A neural tangent Gram matrix is positive semi-definite: K + delta I with delta a few roundings of
// |K| has a Cholesky factor, and the Krylov space of its inverse finds the smallest eigenvector in
// a few dozen solves, also when it is clustered. The eigenvalue is then the Rayleigh quotient of
// that vector with K itself, in extended precision: its error is of second order in the vector's,
// far below the rounding of K, and the shift has no part in it. A matrix without a factor is not
// positive semi-definite: Lanczos iterations on K itself then say how far it must be shifted. Tiny
// matrices are left to Eigen's QR algorithm.
//
// Cost: n^3 / 3 flop a factor (one for a positive semi-definite K, else two or three), 2 n^2 a
// solve.
#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <limits>
#include <vector>

#include "cpu/kernels.hpp"
#include "cpu/layout.hpp"
#include "rescue.hpp"

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
    Rescue rescue;
#pragma omp parallel for schedule(dynamic) num_threads(context.threads) if (tiles > 2)
    for (Index tile = 0; tile < tiles * tiles; ++tile) {
      const Index row = tile / tiles, col = tile % tiles;
      context.watch.tick();
      if (col > row || context.watch.stopped()) continue;
      const Index i = row * panel, j = col * panel;
      const Index height = std::min(panel, rest - i), breadth = std::min(panel, rest - j);
      rescue([&] {
        A.block(first + width + i, first + width + j, height, breadth).noalias() -=
            below.middleRows(i, height) * below.middleRows(j, breadth).transpose();
      });
    }
    rescue.rethrow();
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

// The largest eigenvalue of an operator as Lanczos iterations leave it: it lies within `residual`
// of an eigenvalue, and is at most the largest.
struct Dominant {
  double value = 0, residual = std::numeric_limits<double>::infinity();
  VectorXd vector;
};

// Iterates until the residual is below `tolerance` times the value, `most` times at most.
template <class Operator>
Dominant dominant(Operator&& apply, Index n, Index most, double tolerance, const Context& context) {
  Dominant found;
  most = std::min(n, most);
  MatrixXd basis(n, most);
  VectorXd diagonal(most), off_diagonal(most);
  basis.col(0) = starting_vector(n);
  for (Index j = 0; j < most; ++j) {
    context.watch.tick();
    if (context.watch.stopped()) break;
    VectorXd w = apply(basis.col(j));
    diagonal[j] = basis.col(j).dot(w);
    for (int pass = 0; pass < 2; ++pass)  // twice is enough: orthogonal to rounding
      w -= basis.leftCols(j + 1) * (basis.leftCols(j + 1).transpose() * w);
    off_diagonal[j] = w.norm();

    Eigen::SelfAdjointEigenSolver<MatrixXd> ritz;
    ritz.computeFromTridiagonal(diagonal.head(j + 1), off_diagonal.head(j));
    found.value = ritz.eigenvalues()[j];
    found.residual = off_diagonal[j] * std::abs(ritz.eigenvectors()(j, j));
    const bool converged = found.residual <= tolerance * std::abs(found.value) || j + 1 == n;
    if (converged || j + 1 == most) {
      found.vector = basis.leftCols(j + 1) * ritz.eigenvectors().col(j);
      break;
    }
    basis.col(j + 1) = w / off_diagonal[j];
  }
  return found;
}

// The lower triangle of K / size, by tiles: K is stored by rows, the copy by columns.
void copy_lower(MatrixView<const double> K, double size, MatrixXd& A, const Context& context) {
  const Index n = K.rows, side = 64, tiles = ceil_div(n, side);
  A.resize(n, n);
#pragma omp parallel for schedule(dynamic) num_threads(context.threads) if (tiles > 2)
  for (Index tile = 0; tile < tiles * tiles; ++tile) {
    const Index row = tile / tiles * side, col = tile % tiles * side;
    for (Index j = col; j < std::min(n, col + side); ++j)
      for (Index i = std::max(row, j); i < std::min(n, row + side); ++i) A(i, j) = K(i, j) / size;
  }
}

// The smallest eigenvector of a symmetric K (its lower triangle), from factors of A + s I with A =
// K over its size, so that no square overflows.
class ShiftAndInvert {
 public:
  ShiftAndInvert(MatrixView<const double> K, double size, const Context& context)
      : K_(K),
        size_(size),
        context_(context),
        rounding_(4 * double(K.rows) * std::numeric_limits<double>::epsilon()) {}

  // Empty if it cannot be found so, or the call was abandoned.
  VectorXd operator()() {
    if (!factorise_with(rounding_) && !factorise_beyond_the_spectrum()) return {};
    // Where eigenvalues crowd at the lower end, a shift that is closer to it tells them apart.
    for (int closer = 0; closer < 8 && !context_.watch.stopped(); ++closer) {
      const Dominant found = dominant([this](const VectorXd& b) { return solve(b); }, K_.rows,
                                      kIterations, kTolerance, context_);
      if (found.residual <= kTolerance * found.value || K_.rows <= kIterations)
        return solve(found.vector).normalized();
      if (!come_closer(1 / found.value)) return {};
    }
    return {};
  }

 private:
  static constexpr Index kIterations = 150;
  // Of the eigenvalue; the Rayleigh quotient's error is its square over the gap to the next one.
  static constexpr double kTolerance = 1e-9;

  bool factorise_with(double shift) {
    if (context_.watch.stopped()) return false;
    copy_lower(K_, size_, L_, context_);
    L_.diagonal().array() += shift;
    shift_ = shift;
    return factorise(L_, context_);
  }

  // A is not positive semi-definite: by how much, Lanczos iterations on A say.
  bool factorise_beyond_the_spectrum() {
    MatrixXd A;
    copy_lower(K_, size_, A, context_);
    const auto minus_A = [&A](const VectorXd& x) -> VectorXd {
      return -(A.selfadjointView<Eigen::Lower>() * x);
    };
    const Dominant lowest = dominant(minus_A, K_.rows, 60, 1e-3, context_);
    double beyond = std::max(2 * lowest.residual, 100 * rounding_);
    for (int attempt = 0; attempt < 6; ++attempt, beyond *= 8)
      if (factorise_with(lowest.value + beyond)) return true;
    return false;
  }

  // `distance` is at least that of -shift from the smallest eigenvalue, by little.
  bool come_closer(double distance) {
    const double shift = shift_;
    for (int attempt = 0; attempt < 3; ++attempt)
      if (factorise_with(shift - (1 - std::ldexp(1e-3, 3 * attempt)) * distance)) return true;
    return false;
  }

  VectorXd solve(const VectorXd& b) const {
    VectorXd x = L_.triangularView<Eigen::Lower>().solve(b);
    L_.triangularView<Eigen::Lower>().transpose().solveInPlace(x);
    return x;
  }

  MatrixView<const double> K_;
  double size_;
  const Context& context_;
  double rounding_, shift_ = 0;
  MatrixXd L_;
};

}  // namespace

double min_eigenvalue(MatrixView<const double> K, const Context& context) {
  const Index n = K.rows;
  double size = 0;
  for (Index i = 0; i < n; ++i)
    for (Index j = 0; j <= i; ++j) size = std::max(size, std::abs(K(i, j)));
  if (size == 0) return 0;

  constexpr Index kTiny = 32;
  if (n > kTiny) {
    const VectorXd v = ShiftAndInvert(K, size, context)();
    if (context.watch.stopped()) return 0;
    if (v.size() > 0) return rayleigh_quotient(K, v);
  }
  MatrixXd lower;
  copy_lower(K, 1, lower, context);
  const Eigen::SelfAdjointEigenSolver<MatrixXd> all(lower);
  return rayleigh_quotient(K, all.eigenvectors().col(0));
}

}  // namespace asymfast::cpu
