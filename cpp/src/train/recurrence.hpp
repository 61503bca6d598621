// The small problem of a leap: r_{k+1} = r_k - h (A(k) r_k + b(k)) over many steps, with A(k) and
// b(k) polynomials through given matrices and vectors, and the moments of r that move the weights.
// The discrete twin of tangent_ode.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "train/recurrence_panels.hpp"

namespace asymfast {

// The steps are cut into panels. In the eigenbasis (1 - z_l) / h, z_l of a symmetric matrix near
// all A(k), r is split into z^k r_0 and a correction v of the size of A(k)'s distance from that
// matrix, a polynomial in k through the places of a Radau rule that are rounded to steps; v is
// found by Picard iteration with z treated implicitly. Of a mode that decays within the panel, the
// residual soon follows A(k) and b(k) smoothly, and only what it starts beside that, r_0 - v_0,
// decays like z^k: v starts at the v_0 that makes it smoothest. A panel where v is no such
// polynomial is halved, and one of a few steps is stepped through. Matrices are of size N.
class Recurrence {
 public:
  Recurrence(const KernelTable& kernels, double h) : kernels_(kernels), h_(h), basis_(kernels) {}

  // Takes the symmetric part of A (N, N).
  void set_basis(const double* A, Index N, const Context& context) {
    basis_.set(A, N, context);
    prepared_.clear();
  }
  double largest_eigenvalue() const { return basis_.largest(); }

  // A(k) = sum_i l_i(k) matrices[slots[i]] with the Lagrange polynomials l_i of the places at[i] in
  // steps from the first one, b(k) likewise; matrices (slots, N, N), vectors (slots, N) or none.
  // Solves to `accuracy` in r; the moments are sum_k l_i(k) r_k.
  Solution solve(const Places& places, const std::vector<double>& matrices,
                 const std::vector<double>& vectors, const std::vector<double>& r, Index steps,
                 double accuracy, const Context& context) {
    const Index N = basis_.size(), count = static_cast<Index>(places.at.size());
    Work work{places, matrices, vectors, accuracy, context, r, {}, {}};
    work.inside.assign(count * N, 0);
    work.solution.moments.assign(count * N, 0);
    std::vector<Stretch> stretches(N > 0 ? 1 : 0, Stretch{0, steps});  // N is 0: nothing moves
    while (!stretches.empty()) {
      const Stretch now = stretches.back();
      stretches.pop_back();
      context.watch.tick();
      if (now.steps <= kShortPanel) {
        step_through(now, work);
      } else if (!collocate(now, work)) {
        const Index half = now.steps / 2;
        stretches.push_back({now.first + half, now.steps - half});
        stretches.push_back({now.first, half});
      }
    }
    const std::vector<double> outside = basis_.out_of(work.inside);
    for (std::size_t i = 0; i < outside.size(); ++i) work.solution.moments[i] += outside[i];
    work.solution.r = std::move(work.r);
    return std::move(work.solution);
  }

  // The largest |e_k| / (tolerance |r_k| + floor) while both go on for up to `steps` more; parts of
  // length e_rest and r_rest stay as they are.
  double lasting_ratio(const std::vector<double>& e, double e_rest, const std::vector<double>& r,
                       double r_rest, Index steps, double tolerance, double floor) const {
    const Index N = basis_.size();
    std::vector<double> both(e.begin(), e.begin() + N);
    both.insert(both.end(), r.begin(), r.begin() + N);
    const std::vector<double> inside = basis_.into(both);
    double most = 0;
    for (Index later = 0;; later = std::min(steps, std::max<Index>(1, 4 * later))) {
      double e2 = e_rest * e_rest, r2 = r_rest * r_rest;
      for (Index l = 0; l < N; ++l) {
        const double left = std::pow(std::abs(1 - h_ * basis_[l]), double(later));
        e2 += std::pow(left * inside[l], 2);
        r2 += std::pow(left * inside[N + l], 2);
      }
      const double ratio = std::sqrt(e2) / (tolerance * std::sqrt(r2) + floor);
      if (!(ratio <= most)) most = ratio;  // NaN too
      if (later >= steps || std::isnan(ratio)) return most;
    }
  }

