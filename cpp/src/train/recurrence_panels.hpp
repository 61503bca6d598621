// What a panel of the recurrence (recurrence.hpp) needs that depends on its length alone.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "train/eigenvectors.hpp"
#include "train/polynomials.hpp"

namespace asymfast {

// sum_{k < steps} g(k) = sum_i weights_i g(places_i) for polynomials g of degree 21 or less: term
// by term, or Gauss' rule for the polynomials of Gram, which are orthogonal on equal steps.
struct SumRule {
  std::vector<double> places, weights;

  SumRule(const KernelTable& kernels, Index steps, const Context& context) {
    constexpr Index kSummed = 64;  // steps up to which sums are taken term by term
    constexpr Index G = 11;        // exact for l_i v, of degree 9 + 12 - 1
    if (steps <= kSummed) {
      for (Index k = 0; k < steps; ++k) places.push_back(double(k));
      weights.assign(places.size(), 1.0);
      return;
    }
    const double K = double(steps);
    std::vector<double> jacobi(G * G), vectors(G * G);
    for (Index i = 0; i < G; ++i) {
      jacobi[i * G + i] = (K - 1) / 2;
      if (i == 0) continue;
      const double s = double(i) * double(i);
      jacobi[i * G + i - 1] = jacobi[(i - 1) * G + i] =
          std::sqrt(s * (K * K - s) / (4 * (4 * s - 1)));
    }
    places.resize(G);
    kernels.eigen_decomposition({jacobi.data(), G, G}, places.data(), {vectors.data(), G, G},
                                context);
    for (Index g = 0; g < G; ++g) weights.push_back(K * std::pow(vectors[g], 2));
  }
};

// |the polynomial's coefficient in Legendre's basis| of degree places - 1, times its values.
inline std::vector<double> highest_coefficient(const std::vector<double>& places) {
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

// Of so many steps of h, in one basis, with z_l = 1 - h times its eigenvalues.
struct PreparedPanel {
  Index steps, N;
  SumRule rule;
  std::vector<double> z;        // (N,)
  std::vector<Index> ends;      // steps after which v is collocated
  std::vector<double> before;   // (place, place): v one step earlier, from v at the places
  std::vector<double> here;     // (rule's place, place): v there
  std::vector<double> decay;    // (place, N): z^(ends - 1)
  std::vector<double> whole;    // (N,): z^steps
  std::vector<double> factors;  // (place, place, N): LU of I - z before
  std::vector<double> sums;     // (power, N): sum_k (k / steps)^power z^k
  // (place,): v's coefficient of the highest degree, from the start and all places; without the
  // start; without the first place, too.
  std::vector<double> last, last_but_one, last_but_two;
  // Of modes that decay within the panel, else 0: v - v_0 (place, N) for v_0 = 1 and A, b as in
  // the basis, and its coefficient of the highest degree (N,).
  std::vector<double> unit, unit_last;

  PreparedPanel(const KernelTable& kernels, const Eigenbasis& basis, double h, Index its_steps,
                const Context& context)
      : steps(its_steps), N(basis.size()), rule(kernels, steps, context) {
    for (Index l = 0; l < N; ++l) z.push_back(1 - h * basis[l]);
    prepare_places();
    prepare_factors();
    prepare_sums();
    prepare_starts(basis, h);
  }

  Index places() const { return static_cast<Index>(ends.size()); }

  // g <- (I - z before)^-1 g for every mode.
  void solve(std::vector<double>& g) const {
    const Index P = places();
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

 private:
  void prepare_places() {
    std::vector<double> with_start(1, 0.0);
    for (const double place : kRadau12Nodes) {  // where v is collocated, or fewer
      const Index end = std::max<Index>(1, static_cast<Index>(std::lround(place * double(steps))));
      if (!ends.empty() && end == ends.back()) continue;
      ends.push_back(end);
      with_start.push_back(double(end));
    }
    const auto add_values = [&](std::vector<double>& values, double at) {
      for (std::size_t j = 1; j < with_start.size(); ++j)
        values.push_back(lagrange(with_start, j, at));
    };
    for (const Index end : ends) add_values(before, double(end - 1));
    for (const double place : rule.places) add_values(here, place);
    for (double& place : with_start) place /= double(steps);
    last = highest_coefficient(with_start);
    last.erase(last.begin());
    with_start.erase(with_start.begin());
    last_but_one = highest_coefficient(with_start);
    with_start.erase(with_start.begin());
    last_but_two = highest_coefficient(with_start);
    last_but_two.insert(last_but_two.begin(), 0);
  }

  // Powers of z, and LU factors without pivots: the matrices are far from needing any (their
  // largest elements stay within a factor of 20).
  void prepare_factors() {
    const Index P = places();
    decay.resize(P * N), whole.resize(N), factors.resize(P * P * N);
    const auto place = [&](Index i, Index j) { return factors.data() + (i * P + j) * N; };
    for (Index l = 0; l < N; ++l) {
      whole[l] = std::pow(z[l], double(steps));
      for (Index i = 0; i < P; ++i) {
        decay[i * N + l] = std::pow(z[l], double(ends[i] - 1));
        for (Index j = 0; j < P; ++j) place(i, j)[l] = (i == j) - z[l] * before[i * P + j];
      }
    }
    for (Index i = 0; i < P; ++i)
      for (Index row = i + 1; row < P; ++row) {
        double* factor = place(row, i);
        for (Index l = 0; l < N; ++l) factor[l] /= place(i, i)[l];
        for (Index j = i + 1; j < P; ++j)
          for (Index l = 0; l < N; ++l) place(row, j)[l] -= factor[l] * place(i, j)[l];
      }
  }

  // From the sums over n steps those over 2 n, and over one more: terms of one sign, where z > 0.
  void prepare_sums() {
    const double K = double(steps);
    sums.assign(kPowers * N, 0);
    std::fill_n(sums.begin(), N, 1.0);  // one step
    std::vector<double> power = z, old(kPowers);
    int bits = 0;
    while (steps >> (bits + 1)) ++bits;
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
      for (Index l = 0; l < N; ++l) {
        for (int b = 0; b < kPowers; ++b) old[b] = sums[b * N + l];
        for (int a = 0; a < kPowers; ++a) {
          double shifted = 0;
          for (int b = 0; b <= a; ++b) shifted += shares[a][b] * old[b];
          sums[a * N + l] += power[l] * shifted;
        }
        power[l] *= power[l];
      }
      n *= 2;
      if (!((steps >> bit) & 1)) continue;
      for (Index l = 0; l < N; ++l) {
        for (int a = 0; a < kPowers; ++a) sums[a * N + l] += std::pow(double(n) / K, a) * power[l];
        power[l] *= z[l];
      }
      ++n;
    }
  }

  // v - v_0 obeys the recurrence of v with -(1 - z) v_0 added to each step.
  void prepare_starts(const Eigenbasis& basis, double h) {
    constexpr double kDecayed = 0.01;  // z^steps
    unit.assign(places() * N, 0), unit_last.assign(N, 0);
    for (Index i = 0; i < places() * N; ++i)
      if (std::abs(whole[i % N]) < kDecayed) unit[i] = -h * basis[i % N];
    solve(unit);
    for (Index i = 0; i < places() * N; ++i) unit_last[i % N] += last[i / N] * unit[i];
  }
};

}  // namespace asymfast
