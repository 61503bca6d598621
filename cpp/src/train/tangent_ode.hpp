// The small equation of the tangent method: r' = -Theta(t) r on one step, with Theta(t) a
// polynomial through given matrices, and the moments of r that move the weights.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "train/eigenvectors.hpp"
#include "train/polynomials.hpp"

namespace asymfast {

// int_0^1 s^p exp(-z s) ds for p < kPowers: the recurrence upwards where it is stable, else a
// series for the highest and the recurrence downwards.
inline void exponential_moments(double z, double* out) {
  const double decay = std::exp(-z);
  if (z > kPowers) {
    out[0] = -std::expm1(-z) / z;
    for (int p = 1; p < kPowers; ++p) out[p] = (p * out[p - 1] - decay) / z;
    return;
  }
  constexpr int kTop = kPowers + 40;  // the error up there fades by z^40 10! / 50! < 1e-17
  double moment = decay / (kTop + 1);
  for (int p = kTop - 1; p >= 0; --p) {
    moment = (z * moment + decay) / (p + 1);
    if (p < kPowers) out[p] = moment;
  }
}

// What u' + z u = g is solved by, for polynomials g through Radau's nodes.
class RadauResponse {
 public:
  static constexpr int kNodes = kRadauCount;
  using Response = double[kNodes + 1][kNodes];

  RadauResponse() {
    const std::vector<double> places(kRadauNodes, kRadauNodes + kNodes);
    for (int i = 0; i < kNodes; ++i)
      for (int j = 0; j < kNodes; ++j) {
        legendre_[i][j] = legendre(i, 2 * kRadauNodes[j] - 1);
        for (int q = 0; q < kNodes; ++q)
          within_[i][j][q] = lagrange(places, j, kRadauNodes[i] * kRadauNodes[q]);
      }
  }

  // Rows are the values at the nodes of a solution u, the last row is u(0).
  void operator()(double z, Response& u) const {
    constexpr double kStiff = 4;  // from which modes respond by polynomials
    z < kStiff ? respond_slowly(z, u) : respond_stiffly(z, u);
  }

 private:
  // For small z the solution with u(0) = 0, the integral of exp(-z (t - s)) g(s).
  void respond_slowly(double z, Response& u) const {
    for (int i = 0; i < kNodes; ++i) {
      double decay[kNodes];
      for (int q = 0; q < kNodes; ++q)
        decay[q] = kRadauNodes[i] * kRadauUntil[kNodes - 1][q] *
                   std::exp(-z * kRadauNodes[i] * (1 - kRadauNodes[q]));
      for (int j = 0; j < kNodes; ++j) {
        u[i][j] = 0;
        for (int q = 0; q < kNodes; ++q) u[i][j] += decay[q] * within_[i][j][q];
      }
    }
    std::fill_n(u[kNodes], kNodes, 0.0);
  }

  // For large z the solution that is a polynomial, by its coefficients in Legendre's basis:
  // z u_p + 2 (2 p + 1) (u_{p+1} + u_{p+3} + ...) = g_p.
  void respond_stiffly(double z, Response& u) const {
    for (int j = 0; j < kNodes; ++j) {
      double of_u[kNodes], sums[2] = {0, 0};  // of the coefficients of even and odd degrees
      for (int p = kNodes - 1; p >= 0; --p) {
        const double of_g = (2 * p + 1) * kRadauUntil[kNodes - 1][j] * legendre_[p][j];
        of_u[p] = (of_g - 2 * (2 * p + 1) * sums[(p + 1) % 2]) / z;
        sums[p % 2] += of_u[p];
      }
      for (int i = 0; i < kNodes; ++i) {
        u[i][j] = 0;
        for (int p = 0; p < kNodes; ++p) u[i][j] += legendre_[p][i] * of_u[p];
      }
      u[kNodes][j] = sums[0] - sums[1];
    }
  }

  double legendre_[kNodes][kNodes];        // (degree, node): on [0, 1]
  double within_[kNodes][kNodes][kNodes];  // (node, j, q): l_j(node_i node_q)
};

// In the eigenbasis of a matrix Theta_0 near all Theta(t), with eigenvalues lambda, every mode
// obeys r' + lambda r = g, g = -(Theta(t) - Theta_0) r. g is taken for a polynomial through the
// nodes of Radau's formula and found by Picard iteration. The response to it is exact: where h
// lambda is large, a polynomial u plus exp(-lambda t) (r(0) - u(0)). So components that have
// decayed to what the change of Theta makes of the others, as all do that the network cannot fit,
// are smooth as they are. Matrices are of size N = n k.
class TangentOde {
 public:
  explicit TangentOde(const KernelTable& kernels) : kernels_(kernels), basis_(kernels) {}

  // Takes Theta_0 (N, N).
  void set_basis(const double* theta, Index N, const Context& context) {
    basis_.set(theta, N, context);
    prepared_h_ = -1;
  }
  double largest_eigenvalue() const { return basis_.largest(); }

