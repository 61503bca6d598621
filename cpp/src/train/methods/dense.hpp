// Flows whose steps do not stop at the recorded times: a step may end beyond the goal, which is
// then interpolated; the next one goes on from the step's end, the front, where the engine's base
// is.
#pragma once

#include <algorithm>

#include "train/member.hpp"
#include "train/methods/method.hpp"

namespace asymfast {

template <class T>
class Dense : public Method<Member<T>> {
 public:
  bool step(Member<T>& member, const Goal& goal, const Context& context) override {
    if (member.time >= goal.leg_end || member.step >= goal.step) return true;
    const bool further = goal.leg_end > front_;
    if (further) {
      while (!attempt(member, context))
        if (member.diverged || context.watch.stopped()) return member.diverged;
      ++member.step;
      member.time = std::min(front_, goal.leg_end);
      member.check();
      if (member.diverged) return true;
    }
    if (!further || goal.leg_end < front_) {
      interpolate(member, goal.leg_end, context);
      if (context.watch.stopped()) return false;
      member.time = goal.leg_end;
    }
    return member.time >= goal.leg_end || member.step >= goal.step;
  }

  // Where the last step began and ended, and its length; 0: there is none to interpolate in.
  void serialise(Archive& archive, const Member<T>& member) override {
    archive(front_, 0.0, t_end_), archive(start_, 0.0, front_), archive(last_h_, 0.0, t_end_);
    archive.require(member.diverged || member.time == front_ ||
                    (last_h_ > 0 && start_ <= member.time && member.time < front_));
  }

  void resume(Member<T>& member, const Context& context) override {
    if (member.time < front_) interpolate(member, member.time, context);
  }

 protected:
  explicit Dense(double t_end) : t_end_(t_end) {}

  // One step from the front, which moves `front_` and evaluates there; false: a shorter one is
  // needed.
  virtual bool attempt(Member<T>&, const Context&) = 0;
  // Evaluates within the last step.
  virtual void interpolate(Member<T>&, double time, const Context&) = 0;

  // A step of about h that does not leave a crumb before the end of the run.
  double fitted(double h) const {
    const double left = t_end_ - front_;
    return h >= left * (1 - 1e-9) ? left : h >= left / 2 ? left / 2 : h;
  }
  // The step to propose after one of h, a fitted h_, was accepted: the factor says what its error
  // allows. Neither a step that was fitted nor rounding is a reason for shorter ones.
  static double next(double h, double h_, double factor, bool rounding_alone) {
    return std::max(h * (rounding_alone ? std::max(factor, 1.0) : factor), h < h_ ? h_ : 0);
  }
  double end_of_step(double h) const { return h == t_end_ - front_ ? t_end_ : front_ + h; }

  double t_end_;
  double front_ = 0;
  double start_ = 0, last_h_ = 0;  // of the last step
};

}  // namespace asymfast
