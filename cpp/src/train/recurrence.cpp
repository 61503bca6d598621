#include "train/recurrence.hpp"

#include <algorithm>
#include <cmath>

#include "train/polynomials.hpp"

namespace asymfast {

namespace {

constexpr int kPlaces = 12;        // where v is collocated, at most
constexpr Index kShortPanel = 16;  // is stepped through
constexpr Index kSummed = 64;      // steps up to which sums are taken term by term
constexpr int kRulePlaces = 11;    // exact for l_i v, of degree 9 + 12 - 1
constexpr int kMostIterations = 12;
constexpr std::size_t kMostPrepared = 6;

std::size_t at_index(Index i) {
  return static_cast<std::size_t>(i);
}

double norm(const double* v, Index count) {
  double sum = 0;
  for (Index i = 0; i < count; ++i) sum += v[i] * v[i];
  return std::sqrt(sum);
}

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

// What is common to the panels of one solution.
struct Recurrence::Work {
  const std::vector<double>& at;
  const std::vector<Index>& slots;
  const std::vector<double>& matrices;
  double h, accuracy;
  const Context& context;
  std::vector<double> r;       // at the start of the panel
  std::vector<double> inside;  // moments in the eigenbasis; solution.moments: the others
  Solution solution;
};

void Recurrence::transpose() {
  const std::size_t N = values_.size();
  if (vectors_.size() != N * N) return;
  transposed_.resize(N * N);
  for (std::size_t i = 0; i < N; ++i)
    for (std::size_t l = 0; l < N; ++l) transposed_[l * N + i] = vectors_[i * N + l];
  prepared_.clear();
}

void Recurrence::set_basis(const double* A, Index N, const Context& context) {
  values_.resize(at_index(N));
  vectors_.resize(at_index(N * N));
  std::vector<double> symmetric(at_index(N * N));
  for (Index i = 0; i < N; ++i)
    for (Index l = 0; l < N; ++l)
      symmetric[at_index(i * N + l)] = (A[i * N + l] + A[l * N + i]) / 2;
  kernels_->eigen_decomposition({symmetric.data(), N, N}, values_.data(), {vectors_.data(), N, N},
                                context);
  transpose();
}

double Recurrence::lasting_ratio(const std::vector<double>& e, const std::vector<double>& r,
                                 double h, Index steps, double tolerance, double floor) const {
  const auto N = static_cast<Index>(values_.size());
  std::vector<double> both(at_index(2 * N)), inside(at_index(2 * N));
  std::copy(e.begin(), e.end(), both.begin());
  std::copy(r.begin(), r.end(), both.begin() + N);
  kernels_->product({both.data(), 2, N}, {vectors_.data(), N, N}, {inside.data(), 2, N});
  double most = 0;
  for (Index later = 0;; later = std::min(steps, std::max<Index>(1, 4 * later))) {
    double e2 = 0, r2 = 0;
    for (Index l = 0; l < N; ++l) {
      const double left = std::pow(std::abs(1 - h * values_[at_index(l)]), double(later));
      e2 += std::pow(left * inside[at_index(l)], 2);
      r2 += std::pow(left * inside[at_index(N + l)], 2);
    }
    const double ratio = std::sqrt(e2) / (tolerance * std::sqrt(r2) + floor);
    if (!(ratio <= most)) most = ratio;  // NaN too
    if (later >= steps || std::isnan(ratio)) return most;
  }
}

Recurrence::Solution Recurrence::solve(const std::vector<double>& at,
                                       const std::vector<Index>& slots,
                                       const std::vector<double>& matrices,
                                       const std::vector<double>& r, double h, Index steps,
                                       double accuracy, const Context& context) {
  if (h != prepared_h_) prepared_.clear();
  prepared_h_ = h;
  const auto N = static_cast<Index>(values_.size()), count = static_cast<Index>(at.size());
  Work work{at, slots, matrices, h, accuracy, context, r, {}, {}};
  work.inside.assign(at_index(count * N), 0);
  work.solution.moments.assign(at_index(count * N), 0);
  std::vector<Panel> panels(1, {0, steps});
  while (!panels.empty()) {
    const Panel panel = panels.back();
    panels.pop_back();
    context.watch.tick();
    if (context.watch.stopped()) break;
    if (panel.steps <= kShortPanel) {
      step_through(panel, work);
    } else if (!collocate(panel, work)) {
      const Index half = panel.steps / 2;
      panels.push_back({panel.first + half, panel.steps - half});
      panels.push_back({panel.first, half});
    }
  }
  std::vector<double> outside(work.inside.size());
  kernels_->product({work.inside.data(), count, N}, {transposed_.data(), N, N},
                    {outside.data(), count, N});
  for (std::size_t i = 0; i < outside.size(); ++i) work.solution.moments[i] += outside[i];
  work.solution.r = std::move(work.r);
  return std::move(work.solution);
}

void Recurrence::step_through(const Panel& panel, Work& work) const {
  const auto N = static_cast<Index>(values_.size()), count = static_cast<Index>(work.at.size());
  std::vector<double> pulled(at_index(N)), change(at_index(N));
  for (Index k = panel.first; k < panel.first + panel.steps; ++k) {
    std::fill(change.begin(), change.end(), 0.0);
    for (Index i = 0; i < count; ++i) {
      const double share = lagrange(work.at, at_index(i), double(k));
      kernels_->product({work.matrices.data() + work.slots[at_index(i)] * N * N, N, N},
                        {work.r.data(), N, 1}, {pulled.data(), N, 1});
      double* moment = work.solution.moments.data() + i * N;
      for (Index l = 0; l < N; ++l) {
        change[at_index(l)] += share * pulled[at_index(l)];
        moment[l] += share * work.r[at_index(l)];
      }
    }
    for (Index l = 0; l < N; ++l) work.r[at_index(l)] -= work.h * change[at_index(l)];
  }
  work.solution.flop += 2 * double(panel.steps) * double(count) * double(N) * double(N);
}

// False, and nothing has changed: v is no polynomial there.
bool Recurrence::collocate(const Panel& panel, Work& work) {
  const Prepared& p = prepared(panel.steps, work.h, work.context);
  const auto N = static_cast<Index>(values_.size()), N2 = N * N;
  const auto count = static_cast<Index>(work.at.size()), P = static_cast<Index>(p.ends.size());
  const Index all_slots = static_cast<Index>(work.matrices.size()) / N2;
  const MatrixView<const double> U{vectors_.data(), N, N}, Ut{transposed_.data(), N, N};
  std::vector<double> at;
  for (const double place : work.at)
    at.push_back((place - double(panel.first)) / double(panel.steps));
  const std::vector<double> c = lagrange_coefficients(at);

  // A at the places.
  std::vector<double> share(at_index(P * all_slots)), A(at_index(P * N2));
  for (Index i = 0; i < count; ++i)
    for (Index node = 0; node < P; ++node)
      share[at_index(node * all_slots + work.slots[at_index(i)])] = polynomial(
          c.data() + i * kPowers, double(p.ends[at_index(node)] - 1) / double(panel.steps));
  kernels_->product({share.data(), P, all_slots}, {work.matrices.data(), all_slots, N2},
                    {A.data(), P, N2});
  work.context.watch.tick();
  work.solution.flop += 2 * double(P) * double(all_slots) * double(N2);

  std::vector<double> rho(at_index(N));  // U^T r
  kernels_->product({work.r.data(), 1, N}, U, {rho.data(), 1, N});
  const auto size = at_index(P * N);
  std::vector<double> v(size), now(size), outside(size), pulled(size), g(size);
  double before = -1;
  for (int iteration = 1;; ++iteration) {
    // One step before the ends: r = z^k r_0 + v.
    kernels_->product({p.before.data(), P, P}, {v.data(), P, N}, {now.data(), P, N});
    for (std::size_t i = 0; i < size; ++i) now[i] += p.decay[i] * rho[i % at_index(N)];
    kernels_->product({now.data(), P, N}, Ut, {outside.data(), P, N});
    for (Index node = 0; node < P; ++node)
      kernels_->product({A.data() + node * N2, N, N}, {outside.data() + node * N, N, 1},
                        {pulled.data() + node * N, N, 1});
    kernels_->product({pulled.data(), P, N}, U, {g.data(), P, N});
    work.solution.flop += 6 * double(P) * double(N2);
    for (Index node = 0; node < P; ++node)
      for (Index l = 0; l < N; ++l) {
        const auto i = at_index(node * N + l);
        g[i] = -work.h * (g[i] - values_[at_index(l)] * now[i]);
      }
    // v <- (I - z before)^-1 g for every mode.
    for (Index i = 0; i < P; ++i)
      for (Index j = 0; j < i; ++j) {
        const double* f = p.factors.data() + (i * P + j) * N;
        for (Index l = 0; l < N; ++l) g[at_index(i * N + l)] -= f[l] * g[at_index(j * N + l)];
      }
    for (Index i = P; i-- > 0;) {
      for (Index j = i + 1; j < P; ++j) {
        const double* f = p.factors.data() + (i * P + j) * N;
        for (Index l = 0; l < N; ++l) g[at_index(i * N + l)] -= f[l] * g[at_index(j * N + l)];
      }
      const double* f = p.factors.data() + (i * P + i) * N;
      for (Index l = 0; l < N; ++l) g[at_index(i * N + l)] /= f[l];
    }
    for (std::size_t i = 0; i < size; ++i) v[i] = g[i] - v[i];  // the change
    const double change = norm(v.data() + (P - 1) * N, N) + 0.1 * norm(v.data(), P * N);
    v.swap(g);
    work.solution.iterations = std::max(work.solution.iterations, iteration);
    if (change <= 0.01 * work.accuracy) break;
    if (!(iteration < kMostIterations) || (iteration > 2 && !(change < before))) return false;
    before = change;
    work.context.watch.tick();
    if (work.context.watch.stopped()) return true;
  }

  // The coefficients of Legendre's polynomials fade like a geometric series, or v is no polynomial.
  std::vector<double> highest(at_index(2 * N));
  for (Index node = 0; node < P; ++node)
    for (Index l = 0; l < N; ++l) {
      highest[at_index(l)] += p.last[at_index(node)] * v[at_index(node * N + l)];
      highest[at_index(N + l)] += p.last_but_one[at_index(node)] * v[at_index(node * N + l)];
    }
  const double last = norm(highest.data(), N), last_but_one = norm(highest.data() + N, N);
  if (!(last * std::min(1.0, last / last_but_one) <= work.accuracy) && last > 0) return false;

  // Moments: z^k r_0 by powers, v by the rule.
  const auto G = static_cast<Index>(p.places.size());
  std::vector<double> of_v(at_index(count * P)), with_v(at_index(count * N)), with_z(with_v);
  for (Index i = 0; i < count; ++i)
    for (Index g_ = 0; g_ < G; ++g_) {
      const double weight =
          p.weights[at_index(g_)] *
          polynomial(c.data() + i * kPowers, p.places[at_index(g_)] / double(panel.steps));
      for (Index node = 0; node < P; ++node)
        of_v[at_index(i * P + node)] += weight * p.here[at_index(g_ * P + node)];
    }
  kernels_->product({of_v.data(), count, P}, {v.data(), P, N}, {with_v.data(), count, N});
  kernels_->product({c.data(), count, kPowers}, {p.sums.data(), kPowers, N},
                    {with_z.data(), count, N});
  for (std::size_t i = 0; i < with_v.size(); ++i)
    work.inside[i] += with_v[i] + with_z[i] * rho[i % at_index(N)];

  for (Index l = 0; l < N; ++l)
    rho[at_index(l)] = p.whole[at_index(l)] * rho[at_index(l)] + v[at_index((P - 1) * N + l)];
  kernels_->product({rho.data(), 1, N}, Ut, {work.r.data(), 1, N});
  return true;
}

// ---- what depends on the length of a panel alone

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
  static const std::vector<double> places = radau_places(kPlaces);
  for (const double place : places) {
    const Index end = std::max<Index>(1, static_cast<Index>(std::lround(place * double(steps))));
    if (!p.ends.empty() && end == p.ends.back()) continue;
    p.ends.push_back(end);
    with_start.push_back(double(end));
  }
  for (const Index end : p.ends)
    for (std::size_t j = 1; j < with_start.size(); ++j)
      p.before.push_back(lagrange(with_start, j, double(end - 1)));
  prepare_rule(p, context);
  for (const double place : p.places)
    for (std::size_t j = 1; j < with_start.size(); ++j)
      p.here.push_back(lagrange(with_start, j, place));
  for (double& place : with_start) place /= double(steps);
  p.last = highest_coefficient(with_start);
  p.last.erase(p.last.begin());
  with_start.erase(with_start.begin());
  p.last_but_one = highest_coefficient(with_start);
  prepare_factors(p, h);
  prepare_sums(p, h);
  return p;
}

// Term by term, or Gauss' rule for the polynomials of Gram, which are orthogonal on equal steps.
void Recurrence::prepare_rule(Prepared& p, const Context& context) const {
  if (p.steps <= kSummed) {
    for (Index k = 0; k < p.steps; ++k) p.places.push_back(double(k));
    p.weights.assign(p.places.size(), 1.0);
    return;
  }
  constexpr Index G = kRulePlaces;
  const double K = double(p.steps);
  std::vector<double> jacobi(at_index(G * G)), vectors(at_index(G * G));
  for (Index i = 0; i < G; ++i) {
    jacobi[at_index(i * G + i)] = (K - 1) / 2;
    if (i == 0) continue;
    const double s = double(i) * double(i);
    jacobi[at_index(i * G + i - 1)] = jacobi[at_index((i - 1) * G + i)] =
        std::sqrt(s * (K * K - s) / (4 * (4 * s - 1)));
  }
  p.places.resize(at_index(G));
  kernels_->eigen_decomposition({jacobi.data(), G, G}, p.places.data(), {vectors.data(), G, G},
                                context);
  for (Index g = 0; g < G; ++g) p.weights.push_back(K * std::pow(vectors[at_index(g)], 2));
}

// Powers of z, and LU factors without pivots: the matrices are far from needing any (their largest
// elements stay within a factor of 20).
void Recurrence::prepare_factors(Prepared& p, double h) const {
  const std::size_t N = values_.size(), P = p.ends.size();
  p.decay.resize(P * N);
  p.whole.resize(N);
  p.factors.resize(P * P * N);
  double* f = p.factors.data();
  const auto place = [=](std::size_t i, std::size_t j) { return f + (i * P + j) * N; };
  for (std::size_t l = 0; l < N; ++l) {
    const double z = 1 - h * values_[l];
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
  const std::size_t N = values_.size();
  const double K = double(p.steps);
  p.sums.assign(kPowers * N, 0);
  std::fill_n(p.sums.begin(), N, 1.0);  // one step
  std::vector<double> power(N), old(kPowers);
  for (std::size_t l = 0; l < N; ++l) power[l] = 1 - h * values_[l];
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
      for (int a = 0; a < kPowers; ++a)
        p.sums[at_index(a) * N + l] += std::pow(double(n) / K, a) * power[l];
      power[l] *= 1 - h * values_[l];
    }
    ++n;
  }
}

}  // namespace asymfast
