// Matrices and networks that own their memory, for programs without arrays of their own. All that
// the views offer, they offer; nothing here is needed to use the views.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "asymfast/initial.hpp"
#include "asymfast/train.hpp"

namespace asymfast {

// Row-major, as the views are, and converts to them.
template <class T>
class Matrix {
 public:
  Matrix() = default;
  Matrix(Index rows, Index cols) : Matrix(rows, cols, std::vector<T>(size_of(rows, cols))) {}
  Matrix(Index rows, Index cols, std::vector<T> values)
      : values_(std::move(values)), rows_(rows), cols_(cols) {
    if (values_.size() != size_of(rows, cols))
      throw std::invalid_argument("Matrix: values must be " + std::to_string(rows) + " x " +
                                  std::to_string(cols) + ", got " + std::to_string(values_.size()));
  }

  Index rows() const noexcept { return rows_; }
  Index cols() const noexcept { return cols_; }
  Index size() const noexcept { return rows_ * cols_; }
  T* data() noexcept { return values_.data(); }
  const T* data() const noexcept { return values_.data(); }
  T& operator()(Index i, Index j) noexcept { return view()(i, j); }
  const T& operator()(Index i, Index j) const noexcept { return view()(i, j); }

  // Valid as long as the matrix is.
  MatrixView<T> view() noexcept { return {values_.data(), rows_, cols_}; }
  MatrixView<const T> view() const noexcept { return {values_.data(), rows_, cols_}; }
  operator MatrixView<const T>() const noexcept { return view(); }

 private:
  static std::size_t size_of(Index rows, Index cols) {
    if (rows < 0 || cols < 0 || (cols > 0 && rows > std::numeric_limits<Index>::max() / cols))
      throw std::invalid_argument("Matrix: impossible shape (" + std::to_string(rows) + ", " +
                                  std::to_string(cols) + ")");
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols);
  }

  std::vector<T> values_;
  Index rows_ = 0, cols_ = 0;
};

// A network, immutable. Any number of threads may use one at the same time.
template <class T>
class Network {
 public:
  // W (m, d), a (m, k), lam (m,).
  Network(Matrix<T> W, Matrix<T> a, std::vector<double> lam, Activation activation)
      : W_(std::move(W)), a_(std::move(a)), lam_(std::move(lam)), activation_(activation) {
    const Index m = W_.rows();
    if (m < 1 || W_.cols() < 1 || a_.rows() != m || a_.cols() < 1 || Index(lam_.size()) != m)
      throw std::invalid_argument("Network: W (m, d), a (m, k) and lam (m,) must fit, got " +
                                  std::to_string(m) + ", " + std::to_string(a_.rows()) + " and " +
                                  std::to_string(lam_.size()) + " rows");
    for (const double value : lam_)
      if (!(value >= 0 && value <= std::numeric_limits<double>::max()))
        throw std::invalid_argument("Network: lam must be >= 0 and finite, got " +
                                    std::to_string(value));
  }

  // That of Assumption 2.3: lam by node_scaling, W and a by draw_weights.
  static Network init(Index d, Index m, double gamma, double alpha, Activation activation,
                      Index outputs, std::uint64_t seed) {
    std::vector<double> lam = node_scaling(m, gamma, alpha);
    Matrix<T> W(m, d), a(m, outputs);
    draw_weights(seed, W.view(), a.view());
    return {std::move(W), std::move(a), std::move(lam), activation};
  }

  // With the weights that member b of a run ended with.
  Network after(const RunResult<T>& run, Index b = 0) const {
    const auto part = [b](const std::vector<T>& all, Index size) {
      if (b < 0 || Index(all.size()) < (b + 1) * size)
        throw std::invalid_argument("Network::after: the run has no member " + std::to_string(b) +
                                    " of this shape");
      return std::vector<T>(all.begin() + b * size, all.begin() + (b + 1) * size);
    };
    return {Matrix<T>(m(), d(), part(run.W, W_.size())),
            Matrix<T>(m(), k(), part(run.a, a_.size())), lam_, activation_};
  }

  Index m() const noexcept { return W_.rows(); }
  Index d() const noexcept { return W_.cols(); }
  Index k() const noexcept { return a_.cols(); }
  const Matrix<T>& W() const noexcept { return W_; }
  const Matrix<T>& a() const noexcept { return a_; }
  const std::vector<double>& lam() const noexcept { return lam_; }
  Activation activation() const noexcept { return activation_; }

  NetworkView<T> view() const noexcept { return {W_, a_, lam_.data(), activation_}; }
  // An ensemble of this one, for training.
  EnsembleView<T> ensemble() const noexcept {
    return {1, m(), d(), k(), W_.data(), a_.data(), lam_.data(), activation_};
  }

  // f (n, k).
  Matrix<T> forward(MatrixView<const T> X, const Execution& exec = {}) const {
    Matrix<T> f(X.rows, k());
    asymfast::forward<T>(view(), X, f.view(), exec);
    return f;
  }
  double loss(MatrixView<const T> X, MatrixView<const T> y, Loss loss,
              const Execution& exec = {}) const {
    return asymfast::loss<T>(view(), X, y, loss, exec);
  }
  // (m, d)
  Matrix<T> node_gradients(MatrixView<const T> X, MatrixView<const T> y, Loss loss,
                           const Execution& exec = {}) const {
    Matrix<T> G(m(), d());
    asymfast::node_gradients<T>(view(), X, y, loss, G.view(), exec);
    return G;
  }
  // H (n, m).
  Matrix<T> features(MatrixView<const T> X, const Execution& exec = {}) const {
    Matrix<T> H(X.rows, m());
    asymfast::features<T>(view(), X, H.view(), exec);
    return H;
  }
  // The neural tangent Gram matrix (n, n) of output 0.
  Matrix<double> ntg(MatrixView<const T> X, const Execution& exec = {}) const {
    return ntg(X, X, 0, 0, exec);
  }
  // Between the rows of X (n, d) and X2 (n2, d), of outputs p and q: (n, n2).
  Matrix<double> ntg(MatrixView<const T> X, MatrixView<const T> X2, Index p = 0, Index q = 0,
                     const Execution& exec = {}) const {
    const std::vector<double> v = ntg_weights(p, q);
    Matrix<double> K(X.rows, X2.rows);
    asymfast::ntg<T>(view(), v.data(), X, X2, K.view(), exec);
    return K;
  }
  // v_j = lambda_j a_jp a_jq, which `ntg` and NtgOperator take.
  std::vector<double> ntg_weights(Index p = 0, Index q = 0) const {
    if (p < 0 || p >= k() || q < 0 || q >= k())
      throw std::invalid_argument("Network: outputs must be below " + std::to_string(k()) +
                                  ", got " + std::to_string(p) + " and " + std::to_string(q));
    std::vector<double> v = lam_;
    for (Index j = 0; j < m(); ++j) {
      double& v_j = v[j];
      v_j = v_j * double(a_(j, p)) * double(a_(j, q));
    }
    return v;
  }

 private:
  Matrix<T> W_, a_;
  std::vector<double> lam_;
  Activation activation_;
};

}  // namespace asymfast
