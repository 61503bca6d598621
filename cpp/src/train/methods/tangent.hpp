// A multistep method in the tangent spaces of past points, for flows to long times.
//
// With J(t) the Jacobian of the outputs, Theta = J J^T and s the curvature of the loss,
//   W' = -s J(t)^T r,   r' = -s Theta(t) r,   r = f - y,
// and J changes slowly even where r is stiff. So J and Theta, known at the last steps, are
// continued in time by a polynomial; r then obeys a linear equation of size n k, solved to high
// accuracy (tangent_ode.hpp), and the weights move by J_l^T int l_l(t) r dt, exactly in the limit
// of constant J, whatever the step. A step predicts from q past points and corrects with the new
// one included (order q + 1, as Adams' methods); what f(W) - y differs from r by at its end is its
// error. One step costs 2 gradients and 2 NTGs.
//
// The next order is chosen by how well each order would have foretold the new Theta.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "train/methods/error_control.hpp"
#include "train/requirements.hpp"
#include "train/tangent_history.hpp"
#include "train/tangent_ode.hpp"
#include "train/vectors.hpp"

namespace asymfast {

template <class T>
class Tangent : public Dense<T> {
  using Dense<T>::control_, Dense<T>::h_;

 public:
  Tangent(const RunProblem& problem, ErrorControl<T> control, double t_end, double first_step,
          const KernelTable& kernels)
      : Dense<T>(control, t_end, first_step),
        N_(problem.outputs()),
        m_(problem.m),
        curvature_(loss_curvature(problem.loss, problem.n, problem.k)),
        account_(problem),
        past_(N_),
        ode_(kernels) {}

  bool attempt(Member<T>& member, double h, const Context& context) override {
    Engine<T>& engine = *member.engine;
    if (past_.empty()) begin(member, context);
    const Nodes past = past_.newest(past_.order());
    const double tolerated = allowed(h);
    const Node ahead{this->end_of_step(h), past_.free_slot()};
    const auto predicted = solve(member, past, this->front_, h, r_, tolerated, context);
    engine.move(move_along<T>(past, predicted.moments, -1, ahead.slot, false), context);
    ++member.evaluations;
    if (!(engine.loss() <= member.loss_limit))
      return reject(member, h, 0.2, std::numeric_limits<double>::infinity(), context);
    std::vector<T> predicted_weights = member.weights();
    keep_theta(member, ahead.slot, context);

    const Nodes all = past_.newest(past_.order(), ahead);
    const auto corrected = solve(member, all, this->front_, h, r_, tolerated, context);
    const std::vector<double> whole = sum_of_nodes(corrected.moments, N_);  // int r dt
    const auto errors = past_.extrapolation_errors(ahead, whole, 1);
    engine.save();
    engine.move(move_along<T>(all, corrected.moments, -1, ahead.slot, true), context);
    ++member.evaluations;

    std::vector<double> r = member.residual();
    const double error = distance(r.data(), corrected.r.data(), N_);
    const double reach = member.reach_from(std::move(predicted_weights), context);
    const double ratio = std::max(error, reach / kReachOfPrediction) / tolerated;
    if (!control_.keeps(member, h, ratio, error)) {
      engine.restore();
      return reject(member, h,
                    ratio > 1 ? std::clamp(past_.step_factor(ratio, past_.order()), 0.2, 0.9) : 0.2,
                    error, context);
    }
    control_.accept(member, tolerated, context);

    keep_theta(member, ahead.slot, context);
    last_order_ = past_.order();
    start_r_ = std::exchange(r_, std::move(r));
    past_.push(ahead);
    if (std::max(predicted.iterations, corrected.iterations) > kPatience)
      renew_basis(member, context);
    this->go_on(h, std::clamp(past_.choose_order(ratio, errors), 0.2, 2.0),
                kNoise * control_.rounding() > 0.5 * tolerated);
    return true;
  }

