// The classical Runge-Kutta method of order 4, with equal steps or by step doubling.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "train/methods/error_control.hpp"

namespace asymfast {

// W_{t+h} = W_t - h/6 (g1 + 2 g2 + 2 g3 + g4).
inline std::array<Update, 4> rk4_stages(double h) {
  return {{{-0.5 * h, 0, 0, 1, false},
           {-0.5 * h, 0, 1, 2, false},
           {-h, 0, 1, 2, false},
           {0, -1.0 / 6 * h, 1, 1, true}}};
}

// Equal steps of at most dt on each leg, the last of which ends exactly at its end.
template <class T>
class FixedRk4 : public EqualSteps<Member<T>> {
 public:
  explicit FixedRk4(double dt) : dt_(dt) {}

  Index steps_to(const Member<T>& member, const Goal& goal) override {
    if (member.time >= goal.leg_end || member.step >= goal.step) return 0;
    if (goal.leg_end != leg_end_) {
      leg_start_ = member.time, leg_end_ = goal.leg_end;
      steps_ = steps_of_leg(), done_ = 0;
      choose_updates();
    }
    return std::min(static_cast<Index>(steps_ - done_), goal.step - member.step);
  }

  void serialise(Archive& archive, const Member<T>& member) override {
    constexpr double kMost = std::numeric_limits<double>::max();
    archive(leg_start_, 0.0, kMost), archive(leg_end_, -1.0, kMost);
    archive(steps_, 0.0, kMost), archive(done_, 0.0, steps_);
    archive.require(leg_end_ == -1 || (leg_start_ <= member.time && member.time <= leg_end_ &&
                                       steps_ == steps_of_leg() && done_ == std::floor(done_) &&
                                       (done_ < steps_ || member.time == leg_end_)));
    choose_updates();
  }

 private:
  double steps_of_leg() const {
    return std::fmax(1, std::ceil((leg_end_ - leg_start_) / dt_ * (1 - 1e-12)));
  }

  void choose_updates() {
    const auto stages = rk4_stages((leg_end_ - leg_start_) / steps_);
    this->updates_.assign(stages.begin(), stages.end());
  }

  void advance(Member<T>& member, const Context& context) override {
    member.advance(this->updates_, context);
  }
  void take(Member<T>& member, Index steps) override {
    done_ += double(steps);
    member.step += steps;
    member.time =
        done_ == steps_ ? leg_end_ : leg_start_ + (leg_end_ - leg_start_) * (done_ / steps_);
  }

  double dt_;
  double leg_start_ = 0, leg_end_ = -1, steps_ = 0, done_ = 0;
};

// Step doubling: two steps of h against one of 2 h; the difference of the outputs over 15 is the
// error of the two. It is held below rtol / 10 of the residual |f - y| times the share 2h / (t +
// 2h) of the time so far. The two steps are kept, the long one is thrown away.
template <class T>
class AdaptiveRk4 : public Method<Member<T>> {
 public:
  AdaptiveRk4(ErrorControl<T> control, double first_step)
      : control_(control), first_step_(first_step), h_(first_step) {}

  bool step(Member<T>& member, const Goal& goal, const Context& context) override {
    if (member.time >= goal.leg_end || member.step >= goal.step) return true;
    Engine<T>& engine = *member.engine;
    const double left = goal.leg_end - member.time;
    const double pairs = std::fmax(1, std::ceil(left / (2 * h_) * (1 - 1e-12)));
    const double h = left / (2 * pairs);
    if (hopeless(h, member.time, first_step_)) {
      member.diverged = true;
      return true;
    }
    if (control_.rounding() == 0) control_.begin(member, context);
    const double residual = norm(member.residual());
    engine.save();
    member.advance(rk4_stages(2 * h), context);
    const std::vector<double> far_outputs(engine.outputs(), engine.outputs() + member.y.size());
    std::vector<T> far = member.weights();
    start_again(engine, context);
    member.advance(rk4_stages(h), context);
    member.advance(rk4_stages(h), context);

    const double error = distance(engine.outputs(), far_outputs.data(), member.y.size());
    const double reach = member.reach_from(std::move(far), context);
    const double allowed =
        0.1 * control_.share(2 * h, member.time) * residual + control_.rounding();
    const double ratio = std::max(error, reach / kReach) / 15 / allowed;
    const double factor = ratio > 0 ? 0.9 * std::pow(ratio, -0.2) : 4;
    if (!control_.keeps(member, h, ratio, error / 15)) {
      h_ = control_.shorter(h, factor < 0.9 ? std::fmax(factor, 0.2) : 0.2);
      start_again(engine, context);
      control_.reject(member, error / 15, context);
      return false;
    }
    control_.accept(member, allowed, context);
    member.step += 2;
    member.time = pairs == 1 ? goal.leg_end : member.time + 2 * h;
    member.check();
    h_ = std::fmax(std::fmax(h_, h) * std::fmin(std::fmax(factor, 0.2), 4.0), control_.shortest());
    h_ = std::fmin(h_, kLongest);  // short legs do not keep it from growing
    return member.time >= goal.leg_end || member.step >= goal.step;
  }

  void serialise(Archive& archive, const Member<T>&) override {
    control_.serialise(archive);
    archive(h_, 0.0, kLongest);
  }

 private:
  static constexpr double kLongest = 1e300;

  static void start_again(Engine<T>& engine, const Context& context) {
    engine.restore();
    engine.restart(context);
  }

  ErrorControl<T> control_;
  double first_step_, h_;
};

}  // namespace asymfast
