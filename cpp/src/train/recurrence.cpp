#include "train/recurrence.hpp"

#include <algorithm>
#include <cmath>

#include "train/polynomials.hpp"
#include "train/vectors.hpp"

namespace asymfast {

namespace {

constexpr Index kShortPanel = 16;  // is stepped through
constexpr int kMostIterations = 12;

}  // namespace

// What is common to the panels of one solution.
struct Recurrence::Work {
  const std::vector<double>& at;
  const std::vector<Index>& slots;
  const std::vector<double>& matrices;
  const std::vector<double>& vectors;
  double h, accuracy;
  const Context& context;
  std::vector<double> r;       // at the start of the panel
  std::vector<double> inside;  // moments in the eigenbasis; solution.moments: the others
  Solution solution;
};

double Recurrence::lasting_ratio(const std::vector<double>& e, double e_rest,
                                 const std::vector<double>& r, double r_rest, double h, Index steps,
                                 double tolerance, double floor) const {
  const Index N = basis_.size();
  std::vector<double> both(e.begin(), e.begin() + N);
  both.insert(both.end(), r.begin(), r.begin() + N);
  const std::vector<double> inside = basis_.into(both);
  double most = 0;
  for (Index later = 0;; later = std::min(steps, std::max<Index>(1, 4 * later))) {
    double e2 = e_rest * e_rest, r2 = r_rest * r_rest;
    for (Index l = 0; l < N; ++l) {
      const double left = std::pow(std::abs(1 - h * basis_[l]), double(later));
      e2 += std::pow(left * inside[l], 2);
      r2 += std::pow(left * inside[N + l], 2);
    }
    const double ratio = std::sqrt(e2) / (tolerance * std::sqrt(r2) + floor);
    if (!(ratio <= most)) most = ratio;  // NaN too
    if (later >= steps || std::isnan(ratio)) return most;
  }
}

Recurrence::Solution Recurrence::solve(const std::vector<double>& at,
                                       const std::vector<Index>& slots,
                                       const std::vector<double>& matrices,
                                       const std::vector<double>& vectors,
                                       const std::vector<double>& r, double h, Index steps,
                                       double accuracy, const Context& context) {
  if (h != prepared_h_) prepared_.clear();
  prepared_h_ = h;
  const Index N = basis_.size(), count = static_cast<Index>(at.size());
  Work work{at, slots, matrices, vectors, h, accuracy, context, r, {}, {}};
  work.inside.assign(count * N, 0);
  work.solution.moments.assign(count * N, 0);
  std::vector<Panel> panels(N > 0 ? 1 : 0, Panel{0, steps});  // N is 0 where nothing moves
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
  const std::vector<double> outside = basis_.out_of(work.inside);
  for (std::size_t i = 0; i < outside.size(); ++i) work.solution.moments[i] += outside[i];
  work.solution.r = std::move(work.r);
  return std::move(work.solution);
}

void Recurrence::step_through(const Panel& panel, Work& work) const {
  const Index N = basis_.size(), count = static_cast<Index>(work.at.size());
  std::vector<double> pulled(N), change(N);
  for (Index k = panel.first; k < panel.first + panel.steps; ++k) {
    std::fill(change.begin(), change.end(), 0.0);
    for (Index i = 0; i < count; ++i) {
      const double share = lagrange(work.at, i, double(k));
      kernels_->product({work.matrices.data() + work.slots[i] * N * N, N, N}, {work.r.data(), N, 1},
                        {pulled.data(), N, 1});
      double* moment = work.solution.moments.data() + i * N;
      const double* b = work.vectors.empty() ? nullptr : &work.vectors[work.slots[i] * N];
      for (Index l = 0; l < N; ++l) {
        change[l] += share * (pulled[l] + (b ? b[l] : 0));
        moment[l] += share * work.r[l];
      }
    }
    for (Index l = 0; l < N; ++l) work.r[l] -= work.h * change[l];
  }
  work.solution.flop += 2 * double(panel.steps) * double(count) * double(N) * double(N);
}

// One panel; rows are the places where v is collocated.
struct Recurrence::Collocation {
  const Prepared& p;
  Index N, P, count;             // sizes, places, points of the past
  std::vector<double> c{};       // coefficients of their Lagrange polynomials, in panels
  std::vector<double> A{}, b{};  // A (place, N, N); U^T b (place, N)
  std::vector<double> rho{};     // U^T r at the start
  std::vector<double> v0{};      // (N,)
  std::vector<double> v{};       // v - v0 (place, N), in the eigenbasis
};

// A and b at the places, one step before the ends.
void Recurrence::interpolate(Collocation& c, Work& work) const {
  const Index N = c.N, N2 = N * N, slots = static_cast<Index>(work.matrices.size()) / N2;
  std::vector<double> places;
  places.reserve(c.p.ends.size());
  for (const Index end : c.p.ends) places.push_back(double(end - 1) / double(c.p.steps));
  const std::vector<double> share = lagrange_shares(c.c, work.slots, slots, places);
  c.A = product(*kernels_, c.P, slots, N2, share.data(), work.matrices.data());
  work.solution.flop += 2 * double(c.P) * double(slots) * double(N2);
  c.b = work.vectors.empty()
            ? std::vector<double>(c.P * N)
            : basis_.into(product(*kernels_, c.P, slots, N, share.data(), work.vectors.data()));
}

// The start at which the coefficient of the highest degree vanishes.
void Recurrence::start_smoothly(Collocation& c, std::vector<double>& v) const {
  const Index N = c.N;
  std::vector<double> v0(N);
  for (Index i = 0; i < c.P * N; ++i) v0[i % N] -= c.p.last[i / N] * v[i];
  for (Index l = 0; l < N; ++l) v0[l] = c.p.unit_last[l] != 0 ? v0[l] / c.p.unit_last[l] : 0;
  for (Index i = 0; i < c.P * N; ++i) v[i] += v0[i % N] * c.p.unit[i];
  c.v0.swap(v0);
}

// False: v does not settle.
bool Recurrence::iterate(Collocation& c, Work& work) const {
  const Index N = c.N, P = c.P, size = P * N;
  std::vector<double> before_ends(size);
  c.v.assign(size, 0), c.v0.assign(N, 0);
  double before = -1;
  for (int iteration = 1;; ++iteration) {
    // One step before the ends: r = z^k (r_0 - v_0) + v.
    std::vector<double> now = product(*kernels_, P, P, N, c.p.before.data(), c.v.data());
    for (Index i = 0; i < size; ++i)
      now[i] += c.p.decay[i] * (c.rho[i % N] - c.v0[i % N]) + c.v0[i % N];
    std::vector<double> g = basis_.apply(c.A, now);
    work.solution.flop += 6 * double(P) * double(N) * double(N);
    for (Index i = 0; i < size; ++i) g[i] = -work.h * (g[i] + c.b[i] - basis_[i % N] * now[i]);
    c.p.solve(g, N);
    start_smoothly(c, g);
    c.v.swap(g);
    // What has changed of r at the ends: v_0 alone is determined poorly where a mode decays slowly.
    std::vector<double>& ends = g;
    for (Index i = 0; i < size; ++i) {
      ends[i] = c.v[i] + c.v0[i % N] * (1 - c.p.decay[i] * (1 - work.h * basis_[i % N]));
      before_ends[i] -= ends[i];
    }
    const double change =
        norm(before_ends.data() + (P - 1) * N, N) + 0.1 * norm(before_ends.data(), size);
    before_ends.swap(ends);
    work.solution.iterations = std::max(work.solution.iterations, iteration);
    if (change <= 0.01 * work.accuracy) return true;
    if (!(iteration < kMostIterations) || (iteration > 2 && !(change < before))) return false;
    before = change;
    work.context.watch.tick();
    if (work.context.watch.stopped()) return true;
  }
}

// The coefficients of Legendre's polynomials fade like a geometric series, or v is no polynomial.
bool Recurrence::is_polynomial(const Collocation& c, double accuracy) const {
  double expected = 0;
  for (const bool smooth : {false, true}) {  // with a start of its own, v is of one degree less
    const std::vector<double>& highest = smooth ? c.p.last_but_one : c.p.last;
    const std::vector<double>& next = smooth ? c.p.last_but_two : c.p.last_but_one;
    double last2 = 0, last_but_one2 = 0;
    for (Index l = 0; l < c.N; ++l) {
      if ((c.p.unit_last[l] != 0) != smooth) continue;
      double last = 0, last_but_one = 0;
      for (Index place = 0; place < c.P; ++place) {
        const double v = c.v[place * c.N + l];
        last += highest[place] * v, last_but_one += next[place] * v;
      }
      last2 += last * last, last_but_one2 += last_but_one * last_but_one;
    }
    if (last2 != 0) expected += std::sqrt(last2) * std::min(1.0, std::sqrt(last2 / last_but_one2));
  }
  return expected <= accuracy;
}

// Moments: z^k (r_0 - v_0) by powers, v by the rule.
void Recurrence::add_moments(const Collocation& c, Work& work) const {
  const auto G = static_cast<Index>(c.p.rule.places.size());
  std::vector<double> of_v(c.count * c.P), of_v0(c.count);
  for (Index i = 0; i < c.count; ++i)
    for (Index g = 0; g < G; ++g) {
      const double weight =
          c.p.rule.weights[g] *
          polynomial(c.c.data() + i * kPowers, c.p.rule.places[g] / double(c.p.steps));
      of_v0[i] += weight;
      for (Index place = 0; place < c.P; ++place)
        of_v[i * c.P + place] += weight * c.p.here[g * c.P + place];
    }
  const std::vector<double> with_v = product(*kernels_, c.count, c.P, c.N, of_v.data(), c.v.data());
  const std::vector<double> with_z =
      product(*kernels_, c.count, kPowers, c.N, c.c.data(), c.p.sums.data());
  for (Index i = 0; i < c.count * c.N; ++i) {
    const Index l = i % c.N;
    work.inside[i] += with_v[i] + of_v0[i / c.N] * c.v0[l] + with_z[i] * (c.rho[l] - c.v0[l]);
  }
}

// False, and nothing has changed: v is no polynomial there.
bool Recurrence::collocate(const Panel& panel, Work& work) {
  const Prepared& p = prepared(panel.steps, work.h, work.context);
  Collocation c{p, basis_.size(), static_cast<Index>(p.ends.size()),
                static_cast<Index>(work.at.size())};
  std::vector<double> at;
  at.reserve(work.at.size());
  for (const double place : work.at)
    at.push_back((place - double(panel.first)) / double(panel.steps));
  c.c = lagrange_coefficients(at);
  c.rho = basis_.into(work.r);
  interpolate(c, work);
  work.context.watch.tick();
  if (!iterate(c, work) || !is_polynomial(c, work.accuracy)) return false;
  add_moments(c, work);
  for (Index l = 0; l < c.N; ++l)
    c.rho[l] = p.whole[l] * (c.rho[l] - c.v0[l]) + c.v0[l] + c.v[(c.P - 1) * c.N + l];
  work.r = basis_.out_of(c.rho);
  return true;
}

}  // namespace asymfast
