// The network f(x) = sum_j sqrt(lambda_j) a_j sigma(w_j.x / sqrt d), Eq. (2), and what can be
// computed of it at given weights. T is float or double. All arrays are row-major; outputs belong
// to the caller. Shapes that do not fit throw std::invalid_argument; values are taken as they are.
#pragma once

#include "asymfast/activation.hpp"
#include "asymfast/execution.hpp"
#include "asymfast/export.h"
#include "asymfast/loss.hpp"
#include "asymfast/views.hpp"

namespace asymfast {

template <class T>
struct NetworkView {
  MatrixView<const T> W;  // (m, d) input weights, one node a row
  MatrixView<const T> a;  // (m, k) output weights
  const double* lam;      // (m,) node scalings, >= 0
  Activation activation;

  Index m() const noexcept { return W.rows; }
  Index d() const noexcept { return W.cols; }
  Index k() const noexcept { return a.cols; }
};

// f (n, k) for X (n, d). Cost: 2 n m (d + k) flop.
template <class T>
ASYMFAST_API void forward(const NetworkView<T>& net, MatrixView<const T> X, MatrixView<T> f,
                          const Execution& exec = {});

// The loss of f(X) against y (n, k).
template <class T>
ASYMFAST_API double loss(const NetworkView<T>& net, MatrixView<const T> X, MatrixView<const T> y,
                         Loss loss, const Execution& exec = {});

// G (m, d): dL/dw_j, one node a row. Cost: 4 n m d flop.
template <class T>
ASYMFAST_API void node_gradients(const NetworkView<T>& net, MatrixView<const T> X,
                                 MatrixView<const T> y, Loss loss, MatrixView<T> G,
                                 const Execution& exec = {});

// G (m, d) = J^T u, the gradient in W of sum_iq u_iq f_q(x_i) for any u (n, k). Cost: 4 n m d flop.
template <class T>
ASYMFAST_API void pullback(const NetworkView<T>& net, MatrixView<const T> X, MatrixView<const T> u,
                           MatrixView<T> G, const Execution& exec = {});

// An upper bound of the largest eigenvalue of the loss' Gauss-Newton matrix J^T (d^2 L / df^2) J in
// W, exact for sums of squares, up to about 1 % from below by the Lanczos method: gradient descent
// is stable to steps of 2 over it. both_layers: in W and a, where both are trained. Cost: that of
// at most 30 gradients and forward passes.
template <class T>
ASYMFAST_API double curvature(const NetworkView<T>& net, MatrixView<const T> X, Loss loss,
                              bool both_layers = false, const Execution& exec = {});

// H (n, m): sqrt(lambda_j) sigma(Z_j(x_i)).
template <class T>
ASYMFAST_API void features(const NetworkView<T>& net, MatrixView<const T> X, MatrixView<T> H,
                           const Execution& exec = {});

// Neural tangent Gram matrix, Eq. (5), between the rows of X (n, d) and X2 (n2, d):
//   K_il = (x_i.x2_l / d) sum_j v_j sigma'(Z_j(x_i)) sigma'(Z_j(x2_l)),   K (n, n2),
// with v_j = lambda_j a_jp a_jq for the block of outputs p and q, or lambda_j split as in Prop.
// D.1; the caller passes v (m,), net.a and net.lam are not read. E is double, or T: the same sums
// in double, rounded. X2.data == X.data and equal rows: the symmetric case, at half the cost and
// exactly symmetric. Cost: 2 n n2 m flop, half if symmetric.
template <class T, class E>
ASYMFAST_API void ntg(const NetworkView<T>& net, const double* v, MatrixView<const T> X,
                      MatrixView<const T> X2, MatrixView<E> K, const Execution& exec = {});

// Smallest eigenvalue of the symmetric matrix K (n, n); the lower triangle is read. Absolute error
// below 1e-13 of the largest absolute eigenvalue; relative error below 1e-6 wherever the eigenvalue
// exceeds 1e-10 of the largest. Cost: n^3/3 flop for a positive semi-definite K.
ASYMFAST_API double min_eigenvalue(MatrixView<const double> K, const Execution& exec = {});

// sigma (order 0), sigma' (1) or sigma'' (2) of z, element by element, as the kernels compute them.
template <class T>
ASYMFAST_API void activation_values(Activation activation, int order, const T* z, Index count,
                                    T* out, const Execution& exec = {});

}  // namespace asymfast
