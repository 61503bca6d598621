// What a method is asked for, and what it has to offer.
//
// A method carries one member to a goal, step by step; between two steps a run can be paused,
// saved and taken up again to the same bits. It has
//
//   bool step(Member<T>&, const Goal&, const Context&)   one step; true: the goal is reached
//   void serialise(Fields&, const Member<T>&)           every variable that changes from step to
//                                                        step, with the range it must lie in; the
//                                                        member comes first
//   void resume(Member<T>&, const Context&)               evaluates where the member stands, after
//                                                        both were read and at base evaluated
//
// Where a backend steps all members side by side (fleet.hpp), methods of equal steps also say
//
//   bool marches() const                                 false: only `step` it is
//   Index steps_to(Member<T>&, const Goal&)              steps left; 0: the goal is reached
//   void plan(Member<T>&, Index b, const Goal&, March&)  what a march of member b is to do
//   void marched(Member<T>&, const Marcher&)             takes note of what it did
#pragma once

#include "asymfast/views.hpp"
#include "fleet.hpp"
#include "watch.hpp"

namespace asymfast {

// A member goes on until it stands at time `leg_end` or has done `step` steps.
struct Goal {
  double leg_end;
  Index step;
};

// Methods whose members stand at the engine's base between two steps.
struct StandsAtBase {
  template <class Member>
  void resume(Member&, const Context&) {}
};

}  // namespace asymfast
