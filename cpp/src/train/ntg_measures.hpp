// The NTG of output 0 on the chosen samples, and the numbers that are recorded of it. Its
// eigenvalues cost q^3 / 3 flop each on q samples, all else q^2.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "asymfast/train.hpp"
#include "backend.hpp"
#include "ranks.hpp"

namespace asymfast {

// |A - B|_F.
inline double frobenius_distance(const std::vector<double>& A, const std::vector<double>& B) {
  double sum = 0;
  for (std::size_t i = 0; i < A.size(); ++i) sum += std::pow(A[i] - B[i], 2);
  return std::sqrt(sum);
}

template <class T>
class NtgMeasures {
 public:
  using Matrix = std::vector<double>;  // (q, q)

  NtgMeasures(const DataView<T>& train, const Recording& recording, const KernelTable& kernels)
      : train_(train), recording_(recording), kernels_(kernels) {}

  bool wanted() const {
    const Recording& r = recording_;
    return r.ntg_change || r.ntg_change_2norm || r.eigmin || r.eigmax || r.alignment ||
           r.effective_rank || r.ntg_matrix;
  }

  Matrix matrix(Index b, const NetworkView<T>& net, const Context& context) const {
    const DataView<T> data = train_.member(b);
    std::vector<T> rows;
    for (Index i : recording_.ntg_on)
      rows.insert(rows.end(), data.X.row(i), data.X.row(i) + net.d());
    std::vector<double> v(static_cast<std::size_t>(net.m()));
    for (Index j = 0; j < net.m(); ++j)
      v[static_cast<std::size_t>(j)] = net.lam[j] * std::pow(double(net.a(j, 0)), 2);
    const MatrixView<const T> X{rows.data(), size(), net.d()};
    Matrix K(static_cast<std::size_t>(size() * size()));
    kernels_.of<T>().ntg(net, v.data(), X, X, true, {K.data(), size(), size()}, context);
    sum_over_ranks(K.data(), size() * size(), context);
    return K;
  }

  double eigmin(const Matrix& K, const Context& context) const {
    return kernels_.min_eigenvalue({K.data(), size(), size()}, context);
  }

  double eigmax(Matrix K, const Context& context) const {
    for (double& x : K) x = -x;
    return -eigmin(K, context);
  }

  // |A - B|_2 of symmetric matrices.
  double spectral_distance(Matrix A, const Matrix& B, const Context& context) const {
    for (std::size_t i = 0; i < A.size(); ++i) A[i] -= B[i];
    return std::max({0.0, eigmax(A, context), -eigmin(A, context)});  // the first of equals: not -0
  }

  double trace(const Matrix& K) const {
    double sum = 0;
    for (Index i = 0; i < size(); ++i) sum += K[static_cast<std::size_t>(i * (size() + 1))];
    return sum;
  }

  // <K, Y Y^T>_F / (|K|_F |Y Y^T|_F), the kernel-target alignment of Cristianini et al. (2001).
  double alignment(Index b, const Matrix& K) const {
    const MatrixView<const T> y = train_.member(b).y;
    double product = 0, norm_K = 0, norm_Y = 0;
    for (Index i = 0; i < size(); ++i)
      for (Index l = 0; l < size(); ++l) {
        double yy = 0;
        for (Index q = 0; q < y.cols; ++q) yy += double(y(sample(i), q)) * double(y(sample(l), q));
        const double k = K[static_cast<std::size_t>(i * size() + l)];
        product += k * yy;
        norm_K += k * k;
        norm_Y += yy * yy;
      }
    return product / (std::sqrt(norm_K) * std::sqrt(norm_Y));
  }

 private:
  Index size() const { return static_cast<Index>(recording_.ntg_on.size()); }
  Index sample(Index i) const { return recording_.ntg_on[static_cast<std::size_t>(i)]; }

  const DataView<T>& train_;
  const Recording& recording_;
  const KernelTable& kernels_;
};

}  // namespace asymfast
