// What leaps and the tangent method share: blends of the Jacobians that are kept in frames, and the
// account of their work.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "train/member.hpp"
#include "train/method_choice.hpp"
#include "train/tangent_history.hpp"

namespace asymfast {

// Moves the weights by `by` sum_l J_l^T u_l, J_l the Jacobians of the nodes, u (nodes, N).
template <class T>
Move<T> move_along(const TangentHistory::Nodes& nodes, const std::vector<double>& u, double by,
                   Index into, bool commit) {
  Move<T> move{{}, std::vector<T>(u.size()), into, commit};
  for (const TangentHistory::Node& node : nodes) move.frames.push_back(node.frame);
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
