// What a method is asked for, and what it has to offer.
//
// A method carries one member to a goal, step by step; between two steps a run can be paused,
// saved and taken up again to the same bits. It has
//
//   bool step(Member<T>&, const Goal&, const Context&)   one step; true: the goal is reached
//   void state(Visit&& visit)                            visit(x) for every variable that changes
//                                                        from step to step: a number or a vector
#pragma once

#include "asymfast/views.hpp"

namespace asymfast {

// A member goes on until it stands at time `leg_end` or has done `step` steps.
struct Goal {
  double leg_end;
  Index step;
};

}  // namespace asymfast
