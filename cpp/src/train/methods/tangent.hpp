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
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "train/methods/dense.hpp"
#include "train/methods/error_control.hpp"
#include "train/tangent_ode.hpp"

namespace asymfast {

template <class T>
class Tangent : public Dense<T> {
 public:
  struct Problem {
    Index n, m, d, k;
    double curvature;  // s: dL/df = s (f - y)
  };

  Tangent(const Problem& problem, ErrorControl<T> control, double t_end, double first_step,
          const KernelTable& kernels)
      : Dense<T>(t_end),
        problem_(problem),
        control_(control),
        first_step_(first_step),
        h_(first_step),
        ode_(kernels),
        thetas_(static_cast<std::size_t>(kFrames * size() * size())) {}

  bool attempt(Member<T>& member, const Context& context) override {
    Engine<T>& engine = *member.engine;
    if (nodes_.empty()) begin(member, context);
    const double h = this->fitted(h_);
    if (hopeless(h, this->front_, first_step_)) {
      member.diverged = true;
      return false;
    }
    const Nodes past(nodes_.begin(), nodes_.begin() + order_);
    const double tolerated = 0.005 * control_.share(h, this->front_) * norm(r_) +
                             kNoise * control_.rounding() +
                             double(std::numeric_limits<T>::epsilon()) *
                                 std::sqrt(scaled(h) * ode_.largest_eigenvalue()) * norm(r_);

    const Node ahead{this->end_of_step(h), free_frame()};
    const auto predicted = solve(member, past, this->front_, h, r_, tolerated, context);
    engine.move(move_by(past, predicted.moments, -1, ahead.frame, false), context);
    if (context.watch.stopped()) return false;
    ++member.evaluations;
    if (!(engine.loss() <= member.loss_limit))
      return reject(member, h, 0.2, std::numeric_limits<double>::infinity(), context);
    keep_theta(member, ahead.frame, context);

    Nodes all(1, ahead);
    all.insert(all.end(), past.begin(), past.end());
    const auto corrected = solve(member, all, this->front_, h, r_, tolerated, context);
    const Errors errors = extrapolation_errors(ahead, corrected.moments);
    engine.save();
    engine.move(move_by(all, corrected.moments, -1, ahead.frame, true), context);
    if (context.watch.stopped()) return false;
    ++member.evaluations;

    std::vector<double> r = residual_of(member);
    double error2 = 0;
    for (std::size_t i = 0; i < r.size(); ++i) error2 += std::pow(r[i] - corrected.r[i], 2);
    const double ratio = std::sqrt(error2) / tolerated;
    if (!control_.keeps(member, h, ratio, std::sqrt(error2))) {
      engine.restore();
      return reject(member, h, ratio > 1 ? std::clamp(step_factor(ratio, order_), 0.2, 0.9) : 0.2,
                    std::sqrt(error2), context);
    }
    control_.accept(member, tolerated, context);

    keep_theta(member, ahead.frame, context);
    if (context.watch.stopped()) return false;
    this->start_ = this->front_, this->last_h_ = h, last_order_ = order_;
    this->front_ = ahead.time;
    std::swap(start_r_, r_);
    r_ = std::move(r);
    nodes_.insert(nodes_.begin(), ahead);
    if (nodes_.size() > kMostOrder + 1) nodes_.pop_back();
    if (std::max(predicted.iterations, corrected.iterations) > kPatience)
      renew_basis(member, context);
    choose_order(ratio, errors, h, kNoise * control_.rounding() > 0.5 * tolerated);
    return true;
  }

  // Back from the front, by the polynomial of the last correction.
  void interpolate(Member<T>& member, double time, const Context& context) override {
    Move<T> back;
    if (time < this->front_) {
      const Nodes all(nodes_.begin(), nodes_.begin() + last_order_ + 1);
      const double accuracy = 0.005 * control_.share(this->last_h_, this->start_) * norm(r_) +
                              kNoise * control_.rounding();
      const auto whole =
          solve(member, all, this->start_, this->last_h_, start_r_, accuracy, context);
      const auto part =
          solve(member, all, this->start_, time - this->start_, start_r_, accuracy, context);
      std::vector<double> moments(whole.moments);
      for (std::size_t i = 0; i < moments.size(); ++i) moments[i] -= part.moments[i];
      back = move_by(all, moments, 1, -1, false);
    }
    member.engine->move(back, context);
  }