  // Back from the front, by the polynomial of the last correction.
  void interpolate(Member<T>& member, double time, const Context& context) override {
    Move<T> back;
    if (time < this->front_) {
      const Nodes all = past_.newest(last_order_ + 1);
      const double accuracy = 0.005 * control_.share(this->last_h_, this->start_) * norm(r_) +
                              kNoise * control_.rounding();
      const auto whole =
          solve(member, all, this->start_, this->last_h_, start_r_, accuracy, context);
      const auto part =
          solve(member, all, this->start_, time - this->start_, start_r_, accuracy, context);
      back = move_along<T>(all, difference(whole.moments, part.moments), 1, -1, false);
    }
    member.engine->move(back, context);
  }

  void resume(Member<T>& member, const Context& context) override {
    account_.free_of_charge(member, [&] { Dense<T>::resume(member, context); });
  }

  void serialise(Archive& archive, const Member<T>& member) override {
    Dense<T>::serialise(archive, member);
    account_.serialise(archive);
    past_.serialise(archive, this->front_, member.engine->kept().jacobians);
    const Index N = past_.empty() ? 0 : N_;
    archive(last_order_, Index(0), std::max<Index>(past_.known() - 1, 0));
    archive(r_, N), archive(start_r_, this->last_h_ > 0 ? N : 0);
    ode_.serialise(archive, N);
    archive.require(past_.empty() ? this->front_ == 0 : past_.newest().at == this->front_);
  }

 private:
  // The defect is a difference of outputs at two points and of r by way of the eigenbasis: more
  // roundings than those of one evaluation.
  static constexpr double kNoise = 4;
  // What the difference of prediction and correction might do to the outputs at the steepest slopes
  // (Member::reach) may be so many times what is allowed. Where nodes come to lie on each other,
  // the outputs hide it: its growth, an instability of long steps, would show only at sqrt(rtol).
  static constexpr double kReachOfPrediction = 1000;
  static constexpr int kPatience = 4;  // Picard iterations before the eigenbasis is renewed

  using Node = TangentHistory::Node;
  using Nodes = TangentHistory::Nodes;

  double scaled(double h) const { return curvature_ * h; }

  // What a step of h from the front may err by, in the outputs: its share of rtol, the rounding of
  // the outputs, and that of the weights, which stiff components amplify.
  double allowed(double h) const {
    const double weights = double(std::numeric_limits<T>::epsilon()) *
                           std::sqrt(scaled(h) * ode_.largest_eigenvalue());
    return (0.005 * control_.share(h, this->front_) + weights) * norm(r_) +
           kNoise * control_.rounding();
  }

  void begin(Member<T>& member, const Context& context) {
    member.engine->move({{}, {}, 0, false}, context);
    past_.push({0, 0});
    r_ = member.residual();
    control_.begin(member, context);
    keep_theta(member, 0, context);
    renew_basis(member, context);
  }

  void keep_theta(Member<T>& member, Index slot, const Context& context) {
    member.engine->ntg_of_saved({{slot}, {1}}, slot, past_.matrix(slot), context);
    account_.charge(member, double(N_) * double(N_) * double(m_));
  }

  void renew_basis(Member<T>& member, const Context& context) {
    ode_.set_basis(past_.matrix(past_.newest().slot), N_, context);
    account_.charge(member, 9 * std::pow(double(N_), 3));
  }

  Solution solve(Member<T>& member, const Nodes& nodes, double from, double h,
                 const std::vector<double>& r, double tolerated, const Context& context) {
    Solution solution = ode_.solve(places(nodes, from, h), past_.matrices(), r, scaled(h),
                                   1e-3 * tolerated, context);
    account_.charge(member, solution.flop);
    return solution;
  }

  bool reject(Member<T>& member, double h, double factor, double error, const Context& context) {
    control_.reject(member, error, context);
    h_ = h * factor;
    past_.forget_free_slot();
    return false;
  }

  Index N_, m_;       // outputs, nodes
  double curvature_;  // s: dL/df = s (f - y)
  Account account_;
  Index last_order_ = 0;
  std::vector<double> r_, start_r_;  // at the front and at the start of the last step
  TangentHistory past_;              // the newest is the front
  TangentOde ode_;
};

}  // namespace asymfast
