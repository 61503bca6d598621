// Dense linear algebra in double for matrices of the size of an NTG. One thread: what is computed
// with it is small beside a gradient, and the same for any number of threads.
#include <Eigen/Core>
#include <Eigen/Eigenvalues>

#include "backend.hpp"

namespace asymfast::cpu {

namespace {

using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Eigen::Map<const RowMajor> matrix(MatrixView<const double> A) {
  return {A.data, A.rows, A.cols};
}

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

void add_dense(KernelTable& table) {
  table.eigen_decomposition = &eigen_decomposition;
  table.product = &product;
}

}  // namespace asymfast::cpu
