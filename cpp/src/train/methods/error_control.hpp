// What error-controlled flows share: what they allow a step, how they measure it, in the outputs,
// and how those land on recorded times that choose their steps freely.
#pragma once

#include <algorithm>
#include <limits>

#include "train/member.hpp"
#include "train/methods/method.hpp"

namespace asymfast {

// A step so short beside the time so far, and beside the first step that was tried, that the method
// has failed. How long the run is to be says nothing about it.
inline bool hopeless(double h, double t, double first_step) {
  return !(h > 1e-14 * (t + first_step));
}

// What an error of the weights might do to the outputs at the steepest slopes (Member::reach) may
// be so many times what is allowed: nodes that are saturated at both ends of a step hide it from
// the outputs there, but not from the steps to come. Without it, some of thousands of runs of 1 to
// 3 nodes were wrong; without the 10 of Member::reach, which costs 0.6 % more work, runs at rtol =
// 1e-3 erred by up to 130 rtol.
inline constexpr double kReach = 100;

template <class T>
class ErrorControl {
 public:
  // Where sigma' jumps, nodes slide along the jumps: the error of a step then falls with h no
  // faster than its share, and steps would shrink for ever. Steps of `shortest` are taken there
  // whatever they err by; 0: sigma' has no jumps.
  ErrorControl(double rtol, double shortest) : rtol_(rtol), shortest_(shortest) {}

  // What a step from t to t + h may add to the relative error of the residual. Transients decay
  // over every scale of time: equal shares of log t keep the error of a whole run near rtol. With
  // jumps every step may err by a tenth of rtol.
  double share(double h, double t) const {
    return shortest_ == 0 ? rtol_ * h / (t + h) : 0.1 * rtol_;
  }

  // The change of the outputs by rounding alone, near the point that was last accepted.
  double rounding() const { return noise_ * rounding_; }

  void begin(Member<T>& member, const Context& context) { rounding_ = member.rounding(context); }

  // Whether a trial step of h may be kept, whose outputs err by `error`, `ratio` times what is
  // allowed. The loss of a gradient flow never rises, but by rounding and, next to a minimum, by
  // the square of the error.
  bool keeps(const Member<T>& member, double h, double ratio, double error) const {
    const double loss = member.engine->loss();
    if (!(loss <= member.loss_limit)) return false;
    return h <= shortest_ ||
           (ratio <= 1 && loss <= member.last_loss + member.loss_rounding(rounding(), error));
  }

  double shortest() const { return shortest_; }

  // A step to be tried after one of h was rejected.
  double shorter(double h, double factor) const {
    return h > shortest_ ? std::max(factor * h, shortest_) : factor * h;
  }

  // After a step that was allowed an error of `allowed`, at whose end the engine stands. Rounding
  // is measured anew where it matters.
  void accept(Member<T>& member, double allowed, const Context& context) {
    rejected_ = 0;
    if (rounding() > 0.1 * allowed) begin(member, context);
  }

  // After a step with this error was rejected and the engine's base restored. Where that goes on,
  // rounding may be more than was known; an error near it that does not fall with the steps is
  // rounding, too.
  void reject(Member<T>& member, double error, const Context& context) {
    const bool falls = !(error > 0.8 * last_error_);
    last_error_ = error;
    if (++rejected_ % 3 != 0) return;
    member.engine->restart(context);
    begin(member, context);
    if (!falls && error < kNear * rounding_ && noise_ < kNear) noise_ *= 2;
  }

  void serialise(Archive& archive) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    archive(rounding_, 0.0, kInfinity), archive(noise_, 1.0, 2 * kNear);
    archive(last_error_), archive(rejected_, Index(0), std::numeric_limits<Index>::max() / 2);
  }

 private:
  static constexpr double kNear = 1000;

  double rtol_, shortest_;
  double rounding_ = 0;
  double noise_ = 1;       // the share of rounding that formula has missed
  double last_error_ = 0;  // of the step rejected last
  Index rejected_ = 0;     // steps in a row
};

// Flows whose steps do not stop at the recorded times: a step may end beyond the goal, which is
// then interpolated; the next one goes on from the step's end, the front, where the engine's base
// is.
template <class T>
class Dense : public Method<Member<T>> {
 public:
  Dense(ErrorControl<T> control, double t_end, double first_step)
      : control_(control), t_end_(t_end), first_step_(first_step), h_(first_step) {}

  bool step(Member<T>& member, const Goal& goal, const Context& context) override {
    if (member.time >= goal.leg_end || member.step >= goal.step) return true;
    const bool further = goal.leg_end > front_;
    if (further) {
      for (bool done = false; !done;) {
        const double h = fitted();
        member.diverged = hopeless(h, front_, first_step_);
        if (member.diverged) return true;
        done = attempt(member, h, context);
      }
      ++member.step;
      member.time = std::min(front_, goal.leg_end);
      member.check();
      if (member.diverged) return true;
    }
    if (!further || goal.leg_end < front_) {
      interpolate(member, goal.leg_end, context);
      member.time = goal.leg_end;
    }
    return member.time >= goal.leg_end || member.step >= goal.step;
  }

  // Where the last step began and ended, and its length; 0: there is none to interpolate in.
  void serialise(Archive& archive, const Member<T>& member) override {
    control_.serialise(archive);
    archive(h_, 0.0, std::numeric_limits<double>::max());
    archive(front_, 0.0, t_end_), archive(start_, 0.0, front_), archive(last_h_, 0.0, t_end_);
    archive.require(member.diverged || member.time == front_ ||
                    (last_h_ > 0 && start_ <= member.time && member.time < front_));
  }

  void resume(Member<T>& member, const Context& context) override {
    if (member.time < front_) interpolate(member, member.time, context);
  }

 protected:
  // One step of h from the front, which evaluates at its end and is accepted; false: a shorter one
  // is needed.
  virtual bool attempt(Member<T>&, double h, const Context&) = 0;
  // Evaluates within the last step.
  virtual void interpolate(Member<T>&, double time, const Context&) = 0;

  double end_of_step(double h) const { return h == t_end_ - front_ ? t_end_ : front_ + h; }

  // A step of h from the front was accepted, whose error allows the next one to be `factor` times
  // as long. Neither a step that was fitted nor rounding is a reason for shorter ones.
  void go_on(double h, double factor, bool rounding_alone) {
    h_ = std::max(h * (rounding_alone ? std::max(factor, 1.0) : factor), h < h_ ? h_ : 0);
    h_ = std::max(h_, control_.shortest());
    start_ = front_, last_h_ = h;
    front_ = end_of_step(h);
  }

  ErrorControl<T> control_;
  double t_end_, first_step_;
  double h_;  // to be tried next
  double front_ = 0;
  double start_ = 0, last_h_ = 0;  // of the last step

 private:
  // A step of about h_ that does not leave a crumb before the end of the run.
  double fitted() const {
    const double left = t_end_ - front_;
    return h_ >= left * (1 - 1e-9) ? left : h_ >= left / 2 ? left / 2 : h_;
  }
};

}  // namespace asymfast
