#include "train/tangent_ode.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "train/polynomials.hpp"
#include "train/vectors.hpp"

namespace asymfast {

namespace {

constexpr int kNodes = kRadauCount;
constexpr int kMostIterations = 30;

// int_0^1 s^p exp(-z s) ds for p < kPowers: the recurrence upwards where it is stable, else a
// series for the highest and the recurrence downwards.
void exponential_moments(double z, double* out) {
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

// Polynomials through Radau's nodes.
struct RadauPolynomials {
  double legendre[kNodes][kNodes];        // (degree, node): on [0, 1]
  double within[kNodes][kNodes][kNodes];  // (node, j, q): l_j(node_i node_q)

  RadauPolynomials() {
    const std::vector<double> places(kRadauNodes, kRadauNodes + kNodes);
    for (int i = 0; i < kNodes; ++i)
      for (int j = 0; j < kNodes; ++j) {
        legendre[i][j] = asymfast::legendre(i, 2 * kRadauNodes[j] - 1);
        for (int q = 0; q < kNodes; ++q)
          within[i][j][q] = lagrange(places, j, kRadauNodes[i] * kRadauNodes[q]);
      }
  }
  static const RadauPolynomials& instance() {
    static const RadauPolynomials polynomials;
    return polynomials;
  }
};

// What u' + z u = g is solved by, for polynomials g through Radau's nodes: rows are the values
// there of a solution u, the last row is u(0).
using Response = double[kNodes + 1][kNodes];

// For small z the solution with u(0) = 0, the integral of exp(-z (t - s)) g(s).
void respond_slowly(double z, Response& u) {
  const RadauPolynomials& radau = RadauPolynomials::instance();
  for (int i = 0; i < kNodes; ++i) {
    double decay[kNodes];
    for (int q = 0; q < kNodes; ++q)
      decay[q] = kRadauNodes[i] * kRadauUntil[kNodes - 1][q] *
                 std::exp(-z * kRadauNodes[i] * (1 - kRadauNodes[q]));
    for (int j = 0; j < kNodes; ++j) {
      u[i][j] = 0;
      for (int q = 0; q < kNodes; ++q) u[i][j] += decay[q] * radau.within[i][j][q];
    }
  }
  std::fill_n(u[kNodes], kNodes, 0.0);
}

// For large z the solution that is a polynomial, by its coefficients in Legendre's basis:
// z u_p + 2 (2 p + 1) (u_{p+1} + u_{p+3} + ...) = g_p.
void respond_stiffly(double z, Response& u) {
  const RadauPolynomials& radau = RadauPolynomials::instance();
  for (int j = 0; j < kNodes; ++j) {
    double of_u[kNodes], sums[2] = {0, 0};  // of the coefficients of even and odd degrees
    for (int p = kNodes - 1; p >= 0; --p) {
      const double of_g = (2 * p + 1) * kRadauUntil[kNodes - 1][j] * radau.legendre[p][j];
      of_u[p] = (of_g - 2 * (2 * p + 1) * sums[(p + 1) % 2]) / z;
      sums[p % 2] += of_u[p];
    }
    for (int i = 0; i < kNodes; ++i) {
      u[i][j] = 0;
      for (int p = 0; p < kNodes; ++p) u[i][j] += radau.legendre[p][i] * of_u[p];
    }
    u[kNodes][j] = sums[0] - sums[1];
  }
}

constexpr double kStiff = 4;  // h lambda from which modes respond by polynomials

}  // namespace

// One solution in progress. Rows are nodes, columns modes: components in the eigenbasis.
struct TangentOde::Work {
  std::vector<double> coefficients;  // (point, power): of the Lagrange polynomials
  std::vector<double> shares;        // (node, slot): their values
  std::vector<double> theta;         // (node, N, N)
  std::vector<double> initial;       // (N,): r(0)
  std::vector<double> decaying;      // (N,): r(0) - u(0)
  std::vector<double> u, r;          // (node, N)
};

void TangentOde::prepare(double h) {
  if (h == prepared_h_) return;
  prepared_h_ = h;
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
    Response u;
    z < kStiff ? respond_slowly(z, u) : respond_stiffly(z, u);
    for (Index i = 0; i <= kNodes; ++i)
      for (Index j = 0; j < kNodes; ++j) response_[(i * kNodes + j) * N + l] = h * u[i][j];
  }
}

// u at the nodes and, in the last row, at 0, for g at the nodes.
void TangentOde::respond(const std::vector<double>& g, std::vector<double>& u) const {
  const Index N = basis_.size();
  std::fill(u.begin(), u.end(), 0.0);
  for (Index i = 0; i <= kNodes; ++i)
    for (Index j = 0; j < kNodes; ++j) {
      const double* response = response_.data() + (i * kNodes + j) * N;
      for (Index l = 0; l < N; ++l) u[i * N + l] += response[l] * g[j * N + l];
    }
}

// Theta at Radau's nodes.
void TangentOde::interpolate(const std::vector<double>& at, const std::vector<Index>& slots,
                             const std::vector<double>& thetas, Work& work) const {
  const Index N2 = basis_.size() * basis_.size(), all = static_cast<Index>(thetas.size()) / N2;
  work.coefficients = lagrange_coefficients(at);
  work.shares = lagrange_shares(work.coefficients, slots, all, {kRadauNodes, kRadauNodes + kNodes});
  work.theta = product(kernels_, kNodes, all, N2, work.shares.data(), thetas.data());
}

// Picard iterations for u, and r = exp(-Theta_0 t) (r(0) - u(0)) + u; their number.
int TangentOde::iterate(Work& work, double accuracy, const Context& context) {
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
      g[i] = basis_[i % N] * work.r[i] - g[i];  // (Theta_0 - Theta) r
    respond(g, work.u);
    for (Index l = 0; l < N; ++l) work.decaying[l] = work.initial[l] - work.u[size + l];
    before.swap(work.r);
    work.r.resize(size);
    add_up();
    double last2 = 0, all2 = 0;
    for (Index i = 0; i < size; ++i) {
      const double change = work.r[i] - before[i];
      all2 += change * change;
      if (i >= size - N) last2 += change * change;
    }
    const double change = std::sqrt(last2) + 0.1 * std::sqrt(all2);
    const bool falls = iterations < 4 || change < last_change;  // else it is rounding
    if (!(change > accuracy) || !falls || iterations == kMostIterations) return iterations;
    last_change = change;
    context.watch.tick();
  }
}

