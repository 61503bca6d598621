// The points of the past of a run in leaps, and the small problem in the outputs that is solved
// between them. Where there are many outputs, only the leading eigenvectors of the tangent matrix
// are treated as fast: the span of V, (n k, p) with orthonormal columns. Along them
//   rho = V^T r,   rho_{k+1} = rho_k - h (V^T A V rho_k + V^T A b_k),
// is solved (recurrence.hpp), while the rest b = r - V rho changes so little during a leap that it
// is a polynomial in the step number through its values at the points, like A. V gets further
// columns as leaps become longer, or as the tangent matrix turns away from it; they are used once
// all points know of them.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "engine.hpp"
#include "train/eigenvectors.hpp"
#include "train/next_step.hpp"
#include "train/polynomials.hpp"
#include "train/recurrence.hpp"
#include "train/tangent_history.hpp"
#include "train/vectors.hpp"
#include "tuning.hpp"

namespace asymfast {

template <class T>
class LeadingOutputs {
 public:
  using Node = TangentHistory::Node;
  using Nodes = TangentHistory::Nodes;

  // Of N outputs of m nodes with d inputs; h = lr times the curvature of the loss.
  LeadingOutputs(Index N, Index m, Index d, double h, const KernelTable& kernels)
      : past(N <= tuning::kAllOutputs ? N : 0),
        N_(N),
        m_(m),
        d_(d),
        h_(h),
        all_(N <= tuning::kAllOutputs),
        kernels_(&kernels),
        recurrence_(kernels, h),
        r_(all_ ? 0 : TangentHistory::kSlots * N) {}

  TangentHistory past;

  // Flop of A at another point, with few directions.
  double flop_of_a_point() const {
    return all_ ? 2 * double(N_) * double(N_) * double(m_) : cost(2 * kBlock);
  }

  // A at the point of `node` with residual r, J' on its left as a blend of saved ones; leaps from
  // there are of some `steps`. Returns flop.
  double keep(Engine<T>& engine, const Blend& mean, const Node& node, const std::vector<double>& r,
              double steps, const Context& context) {
    const double flop = all_ ? 0 : look_around(engine, node.slot, steps, context);
    if (all_) {
      engine.ntg_of_saved(mean, node.slot, past.matrix(node.slot), context);
      return 2 * double(N_) * double(N_) * double(m_);
    }
    known_[node.slot] = p_;
    const Blend weak{mean.slots, mean.shares, Part::weak};
    weak_ = project(engine, weak, node.slot, r, context), weak_r_ = r;
    return flop + cost(p_ + 1) + renew_strong(engine, mean, node, r, context);
  }

  // The same where the point has moved a little since keep(): only strong nodes have turned.
  double renew_strong(Engine<T>& engine, const Blend& mean, const Node& node,
                      const std::vector<double>& r, const Context& context) {
    const Blend strong{mean.slots, mean.shares, Part::strong};
    const Along part = project(engine, strong, node.slot, r, context);
    const std::vector<double> weak_change = follow(weak_.M.data(), r, weak_r_.data());
    double* M = past.matrix(node.slot);
    for (std::size_t i = 0; i < part.M.size(); ++i) M[i] = weak_.M[i] + part.M[i];
    for (std::size_t i = 0; i < part.Ar.size(); ++i)
      Ar_[node.slot * p_ + i] = weak_.Ar[i] + weak_change[i] + part.Ar[i];
    std::copy(r.begin(), r.end(), r_.begin() + node.slot * N_);
    return cost(p_ + 1) / double(kStrongShare);
  }

  // The point in `slot` lies a little beside where it was kept, with residual r.
  void correct(Index slot, const std::vector<double>& r) {
    if (all_) return;
    const std::vector<double> change = follow(past.matrix(slot), r, r_.data() + slot * N_);
    for (Index i = 0; i < p_; ++i) Ar_[slot * p_ + i] += change[i];
    std::copy(r.begin(), r.end(), r_.begin() + slot * N_);
  }
  bool few_are_fast() const { return !all_; }

  // To be called before a leap. True: more directions are fast from now on; the basis is to be
  // renewed.
  bool use_what_all_know() {
    Index all_know = p_;
    for (const Node& node : past.newest(past.known()))
      all_know = std::min(all_know, known_[node.slot]);
    if (all_ || all_know == used_) return false;
    used_ = all_know;
    return true;
  }

  // The eigenbasis for the recurrence is that of the newest point. Returns flop.
  double renew_basis(const Context& context) {
    const Index size = all_ ? N_ : used_, newest = past.newest().slot;
    if (size > 0)
      recurrence_.set_basis(all_ ? past.matrix(newest) : block(newest).data(), size, context);
    return 9 * std::pow(double(size), 3);
  }
  double largest_eigenvalue() const { return recurrence_.largest_eigenvalue(); }

