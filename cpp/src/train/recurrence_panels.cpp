// What a panel of the recurrence needs that depends on its length alone.
#include <algorithm>
#include <cmath>

#include "train/polynomials.hpp"
#include "train/recurrence.hpp"

namespace asymfast {

namespace {

constexpr Index kSummed = 64;      // steps up to which sums are taken term by term
constexpr int kRulePlaces = 11;    // exact for l_i v, of degree 9 + 12 - 1
constexpr double kDecayed = 0.01;  // z^steps
constexpr std::size_t kMostPrepared = 6;

// |the polynomial's coefficient in Legendre's basis| of degree places - 1, times its values.
std::vector<double> highest_coefficient(const std::vector<double>& places) {
  double leading = 1;  // of the Legendre polynomial on [0, 1]: (2 s)! / (s!)^2
  for (std::size_t i = 1; i < places.size(); ++i) leading *= 2 * (2 * double(i) - 1) / double(i);
  std::vector<double> share;
  for (std::size_t i = 0; i < places.size(); ++i) {
    double product = leading;
    for (std::size_t l = 0; l < places.size(); ++l)
      if (l != i) product *= places[i] - places[l];
    share.push_back(1 / product);
  }
  return share;
}

}  // namespace

// g <- (I - z before)^-1 g for every mode.
void Recurrence::Prepared::solve(std::vector<double>& g, Index N) const {
  const auto P = static_cast<Index>(ends.size());
  const auto subtract = [&](Index i, Index j) {
    const double* f = factors.data() + (i * P + j) * N;
    for (Index l = 0; l < N; ++l) g[i * N + l] -= f[l] * g[j * N + l];
  };
  for (Index i = 0; i < P; ++i)
    for (Index j = 0; j < i; ++j) subtract(i, j);
  for (Index i = P; i-- > 0;) {
    for (Index j = i + 1; j < P; ++j) subtract(i, j);
    const double* f = factors.data() + (i * P + i) * N;
    for (Index l = 0; l < N; ++l) g[i * N + l] /= f[l];
  }
}

Recurrence::Prepared& Recurrence::prepared(Index steps, double h, const Context& context) {
  const auto known = std::find_if(prepared_.begin(), prepared_.end(),
                                  [=](const auto& p) { return p->steps == steps; });
  if (known != prepared_.end()) {
    std::rotate(prepared_.begin(), known, known + 1);
    return *prepared_.front();
  }
  if (prepared_.size() == kMostPrepared) prepared_.pop_back();
  prepared_.insert(prepared_.begin(), std::make_unique<Prepared>());
  Prepared& p = *prepared_.front();
  p.steps = steps;
  std::vector<double> with_start(1, 0.0);
  for (const double place : kRadau12Nodes) {  // where v is collocated, or fewer
    const Index end = std::max<Index>(1, static_cast<Index>(std::lround(place * double(steps))));
    if (!p.ends.empty() && end == p.ends.back()) continue;
    p.ends.push_back(end);
    with_start.push_back(double(end));
  }
  for (const Index end : p.ends)
    for (std::size_t j = 1; j < with_start.size(); ++j)
      p.before.push_back(lagrange(with_start, j, double(end - 1)));
  p.rule = sum_rule(steps, context);
  for (const double place : p.rule.places)
    for (std::size_t j = 1; j < with_start.size(); ++j)
      p.here.push_back(lagrange(with_start, j, place));
  for (double& place : with_start) place /= double(steps);
  p.last = highest_coefficient(with_start);
  p.last.erase(p.last.begin());
  with_start.erase(with_start.begin());
  p.last_but_one = highest_coefficient(with_start);
  with_start.erase(with_start.begin());
  p.last_but_two = highest_coefficient(with_start);
  p.last_but_two.insert(p.last_but_two.begin(), 0);
  prepare_factors(p, h);
  prepare_sums(p, h);
  prepare_starts(p, h);
  return p;
}

// v - v_0 obeys the recurrence of v with -(1 - z) v_0 added to each step.
void Recurrence::prepare_starts(Prepared& p, double h) const {
  const std::size_t N = basis_.size(), P = p.ends.size();
  p.unit.assign(P * N, 0);
  for (std::size_t i = 0; i < P * N; ++i)
    if (std::abs(p.whole[i % N]) < kDecayed) p.unit[i] = -h * basis_[i % N];
  p.solve(p.unit, static_cast<Index>(N));
  p.unit_last.assign(N, 0);
  for (std::size_t i = 0; i < P * N; ++i) p.unit_last[i % N] += p.last[i / N] * p.unit[i];
}

// Term by term, or Gauss' rule for the polynomials of Gram, which are orthogonal on equal steps.
Recurrence::SumRule Recurrence::sum_rule(Index steps, const Context& context) const {
  SumRule rule;
  if (steps <= kSummed) {
    for (Index k = 0; k < steps; ++k) rule.places.push_back(double(k));
    rule.weights.assign(rule.places.size(), 1.0);
    return rule;
  }
  constexpr Index G = kRulePlaces;
  const double K = double(steps);
  std::vector<double> jacobi(G * G), vectors(G * G);
  for (Index i = 0; i < G; ++i) {
    jacobi[i * G + i] = (K - 1) / 2;
    if (i == 0) continue;
    const double s = double(i) * double(i);
    jacobi[i * G + i - 1] = jacobi[(i - 1) * G + i] =
        std::sqrt(s * (K * K - s) / (4 * (4 * s - 1)));
  }
  rule.places.resize(G);
  kernels_->eigen_decomposition({jacobi.data(), G, G}, rule.places.data(), {vectors.data(), G, G},
                                context);
  for (Index g = 0; g < G; ++g) rule.weights.push_back(K * std::pow(vectors[g], 2));
  return rule;
}

// Powers of z, and LU factors without pivots: the matrices are far from needing any (their largest
// elements stay within a factor of 20).
void Recurrence::prepare_factors(Prepared& p, double h) const {
  const std::size_t N = basis_.size(), P = p.ends.size();
  p.decay.resize(P * N);
  p.whole.resize(N);
  p.factors.resize(P * P * N);
  double* f = p.factors.data();
  const auto place = [=](std::size_t i, std::size_t j) { return f + (i * P + j) * N; };
  for (std::size_t l = 0; l < N; ++l) {
    const double z = 1 - h * basis_[l];
    p.whole[l] = std::pow(z, double(p.steps));
    for (std::size_t i = 0; i < P; ++i) {
      p.decay[i * N + l] = std::pow(z, double(p.ends[i] - 1));
      for (std::size_t j = 0; j < P; ++j) place(i, j)[l] = (i == j) - z * p.before[i * P + j];
    }
  }
  for (std::size_t i = 0; i < P; ++i)
    for (std::size_t row = i + 1; row < P; ++row) {
      double* factor = place(row, i);
      for (std::size_t l = 0; l < N; ++l) factor[l] /= place(i, i)[l];
      for (std::size_t j = i + 1; j < P; ++j)
        for (std::size_t l = 0; l < N; ++l) place(row, j)[l] -= factor[l] * place(i, j)[l];
    }
}

// From the sums over n steps those over 2 n, and over one more: terms of one sign, where z > 0.
void Recurrence::prepare_sums(Prepared& p, double h) const {
  const std::size_t N = basis_.size();
  const double K = double(p.steps);
  p.sums.assign(kPowers * N, 0);
  std::fill_n(p.sums.begin(), N, 1.0);  // one step
  std::vector<double> power(N), old(kPowers);
  for (std::size_t l = 0; l < N; ++l) power[l] = 1 - h * basis_[l];
  int bits = 0;
  while (p.steps >> (bits + 1)) ++bits;
  Index n = 1;
  for (int bit = bits - 1; bit >= 0; --bit) {
    double shares[kPowers][kPowers];  // of x^b in (n / K + x)^a
    for (int a = 0; a < kPowers; ++a) {
      double binomial = 1;
      for (int b = a; b >= 0; --b) {
        shares[a][b] = binomial * std::pow(double(n) / K, a - b);
        binomial *= double(b) / double(a - b + 1);
      }
    }
    for (std::size_t l = 0; l < N; ++l) {
      for (std::size_t b = 0; b < kPowers; ++b) old[b] = p.sums[b * N + l];
      for (std::size_t a = 0; a < kPowers; ++a) {
        double shifted = 0;
        for (std::size_t b = 0; b <= a; ++b) shifted += shares[a][b] * old[b];
        p.sums[a * N + l] += power[l] * shifted;
      }
      power[l] *= power[l];
    }
    n *= 2;
    if (!((p.steps >> bit) & 1)) continue;
    for (std::size_t l = 0; l < N; ++l) {
      for (int a = 0; a < kPowers; ++a) p.sums[a * N + l] += std::pow(double(n) / K, a) * power[l];
      power[l] *= 1 - h * basis_[l];
    }
    ++n;
  }
}

}  // namespace asymfast