TangentOde::Solution TangentOde::solve(const std::vector<double>& at,
                                       const std::vector<Index>& slots,
                                       const std::vector<double>& thetas,
                                       const std::vector<double>& r, double h, double accuracy,
                                       const Context& context) {
  prepare(h);
  const Index N = basis_.size(), points = static_cast<Index>(at.size());
  Work work;
  interpolate(at, slots, thetas, work);
  context.watch.tick();
  work.initial = basis_.into(r);
  Solution solution;
  solution.iterations = iterate(work, accuracy, context);
  solution.r = basis_.out_of({work.r.end() - N, work.r.end()});

  // int l_i r: of the decaying part exactly, of u by Radau's formula.
  const Index all_slots = static_cast<Index>(work.shares.size()) / kNodes;
  std::vector<double> weights(points * kNodes);
  for (Index i = 0; i < points; ++i)
    for (Index node = 0; node < kNodes; ++node)
      weights[i * kNodes + node] =
          kRadauUntil[kNodes - 1][node] * work.shares[node * all_slots + slots[i]];
  const std::vector<double> of_u =
      product(kernels_, points, kNodes, N, weights.data(), work.u.data());
  std::vector<double> moments =
      product(kernels_, points, kPowers, N, work.coefficients.data(), moments_.data());
  for (Index i = 0; i < points * N; ++i)
    moments[i] = h * (moments[i] * work.decaying[i % N] + of_u[i]);
  solution.moments = basis_.out_of(moments);
  return solution;
}

double TangentOde::cost(Index slots, int iterations) const {
  const double N2 = double(basis_.size()) * double(basis_.size());
  return 2 * kNodes * N2 * (double(slots) + 3 * iterations);
}

}  // namespace asymfast