  // Over `steps` steps from step `from`, where the residual is r.
  Solution solve(const Nodes& nodes, Index from, Index steps, const std::vector<double>& r,
                 double accuracy, const Context& context) {
    Places at = places(nodes, double(from));
    if (all_) return recurrence_.solve(at, past.matrices(), {}, r, steps, accuracy, context);
    std::vector<double> matrices, forcing, rest;
    for (const Index slot : at.slots) {
      const std::vector<double> M = block(slot), there = residual(slot);
      const std::vector<double> rho = along(there, 1, used_), b = rest_of(there, rho);
      rest.insert(rest.end(), b.begin(), b.end());
      const std::vector<double> M_rho = product(*kernels_, used_, used_, 1, M.data(), rho.data());
      matrices.insert(matrices.end(), M.begin(), M.end());
      for (Index i = 0; i < used_; ++i)  // V^T A (r - V rho)
        forcing.push_back(Ar_[slot * p_ + i] - M_rho[i]);
    }
    std::iota(at.slots.begin(), at.slots.end(), Index(0));  // of `matrices`
    const Solution inside =
        recurrence_.solve(at, matrices, forcing, along(r, 1, used_), steps, accuracy, context);
    return with_rest(at.at, rest, steps, inside, context);
  }

  // The largest |e_k| / (tolerance |r_k| + floor) while both go on for up to `steps` more.
  double lasting_ratio(const std::vector<double>& e, const std::vector<double>& r, Index steps,
                       double tolerance, double floor) const {
    if (all_) return recurrence_.lasting_ratio(e, 0, r, 0, steps, tolerance, floor);
    const std::vector<double> e_in = along(e, 1, used_), r_in = along(r, 1, used_);
    return recurrence_.lasting_ratio(e_in, norm(rest_of(e, e_in)), r_in, norm(rest_of(r, r_in)),
                                     steps, tolerance, floor);
  }

  // As past.extrapolation_errors, with `whole` of all outputs.
  TangentHistory::Errors extrapolation_errors(const Node& ahead, const std::vector<double>& whole,
                                              Index by) {
    return past.extrapolation_errors(ahead, all_ ? whole : along(whole, 1, used_), by);
  }

  void serialise(Archive& archive, double latest, Index slots) {
    if (!all_) {
      archive(p_, Index(0), N_), archive(used_, Index(0), p_);
      archive(Vt_, p_ * N_);
      archive(r_, TangentHistory::kSlots * N_);
      archive(Ar_, TangentHistory::kSlots * p_);
      for (Index& known : known_) archive(known, Index(0), p_);
      archive(valid_), archive(age_, Index(0), kOld);
      past.grow(p_);
    }
    past.serialise(archive, latest, slots);
    for (const Node& node : past.newest(past.known()))
      archive.require(all_ || known_[node.slot] >= used_);
    recurrence_.serialise(archive, past.empty() ? 0 : all_ ? N_ : used_);
  }

 private:
  static constexpr double kSlow = 0.1;  // h mu K of a direction that is not
  static constexpr double kAhead = 4;   // V is made for leaps so many times as long
  static constexpr Index kOld = 12;     // leaps before the next look around
  static constexpr Index kBlock = 16;   // directions looked for at a time

  // V^T Y along the first p directions, Y (N, count).
  std::vector<double> along(const std::vector<double>& Y, Index count, Index p) const {
    return product(*kernels_, p, N_, count, Vt_.data(), Y.data());
  }

  // A vector less its part along the directions in use, whose coordinates are rho; (N,).
  std::vector<double> rest_of(const std::vector<double>& v, const std::vector<double>& rho) const {
    return difference(v, product(*kernels_, 1, used_, N_, rho.data(), Vt_.data()));
  }

  // V^T A (r - before), as far as r changes along V, with M = V^T A V (p, p).
  std::vector<double> follow(const double* M, std::vector<double> r, const double* before) const {
    for (Index i = 0; i < N_; ++i) r[i] -= before[i];
    return product(*kernels_, p_, p_, 1, M, along(r, 1, p_).data());
  }

  // V^T A V (p, p) and V^T A r (p,) at a point.
  struct Along {
    std::vector<double> M, Ar;
  };
  Along project(Engine<T>& engine, const Blend& mean, Index slot, const std::vector<double>& r,
                const Context& context) const {
    std::vector<double> V(N_ * (p_ + 1)), AV(V.size());  // (V, r)
    for (Index i = 0; i < N_; ++i) {
      for (Index l = 0; l < p_; ++l) V[i * (p_ + 1) + l] = Vt_[l * N_ + i];
      V[i * (p_ + 1) + p_] = r[i];
    }
    engine.product_of_saved(mean, slot, {V.data(), N_, p_ + 1}, AV.data(), context);
    const std::vector<double> both = along(AV, p_ + 1, p_);
    Along out;
    for (auto row = both.begin(); row != both.end(); row += p_ + 1) {
      out.M.insert(out.M.end(), row, row + p_);
      out.Ar.push_back(row[p_]);
    }
    return out;
  }

  std::vector<double> residual(Index slot) const {
    const auto r = r_.begin() + slot * N_;
    return {r, r + N_};
  }

  // V^T A V at a point of the past, of the directions in use.
  std::vector<double> block(Index slot) {
    std::vector<double> M;
    for (Index i = 0; i < used_; ++i) {
      const double* row = past.matrix(slot) + i * p_;
      M.insert(M.end(), row, row + used_);
    }
    return M;
  }

