// What leaps and the tangent method share: the points of the past, moves along their Jacobians, and
// the account of their work.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "train/member.hpp"
#include "train/polynomials.hpp"
#include "train/requirements.hpp"

namespace asymfast {

// What a method remembers of past points: where each lies, the slot in which its Jacobian is saved,
// and its matrix, Theta = J J^T or one like it. From how well each order would have foretold a new
// matrix follow the order and the length of the next step.
class TangentHistory {
 public:
  static constexpr Index kMostOrder = 8;
  static constexpr Index kSlots = kMostOrder + 2;  // the past, one more to judge it, the new one

  struct Node {
    double at;  // a time or a number of steps
    Index slot;
  };
  using Nodes = std::vector<Node>;
  using Errors = std::array<double, kMostOrder + 2>;  // by order; 0: not known

  // Matrices are of size N.
  explicit TangentHistory(Index N) : N_(N), matrices_(kSlots * N * N) {}

  // Matrices become of size N, with what they were in the upper left corner.
  void grow(Index N) {
    std::vector<double> larger(kSlots * N * N);
    for (Index row = 0; row < kSlots * N_; ++row)
      std::copy_n(matrices_.begin() + row * N_, N_, larger.begin() + (row / N_ * N + row % N_) * N);
    matrices_ = std::move(larger);
    N_ = N;
  }

  bool empty() const { return nodes_.empty(); }
  Index known() const { return static_cast<Index>(nodes_.size()); }
  Index order() const { return order_; }  // points of the past that the next step predicts from
  const Node& newest() const { return nodes_.front(); }
  Nodes newest(Index count) const { return {nodes_.begin(), nodes_.begin() + count}; }
  // The same, preceded by a point that does not belong to the past yet.
  Nodes newest(Index count, const Node& ahead) const {
    Nodes all(1, ahead);
    all.insert(all.end(), nodes_.begin(), nodes_.begin() + count);
    return all;
  }
  double* matrix(Index slot) { return matrices_.data() + slot * N_ * N_; }
  const std::vector<double>& matrices() const { return matrices_; }

  Index free_slot() const {
    Index slot = 0;
    const auto taken = [&](const Node& node) { return node.slot == slot; };
    while (std::any_of(nodes_.begin(), nodes_.end(), taken)) ++slot;
    return slot;
  }

  // The slot of a rejected step may hold NaN, which no later sum may meet.
  void forget_free_slot() { std::fill_n(matrix(free_slot()), N_ * N_, 0.0); }

  void push(const Node& node) {
    nodes_.insert(nodes_.begin(), node);
    if (known() > kMostOrder + 1) nodes_.pop_back();
  }

  // |(A - A_q) whole| for orders q within `by` of the present one, with A the matrix at `ahead` and
  // A_q the same as foretold by q points of the past; whole (N,), or shorter: of the upper left
  // corner. Up to a constant, the error of a prediction of order q.
  Errors extrapolation_errors(const Node& ahead, const std::vector<double>& whole, Index by) {
    Errors errors{};
    const std::vector<double> actual = times(ahead.slot, whole);
    std::vector<std::vector<double>> past;
    std::vector<double> at;  // of the q newest
    const Index most = std::min({order_ + by, known(), kMostOrder});
    past.reserve(most), at.reserve(most);
    for (Index i = 0; i < most; ++i) past.push_back(times(nodes_[i].slot, whole));
    for (Index q = 1; q <= most; ++q) {
      at.push_back(nodes_[q - 1].at);
      if (q < order_ - by) continue;
      std::vector<double> difference = actual;
      for (Index i = 0; i < q; ++i) {
        const double share = lagrange(at, i, ahead.at);
        for (std::size_t l = 0; l < difference.size(); ++l) difference[l] -= share * past[i][l];
      }
      errors[q] = norm(difference);
    }
    return errors;
  }

  // A step of order q + 1 has an error of h^(q + 2), to be held below an allowance of order h or
  // less.
  static double step_factor(double ratio, Index order) {
    return 0.9 * std::pow(std::max(ratio, 1e-10), -1.0 / double(order + 2));
  }

  // After a step of the present order with an error of `ratio` times what was allowed, takes the
  // order that promises the longest step; one more than now where nothing speaks against it. By
  // which factor that step may be longer than the last one.
  double choose_order(double ratio, const Errors& errors) {
    const double now = errors[order_];
    Index best = order_;
    double best_factor = step_factor(ratio, order_);
    for (Index q = 1; q <= kMostOrder; ++q) {
      const double error = errors[q];
      if (q == order_ || !(error > 0) || !(now > 0)) continue;
      const double factor = step_factor(ratio * error / now, q);
      if (factor > 1.05 * best_factor) best = q, best_factor = factor;
    }
    const bool next_unknown = order_ < kMostOrder && errors[order_ + 1] == 0;
    if (best == order_ && next_unknown) best = order_ + 1;
    order_ = std::min(best, known());
    return best_factor;
  }

