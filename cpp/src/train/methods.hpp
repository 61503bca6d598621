// The step loops: gradient descent and the classical Runge-Kutta method, with fixed steps or with
// error control. A method carries one member to a goal and can be paused at any step.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "train/member.hpp"

namespace asymfast {

// A member goes on until it stands at time `leg_end` or has done `step` steps.
struct Goal {
  double leg_end;
  Index step;
};

// Methods have:  bool step(Member&, const Goal&, const Context&)  one step; true: the goal is
// reached.

template <class T>
class Descent {
 public:
  explicit Descent(double lr) : lr_(lr) {
    update_.along_gradient = -lr;
    update_.commit = true;
  }

  bool step(Member<T>& member, const Goal& goal, const Context& context) {
    if (member.step >= goal.step) return true;
    member.engine->advance(update_, context);
    if (context.watch.stopped()) return false;
    ++member.evaluations;
    ++member.step;
    member.time = lr_ * double(member.step);
    member.judge();
    return member.step >= goal.step;
  }

  template <class Visit>
  void state(Visit&&) {}

 private:
  double lr_;
  Update update_;
};

// W_{t+h} = W_t - h/6 (g1 + 2 g2 + 2 g3 + g4).
template <class T>
void rk4_step(Member<T>& member, double h, const Context& context) {
  constexpr Update kStages[4] = {{-0.5, 0, 0, 1, false},
                                 {-0.5, 0, 1, 2, false},
                                 {-1, 0, 1, 2, false},
                                 {0, -1.0 / 6, 1, 1, true}};
  for (Update stage : kStages) {
    stage.along_gradient *= h;
    stage.along_sum *= h;
    member.engine->advance(stage, context);
    if (context.watch.stopped()) return;
    ++member.evaluations;
  }
}

// Equal steps of at most dt on each leg, the last of which ends exactly at the leg's end.
template <class T>
class FixedRk4 {
 public:
  explicit FixedRk4(double dt) : dt_(dt) {}

  bool step(Member<T>& member, const Goal& goal, const Context& context) {
    if (member.time >= goal.leg_end || member.step >= goal.step) return true;
    if (goal.leg_end != leg_end_) {
      leg_start_ = member.time;
      leg_end_ = goal.leg_end;
      steps_ = std::ceil((leg_end_ - leg_start_) / dt_ * (1 - 1e-12));
      done_ = 0;
    }
    rk4_step(member, (leg_end_ - leg_start_) / steps_, context);
    if (context.watch.stopped()) return false;
    ++done_;
    ++member.step;
    member.time =
        done_ == steps_ ? leg_end_ : leg_start_ + (leg_end_ - leg_start_) * (done_ / steps_);
    member.judge();
    return member.time >= goal.leg_end || member.step >= goal.step;
  }

  template <class Visit>
  void state(Visit&& visit) {
    visit(leg_start_), visit(leg_end_), visit(steps_), visit(done_);
  }

 private:
  double dt_;
  double leg_start_ = 0, leg_end_ = -1, steps_ = 0, done_ = 0;
};

// Step doubling: two steps of h against one of 2 h; the difference of the outputs over 15 is the
// error of the two. It is held below rtol / 10 of the residual |f - y| times the share 2h / (t +
// 2h) of the time so far: transients decay over every scale of time, so equal shares of log t keep
// the error of the whole run near rtol. The two steps are kept, the long one is thrown away.
template <class T>
class AdaptiveRk4 {
 public:
  AdaptiveRk4(double rtol, double first_step) : rtol_(rtol), h_(first_step) {}

  bool step(Member<T>& member, const Goal& goal, const Context& context) {
    if (member.time >= goal.leg_end || member.step >= goal.step) return true;
    Engine<T>& engine = *member.engine;
    const double left = goal.leg_end - member.time;
    const double pairs = std::ceil(left / (2 * h_) * (1 - 1e-12));
    const double h = left / (2 * pairs);
    if (!(h > 1e-14 * goal.leg_end)) {
      member.diverged = true;
      return true;
    }
    const auto size = static_cast<std::size_t>(member.y.size());
    const double residual = scale(engine.outputs(), member.y);
    engine.save();
    rk4_step(member, 2 * h, context);
    if (context.watch.stopped()) return false;
    long_step_.assign(engine.outputs(), engine.outputs() + size);
    start_again(engine, context);
    rk4_step(member, h, context);
    if (context.watch.stopped()) return false;
    rk4_step(member, h, context);
    if (context.watch.stopped()) return false;

    double error2 = 0;
    for (std::size_t i = 0; i < size; ++i)
      error2 += std::pow(engine.outputs()[i] - long_step_[i], 2);
    const double share = 2 * h / (member.time + 2 * h);
    const double allowed = 0.1 * rtol_ * share * residual + rounding(engine.outputs(), member.y);
    const double ratio = std::sqrt(error2) / 15 / allowed;
    const double factor = ratio > 0 ? 0.9 * std::pow(ratio, -0.2) : 4;
    if (!(ratio <= 1) || !(engine.loss() <= member.loss_limit)) {
      h_ = h * (factor < 0.9 ? std::fmax(factor, 0.2) : 0.2);
      start_again(engine, context);
      return false;
    }
    member.step += 2;
    member.time = pairs == 1 ? goal.leg_end : member.time + 2 * h;
    member.judge();
    h_ = std::fmax(h_, h) * std::fmin(std::fmax(factor, 0.2), 4.0);
    return member.time >= goal.leg_end || member.step >= goal.step;
  }

  template <class Visit>
  void state(Visit&& visit) {
    visit(h_);
  }

 private:
  static void start_again(Engine<T>& engine, const Context& context) {
    engine.restore();
    engine.restart(context);
  }

  static double scale(const double* f, MatrixView<const T> y) {
    double sum = 0;
    for (Index i = 0; i < y.size(); ++i) sum += std::pow(f[i] - double(y.data[i]), 2);
    return std::sqrt(sum);
  }

  // What rounding alone changes in the outputs of one step.
  static double rounding(const double* f, MatrixView<const T> y) {
    double sum = 0;
    for (Index i = 0; i < y.size(); ++i) sum += std::pow(f[i], 2) + std::pow(double(y.data[i]), 2);
    return 4 * double(std::numeric_limits<T>::epsilon()) * std::sqrt(sum);
  }

  double rtol_, h_;
  std::vector<double> long_step_;
};

}  // namespace asymfast
