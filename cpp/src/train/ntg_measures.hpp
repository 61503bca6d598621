// The NTG of output 0 on the chosen samples, and the numbers that are recorded of it. Its
// eigenvalues cost q^3 / 3 flop each on q samples, all else q^2.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "asymfast/train.hpp"
#include "backend.hpp"
#include "train/vectors.hpp"

namespace asymfast {

template <class T>
class NtgMeasures {
 public:
  using Matrix = std::vector<double>;  // (q, q)

  NtgMeasures(const DataView<T>& train, const Recording& recording, const KernelTable& kernels)
      : train_(train), recording_(recording), kernels_(kernels) {}

  Matrix matrix(Index b, const NetworkView<T>& net, const Context& context) const {
    const DataView<T> data = train_.member(b);
    std::vector<T> rows;
    for (Index i : recording_.ntg_on)
      rows.insert(rows.end(), data.X.row(i), data.X.row(i) + net.d());
    std::vector<double> v(net.m());
    for (Index j = 0; j < net.m(); ++j) v[j] = net.lam[j] * std::pow(double(net.a(j, 0)), 2);
    const MatrixView<const T> X{rows.data(), size(), net.d()};
    Matrix K(size() * size());
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
    for (Index i = 0; i < size(); ++i) sum += K[i * (size() + 1)];
    return sum;
  }

  // <K, Y Y^T>_F / (|K|_F |Y Y^T|_F), the kernel-target alignment of Cristianini et al. (2001).
  double alignment(Index b, const Matrix& K) const {
    const MatrixView<const T> y = train_.member(b).y;
    double largest_K = 0, largest_y = 0;
    for (double k : K) largest_K = std::max(largest_K, std::abs(k));
    for (const Index i : recording_.ntg_on)
      for (Index q = 0; q < y.cols; ++q) largest_y = std::max(largest_y, std::abs(double(y(i, q))));
    const double unit_K = unit_of(largest_K), unit_y = unit_of(largest_y);
    double KY = 0, KK = 0, YY = 0;
    for (Index i = 0; i < size(); ++i)
      for (Index l = 0; l < size(); ++l) {
        double yy = 0;
        for (Index q = 0; q < y.cols; ++q)
          yy += double(y(sample(i), q)) / unit_y * (double(y(sample(l), q)) / unit_y);
        const double k = K[i * size() + l] / unit_K;
        KY += k * yy, KK += k * k, YY += yy * yy;
      }
    return KY / (std::sqrt(KK) * std::sqrt(YY));
  }

 private:
  Index size() const { return static_cast<Index>(recording_.ntg_on.size()); }
  Index sample(Index i) const { return recording_.ntg_on[i]; }

  const DataView<T>& train_;
  const Recording& recording_;
  const KernelTable& kernels_;
};

}  // namespace asymfast
