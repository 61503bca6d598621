// What a method of training offers: it carries one member to a goal, step by step. Between two
// steps a run can be paused, saved and resumed to the same bits.
#pragma once

#include <vector>

#include "archive.hpp"
#include "asymfast/views.hpp"
#include "engine.hpp"
#include "watch.hpp"

namespace asymfast {

// A member is at its goal when it stands at time `leg_end` or has done `step` steps.
struct Goal {
  double leg_end;
  Index step;
};

template <class Member>
class Method {
 public:
  virtual ~Method() = default;
  Method& operator=(Method&&) = delete;  // nor is it copied

  // One step, or a try of one. True: the goal is reached.
  virtual bool step(Member&, const Goal&, const Context&) = 0;
  // Every variable that changes from step to step, with the range it must lie in. The member
  // comes first.
  virtual void serialise(Archive&, const Member&) {}
  // Evaluates where the member stands, after both were read and the engine evaluated at its base.
  virtual void resume(Member&, const Context&) {}

  // Where a backend steps all members side by side (Fleet), methods of equal steps also say
  // how; of the others only `step` is called.
  virtual bool side_by_side() const { return false; }
  // Steps left; 0: the goal is reached.
  virtual Index steps_to(const Member&, const Goal&) { return 0; }
  // Adds to a plan what member b is to do.
  virtual void plan(Member&, Index /* b */, const Goal&, StepPlan&) {}
  // Takes note of what the member did.
  virtual void took_steps(Member&, const MemberSteps&) {}
};

// Steps of one length to the goal, or of one on each leg: updates of the engine, one after another.
template <class Member>
class EqualSteps : public Method<Member> {
 public:
  bool step(Member& member, const Goal& goal, const Context& context) override {
    if (this->steps_to(member, goal) == 0) return true;
    advance(member, context);
    take(member, 1);
    member.check();
    return this->steps_to(member, goal) == 0;
  }

  bool side_by_side() const override { return true; }
  void plan(Member& member, Index, const Goal& goal, StepPlan& plan) override {
    this->steps_to(member, goal);
    plan.step = updates_;
  }
  void took_steps(Member& member, const MemberSteps& taken) override {
    member.evaluations += static_cast<Index>(updates_.size()) * taken.steps;
    take(member, taken.steps);
    member.check(taken);
  }

 protected:
  // One step of a member.
  virtual void advance(Member&, const Context&) = 0;
  // Where a member stands that has done so many more.
  virtual void take(Member&, Index steps) = 0;

  std::vector<Update> updates_;  // of a step to the goal that `steps_to` was asked about last
};

}  // namespace asymfast
