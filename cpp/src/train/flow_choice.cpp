#include "train/flow_choice.hpp"

#include <algorithm>
#include <cmath>

namespace asymfast {

namespace {

// Steps and gradients are those measured for gamma = 1 of the paper's simulated problem; smaller
// gamma and alpha need up to 2.3 times as many of either (docs/flows.md).

// Of the tangent method, in the time of a gradient.
double tangent_cost(const FlowProblem& p) {
  const double N = double(p.n) * double(p.k);
  const double gradient = 4 * double(p.n) * double(p.m) * double(p.d + p.k + 8);
  const double ntgs = 2 * N * N * double(p.m);
  const double dense = 5 * 9 * N * N * N * 0.4 + 2 * 16 * N * N * 22;  // slower flop, now and then
  const double steps = 40 * (0.5 + std::log10(1 + p.stiffness)) * std::pow(1e-6 / p.rtol, 1.0 / 9);
  return steps * (3 + (ntgs + dense) / gradient);
}

// Dormand-Prince: at its stability limit, or as short as the fifth order asks for.
double dopri5_cost(const FlowProblem& p) {
  const double accurate =
      150 * (0.5 + std::log10(1 + p.stiffness)) * std::pow(1e-6 / p.rtol, 1.0 / 5);
  return std::max(accurate, 2.5 * p.stiffness);
}

double tangent_bytes(const FlowProblem& p) {
  const double N = double(p.n) * double(p.k);
  return 10 * double(p.n) * double(p.m) * double(p.element_size) + 20 * N * N * sizeof(double);
}

}  // namespace

FlowMethod cheapest_flow(const FlowProblem& p) {
  if (!p.smooth) return FlowMethod::rk4;  // the more accurate across kinks, for the same work
  constexpr double kMemory = 1e9;
  const bool possible =
      p.quadratic && p.n * p.k <= kMostTangentOutputs && tangent_bytes(p) <= kMemory;
  return possible && tangent_cost(p) < dopri5_cost(p) ? FlowMethod::tangent : FlowMethod::dopri5;
}

bool may_be_taken(FlowMethod method, FlowMethod asked, Loss loss, Activation activation,
                  Index outputs) {
  if (asked != FlowMethod::automatic) return method == asked;
  if (!smooth(activation)) return method == FlowMethod::rk4;
  return method == FlowMethod::dopri5 ||
         (method == FlowMethod::tangent && quadratic(loss) && outputs <= kMostTangentOutputs);
}

bool leaps_are_possible(Loss loss, Activation activation, Index outputs) {
  return smooth(activation) && quadratic(loss) && outputs <= kMostLeapOutputs;
}

}  // namespace asymfast