  // N: 0 while there is no basis.
  void serialise(Archive& archive, Index N) {
    basis_.serialise(archive, N);
    prepared_.clear();
  }

 private:
  static constexpr Index kShortPanel = 16;  // is stepped through
  static constexpr int kMostIterations = 12;
  static constexpr std::size_t kMostPrepared = 6;

  struct Stretch {
    Index first, steps;
  };

  // What is common to the panels of one solution.
  struct Work {
    const Places& places;
    const std::vector<double>&matrices, &vectors;
    double accuracy;
    const Context& context;
    std::vector<double> r;       // at the start of the panel
    std::vector<double> inside;  // moments in the eigenbasis; solution.moments: the others
    Solution solution;
  };

  // One panel; rows are the places where v is collocated.
  struct Collocation {
    const PreparedPanel& p;
    Index N, P, count;             // sizes, places, points of the past
    std::vector<double> c{};       // coefficients of their Lagrange polynomials, in panels
    std::vector<double> A{}, b{};  // A (place, N, N); U^T b (place, N)
    std::vector<double> rho{};     // U^T r at the start
    std::vector<double> v0{};      // (N,)
    std::vector<double> v{};       // v - v0 (place, N), in the eigenbasis
  };

  void step_through(const Stretch& now, Work& work) const {
    const Index N = basis_.size(), count = static_cast<Index>(work.places.at.size());
    std::vector<double> pulled(N), change(N);
    for (Index k = now.first; k < now.first + now.steps; ++k) {
      std::fill(change.begin(), change.end(), 0.0);
      for (Index i = 0; i < count; ++i) {
        const double share = lagrange(work.places.at, i, double(k));
        const Index slot = work.places.slots[i];
        kernels_.product({work.matrices.data() + slot * N * N, N, N}, {work.r.data(), N, 1},
                         {pulled.data(), N, 1});
        double* moment = work.solution.moments.data() + i * N;
        const double* b = work.vectors.empty() ? nullptr : &work.vectors[slot * N];
        for (Index l = 0; l < N; ++l) {
          change[l] += share * (pulled[l] + (b ? b[l] : 0));
          moment[l] += share * work.r[l];
        }
      }
      for (Index l = 0; l < N; ++l) work.r[l] -= h_ * change[l];
    }
    work.solution.flop += 2 * double(now.steps) * double(count) * double(N) * double(N);
  }

  const PreparedPanel& prepared(Index steps, const Context& context) {
    const auto known = std::find_if(prepared_.begin(), prepared_.end(),
                                    [=](const auto& p) { return p->steps == steps; });
    if (known != prepared_.end()) {
      std::rotate(prepared_.begin(), known, known + 1);
      return *prepared_.front();
    }
    if (prepared_.size() == kMostPrepared) prepared_.pop_back();
    prepared_.insert(prepared_.begin(),
                     std::make_unique<PreparedPanel>(kernels_, basis_, h_, steps, context));
    return *prepared_.front();
  }

