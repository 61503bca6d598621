// The classical Runge-Kutta method with equal steps of at most dt on each leg, the last of which
// ends exactly at its end.
#pragma once

#include <cmath>

#include "train/methods/goal.hpp"
#include "train/methods/rk4_step.hpp"

namespace asymfast {

template <class T>
class FixedRk4 : public StandsAtBase {
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

}  // namespace asymfast