  // A run that was never interrupted did this work when it got here: it is not counted again.
  void resume(Member<T>& member, const Context& context) override {
    const double owed = owed_;
    const std::int64_t evaluations = member.evaluations;
    Dense<T>::resume(member, context);
    owed_ = owed, member.evaluations = evaluations;
  }

  void serialise(Fields& fields, const Member<T>& member) override {
    auto count = static_cast<Index>(nodes_.size());
    fields(count, Index(0), kMostOrder + 1);
    nodes_.resize(static_cast<std::size_t>(count));
    const std::size_t N = count > 0 ? static_cast<std::size_t>(size()) : 0;
    control_.serialise(fields);
    Dense<T>::serialise(fields, member);
    fields(h_, 0.0, std::numeric_limits<double>::max()), fields(owed_, 0.0, 1.0);
    fields(order_, Index(1), std::clamp<Index>(count, 1, kMostOrder));
    fields(last_order_, Index(0), std::max<Index>(count - 1, 0));
    fields(r_, N), fields(start_r_, this->last_h_ > 0 ? N : 0);
    fields(thetas_, static_cast<std::size_t>(kFrames * size() * size()));
    ode_.serialise(fields, N);
    std::array<bool, kFrames> taken{};
    double newer = this->t_end_;
    for (Node& node : nodes_) {
      fields(node.time, 0.0, newer);
      fields(node.frame, Index(0), std::min(kFrames, member.engine->kept().frames) - 1);
      bool& its = taken[static_cast<std::size_t>(node.frame)];
      fields.require(!its &&
                     (&node == &nodes_.front() ? node.time == this->front_ : node.time < newer));
      its = true, newer = node.time;
    }
    fields.require(count > 0 || this->front_ == 0);
  }

 private:
  static constexpr Index kMostOrder = 8;
  static constexpr Index kFrames = kMostOrder + 2;  // the past, one more to judge it, the new one
  // The defect is a difference of outputs at two points and of r by way of the eigenbasis: more
  // roundings than those of one evaluation.
  static constexpr double kNoise = 4;
  static constexpr int kPatience = 4;  // Picard iterations before the eigenbasis is renewed

  struct Node {
    double time;
    Index frame;
  };
  using Nodes = std::vector<Node>;
  using Errors = std::array<double, kMostOrder + 2>;  // by order; 0: not known
  using Solution = TangentOde::Solution;

  Index size() const { return problem_.n * problem_.k; }
  double scaled(double h) const { return problem_.curvature * h; }

  static double norm(const std::vector<double>& v) {
    double sum = 0;
    for (const double x : v) sum += x * x;
    return std::sqrt(sum);
  }

  static std::vector<double> residual_of(const Member<T>& member) {
    std::vector<double> r(static_cast<std::size_t>(member.y.size()));
    for (std::size_t i = 0; i < r.size(); ++i)
      r[i] = member.engine->outputs()[i] - double(member.y.data[i]);
    return r;
  }

  void begin(Member<T>& member, const Context& context) {
    member.engine->move({{}, {}, 0, false}, context);
    nodes_.push_back({0, 0});
    r_ = residual_of(member);
    control_.begin(member, context);
    keep_theta(member, 0, context);
    renew_basis(member, context);
  }

  Index free_frame() const {
    Index frame = 0;
    const auto taken = [&](const Node& node) { return node.frame == frame; };
    while (std::any_of(nodes_.begin(), nodes_.end(), taken)) ++frame;
    return frame;
  }

  double* theta(Index frame) { return thetas_.data() + frame * size() * size(); }

  void keep_theta(Member<T>& member, Index frame, const Context& context) {
    member.engine->frame_ntg(frame, theta(frame), context);
    charge(member, double(size()) * double(size()) * double(problem_.m));
  }

  void renew_basis(Member<T>& member, const Context& context) {
    ode_.set_basis(theta(nodes_.front().frame), size(), context);
    charge(member, 9 * std::pow(double(size()), 3));
  }

  // Work besides gradients, counted in gradients of the same flop.
  void charge(Member<T>& member, double flop) {
    const Problem& p = problem_;
    owed_ += flop / (4 * double(p.n) * double(p.m) * double(p.d + p.k));
    const double whole = std::floor(owed_);
    member.evaluations += static_cast<std::int64_t>(whole);
    owed_ -= whole;
  }