  // Flop of a product with so many vectors.
  double cost(Index count) const {
    return std::min(2 * double(N_), 4 * double(d_) * double(count)) * double(N_) * double(m_);
  }

  // From a solution along V that of all outputs; rest (point, N) of the residuals there.
  Solution with_rest(const std::vector<double>& at, const std::vector<double>& rest, Index steps,
                     const Solution& inside, const Context& context) const {
    const auto count = static_cast<Index>(at.size());
    std::vector<double> end(count), sums(count * count);
    const SumRule rule(*kernels_, steps, context);
    const auto values = [&](double k) {
      for (std::size_t i = 0; i < at.size(); ++i) end[i] = lagrange(at, i, k);
    };
    for (std::size_t g = 0; g < rule.places.size(); ++g) {
      values(rule.places[g]);
      for (std::size_t i = 0; i < at.size(); ++i)
        for (std::size_t l = 0; l < at.size(); ++l)
          sums[i * at.size() + l] += rule.weights[g] * end[i] * end[l];
    }
    values(double(steps));
    const auto whole = [&](const std::vector<double>& rho, const std::vector<double>& shares,
                           Index rows) {
      std::vector<double> out = product(*kernels_, rows, used_, N_, rho.data(), Vt_.data());
      const std::vector<double> more =
          product(*kernels_, rows, count, N_, shares.data(), rest.data());
      for (std::size_t i = 0; i < out.size(); ++i) out[i] += more[i];
      return out;
    };
    return {whole(inside.r, end, 1), whole(inside.moments, sums, count), inside.iterations,
            inside.flop};
  }

  // ---- V

  // Adds to V the leading eigenvectors of the rest of the tangent matrix that are fast for leaps of
  // some `steps`. Returns flop.
  double look_around(Engine<T>& engine, Index slot, double steps, const Context& context) {
    if (p_ > 0 && 2 * steps <= valid_ && age_ < kOld) return ++age_, 0;
    double flop = 0;
    valid_ = kAhead * steps, age_ = 0;
    for (bool more = true; more && p_ < std::min(N_, tuning::kMostDirections);) {
      const Index sought =
          std::min({std::max(kBlock, p_ / 4), N_ - p_, tuning::kMostDirections - p_});
      std::vector<double> values, Et = leading_rest(engine, slot, sought, values, context);
      flop += 3 * cost(sought);
      const auto found = static_cast<Index>(values.size());
      Index fast = 0;
      while (fast < found && h_ * values[fast] * valid_ > kSlow) ++fast;
      more = fast == sought;
      if (p_ == 0) fast = std::max<Index>(fast, 1);
      add_directions(Et, std::min(fast, found));
    }
    return flop;
  }

  void add_directions(const std::vector<double>& Et, Index more) {
    Vt_.insert(Vt_.end(), Et.begin(), Et.begin() + more * N_);
    std::vector<double> Ar(TangentHistory::kSlots * (p_ + more));
    for (Index slot = 0; slot < TangentHistory::kSlots; ++slot)
      std::copy_n(Ar_.begin() + slot * p_, p_, Ar.begin() + slot * (p_ + more));
    Ar_ = std::move(Ar);
    p_ += more;
    past.grow(p_);
  }

  // Leading eigenvectors of (I - V V^T) J J^T (I - V V^T) by subspace iteration from fixed vectors,
  // (found, N), and their eigenvalues, falling.
  std::vector<double> leading_rest(Engine<T>& engine, Index slot, Index sought,
                                   std::vector<double>& values, const Context& context) const {
    std::vector<double> Et(sought * N_);
    std::uint64_t state = 0x9e3779b97f4a7c15u;
    for (double& x : Et) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      x = double(state >> 11) * 0x1p-53 - 0.5;
    }
    for (int pass = 0; pass < 3; ++pass) {
      const Index rows = orthonormalise(*kernels_, Et, Vt_, N_, context);
      if (rows == 0) return {};
      std::vector<double> E = transposed(Et, rows, N_), Y(E.size());
      engine.product_of_saved({{slot}, {1}}, slot, {E.data(), N_, rows}, Y.data(), context);
      if (pass < 2) {
        Et = transposed(Y, N_, rows);
        continue;
      }
      return ritz_vectors(*kernels_, Et, Y, N_, values, context);
    }
    return {};
  }

  Index N_, m_, d_;
  double h_;
  bool all_;
  const KernelTable* kernels_;
  Recurrence recurrence_;
  Index p_ = 0, used_ = 0;                             // columns of V, and those of them in use
  std::array<Index, TangentHistory::kSlots> known_{};  // columns that a point knows of
  std::vector<double> Vt_;                             // (p, N)
  std::vector<double> r_;                              // (slot, N)
  std::vector<double> Ar_;                             // (slot, p): V^T A r
  Along weak_;                                         // of the weak nodes at the newest point,
  std::vector<double> weak_r_;                         // and the residual then
  double valid_ = 0;                                   // leaps that V is good for
  Index age_ = 0;                                      // leaps since V was looked at
};

}  // namespace asymfast
