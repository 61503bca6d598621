// Step doubling: two steps of h against one of 2 h; the difference of the outputs over 15 is the
// error of the two. It is held below rtol / 10 of the residual |f - y| times the share 2h / (t +
// 2h) of the time so far. The two steps are kept, the long one is thrown away.
#pragma once

#include <cmath>
#include <vector>

#include "train/methods/error_control.hpp"
#include "train/methods/method.hpp"
#include "train/methods/rk4_step.hpp"

namespace asymfast {

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
    const auto size = static_cast<std::size_t>(member.y.size());
    if (control_.rounding() == 0) control_.begin(member, context);
    const double residual = residual_norm(engine.outputs(), member.y);
    engine.save();
    rk4_step(member, 2 * h, context);
    if (context.watch.stopped()) return false;
    long_step_.assign(engine.outputs(), engine.outputs() + size);
    std::vector<T> difference = member.weights();
    start_again(engine, context);
    rk4_step(member, h, context);
    if (context.watch.stopped()) return false;
    rk4_step(member, h, context);
    if (context.watch.stopped()) return false;

    double error2 = 0;
    for (std::size_t i = 0; i < size; ++i)
      error2 += std::pow(engine.outputs()[i] - long_step_[i], 2);
    const std::vector<T> W = member.weights();
    for (std::size_t i = 0; i < W.size(); ++i) difference[i] -= W[i];
    const double reach = member.reach(difference.data(), context);
    const double allowed =
        0.1 * control_.share(2 * h, member.time) * residual + control_.rounding();
    const double ratio = std::max(std::sqrt(error2), reach / kReach) / 15 / allowed;
    const double factor = ratio > 0 ? 0.9 * std::pow(ratio, -0.2) : 4;
    if (!control_.keeps(member, h, ratio, std::sqrt(error2) / 15)) {
      h_ = control_.shorter(h, factor < 0.9 ? std::fmax(factor, 0.2) : 0.2);
      start_again(engine, context);
      control_.reject(member, std::sqrt(error2) / 15, context);
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
  static constexpr double kLongest = 1e150;

  static void start_again(Engine<T>& engine, const Context& context) {
    engine.restore();
    engine.restart(context);
  }

  ErrorControl<T> control_;
  double first_step_, h_;
  std::vector<double> long_step_;  // within a step only
};

}  // namespace asymfast
