// The eigenvectors U of a matrix near those of a small problem in the outputs: in their basis its
// modes hardly depend on each other.
#pragma once

#include <vector>

#include "archive.hpp"
#include "train/vectors.hpp"

namespace asymfast {

class Eigenbasis {
 public:
  explicit Eigenbasis(const KernelTable& kernels) : kernels_(&kernels) {}

  // Of the symmetric part of A (N, N).
  void set(const double* A, Index N, const Context& context) {
    values_.resize(N);
    vectors_.resize(N * N);
    const std::vector<double> symmetric = symmetric_part(A, N);
    kernels_->eigen_decomposition({symmetric.data(), N, N}, values_.data(), {vectors_.data(), N, N},
                                  context);
    transposed_ = transposed(vectors_, N, N);
  }

  Index size() const { return static_cast<Index>(values_.size()); }
  double operator[](Index mode) const { return values_[mode]; }  // its eigenvalue, rising
  double largest() const { return values_.empty() ? 0 : values_.back(); }

  // Rows of v (rows, N) into the basis, v U, and out of it, v U^T.
  std::vector<double> into(const std::vector<double>& v) const { return times(v, vectors_); }
  std::vector<double> out_of(const std::vector<double>& v) const { return times(v, transposed_); }

  // U^T A_i U v_i for each row v_i of v (rows, N) and its A_i, A (rows, N, N).
  std::vector<double> apply(const std::vector<double>& A, const std::vector<double>& v) const {
    const Index N = size();
    const std::vector<double> outside = out_of(v);
    std::vector<double> products(v.size());
    for (Index i = 0; i * N < static_cast<Index>(v.size()); ++i)
      kernels_->product({A.data() + i * N * N, N, N}, {outside.data() + i * N, N, 1},
                        {products.data() + i * N, N, 1});
    return into(products);
  }

  // N: 0 while there is none.
  void serialise(Archive& archive, Index N) {
    archive(values_, N), archive(vectors_, N * N);
    transposed_ = transposed(vectors_, N, N);
  }

 private:
  std::vector<double> times(const std::vector<double>& v, const std::vector<double>& U) const {
    const Index N = size(), rows = N > 0 ? static_cast<Index>(v.size()) / N : 0;
    return product(*kernels_, rows, N, N, v.data(), U.data());
  }

  const KernelTable* kernels_;
  std::vector<double> values_, vectors_, transposed_;  // U diag(values) U^T; U; U^T
};

}  // namespace asymfast