  // False, and nothing has changed: v is no polynomial there.
  bool collocate(const Stretch& now, Work& work) {
    const PreparedPanel& p = prepared(now.steps, work.context);
    Collocation c{p, p.N, p.places(), static_cast<Index>(work.places.at.size())};
    std::vector<double> at;
    at.reserve(work.places.at.size());
    for (const double place : work.places.at)
      at.push_back((place - double(now.first)) / double(now.steps));
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

  // A and b at the places, one step before the ends.
  void interpolate(Collocation& c, Work& work) const {
    const Index N = c.N, N2 = N * N, slots = static_cast<Index>(work.matrices.size()) / N2;
    std::vector<double> before_ends;
    before_ends.reserve(c.P);
    for (const Index end : c.p.ends) before_ends.push_back(double(end - 1) / double(c.p.steps));
    const std::vector<double> share = lagrange_shares(c.c, work.places.slots, slots, before_ends);
    c.A = product(kernels_, c.P, slots, N2, share.data(), work.matrices.data());
    work.solution.flop += 2 * double(c.P) * double(slots) * double(N2);
    c.b = work.vectors.empty()
              ? std::vector<double>(c.P * N)
              : basis_.into(product(kernels_, c.P, slots, N, share.data(), work.vectors.data()));
  }

  // The start at which the coefficient of the highest degree vanishes.
  static void start_smoothly(Collocation& c, std::vector<double>& v) {
    const Index N = c.N;
    c.v0.assign(N, 0);
    for (Index i = 0; i < c.P * N; ++i) c.v0[i % N] -= c.p.last[i / N] * v[i];
    for (Index l = 0; l < N; ++l) c.v0[l] = c.p.unit_last[l] != 0 ? c.v0[l] / c.p.unit_last[l] : 0;
    for (Index i = 0; i < c.P * N; ++i) v[i] += c.v0[i % N] * c.p.unit[i];
  }

  // False: v does not settle.
  bool iterate(Collocation& c, Work& work) const {
    const Index N = c.N, P = c.P, size = P * N;
    std::vector<double> before_ends(size);
    c.v.assign(size, 0), c.v0.assign(N, 0);
    double before = -1;
    for (int iteration = 1;; ++iteration) {
      // One step before the ends: r = z^k (r_0 - v_0) + v.
      std::vector<double> now = product(kernels_, P, P, N, c.p.before.data(), c.v.data());
      for (Index i = 0; i < size; ++i)
        now[i] += c.p.decay[i] * (c.rho[i % N] - c.v0[i % N]) + c.v0[i % N];
      std::vector<double> g = basis_.apply(c.A, now);
      work.solution.flop += 6 * double(P) * double(N) * double(N);
      for (Index i = 0; i < size; ++i) g[i] = -h_ * (g[i] + c.b[i] - basis_[i % N] * now[i]);
      c.p.solve(g);
      start_smoothly(c, g);
      c.v.swap(g);
      // What has changed of r at the ends: v_0 alone is determined poorly where a mode decays
      // slowly.
      std::vector<double>& ends = g;
      for (Index i = 0; i < size; ++i) {
        ends[i] = c.v[i] + c.v0[i % N] * (1 - c.p.decay[i] * c.p.z[i % N]);
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
    }
  }

  // The coefficients of Legendre's polynomials fade like a geometric series, or v is no polynomial.
  static bool is_polynomial(const Collocation& c, double accuracy) {
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
      if (last2 != 0)
        expected += std::sqrt(last2) * std::min(1.0, std::sqrt(last2 / last_but_one2));
    }
    return expected <= accuracy;
  }

  // Moments: z^k (r_0 - v_0) by powers, v by the rule.
  void add_moments(const Collocation& c, Work& work) const {
    std::vector<double> of_v(c.count * c.P), of_v0(c.count);
    for (Index i = 0; i < c.count; ++i)
      for (std::size_t g = 0; g < c.p.rule.places.size(); ++g) {
        const double weight =
            c.p.rule.weights[g] *
            polynomial(c.c.data() + i * kPowers, c.p.rule.places[g] / double(c.p.steps));
        of_v0[i] += weight;
        for (Index place = 0; place < c.P; ++place)
          of_v[i * c.P + place] += weight * c.p.here[g * c.P + place];
      }
    const std::vector<double> with_v =
        product(kernels_, c.count, c.P, c.N, of_v.data(), c.v.data());
    const std::vector<double> with_z =
        product(kernels_, c.count, kPowers, c.N, c.c.data(), c.p.sums.data());
    for (Index i = 0; i < c.count * c.N; ++i) {
      const Index l = i % c.N;
      work.inside[i] += with_v[i] + of_v0[i / c.N] * c.v0[l] + with_z[i] * (c.rho[l] - c.v0[l]);
    }
  }

  const KernelTable& kernels_;
  double h_;
  Eigenbasis basis_;                                      // of the matrix near all A(k)
  std::vector<std::unique_ptr<PreparedPanel>> prepared_;  // those used last, the newest first
};

}  // namespace asymfast
