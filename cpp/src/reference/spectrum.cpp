// Eigenvalues by Jacobi's method: rotate the largest off-diagonal parts away, sweep by sweep.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "backend.hpp"

namespace asymfast::reference {

namespace {

// A (n, n), symmetric: its diagonal becomes the eigenvalues. V, unless empty, gets the rotations:
// if it was the identity, its columns become the eigenvectors.
void diagonalise(MatrixView<double> A, MatrixView<double> V, const Context& context) {
  const Index n = A.rows;
  double largest = 0, norm2 = 0;
  for (Index i = 0; i < A.size(); ++i) largest = std::max(largest, std::abs(A.data[i]));
  int exponent = 0;  // by a power of two, so that no square overflows or vanishes
  std::frexp(largest, &exponent);
  for (Index i = 0; i < A.size(); ++i) A.data[i] = std::ldexp(A.data[i], -exponent);
  for (Index i = 0; i < A.size(); ++i) norm2 += A.data[i] * A.data[i];
  const auto off_diagonal2 = [&] {
    double sum = 0;
    for (Index i = 0; i < n; ++i)
      for (Index j = 0; j < i; ++j) sum += 2 * A(i, j) * A(i, j);
    return sum;
  };
  const auto rotate_columns = [](MatrixView<double> M, Index p, Index q, double c, double s) {
    for (Index i = 0; i < M.rows; ++i) {
      const double ip = M(i, p), iq = M(i, q);
      M(i, p) = c * ip - s * iq;
      M(i, q) = s * ip + c * iq;
    }
  };
  const double eps = std::numeric_limits<double>::epsilon();
  for (int sweep = 0; sweep < 60 && off_diagonal2() > eps * eps * norm2; ++sweep)
    for (Index p = 0; p < n; ++p) {
      context.watch.tick();
      for (Index q = 0; q < p; ++q) {
        if (A(p, q) == 0) continue;
        const double tau = (A(q, q) - A(p, p)) / (2 * A(p, q));
        const double t = (tau >= 0 ? 1 : -1) / (std::abs(tau) + std::hypot(1.0, tau));
        const double c = 1 / std::hypot(1.0, t), s = c * t;
        rotate_columns(A, p, q, c, s);
        for (Index i = 0; i < n; ++i) {
          const double pi = A(p, i), qi = A(q, i);
          A(p, i) = c * pi - s * qi;
          A(q, i) = s * pi + c * qi;
        }
        rotate_columns(V, p, q, c, s);
      }
    }
  for (Index i = 0; i < n; ++i) A(i, i) = std::ldexp(A(i, i), exponent);
}

// The whole of a symmetric matrix of which only the lower triangle is read.
std::vector<double> mirrored(MatrixView<const double> K) {
  std::vector<double> copy(K.size());
  for (Index i = 0; i < K.rows; ++i)
    for (Index j = 0; j < K.rows; ++j) copy[i * K.rows + j] = i >= j ? K(i, j) : K(j, i);
  return copy;
}

void eigen_decomposition(MatrixView<const double> K, double* values, MatrixView<double> vectors,
                         const Context& context) {
  const Index n = K.rows;
  std::vector<double> copy = mirrored(K), rotations(copy.size());
  const MatrixView<double> A{copy.data(), n, n}, V{rotations.data(), n, n};
  for (Index i = 0; i < n; ++i) V(i, i) = 1;
  diagonalise(A, V, context);
  std::vector<Index> order(n);
  std::iota(order.begin(), order.end(), Index(0));
  std::stable_sort(order.begin(), order.end(), [&](Index i, Index j) { return A(i, i) < A(j, j); });
  for (Index l = 0; l < n; ++l) {
    const Index from = order[l];
    values[l] = A(from, from);
    for (Index i = 0; i < n; ++i) vectors(i, l) = V(i, from);
  }
}

double min_eigenvalue(MatrixView<const double> K, const Context& context) {
  std::vector<double> copy = mirrored(K);
  const MatrixView<double> A{copy.data(), K.rows, K.rows};
  diagonalise(A, {nullptr, 0, 0}, context);
  double smallest = A(0, 0);
  for (Index i = 1; i < K.rows; ++i) smallest = std::fmin(smallest, A(i, i));
  return smallest;
}

void product(MatrixView<const double> A, MatrixView<const double> B, MatrixView<double> C) {
  for (Index i = 0; i < A.rows; ++i)
    for (Index j = 0; j < B.cols; ++j) {
      double sum = 0;
      for (Index l = 0; l < A.cols; ++l) sum += A(i, l) * B(l, j);
      C(i, j) = sum;
    }
}

}  // namespace

void add_matrices(KernelTable& table) {
  table.min_eigenvalue = &min_eigenvalue;
  table.eigen_decomposition = &eigen_decomposition;
  table.product = &product;
}

}  // namespace asymfast::reference
