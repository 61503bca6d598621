// Dense matrices in double: eigenvalues and products. The smallest eigenvalue of a symmetric matrix
// is found by Lanczos iterations on the inverse.
//
// A neural tangent Gram matrix is positive semi-definite: K + delta I with delta a few roundings of
// |K| has a Cholesky factor, and the Krylov space of its inverse finds the smallest eigenvector in
// a few dozen solves, also when it is clustered. The eigenvalue is then the Rayleigh quotient of
// that vector with K itself, in extended precision: its error is of second order in the vector's,
// far below the rounding of K, and the shift has no part in it. A matrix without a factor is not
// positive semi-definite: Lanczos iterations on K itself then say how far it must be shifted. Tiny
// matrices are left to Eigen's QR algorithm.
//
// Cost: n^3 / 3 flop and n^2 / 2 numbers a factor (one for a positive semi-definite K, another
// where eigenvalues crowd at its lower end, two or three for other matrices), 2 n^2 a solve.
#include <Eigen/Eigenvalues>
#include <cmath>
#include <limits>
#include <numeric>

#include "backend.hpp"
#include "cpu/cholesky.hpp"

namespace asymfast::cpu {

namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

// work(piece, rows) for each of a few pieces of the rows of a lower triangle, with about as many
// numbers in each, by several threads where that pays.
constexpr Index kPieces = 8;
template <class Work>
void for_pieces(Index n, const Context& context, Work&& work) {
  const auto edge = [n](Index p) { return Index(double(n) * std::sqrt(double(p) / kPieces)); };
  parallel_for(context, kPieces, Share::in_turn, n > 512 ? context.threads : 1,
               [&](Index p, Index) { work(p, Range{edge(p), edge(p + 1)}); });
}

// v' K v / v' v; only the lower triangle of K is read.
double rayleigh_quotient(MatrixView<const double> K, const VectorXd& v, const Context& context) {
  long double quadratic[kPieces] = {}, norm2[kPieces] = {};
  for_pieces(K.rows, context, [&](Index p, Range rows) {
    for (Index i = rows.first; i < rows.last; ++i) {
      const double* row = K.row(i);
      long double below = 0;
      for (Index j = 0; j < i; ++j) below += (long double)(row[j]) * v[j];
      quadratic[p] += v[i] * (2 * below + (long double)(row[i]) * v[i]);
      norm2[p] += (long double)(v[i]) * v[i];
    }
  });
  return double(std::accumulate(quadratic, quadratic + kPieces, 0.0L) /
                std::accumulate(norm2, norm2 + kPieces, 0.0L));
}

// K x / size for a symmetric K, of which only the lower triangle is read. The pieces' results are
// added in their order.
VectorXd product_over_size(MatrixView<const double> K, double size, const VectorXd& x,
                           const Context& context) {
  const double root = std::sqrt(size);  // 1 / size may not be a normal number
  const VectorXd scaled = x / root;
  MatrixXd sums = MatrixXd::Zero(K.rows, kPieces);
  for_pieces(K.rows, context, [&](Index p, Range rows) {
    auto sum = sums.col(p);
    for (Index i = rows.first; i < rows.last; ++i) {
      const Eigen::Map<const VectorXd> row(K.row(i), i);
      sum[i] += row.dot(scaled.head(i)) + K(i, i) * scaled[i];
      sum.head(i) += scaled[i] * row;
    }
  });
  return sums.rowwise().sum() / root;
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

// When iterations end: with a residual below `tolerance` times the value, which is less by the cube
// of value / far where the value is below `far`; after `most` of them; or after `patience` of them
// that have not come within a thousandth.
struct Limits {
  Index most, patience;
  double tolerance, far = 0;
};

template <class Operator>
Dominant dominant(Operator&& apply, Index n, const Limits& limits, const Context& context) {
  Dominant found;
  const Index most = std::min(n, limits.most);
  MatrixXd basis(n, most);
  VectorXd diagonal(most), off_diagonal(most);
  basis.col(0) = starting_vector(n);
  for (Index j = 0; j < most; ++j) {
    context.watch.tick();
    VectorXd w = apply(basis.col(j));
    diagonal[j] = basis.col(j).dot(w);
    for (int pass = 0; pass < 2; ++pass)  // twice is enough: orthogonal to rounding
      w -= basis.leftCols(j + 1) * (basis.leftCols(j + 1).transpose() * w);
    off_diagonal[j] = w.norm();

    Eigen::SelfAdjointEigenSolver<MatrixXd> ritz;
    ritz.computeFromTridiagonal(diagonal.head(j + 1), off_diagonal.head(j));
    found.value = ritz.eigenvalues()[j];
    found.residual = off_diagonal[j] * std::abs(ritz.eigenvectors()(j, j));
    const double value = std::abs(found.value), relative = found.residual / value;
    const bool slow = j + 1 == limits.patience && relative > 1e-3;
    // Where all eigenvalues are close the start itself has a small residual, but not the largest.
    const double share = std::min(1.0, value / limits.far);
    const bool close =
        relative == 0 || (j > 0 && relative <= limits.tolerance * share * share * share);
    if (close || slow || j + 1 == most) {
      found.vector = basis.leftCols(j + 1) * ritz.eigenvectors().col(j);
      break;
    }
    basis.col(j + 1) = w / off_diagonal[j];
  }
  return found;
}

// The smallest eigenvector of a symmetric K (its lower triangle), from factors of A + s I with A =
// K over its size, so that no square overflows.
class ShiftAndInvert {
 public:
  ShiftAndInvert(MatrixView<const double> K, double size, const Context& context)
      : K_(K),
        size_(size),
        context_(context),
        rounding_(4 * double(K.rows) * std::numeric_limits<double>::epsilon()),
        factor_(K.rows, context) {}

  // Empty if it cannot be found so.
  VectorXd operator()() {
    if (!factorise_with(rounding_) && !factorise_beyond_the_spectrum()) return {};
    // Where eigenvalues crowd at the lower end, a shift that is closer to it tells them apart, for
    // less than many solves.
    for (int closer = 0; closer < 8; ++closer) {
      const Index patience = closer < 3 ? kPatience : kIterations;
      const Dominant found = dominant([this](const VectorXd& b) { return factor_.solve(b); },
                                      K_.rows, {kIterations, patience, kTolerance, kFar}, context_);
      const double relative = found.residual / found.value;
      if (relative <= kTolerance || K_.rows <= patience)
        return factor_.solve(found.vector).normalized();
      if (!come_closer(1 / found.value, std::max(1e-3, 2 * relative))) return {};
    }
    return {};
  }

 private:
  static constexpr Index kIterations = 150, kPatience = 24;
  // Of the eigenvalue; the Rayleigh quotient's error is its square over the gap to the next one, or
  // itself where the gap is smaller. Where all eigenvalues are close, and so none is far below the
  // largest entry, the start has a small residual but only 1 / sqrt(n) of the vector sought.
  static constexpr double kTolerance = 1e-9, kFar = 20;

  bool factorise_with(double shift) {
    shift_ = shift;
    return factor_.factorise(K_, size_, shift);
  }

  // A is not positive semi-definite: by how much, Lanczos iterations on A say.
  bool factorise_beyond_the_spectrum() {
    const auto minus_A = [this](const VectorXd& x) -> VectorXd {
      return -product_over_size(K_, size_, x, context_);
    };
    const Dominant lowest = dominant(minus_A, K_.rows, {60, 60, 1e-3}, context_);
    double beyond = std::max(2 * lowest.residual, 100 * rounding_);
    for (int attempt = 0; attempt < 6; ++attempt, beyond *= 8)
      if (factorise_with(lowest.value + beyond)) return true;
    return false;
  }

  // `distance` is at least that of -shift from the smallest eigenvalue, by less than about `margin`
  // of it.
  bool come_closer(double distance, double margin) {
    const double shift = shift_;
    while (margin < 1) {
      if (factorise_with(shift - (1 - margin) * distance)) return true;
      margin *= 8;
    }
    return false;
  }

  MatrixView<const double> K_;
  double size_;
  const Context& context_;
  double rounding_, shift_ = 0;
  CholeskyFactor factor_;
};

double min_eigenvalue(MatrixView<const double> K, const Context& context) {
  const Index n = K.rows;
  double size = 0;
  for (Index i = 0; i < n; ++i)
    size = std::max(size, Eigen::Map<const VectorXd>(K.row(i), i + 1).cwiseAbs().maxCoeff());
  if (size == 0) return 0;

  constexpr Index kTiny = 32;
  if (n > kTiny) {
    const VectorXd v = ShiftAndInvert(K, size, context)();
    if (v.size() > 0) return rayleigh_quotient(K, v, context);
  }
  const Eigen::Map<const MatrixXd> by_columns(K.data, n, n);  // K's lower triangle is its upper one
  const Eigen::SelfAdjointEigenSolver<MatrixXd> all(by_columns.transpose());
  return rayleigh_quotient(K, all.eigenvectors().col(0), context);
}

using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Eigen::Map<const RowMajor> matrix(MatrixView<const double> A) {
  return {A.data, A.rows, A.cols};
}

// The other two serve matrices of the size of an NTG, by one thread: what is computed with them is
// small beside a gradient, and the same for any number of threads.

// Householder's tridiagonal form and the QR algorithm; 9 n^3 flop.
void eigen_decomposition(MatrixView<const double> K, double* values, MatrixView<double> vectors,
                         const Context& context) {
  context.watch.tick();
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> all(matrix(K));
  Eigen::Map<Eigen::VectorXd>(values, K.rows) = all.eigenvalues();
  Eigen::Map<RowMajor>(vectors.data, K.rows, K.rows) = all.eigenvectors();
}

// Of small matrices Eigen sums in an order that depends on where C lies in memory.
constexpr Index kSmall = 20;  // EIGEN_GEMM_TO_COEFFBASED_THRESHOLD

void product(MatrixView<const double> A, MatrixView<const double> B, MatrixView<double> C) {
  if (C.rows + C.cols + A.cols < kSmall) {
    for (Index i = 0; i < C.rows; ++i)
      for (Index j = 0; j < C.cols; ++j) {
        double sum = 0;
        for (Index l = 0; l < A.cols; ++l) sum += A(i, l) * B(l, j);
        C(i, j) = sum;
      }
    return;
  }
  Eigen::Map<RowMajor> out(C.data, C.rows, C.cols);
  if (B.cols == 1)
    out.col(0).noalias() = matrix(A) * matrix(B).col(0);
  else
    out.noalias() = matrix(A) * matrix(B);
}

}  // namespace

void add_matrices(KernelTable& table) {
  table.min_eigenvalue = &min_eigenvalue;
  table.eigen_decomposition = &eigen_decomposition;
  table.product = &product;
}

}  // namespace asymfast::cpu
