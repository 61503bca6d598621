// One step of the classical Runge-Kutta method of order 4.
#pragma once

#include "train/member.hpp"

namespace asymfast {

// W_{t+h} = W_t - h/6 (g1 + 2 g2 + 2 g3 + g4).
template <class T>
void rk4_step(Member<T>& member, double h, const Context& context) {
  constexpr Update kStages[4] = {{-0.5, 0, 0, 1, false},
                                 {-0.5, 0, 1, 2, false},
                                 {-1, 0, 1, 2, false},
                                 {0, -1.0 / 6, 1, 1, true}};
  for (Update stage : kStages) {
    stage.along_gradient *= h;
    stage.along_sum *= h;
    member.engine->advance(stage, context);
    if (context.watch.stopped()) return;
    ++member.evaluations;
  }
}

}  // namespace asymfast