  // Theta(t) = sum_i l_i(t / h) thetas[slots[i]] with the Lagrange polynomials l_i of the places
  // at[i]; thetas (slots, N, N). Iterates until r(h) is known to `accuracy`; the moments are
  // int_0^h l_i(t) r(t) dt.
  Solution solve(const Places& places, const std::vector<double>& thetas,
                 const std::vector<double>& r, double h, double accuracy, const Context& context) {
    prepare(h);
    const Index N = basis_.size(), points = static_cast<Index>(places.at.size());
    const Index slots = static_cast<Index>(thetas.size()) / (N * N);
    const std::vector<double> coefficients = lagrange_coefficients(places.at);
    const std::vector<double> shares =
        lagrange_shares(coefficients, places.slots, slots, {kRadauNodes, kRadauNodes + kNodes});
    Work work;
    std::vector<double> in_unit(shares);
    for (double& share : in_unit) share *= unit_;
    work.theta = product(kernels_, kNodes, slots, N * N, in_unit.data(), thetas.data());
    context.watch.tick();
    work.initial = basis_.into(r);
    Solution solution;
    solution.iterations = iterate(work, accuracy, context);
    solution.flop =
        2 * kNodes * (double(N) * double(N)) * (double(slots) + 3 * solution.iterations);
    solution.r = basis_.out_of({work.r.end() - N, work.r.end()});

    // int l_i r: of the decaying part exactly, of u by Radau's formula.
    std::vector<double> weights(points * kNodes);
    for (Index i = 0; i < points; ++i)
      for (Index node = 0; node < kNodes; ++node)
        weights[i * kNodes + node] =
            kRadauUntil[kNodes - 1][node] * shares[node * slots + places.slots[i]];
    const std::vector<double> of_u =
        product(kernels_, points, kNodes, N, weights.data(), work.u.data());
    std::vector<double> moments =
        product(kernels_, points, kPowers, N, coefficients.data(), moments_.data());
    for (Index i = 0; i < points * N; ++i)
      moments[i] = h * (moments[i] * work.decaying[i % N] + of_u[i]);
    solution.moments = basis_.out_of(moments);
    return solution;
  }

  // The basis of N outputs.
  void serialise(Archive& archive, Index N) {
    basis_.serialise(archive, N);
    prepared_h_ = -1;
  }

 private:
  static constexpr int kNodes = kRadauCount;
  static constexpr int kMostIterations = 30;

  // One solution in progress. Rows are nodes, columns modes: components in the eigenbasis.
  struct Work {
    std::vector<double> theta;     // (node, N, N), times unit_
    std::vector<double> initial;   // (N,): r(0)
    std::vector<double> decaying;  // (N,): r(0) - u(0)
    std::vector<double> u, r;      // (node, N); in a last row, u(0)
  };

  void prepare(double h) {
    if (h == prepared_h_) return;
    prepared_h_ = h;
    unit_ = unit_of(h);
    const Index N = basis_.size();
    decay_.resize(kNodes * N);
    moments_.resize(kPowers * N);
    response_.resize((kNodes + 1) * kNodes * N);
    for (Index l = 0; l < N; ++l) {
      const double z = basis_[l] * h;
      for (Index i = 0; i < kNodes; ++i) decay_[i * N + l] = std::exp(-z * kRadauNodes[i]);
      double powers[kPowers];
      exponential_moments(z, powers);
      for (Index p = 0; p < kPowers; ++p) moments_[p * N + l] = powers[p];
      RadauResponse::Response u;
      response_of_(z, u);
      for (Index i = 0; i <= kNodes; ++i)
        for (Index j = 0; j < kNodes; ++j)
          response_[(i * kNodes + j) * N + l] = h / unit_ * u[i][j];
    }
  }

  // u at the nodes and, in the last row, at 0, for g at the nodes.
  void respond(const std::vector<double>& g, std::vector<double>& u) const {
    const Index N = basis_.size();
    std::fill(u.begin(), u.end(), 0.0);
    for (Index i = 0; i <= kNodes; ++i)
      for (Index j = 0; j < kNodes; ++j) {
        const double* response = response_.data() + (i * kNodes + j) * N;
        for (Index l = 0; l < N; ++l) u[i * N + l] += response[l] * g[j * N + l];
      }
  }

  // Picard iterations for u, and r = exp(-Theta_0 t) (r(0) - u(0)) + u; their number.
  int iterate(Work& work, double accuracy, const Context& context) const {
    const Index N = basis_.size(), size = kNodes * N;
    std::vector<double> before(size);
    work.u.assign(size + N, 0), work.r.resize(size);
    work.decaying = work.initial;
    const auto add_up = [&] {
      for (Index i = 0; i < size; ++i) work.r[i] = decay_[i] * work.decaying[i % N] + work.u[i];
    };
    add_up();
    double last_change = std::numeric_limits<double>::infinity();
    for (int iterations = 1;; ++iterations) {
      std::vector<double> g = basis_.apply(work.theta, work.r);
      for (Index i = 0; i < size; ++i)
        g[i] = unit_ * basis_[i % N] * work.r[i] - g[i];  // (Theta_0 - Theta) r
      respond(g, work.u);
      for (Index l = 0; l < N; ++l) work.decaying[l] = work.initial[l] - work.u[size + l];
      before.swap(work.r);
      add_up();
      for (Index i = 0; i < size; ++i) before[i] -= work.r[i];
      const double change = norm(before.data() + size - N, N) + 0.1 * norm(before.data(), size);
      const bool falls = iterations < 4 || change < last_change;  // else it is rounding
      if (!(change > accuracy) || !falls || iterations == kMostIterations) return iterations;
      last_change = change;
      context.watch.tick();
    }
  }

  const KernelTable& kernels_;
  RadauResponse response_of_;
  Eigenbasis basis_;  // of Theta_0

  // Of the step size prepared_h_ and the basis.
  double prepared_h_ = -1;
  double unit_ = 1;               // of time, a power of two: Theta r itself may leave the range
  std::vector<double> decay_;     // (node, N): exp(-lambda h node)
  std::vector<double> response_;  // (node and 0, node, N): of u to g, per unit_
  std::vector<double> moments_;   // (power, N): int_0^1 s^power exp(-lambda h s) ds
};

}  // namespace asymfast
