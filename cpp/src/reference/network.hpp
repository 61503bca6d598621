// The activations, the network, its gradients and its NTG in plain functions that read like the
// paper: sequential, in double, never optimised. The fast backends are tested against this file.
#pragma once

#include <cmath>
#include <vector>

#include "backend.hpp"

namespace asymfast::reference {

inline double logistic(double z) {
  return z >= 0 ? 1 / (1 + std::exp(-z)) : std::exp(z) / (1 + std::exp(z));
}
inline double normal_density(double z) {
  return 0.39894228040143267794 * std::exp(-z * z / 2);
}
inline double normal_cdf(double z) {
  return std::erfc(-z * 0.70710678118654752440) / 2;
}

inline double sigma(Activation activation, double z) {
  switch (activation) {
    case Activation::swish: return z * logistic(z);
    case Activation::relu: return z > 0 ? z : 0;
    case Activation::tanh: return std::tanh(z);
    case Activation::erf: return std::erf(z);
    case Activation::gelu: return z * normal_cdf(z);
    case Activation::softplus: return (z > 0 ? z : 0) + std::log1p(std::exp(-std::abs(z)));
    case Activation::sigmoid: return logistic(z);
    case Activation::sin: return std::sin(z);
    case Activation::cos: return std::cos(z);
    case Activation::identity: break;
  }
  return z;
}

inline double sigma_prime(Activation activation, double z) {
  const double s = logistic(z), c = logistic(-z);  // c = 1 - s without cancellation
  switch (activation) {
    case Activation::swish: return s + z * s * c;
    case Activation::relu: return z > 0 ? 1 : 0;
    case Activation::tanh: return std::pow(std::cosh(z), -2);
    case Activation::erf: return 1.1283791670955125739 * std::exp(-z * z);
    case Activation::gelu: return normal_cdf(z) + z * normal_density(z);
    case Activation::softplus: return s;
    case Activation::sigmoid: return s * c;
    case Activation::sin: return std::cos(z);
    case Activation::cos: return -std::sin(z);
    case Activation::identity: break;
  }
  return 1;
}

inline double sigma_second(Activation activation, double z) {
  const double s = logistic(z), c = logistic(-z);
  switch (activation) {
    case Activation::swish: return s * c * (2 + z * (c - s));
    case Activation::relu: return 0;
    case Activation::tanh: return -2 * std::tanh(z) * sigma_prime(activation, z);
    case Activation::erf: return sigma_prime(activation, z) * z * -2;  // 0 z before z overflows
    case Activation::gelu: return 2 * normal_density(z) - normal_density(z) * z * z;
    case Activation::softplus: return s * c;
    case Activation::sigmoid: return s * c * (c - s);
    case Activation::sin: return -std::sin(z);
    case Activation::cos: return -std::cos(z);
    case Activation::identity: break;
  }
  return 0;
}

// Z_j(x) = w_j.x / sqrt d.
template <class T>
double preactivation(const T* w, const T* x, Index d) {
  double z = 0;
  for (Index l = 0; l < d; ++l) z += double(w[l]) * double(x[l]);
  return z / std::sqrt(double(d));
}

// f_q(x_i) = sum_j sqrt(lambda_j) a_jq sigma(Z_j(x_i)).
template <class T>
void forward(const NetworkView<T>& net, MatrixView<const T> X, double* f, const Context& context) {
  for (Index i = 0; i < X.rows; ++i) {
    context.watch.tick();
    double* fi = f + i * net.k();
    for (Index q = 0; q < net.k(); ++q) fi[q] = 0;
    for (Index j = 0; j < net.m(); ++j) {
      const double z = preactivation(net.W.row(j), X.row(i), net.d());
      for (Index q = 0; q < net.k(); ++q)
        fi[q] += std::sqrt(net.lam[j]) * double(net.a(j, q)) * sigma(net.activation, z);
    }
  }
}

// dL/dw_j = sum_iq dL/df_iq sqrt(lambda_j) a_jq sigma'(Z_j(x_i)) x_i / sqrt d.
template <class T>
void node_gradients(const NetworkView<T>& net, MatrixView<const T> X, const T* residual,
                    MatrixView<T> G, const Context& context) {
  const double root_d = std::sqrt(double(net.d()));
  std::vector<double> g(net.d());
  for (Index j = 0; j < net.m(); ++j) {
    context.watch.tick();
    g.assign(g.size(), 0);
    for (Index i = 0; i < X.rows; ++i) {
      double r = 0;
      for (Index q = 0; q < net.k(); ++q)
        r += double(residual[i * net.k() + q]) * double(net.a(j, q));
      const double z = preactivation(net.W.row(j), X.row(i), net.d());
      const double dz = std::sqrt(net.lam[j]) * r * sigma_prime(net.activation, z) / root_d;
      for (Index l = 0; l < net.d(); ++l) g[l] += dz * double(X(i, l));
    }
    for (Index l = 0; l < net.d(); ++l) G(j, l) = T(g[l]);
  }
}

// The outputs' derivative along the direction G (m, d):
//   (J G)_iq = sum_j sqrt(lambda_j) a_jq sigma'(Z_j(x_i)) x_i.g_j / sqrt d.
template <class T>
void jvp(const NetworkView<T>& net, MatrixView<const T> X, MatrixView<const T> G, double* out,
         const Context& context) {
  for (Index i = 0; i < X.rows; ++i)
    for (Index q = 0; q < net.k(); ++q) {
      context.watch.tick();
      double sum = 0;
      for (Index j = 0; j < net.m(); ++j)
        sum += std::sqrt(net.lam[j]) * double(net.a(j, q)) *
               sigma_prime(net.activation, preactivation(net.W.row(j), X.row(i), net.d())) *
               preactivation(G.row(j), X.row(i), net.d());
      out[i * net.k() + q] = sum;
    }
}

// H_ij = sqrt(lambda_j) sigma(Z_j(x_i)).
template <class T>
void features(const NetworkView<T>& net, MatrixView<const T> X, MatrixView<T> H,
              const Context& context) {
  for (Index i = 0; i < X.rows; ++i) {
    context.watch.tick();
    for (Index j = 0; j < net.m(); ++j)
      H(i, j) = T(std::sqrt(net.lam[j]) *
                  sigma(net.activation, preactivation(net.W.row(j), X.row(i), net.d())));
  }
}

// K_il = (x_i.x2_l / d) sum_j v_j sigma'(Z_j(x_i)) sigma'(Z_j(x2_l)), Eqs. (4) and (5).
template <class T, class E>
void ntg(const NetworkView<T>& net, const double* v, MatrixView<const T> X, MatrixView<const T> X2,
         bool symmetric, MatrixView<E> K, const Context& context) {
  for (Index i = 0; i < X.rows; ++i)
    for (Index l = 0; l < (symmetric ? i + 1 : X2.rows); ++l) {
      context.watch.tick();
      double product = 0, sum = 0;
      for (Index c = 0; c < X.cols; ++c) product += double(X(i, c)) * double(X2(l, c));
      for (Index j = 0; j < net.m(); ++j)
        sum += v[j] * sigma_prime(net.activation, preactivation(net.W.row(j), X.row(i), net.d())) *
               sigma_prime(net.activation, preactivation(net.W.row(j), X2.row(l), net.d()));
      K(i, l) = E(product / double(net.d()) * sum);
      if (symmetric) K(l, i) = K(i, l);
    }
}

template <class T>
void activation_values(Activation activation, int order, const T* z, Index count, T* out) {
  const auto f = order == 0 ? sigma : order == 1 ? sigma_prime : sigma_second;
  for (Index i = 0; i < count; ++i) out[i] = T(f(activation, double(z[i])));
}

}  // namespace asymfast::reference
