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

double Recurrence::lasting_ratio(const std::vector<double>& e, double e_rest,
                                 const std::vector<double>& r, double r_rest, double h, Index steps,
                                 double tolerance, double floor) const {
  const auto N = static_cast<Index>(values_.size());
  std::vector<double> both(at_index(2 * N)), inside(at_index(2 * N));
  std::copy(e.begin(), e.end(), both.begin());
  std::copy(r.begin(), r.end(), both.begin() + N);
  kernels_->product({both.data(), 2, N}, {vectors_.data(), N, N}, {inside.data(), 2, N});
  double most = 0;
  for (Index later = 0;; later = std::min(steps, std::max<Index>(1, 4 * later))) {
    double e2 = e_rest * e_rest, r2 = r_rest * r_rest;
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
                                       const std::vector<double>& vectors,
                                       const std::vector<double>& r, double h, Index steps,
                                       double accuracy, const Context& context) {
  if (h != prepared_h_) prepared_.clear();
  prepared_h_ = h;
  const auto N = static_cast<Index>(values_.size()), count = static_cast<Index>(at.size());
  Work work{at, slots, matrices, vectors, h, accuracy, context, r, {}, {}};
  work.inside.assign(at_index(count * N), 0);
  work.solution.moments.assign(at_index(count * N), 0);
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
      const double* b =
          work.vectors.empty() ? nullptr : &work.vectors[at_index(work.slots[at_index(i)] * N)];
      for (Index l = 0; l < N; ++l) {
        change[at_index(l)] += share * (pulled[at_index(l)] + (b ? b[l] : 0));
        moment[l] += share * work.r[at_index(l)];
      }
    }
    for (Index l = 0; l < N; ++l) work.r[at_index(l)] -= work.h * change[at_index(l)];
  }
  work.solution.flop += 2 * double(panel.steps) * double(count) * double(N) * double(N);
}

// One panel; rows are the places where v is collocated.
struct Recurrence::Collocation {
  const Prepared& p;
  Index N, P, count;         // sizes, places, points of the past
  std::vector<double> c;     // coefficients of their Lagrange polynomials, in panels
  std::vector<double> A, b;  // A (place, N, N); U^T b (place, N)
  std::vector<double> rho;   // U^T r at the start
  std::vector<double> v0;    // (N,)
  std::vector<double> v;     // v - v0 (place, N), in the eigenbasis
};

// A and b at the places, one step before the ends.
void Recurrence::interpolate(Collocation& c, Work& work) const {
  const Index N = c.N, N2 = N * N, slots = static_cast<Index>(work.matrices.size()) / N2;
  std::vector<double> share(at_index(c.P * slots));
  for (Index i = 0; i < c.count; ++i)
    for (Index place = 0; place < c.P; ++place)
      share[at_index(place * slots + work.slots[at_index(i)])] = polynomial(
          c.c.data() + i * kPowers, double(c.p.ends[at_index(place)] - 1) / double(c.p.steps));
  c.A.resize(at_index(c.P * N2));
  kernels_->product({share.data(), c.P, slots}, {work.matrices.data(), slots, N2},
                    {c.A.data(), c.P, N2});
  work.solution.flop += 2 * double(c.P) * double(slots) * double(N2);
  c.b.resize(at_index(c.P * N));
  if (work.vectors.empty()) return;
  std::vector<double> outside(c.b.size());
  kernels_->product({share.data(), c.P, slots}, {work.vectors.data(), slots, N},
                    {outside.data(), c.P, N});
  kernels_->product({outside.data(), c.P, N}, {vectors_.data(), N, N}, {c.b.data(), c.P, N});
}

// The start at which the coefficient of the highest degree vanishes.
void Recurrence::start_smoothly(Collocation& c, std::vector<double>& v) const {
  std::vector<double> v0(at_index(c.N), 0);
  const auto size = at_index(c.N);
  for (std::size_t i = 0; i < v.size(); ++i) v0[i % size] -= c.p.last[i / size] * v[i];
  for (std::size_t l = 0; l < size; ++l)
    v0[l] = c.p.unit_last[l] != 0 ? v0[l] / c.p.unit_last[l] : 0;
  for (std::size_t i = 0; i < v.size(); ++i) v[i] += v0[i % size] * c.p.unit[i];
  c.v0.swap(v0);
}