  // The same before any step was tried, with errors of all orders and what may be allowed: the
  // order that promises the longest step, one more where that is the highest known.
  double first_order(const Errors& errors, double allowed) {
    double best_factor = 0;
    Index best = 1, highest = 1;
    for (Index q = 1; q <= kMostOrder; ++q) {
      const double error = errors[q];
      if (!(error >= 0) || (error == 0 && q > known())) continue;
      highest = q;
      const double factor = step_factor(error / allowed, q);
      if (factor > best_factor) best = q, best_factor = factor;
    }
    order_ = std::min({best + (best == highest), known(), kMostOrder});
    return best_factor;
  }

  // Nodes lie at `latest` or before; the engine has saved so many Jacobians.
  void serialise(Archive& archive, double latest, Index slots) {
    Index count = known();
    archive(count, Index(0), kMostOrder + 1);
    nodes_.resize(count);
    archive(order_, Index(1), std::clamp<Index>(count, 1, kMostOrder));
    archive(matrices_, kSlots * N_ * N_);
    std::array<bool, kSlots> taken{};
    double newer = latest;
    for (Node& node : nodes_) {
      archive(node.at, 0.0, newer);
      archive(node.slot, Index(0), std::min(kSlots, slots) - 1);
      bool& its = taken[node.slot];
      archive.require(!its && (&node == &nodes_.front() || node.at < newer));
      its = true, newer = node.at;
    }
  }

 private:
  std::vector<double> times(Index slot, const std::vector<double>& v) {
    const double* A = matrix(slot);
    const auto size = static_cast<Index>(v.size());
    std::vector<double> product(v.size());
    for (Index i = 0; i < size; ++i) {
      double sums[4] = {};
      Index l = 0;
      for (; l + 4 <= size; l += 4)
        for (Index j = 0; j < 4; ++j) sums[j] += A[i * N_ + l + j] * v[l + j];
      for (; l < size; ++l) sums[0] += A[i * N_ + l] * v[l];
      product[i] = sums[0] + sums[1] + (sums[2] + sums[3]);
    }
    return product;
  }

  Index N_;
  Index order_ = 1;
  Nodes nodes_;                   // the newest first
  std::vector<double> matrices_;  // (slot, N, N)
};

// Where nodes lie, in units of `unit` from `from`, and their slots.
inline Places places(const TangentHistory::Nodes& nodes, double from, double unit = 1) {
  Places places;
  for (const TangentHistory::Node& node : nodes) {
    places.at.push_back((node.at - from) / unit);
    places.slots.push_back(node.slot);
  }
  return places;
}

// Moves the weights by `by` sum_l J_l^T u_l, J_l the Jacobians of the nodes, u (nodes, N).
template <class T>
Move<T> move_along(const TangentHistory::Nodes& nodes, const std::vector<double>& u, double by,
                   Index into, bool commit) {
  Move<T> move{{}, std::vector<T>(u.size()), into, commit};
  for (const TangentHistory::Node& node : nodes) move.slots.push_back(node.slot);
  for (std::size_t i = 0; i < u.size(); ++i) move.u[i] = T(by * u[i]);
  return move;
}

// sum_l u_l of u (nodes, N).
inline std::vector<double> sum_of_nodes(const std::vector<double>& u, Index N) {
  std::vector<double> sum(N);
  for (std::size_t i = 0; i < u.size(); ++i) sum[i % N] += u[i];
  return sum;
}

// Work besides gradients, counted in gradients of the same flop.
class Account {
 public:
  explicit Account(const RunProblem& p)
      : gradient_(4 * double(p.n) * double(p.m) * double(p.d + p.k)) {}

  double unit() const { return gradient_; }  // flop of a gradient, without activations

  void charge(Standing& member, double flop) {
    owed_ += flop / gradient_;
    const double whole = std::floor(owed_);
    member.evaluations += static_cast<std::int64_t>(whole);
    owed_ -= whole;
  }

  // work(), which a run that was never interrupted did when it got here: it is not counted again.
  template <class Work>
  void free_of_charge(Standing& member, Work&& work) {
    const double owed = owed_;
    const std::int64_t evaluations = member.evaluations;
    work();
    owed_ = owed, member.evaluations = evaluations;
  }

  void serialise(Archive& archive) { archive(owed_, 0.0, 1.0); }

 private:
  double gradient_, owed_ = 0;
};

}  // namespace asymfast
