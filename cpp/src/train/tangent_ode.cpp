#include "train/tangent_ode.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "train/polynomials.hpp"
#include "train/radau.hpp"
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
          within[i][j][q] = lagrange(places, std::size_t(j), kRadauNodes[i] * kRadauNodes[q]);
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

void TangentOde::set_basis(const double* theta, Index N, const Context& context) {
  values_.resize(at_index(N));
  vectors_.resize(at_index(N * N));
  kernels_.eigen_decomposition({theta, N, N}, values_.data(), {vectors_.data(), N, N}, context);
  transpose();
}

void TangentOde::transpose() {
  const std::size_t N = values_.size();
  transposed_.resize(vectors_.size());
  for (std::size_t i = 0; i < N; ++i)
    for (std::size_t l = 0; l < N; ++l) transposed_[l * N + i] = vectors_[i * N + l];
  prepared_h_ = -1;
}

void TangentOde::prepare(double h) {
  if (h == prepared_h_) return;
  prepared_h_ = h;
  const std::size_t N = values_.size();
  decay_.resize(kNodes * N);
  moments_.resize(kPowers * N);
  response_.resize((kNodes + 1) * kNodes * N);
  for (std::size_t l = 0; l < N; ++l) {
    const double z = values_[l] * h;
    for (std::size_t i = 0; i < kNodes; ++i) decay_[i * N + l] = std::exp(-z * kRadauNodes[i]);
    double powers[kPowers];
    exponential_moments(z, powers);
    for (std::size_t p = 0; p < kPowers; ++p) moments_[p * N + l] = powers[p];
    Response u;
    z < kStiff ? respond_slowly(z, u) : respond_stiffly(z, u);
    for (std::size_t i = 0; i <= kNodes; ++i)
      for (std::size_t j = 0; j < kNodes; ++j) response_[(i * kNodes + j) * N + l] = h * u[i][j];
  }
}

// u at the nodes and, in the last row, at 0, for g at the nodes.
void TangentOde::respond(const std::vector<double>& g, std::vector<double>& u) const {
  const std::size_t N = values_.size();
  std::fill(u.begin(), u.end(), 0.0);
  for (std::size_t i = 0; i <= kNodes; ++i)
    for (std::size_t j = 0; j < kNodes; ++j) {
      const double* response = response_.data() + (i * kNodes + j) * N;
      for (std::size_t l = 0; l < N; ++l) u[i * N + l] += response[l] * g[j * N + l];
    }
}

// Theta at Radau's nodes.
void TangentOde::interpolate(const std::vector<double>& at, const std::vector<Index>& slots,
                             const std::vector<double>& thetas, Work& work) const {
  const auto N = static_cast<Index>(values_.size()), N2 = N * N;
  const Index all_slots = static_cast<Index>(thetas.size()) / N2;
  work.coefficients = lagrange_coefficients(at);
  work.shares.assign(at_index(kNodes * all_slots), 0);
  for (std::size_t i = 0; i < at.size(); ++i)
    for (Index node = 0; node < kNodes; ++node)
      work.shares[at_index(node * all_slots + slots[i])] =
          polynomial(work.coefficients.data() + i * kPowers, kRadauNodes[node]);
  work.theta.resize(at_index(kNodes * N2));
  kernels_.product({work.shares.data(), kNodes, all_slots}, {thetas.data(), all_slots, N2},
                   {work.theta.data(), kNodes, N2});
}

// Picard iterations for u, and r = exp(-Theta_0 t) (r(0) - u(0)) + u; their number.
int TangentOde::iterate(Work& work, double accuracy, const Context& context) {
  const auto N = static_cast<Index>(values_.size());
  const MatrixView<const double> U{vectors_.data(), N, N}, Ut{transposed_.data(), N, N};
  const auto size = at_index(kNodes * N);
  std::vector<double> outside(size), product(size), g(size), before(size);
  work.u.assign(size + at_index(N), 0), work.r.resize(size);
  work.decaying = work.initial;
  const auto add_up = [&] {
    for (std::size_t i = 0; i < size; ++i)
      work.r[i] = decay_[i] * work.decaying[i % at_index(N)] + work.u[i];
  };
  add_up();
  double last_change = std::numeric_limits<double>::infinity();
  for (int iterations = 1;; ++iterations) {
    kernels_.product({work.r.data(), kNodes, N}, Ut, {outside.data(), kNodes, N});
    for (Index node = 0; node < kNodes; ++node)
      kernels_.product({work.theta.data() + node * N * N, N, N}, {outside.data() + node * N, N, 1},
                       {product.data() + node * N, N, 1});
    kernels_.product({product.data(), kNodes, N}, U, {g.data(), kNodes, N});
    for (std::size_t i = 0; i < size; ++i)  // -(Theta - Theta_0) r
      g[i] = values_[i % at_index(N)] * work.r[i] - g[i];
    respond(g, work.u);
    for (std::size_t l = 0; l < at_index(N); ++l)
      work.decaying[l] = work.initial[l] - work.u[size + l];
    before.swap(work.r);
    work.r.resize(size);
    add_up();
    double last2 = 0, all2 = 0;
    for (std::size_t i = 0; i < size; ++i) {
      const double change = work.r[i] - before[i];
      all2 += change * change;
      if (i >= size - at_index(N)) last2 += change * change;
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
  const auto N = static_cast<Index>(values_.size()), points = static_cast<Index>(at.size());
  const MatrixView<const double> U{vectors_.data(), N, N}, Ut{transposed_.data(), N, N};
  Work work;
  interpolate(at, slots, thetas, work);
  context.watch.tick();
  work.initial.resize(at_index(N));
  kernels_.product({r.data(), 1, N}, U, {work.initial.data(), 1, N});
  Solution solution;
  solution.iterations = iterate(work, accuracy, context);
  solution.r.resize(at_index(N));
  kernels_.product({work.r.data() + (kNodes - 1) * N, 1, N}, Ut, {solution.r.data(), 1, N});

  // int l_i r: of the decaying part exactly, of u by Radau's formula.
  const Index all_slots = static_cast<Index>(work.shares.size()) / kNodes;
  std::vector<double> weights(at_index(points * kNodes)), of_u(at_index(points * N)), moments(of_u);
  for (Index i = 0; i < points; ++i)
    for (Index node = 0; node < kNodes; ++node)
      weights[at_index(i * kNodes + node)] =
          kRadauUntil[kNodes - 1][node] *
          work.shares[at_index(node * all_slots + slots[at_index(i)])];
  kernels_.product({weights.data(), points, kNodes}, {work.u.data(), kNodes, N},
                   {of_u.data(), points, N});
  kernels_.product({work.coefficients.data(), points, kPowers}, {moments_.data(), kPowers, N},
                   {moments.data(), points, N});
  for (std::size_t i = 0; i < moments.size(); ++i)
    moments[i] = h * (moments[i] * work.decaying[i % at_index(N)] + of_u[i]);
  solution.moments.resize(moments.size());
  kernels_.product({moments.data(), points, N}, Ut, {solution.moments.data(), points, N});
  return solution;
}

double TangentOde::cost(Index slots, int iterations) const {
  const double N2 = double(values_.size()) * double(values_.size());
  return 2 * kNodes * N2 * (double(slots) + 3 * iterations);
}

}  // namespace asymfast