// False: v does not settle.
bool Recurrence::iterate(Collocation& c, Work& work) const {
  const Index N = c.N, P = c.P;
  const MatrixView<const double> U{vectors_.data(), N, N}, Ut{transposed_.data(), N, N};
  const auto size = at_index(P * N);
  std::vector<double> now(size), outside(size), pulled(size), g(size), before_ends(size);
  c.v.assign(size, 0), c.v0.assign(at_index(N), 0);
  double before = -1;
  for (int iteration = 1;; ++iteration) {
    // One step before the ends: r = z^k (r_0 - v_0) + v.
    kernels_->product({c.p.before.data(), P, P}, {c.v.data(), P, N}, {now.data(), P, N});
    for (std::size_t i = 0; i < size; ++i) {
      const std::size_t l = i % at_index(N);
      now[i] += c.p.decay[i] * (c.rho[l] - c.v0[l]) + c.v0[l];
    }
    kernels_->product({now.data(), P, N}, Ut, {outside.data(), P, N});
    for (Index place = 0; place < P; ++place)
      kernels_->product({c.A.data() + place * N * N, N, N}, {outside.data() + place * N, N, 1},
                        {pulled.data() + place * N, N, 1});
    kernels_->product({pulled.data(), P, N}, U, {g.data(), P, N});
    work.solution.flop += 6 * double(P) * double(N) * double(N);
    for (std::size_t i = 0; i < size; ++i)
      g[i] = -work.h * (g[i] + c.b[i] - values_[i % at_index(N)] * now[i]);
    c.p.solve(g, N);
    start_smoothly(c, g);
    c.v.swap(g);
    // What has changed of r at the ends: v_0 alone is determined poorly where a mode decays slowly.
    std::vector<double>& ends = g;
    for (std::size_t i = 0; i < size; ++i) {
      const std::size_t l = i % at_index(N);
      ends[i] = c.v[i] + c.v0[l] * (1 - c.p.decay[i] * (1 - work.h * values_[l]));
      before_ends[i] -= ends[i];
    }
    const double change =
        norm(before_ends.data() + (P - 1) * N, N) + 0.1 * norm(before_ends.data(), P * N);
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
      if ((c.p.unit_last[at_index(l)] != 0) != smooth) continue;
      double last = 0, last_but_one = 0;
      for (Index place = 0; place < c.P; ++place) {
        const double v = c.v[at_index(place * c.N + l)];
        last += highest[at_index(place)] * v, last_but_one += next[at_index(place)] * v;
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
  std::vector<double> of_v(at_index(c.count * c.P)), of_v0(at_index(c.count)),
      with_v(at_index(c.count * c.N)), with_z(with_v);
  for (Index i = 0; i < c.count; ++i)
    for (Index g = 0; g < G; ++g) {
      const double weight =
          c.p.rule.weights[at_index(g)] *
          polynomial(c.c.data() + i * kPowers, c.p.rule.places[at_index(g)] / double(c.p.steps));
      of_v0[at_index(i)] += weight;
      for (Index place = 0; place < c.P; ++place)
        of_v[at_index(i * c.P + place)] += weight * c.p.here[at_index(g * c.P + place)];
    }
  kernels_->product({of_v.data(), c.count, c.P}, {c.v.data(), c.P, c.N},
                    {with_v.data(), c.count, c.N});
  kernels_->product({c.c.data(), c.count, kPowers}, {c.p.sums.data(), kPowers, c.N},
                    {with_z.data(), c.count, c.N});
  for (std::size_t i = 0; i < with_v.size(); ++i) {
    const std::size_t l = i % at_index(c.N);
    work.inside[i] +=
        with_v[i] + of_v0[i / at_index(c.N)] * c.v0[l] + with_z[i] * (c.rho[l] - c.v0[l]);
  }
}

// False, and nothing has changed: v is no polynomial there.
bool Recurrence::collocate(const Panel& panel, Work& work) {
  const Prepared& p = prepared(panel.steps, work.h, work.context);
  Collocation c{p,
                static_cast<Index>(values_.size()),
                static_cast<Index>(p.ends.size()),
                static_cast<Index>(work.at.size()),
                {},
                {},
                {},
                {},
                {},
                {}};
  std::vector<double> at;
  for (const double place : work.at)
    at.push_back((place - double(panel.first)) / double(panel.steps));
  c.c = lagrange_coefficients(at);
  c.rho.resize(at_index(c.N));
  kernels_->product({work.r.data(), 1, c.N}, {vectors_.data(), c.N, c.N}, {c.rho.data(), 1, c.N});
  interpolate(c, work);
  work.context.watch.tick();
  if (!iterate(c, work) || !is_polynomial(c, work.accuracy)) return false;
  add_moments(c, work);
  for (Index l = 0; l < c.N; ++l)
    c.rho[at_index(l)] = p.whole[at_index(l)] * (c.rho[at_index(l)] - c.v0[at_index(l)]) +
                         c.v0[at_index(l)] + c.v[at_index((c.P - 1) * c.N + l)];
  kernels_->product({c.rho.data(), 1, c.N}, {transposed_.data(), c.N, c.N},
                    {work.r.data(), 1, c.N});
  return true;
}

}  // namespace asymfast
