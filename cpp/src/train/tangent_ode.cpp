#include "train/tangent_ode.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "train/polynomials.hpp"
#include "train/radau.hpp"

namespace asymfast {

namespace {

constexpr int kNodes = kRadauCount;
constexpr int kMostIterations = 30;

std::size_t at_index(Index i) {
  return static_cast<std::size_t>(i);
}

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

}  // namespace

// One solution in progress. Rows of v and r are nodes, columns modes: components in the eigenbasis.
struct TangentOde::Work {
  std::vector<double> coefficients;  // (point, power): of the Lagrange polynomials
  std::vector<double> shares;        // (node, slot): their values
  std::vector<double> theta;         // (node, N, N)
  std::vector<double> initial;       // (N,): r(0)
  std::vector<double> v, r;          // (node, N)
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
  factors_.resize(kNodes * kNodes * N);
  for (std::size_t l = 0; l < N; ++l) {
    const double z = values_[l] * h;
    for (int i = 0; i < kNodes; ++i) {
      decay_[std::size_t(i) * N + l] = std::exp(-z * kRadauNodes[i]);
      for (int j = 0; j < kNodes; ++j) factor(i, j)[l] = (i == j) + z * kRadauUntil[i][j];
    }
    double powers[kPowers];
    exponential_moments(z, powers);
    for (std::size_t p = 0; p < kPowers; ++p) moments_[p * N + l] = powers[p];
  }
  // LU without pivots: for z >= 0 the largest element grows by 7 % at most.
  for (int i = 0; i < kNodes; ++i)
    for (int row = i + 1; row < kNodes; ++row) {
      double* below = factor(row, i);
      for (std::size_t l = 0; l < N; ++l) below[l] /= factor(i, i)[l];
      for (int j = i + 1; j < kNodes; ++j)
        for (std::size_t l = 0; l < N; ++l) factor(row, j)[l] -= below[l] * factor(i, j)[l];
    }
}

// g (node, N) <- (I + h lambda A)^-1 h A g for every mode, A that of Radau's formula.
void TangentOde::solve_modes(std::vector<double>& g) {
  const std::size_t N = values_.size();
  const auto row = [&](int i) { return g.data() + std::size_t(i) * N; };
  for (std::size_t l = 0; l < N; ++l) {
    double at_nodes[kNodes];
    for (int i = 0; i < kNodes; ++i) at_nodes[i] = row(i)[l];
    for (int i = 0; i < kNodes; ++i) {
      double sum = 0;
      for (int j = 0; j < kNodes; ++j) sum += kRadauUntil[i][j] * at_nodes[j];
      row(i)[l] = prepared_h_ * sum;
    }
  }
  for (int i = 0; i < kNodes; ++i)
    for (int j = 0; j < i; ++j)
      for (std::size_t l = 0; l < N; ++l) row(i)[l] -= factor(i, j)[l] * row(j)[l];
  for (int i = kNodes - 1; i >= 0; --i) {
    for (int j = i + 1; j < kNodes; ++j)
      for (std::size_t l = 0; l < N; ++l) row(i)[l] -= factor(i, j)[l] * row(j)[l];
    for (std::size_t l = 0; l < N; ++l) row(i)[l] /= factor(i, i)[l];
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

// Picard iterations for v, and r = exp(-Theta_0 t) r(0) + v; their number.
int TangentOde::iterate(Work& work, double accuracy, const Context& context) {
  const auto N = static_cast<Index>(values_.size());
  const MatrixView<const double> U{vectors_.data(), N, N}, Ut{transposed_.data(), N, N};
  const auto size = at_index(kNodes * N);
  std::vector<double> outside(size), product(size), g(size);
  work.v.assign(size, 0), work.r.resize(size);
  const auto add_up = [&] {
    for (std::size_t i = 0; i < size; ++i)
      work.r[i] = decay_[i] * work.initial[i % at_index(N)] + work.v[i];
  };
  for (int iterations = 1;; ++iterations) {
    add_up();
    kernels_.product({work.r.data(), kNodes, N}, Ut, {outside.data(), kNodes, N});
    for (Index node = 0; node < kNodes; ++node)
      kernels_.product({work.theta.data() + node * N * N, N, N}, {outside.data() + node * N, N, 1},
                       {product.data() + node * N, N, 1});
    kernels_.product({product.data(), kNodes, N}, U, {g.data(), kNodes, N});
    for (std::size_t i = 0; i < size; ++i)  // -(Theta - Theta_0) r
      g[i] = values_[i % at_index(N)] * work.r[i] - g[i];
    solve_modes(g);
    double last2 = 0, all2 = 0;
    for (std::size_t i = 0; i < size; ++i) {
      const double change = g[i] - work.v[i];
      all2 += change * change;
      if (i >= size - at_index(N)) last2 += change * change;
    }
    work.v.swap(g);
    const double change = std::sqrt(last2) + 0.1 * std::sqrt(all2);
    if (!(change > accuracy) || iterations == kMostIterations) {
      add_up();
      return iterations;
    }
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

  // int l_i r: of exp(-Theta_0 t) r(0) exactly, of v by Radau's formula.
  const Index all_slots = static_cast<Index>(work.shares.size()) / kNodes;
  std::vector<double> weights(at_index(points * kNodes)), of_v(at_index(points * N)), moments(of_v);
  for (Index i = 0; i < points; ++i)
    for (Index node = 0; node < kNodes; ++node)
      weights[at_index(i * kNodes + node)] =
          kRadauUntil[kNodes - 1][node] *
          work.shares[at_index(node * all_slots + slots[at_index(i)])];
  kernels_.product({weights.data(), points, kNodes}, {work.v.data(), kNodes, N},
                   {of_v.data(), points, N});
  kernels_.product({work.coefficients.data(), points, kPowers}, {moments_.data(), kPowers, N},
                   {moments.data(), points, N});
  for (std::size_t i = 0; i < moments.size(); ++i)
    moments[i] = h * (moments[i] * work.initial[i % at_index(N)] + of_v[i]);
  solution.moments.resize(moments.size());
  kernels_.product({moments.data(), points, N}, Ut, {solution.moments.data(), points, N});
  return solution;
}

double TangentOde::cost(Index slots, int iterations) const {
  const double N2 = double(values_.size()) * double(values_.size());
  return 2 * kNodes * N2 * (double(slots) + 3 * iterations);
}

}  // namespace asymfast
