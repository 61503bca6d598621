// Eigenvectors and eigenvalues of matrices of the outputs, by the eigendecomposition of a backend
// or by products alone.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "archive.hpp"
#include "backend.hpp"
#include "engine.hpp"
#include "math/losses.hpp"
#include "train/vectors.hpp"

namespace asymfast {

// The eigenvectors U of a matrix near those of a small problem in the outputs: in their basis its
// modes hardly depend on each other.
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

// The solution of a small problem on one step or leap: r at its end, and its moments, the integrals
// or sums of r times the Lagrange polynomials of the points of the past, (points, N).
struct Solution {
  std::vector<double> r, moments;
  int iterations = 0;
  double flop = 0;
};

// Largest eigenvalue of the loss' Gauss-Newton matrix at the base of an engine of n samples and k
// outputs: its curvature times that of the neural tangent matrix of all outputs, by the Lanczos
// method on products with it. At most 30 products; a lower bound, within 1 % as a rule. Infinite
// where a product is not finite.
template <class T>
double largest_curvature(Engine<T>& engine, Loss loss, Index n, Index k, const KernelTable& kernels,
                         const Context& context) {
  constexpr Index kMost = 30;
  const Index size = n * k;
  engine.restart(context);
  const Index most = std::min(size, kMost);
  const auto dot = [](const std::vector<double>& a, const std::vector<double>& b) {
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
  };
  const auto length_of = [](const std::vector<double>& v) {
    return length(static_cast<Index>(v.size()), [&](Index i) { return v[i]; });
  };

  std::vector<std::vector<double>> basis(1);
  std::vector<double> diagonal, off_diagonal, w(size);
  for (Index i = 0; i < size; ++i)  // a fixed vector that no symmetry of the data annihilates
    basis[0].push_back(1 + 0.5 * std::sin(double(i + 1) * 1.7));
  double norm = length_of(basis[0]);
  for (Index j = 0; j < most; ++j) {
    std::vector<double>& q = basis.back();
    for (double& x : q) x /= norm;
    const std::vector<T> u(q.begin(), q.end());
    engine.ntg_product(u.data(), w.data(), context);
    diagonal.push_back(dot(q, w));
    if (!std::isfinite(diagonal.back())) return std::numeric_limits<double>::infinity();
    for (int pass = 0; pass < 2; ++pass)
      for (const auto& b : basis) {
        const double along = dot(b, w);
        for (Index i = 0; i < size; ++i) w[i] -= along * b[i];
      }
    norm = length_of(w);
    if (!(norm > 1e-6 * std::abs(diagonal[0])) || j + 1 == most) break;
    off_diagonal.push_back(norm);
    basis.push_back(w);
  }

  // -T has the wanted eigenvalue as its smallest.
  const Index steps = static_cast<Index>(diagonal.size());
  std::vector<double> minus_T(steps * steps);
  for (Index i = 0; i < steps; ++i) {
    minus_T[i * steps + i] = -diagonal[i];
    if (i > 0) minus_T[i * steps + i - 1] = -off_diagonal[i - 1];
  }
  return loss_curvature(loss, n, k) *
         std::max(0.0, -kernels.min_eigenvalue({minus_T.data(), steps, steps}, context));
}

// ---- pieces of subspace iteration

// Rows of E become orthogonal to the orthonormal rows of V and to each other, of length 1; those
// that depend on the others go. Returns how many are left. All sets of vectors are rows, (rows, N).
inline Index orthonormalise(const KernelTable& kernels, std::vector<double>& E,
                            const std::vector<double>& V, Index N, const Context& context) {
  auto rows = static_cast<Index>(E.size()) / N;
  const Index p = static_cast<Index>(V.size()) / N;
  for (int pass = 0; pass < 3 && rows > 0; ++pass) {
    std::vector<double> columns = transposed(E, rows, N);
    if (p > 0) {
      const std::vector<double> inside = product(kernels, p, N, rows, V.data(), columns.data());
      const std::vector<double> shares = transposed(inside, p, rows);
      E = difference(E, product(kernels, rows, p, N, shares.data(), V.data()));
      columns = transposed(E, rows, N);
    }
    const std::vector<double> G = product(kernels, rows, N, rows, E.data(), columns.data());
    std::vector<double> U(G.size()), lengths2(rows);
    kernels.eigen_decomposition({G.data(), rows, rows}, lengths2.data(), {U.data(), rows, rows},
                                context);
    std::vector<double> turn;
    Index left = 0;
    for (Index l = rows; l-- > 0;) {
      if (!(lengths2[l] > 1e-12 * lengths2.back())) continue;
      ++left;
      for (Index i = 0; i < rows; ++i) turn.push_back(U[i * rows + l] / std::sqrt(lengths2[l]));
    }
    E = product(kernels, left, rows, N, turn.data(), E.data());
    rows = left;
  }
  return rows;
}

// The eigenvectors of a symmetric matrix within the span of the orthonormal rows of E, and their
// eigenvalues, falling; Y (N, rows): the products of the matrix with these rows.
inline std::vector<double> ritz_vectors(const KernelTable& kernels, const std::vector<double>& E,
                                        const std::vector<double>& Y, Index N,
                                        std::vector<double>& values, const Context& context) {
  const Index rows = static_cast<Index>(E.size()) / N;
  const std::vector<double> K = product(kernels, rows, N, rows, E.data(), Y.data());
  const std::vector<double> S = symmetric_part(K.data(), rows);
  std::vector<double> U(K.size()), turn(K.size()), theta(rows);
  kernels.eigen_decomposition({S.data(), rows, rows}, theta.data(), {U.data(), rows, rows},
                              context);
  for (Index i = 0; i < rows; ++i)
    for (Index l = 0; l < rows; ++l) turn[(rows - 1 - l) * rows + i] = U[i * rows + l];
  values.assign(theta.rbegin(), theta.rend());
  return product(kernels, rows, rows, N, turn.data(), E.data());
}

}  // namespace asymfast
