// The classical Runge-Kutta method with equal steps of at most dt on each leg, the last of which
// ends exactly at its end.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "train/methods/method.hpp"
#include "train/methods/rk4_step.hpp"

namespace asymfast {

template <class T>
class FixedRk4 : public Method<Member<T>> {
 public:
  explicit FixedRk4(double dt) : dt_(dt) {}

  bool step(Member<T>& member, const Goal& goal, const Context& context) override {
    if (member.time >= goal.leg_end || member.step >= goal.step) return true;
    enter_leg(member, goal);
    rk4_step(member, h(), context);
    if (context.watch.stopped()) return false;
    take(member, 1);
    member.check();
    return member.time >= goal.leg_end || member.step >= goal.step;
  }

  bool side_by_side() const override { return true; }
  Index steps_to(const Member<T>& member, const Goal& goal) override {
    if (member.time >= goal.leg_end || member.step >= goal.step) return 0;
    enter_leg(member, goal);
    return std::min(static_cast<Index>(steps_ - done_), goal.step - member.step);
  }
  void plan(Member<T>& member, Index, const Goal& goal, StepPlan& plan) override {
    enter_leg(member, goal);
    const auto stages = rk4_stages(h());
    plan.step.assign(stages.begin(), stages.end());
  }
  void took_steps(Member<T>& member, const MemberSteps& taken) override {
    member.evaluations += 4 * taken.steps;
    take(member, taken.steps);
    member.check(taken);
  }

  void serialise(Archive& archive, const Member<T>& member) override {
    constexpr double kMost = std::numeric_limits<double>::max();
    archive(leg_start_, 0.0, kMost), archive(leg_end_, -1.0, kMost);
    archive(steps_, 0.0, kMost), archive(done_, 0.0, steps_);
    archive.require(leg_end_ == -1 || (leg_start_ <= member.time && member.time <= leg_end_ &&
                                       steps_ == steps_of_leg() && done_ == std::floor(done_)));
  }

 private:
  void enter_leg(const Member<T>& member, const Goal& goal) {
    if (goal.leg_end == leg_end_) return;
    leg_start_ = member.time;
    leg_end_ = goal.leg_end;
    steps_ = steps_of_leg();
    done_ = 0;
  }

  double steps_of_leg() const { return std::ceil((leg_end_ - leg_start_) / dt_ * (1 - 1e-12)); }

  double h() const { return (leg_end_ - leg_start_) / steps_; }

  void take(Member<T>& member, Index steps) {
    done_ += double(steps);
    member.step += steps;
    member.time =
        done_ == steps_ ? leg_end_ : leg_start_ + (leg_end_ - leg_start_) * (done_ / steps_);
  }

  double dt_;
  double leg_start_ = 0, leg_end_ = -1, steps_ = 0, done_ = 0;
};

}  // namespace asymfast
