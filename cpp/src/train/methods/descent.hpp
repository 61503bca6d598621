// Gradient descent W <- W - lr dL/dW.
#pragma once

#include <algorithm>

#include "train/member.hpp"
#include "train/methods/method.hpp"

namespace asymfast {

template <class T>
class DescentByStep : public Method<Member<T>> {
 public:
  explicit DescentByStep(double lr) : lr_(lr) {
    update_.along_gradient = -lr;
    update_.commit = true;
  }

  bool step(Member<T>& member, const Goal& goal, const Context& context) override {
    if (member.step >= goal.step) return true;
    member.engine->advance(update_, context);
    if (context.watch.stopped()) return false;
    ++member.evaluations;
    ++member.step;
    member.time = lr_ * double(member.step);
    member.check();
    return member.step >= goal.step;
  }

  bool side_by_side() const override { return true; }
  Index steps_to(const Member<T>& member, const Goal& goal) override {
    return std::max<Index>(goal.step - member.step, 0);
  }
  void plan(Member<T>&, Index, const Goal&, StepPlan& plan) override { plan.step = {update_}; }
  void took_steps(Member<T>& member, const MemberSteps& taken) override {
    member.evaluations += taken.steps;
    member.step += taken.steps;
    member.time = lr_ * double(member.step);
    member.check(taken);
  }

 private:
  double lr_;
  Update update_;
};

}  // namespace asymfast
