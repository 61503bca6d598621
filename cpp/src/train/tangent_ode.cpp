#include "train/tangent_ode.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "train/polynomials.hpp"

namespace asymfast {

namespace {

constexpr int kNodes = RadauRule::kNodes;
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

// X <- A^-1 X for small matrices, by elimination with pivots.
void solve_small(std::array<RadauRule::Row, kNodes>& A, double* X) {
  for (int i = 0; i < kNodes; ++i) {
    int pivot = i;
    for (int l = i + 1; l < kNodes; ++l)
      if (std::abs(A[at_index(l)][at_index(i)]) > std::abs(A[at_index(pivot)][at_index(i)]))
        pivot = l;
    std::swap(A[at_index(i)], A[at_index(pivot)]);
    if (pivot != i)
      for (int q = 0; q < kNodes; ++q) std::swap(X[i * kNodes + q], X[pivot * kNodes + q]);
    for (int l = i + 1; l < kNodes; ++l) {
      const double factor = A[at_index(l)][at_index(i)] / A[at_index(i)][at_index(i)];
      for (int q = i; q < kNodes; ++q)
        A[at_index(l)][at_index(q)] -= factor * A[at_index(i)][at_index(q)];
      for (int q = 0; q < kNodes; ++q) X[l * kNodes + q] -= factor * X[i * kNodes + q];
    }
  }
  for (int i = kNodes - 1; i >= 0; --i)
    for (int q = 0; q < kNodes; ++q) {
      double sum = X[i * kNodes + q];
      for (int l = i + 1; l < kNodes; ++l) sum -= A[at_index(i)][at_index(l)] * X[l * kNodes + q];
      X[i * kNodes + q] = sum / A[at_index(i)][at_index(i)];
    }
}

}  // namespace

// Weights: (1 + x_i) / (p P_{p-1}(x_i))^2 of the places x_i on [-1, 1], halved for [0, 1].
RadauRule::RadauRule() {
  const std::vector<double> places = radau_places(kNodes);
  std::copy(places.begin(), places.end(), nodes.begin());
  for (std::size_t i = 0; i < kNodes; ++i) {
    const double x = 2 * nodes[i] - 1, p = kNodes * legendre(kNodes - 1, x);
    weights[i] = (1 + x) / (p * p) / 2;
  }
  for (std::size_t i = 0; i < kNodes; ++i)
    for (std::size_t j = 0; j < kNodes; ++j) {
      until[i][j] = 0;
      for (std::size_t l = 0; l < kNodes; ++l)
        until[i][j] += nodes[i] * weights[l] * lagrange(places, j, nodes[i] * nodes[l]);
    }
}

const RadauRule& RadauRule::instance() {
  static const RadauRule rule;
  return rule;
}

void TangentOde::set_basis(const double* theta, Index N, const Context& context) {
  values_.resize(at_index(N));
  vectors_.resize(at_index(N * N));
  transposed_.resize(at_index(N * N));
  kernels_.eigen_decomposition({theta, N, N}, values_.data(), {vectors_.data(), N, N}, context);
  for (Index i = 0; i < N; ++i)
    for (Index l = 0; l < N; ++l) transposed_[at_index(l * N + i)] = vectors_[at_index(i * N + l)];
  prepared_h_ = -1;
}

void TangentOde::prepare(double h) {
  if (h == prepared_h_) return;
  prepared_h_ = h;
  const RadauRule& rule = RadauRule::instance();
  const std::size_t N = values_.size();
  decay_.resize(kNodes * N);
  implicit_.resize(N * kNodes * kNodes);
  along_.resize(kPowers * N);
  for (std::size_t l = 0; l < N; ++l) {
    const double z = values_[l] * h;
    std::array<RadauRule::Row, kNodes> system;
    double* solution = implicit_.data() + l * kNodes * kNodes;
    for (std::size_t i = 0; i < kNodes; ++i) {
      decay_[i * N + l] = std::exp(-z * rule.nodes[i]);
      for (std::size_t j = 0; j < kNodes; ++j) {
        system[i][j] = (i == j) + z * rule.until[i][j];
        solution[i * kNodes + j] = h * rule.until[i][j];
      }
    }
    solve_small(system, solution);
    double powers[kPowers];
    exponential_moments(z, powers);
    for (std::size_t p = 0; p < kPowers; ++p) along_[p * N + l] = powers[p];
  }
}

TangentOde::Solution TangentOde::solve(const std::vector<double>& at,
                                       const std::vector<Index>& slots,
                                       const std::vector<double>& thetas,
                                       const std::vector<double>& r, double h, double accuracy,
                                       const Context& context) {
  prepare(h);
  const RadauRule& rule = RadauRule::instance();
  const auto N = static_cast<Index>(values_.size()), N2 = N * N;
  const Index all_slots = static_cast<Index>(thetas.size()) / N2;
  const MatrixView<const double> U{vectors_.data(), N, N}, Ut{transposed_.data(), N, N};
  const std::vector<double> c = lagrange_coefficients(at);

  // Theta at Radau's nodes.
  std::vector<double> share(at_index(kNodes * all_slots)), theta(at_index(kNodes * N2));
  for (std::size_t i = 0; i < at.size(); ++i)
    for (Index node = 0; node < kNodes; ++node)
      share[at_index(node * all_slots + slots[i])] =
          polynomial(c.data() + i * kPowers, rule.nodes[at_index(node)]);
  kernels_.product({share.data(), kNodes, all_slots}, {thetas.data(), all_slots, N2},
                   {theta.data(), kNodes, N2});
  context.watch.tick();

  std::vector<double> rho(at_index(N));  // U^T r(0)
  kernels_.product({r.data(), 1, N}, U, {rho.data(), 1, N});

  // Rows are nodes: `now` is exp(-Theta_0 t) r(0) + v in the eigenbasis.
  const auto size = at_index(kNodes * N);
  std::vector<double> v(size), now(size), outside(size), pulled(size), g(size);
  const auto add_up = [&] {
    for (Index node = 0; node < kNodes; ++node)
      for (Index l = 0; l < N; ++l) {
        const auto i = at_index(node * N + l);
        now[i] = decay_[i] * rho[at_index(l)] + v[i];
      }
  };
  Solution solution;
  for (double change = 1; change > 0 && solution.iterations < kMostIterations;) {
    add_up();
    kernels_.product({now.data(), kNodes, N}, Ut, {outside.data(), kNodes, N});
    for (Index node = 0; node < kNodes; ++node)
      kernels_.product({theta.data() + node * N2, N, N}, {outside.data() + node * N, N, 1},
                       {pulled.data() + node * N, N, 1});
    kernels_.product({pulled.data(), kNodes, N}, U, {g.data(), kNodes, N});
    double last2 = 0, all2 = 0;
    for (Index l = 0; l < N; ++l) {
      double beside[kNodes];  // (Theta - Theta_0) r
      for (Index node = 0; node < kNodes; ++node) {
        const auto i = at_index(node * N + l);
        beside[node] = g[i] - values_[at_index(l)] * now[i];
      }
      const double* M = implicit_.data() + l * kNodes * kNodes;
      for (Index node = 0; node < kNodes; ++node) {
        double sum = 0;
        for (Index j = 0; j < kNodes; ++j) sum -= M[node * kNodes + j] * beside[j];
        const auto i = at_index(node * N + l);
        const double step2 = (sum - v[i]) * (sum - v[i]);
        all2 += step2;
        if (node + 1 == kNodes) last2 += step2;
        v[i] = sum;
      }
    }
    ++solution.iterations;
    change = std::sqrt(last2) + 0.1 * std::sqrt(all2);
    if (!(change > accuracy)) break;
    context.watch.tick();
  }

  add_up();
  solution.r.resize(at_index(N));
  kernels_.product({now.data() + (kNodes - 1) * N, 1, N}, Ut, {solution.r.data(), 1, N});

  const auto count = static_cast<Index>(at.size());
  std::vector<double> moments(at_index(count * N));
  for (Index i = 0; i < count; ++i) {
    const double* c_i = c.data() + i * kPowers;
    for (Index l = 0; l < N; ++l) {
      double decaying = 0, rest = 0;
      for (Index p = 0; p < kPowers; ++p) decaying += c_i[p] * along_[at_index(p * N + l)];
      for (Index node = 0; node < kNodes; ++node)
        rest += rule.weights[at_index(node)] *
                share[at_index(node * all_slots + slots[at_index(i)])] * v[at_index(node * N + l)];
      moments[at_index(i * N + l)] = h * (decaying * rho[at_index(l)] + rest);
    }
  }
  solution.moments.resize(moments.size());
  kernels_.product({moments.data(), count, N}, Ut, {solution.moments.data(), count, N});
  return solution;
}

double TangentOde::cost(Index slots, int iterations) const {
  const double N2 = double(values_.size()) * double(values_.size());
  return 2 * kNodes * N2 * (double(slots) + 3 * iterations);
}

}  // namespace asymfast
