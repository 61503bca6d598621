// One step of the classical Runge-Kutta method of order 4.
#pragma once

#include <array>

#include "train/member.hpp"

namespace asymfast {

// W_{t+h} = W_t - h/6 (g1 + 2 g2 + 2 g3 + g4).
inline std::array<Update, 4> rk4_stages(double h) {
  return {{{-0.5 * h, 0, 0, 1, false},
           {-0.5 * h, 0, 1, 2, false},
           {-h, 0, 1, 2, false},
           {0, -1.0 / 6 * h, 1, 1, true}}};
}

template <class T>
void rk4_step(Member<T>& member, double h, const Context& context) {
  for (const Update& stage : rk4_stages(h)) {
    member.engine->advance(stage, context);
    if (context.watch.stopped()) return;
    ++member.evaluations;
  }
}

}  // namespace asymfast