  Solution solve(Member<T>& member, const Nodes& nodes, double from, double h,
                 const std::vector<double>& r, double tolerated, const Context& context) {
    std::vector<double> at;
    std::vector<Index> frames;
    for (const Node& node : nodes) {
      at.push_back((node.time - from) / h);
      frames.push_back(node.frame);
    }
    Solution solution = ode_.solve(at, frames, thetas_, r, scaled(h), 1e-3 * tolerated, context);
    charge(member, ode_.cost(kFrames, solution.iterations));
    return solution;
  }

  static Move<T> move_by(const Nodes& nodes, const std::vector<double>& moments, double sign,
                         Index into, bool commit) {
    Move<T> move{{}, std::vector<T>(moments.size()), into, commit};
    for (const Node& node : nodes) move.frames.push_back(node.frame);
    for (std::size_t i = 0; i < moments.size(); ++i) move.u[i] = T(sign * moments[i]);
    return move;
  }

  // The frame of a rejected step may hold NaN, which no later sum may meet.
  bool reject(Member<T>& member, double h, double factor, double error, const Context& context) {
    control_.reject(member, error, context);
    h_ = h * factor;
    std::fill_n(theta(free_frame()), size() * size(), 0.0);
    return false;
  }

  // |(Theta - Theta_q) int r dt| for orders q about the present one, with Theta_q the new Theta as
  // foretold by q points of the past: up to a constant, the error of a prediction of order q.
  Errors extrapolation_errors(const Node& ahead, const std::vector<double>& moments) {
    const Index N = size();
    std::vector<double> whole(static_cast<std::size_t>(N));
    for (std::size_t i = 0; i < moments.size(); ++i) whole[i % whole.size()] += moments[i];
    Errors errors{};
    const auto known = static_cast<Index>(nodes_.size());
    for (Index q = std::max<Index>(1, order_ - 1); q <= std::min({order_ + 1, known, kMostOrder});
         ++q) {
      std::vector<double> shares;
      for (Index i = 0; i < q; ++i) {
        double share = 1;
        for (Index l = 0; l < q; ++l)
          if (l != i) share *= (ahead.time - time_of(l)) / (time_of(i) - time_of(l));
        shares.push_back(share);
      }
      double sum2 = 0;
      for (Index i = 0; i < N; ++i) {
        double sum = 0;
        for (Index l = 0; l < N; ++l) {
          double difference = theta(ahead.frame)[i * N + l];
          for (Index j = 0; j < q; ++j)
            difference -= shares[static_cast<std::size_t>(j)] *
                          theta(nodes_[static_cast<std::size_t>(j)].frame)[i * N + l];
          sum += difference * whole[static_cast<std::size_t>(l)];
        }
        sum2 += sum * sum;
      }
      errors[static_cast<std::size_t>(q)] = std::sqrt(sum2);
    }
    return errors;
  }

  double time_of(Index node) const { return nodes_[static_cast<std::size_t>(node)].time; }

  // An order q + 1 step has an error of h^(q + 2), to be held below an allowance of order h or
  // less.
  static double step_factor(double ratio, Index order) {
    return 0.9 * std::pow(std::max(ratio, 1e-10), -1.0 / double(order + 2));
  }

  // The order that promises the longest step; one more than now where nothing speaks against it.
  void choose_order(double ratio, const Errors& errors, double h, bool noisy) {
    const double now = errors[static_cast<std::size_t>(order_)];
    Index best = order_;
    double best_factor = step_factor(ratio, order_);
    for (Index q = 1; q <= kMostOrder; ++q) {
      const double error = errors[static_cast<std::size_t>(q)];
      if (q == order_ || !(error > 0) || !(now > 0)) continue;
      const double factor = step_factor(ratio * error / now, q);
      if (factor > 1.05 * best_factor) best = q, best_factor = factor;
    }
    const bool next_unknown =
        order_ < kMostOrder && errors[static_cast<std::size_t>(order_ + 1)] == 0;
    if (best == order_ && next_unknown) best = order_ + 1;
    order_ = std::min<Index>(best, static_cast<Index>(nodes_.size()));
    h_ = this->next(h, h_, std::clamp(best_factor, 0.2, 2.0), noisy);
  }

  Problem problem_;
  ErrorControl<T> control_;
  double first_step_, h_;
  Index order_ = 1;  // points of the past that the next step predicts from
  double owed_ = 0;
  Index last_order_ = 0;
  std::vector<double> r_, start_r_;  // at the front and at the start of the last step
  Nodes nodes_;                      // the newest, which is the front, first
  TangentOde ode_;
  std::vector<double> thetas_;  // (frame, n k, n k)
};

}  // namespace asymfast
