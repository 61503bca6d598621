#include "train/method_choice.hpp"

#include <algorithm>
#include <cmath>

#include "tuning.hpp"

namespace asymfast {

namespace {

// Of a method that keeps Jacobians of the past.
std::string what_forbids(const RunProblem& p, std::string_view name, Index most,
                         const std::string& instead) {
  const auto because = [&](const std::string& reason) {
    return "method '" + std::string(name) + "' " + reason + "; use " + instead;
  };
  if (p.train_output) return because("is for W alone, not for train_output");
  if (!smooth(p.activation)) return because("needs an activation without kinks, got 'relu'");
  if (p.loss == Loss::cross_entropy)
    return because("needs a loss of constant curvature, 'half_sse' or 'mse', got 'cross_entropy'");
  if (p.outputs() > most)
    return because("takes at most n k = " + std::to_string(most) + " outputs, got " +
                   std::to_string(p.outputs()));
  return "";
}

// Steps and gradients of flows are those measured for gamma = 1 of the paper's simulated problem;
// smaller gamma and alpha need up to 2.3 times as many of either (docs/flows.md).

// Of the tangent method, in the time of a gradient.
double tangent_cost(const RunProblem& p, double stiffness, double rtol) {
  const double N = double(p.n) * double(p.k);
  const double ntgs = 2 * N * N * double(p.m);
  const double dense = 5 * 9 * N * N * N * 0.4 + 2 * 16 * N * N * 22;  // slower flop, now and then
  const double steps = 40 * (0.5 + std::log10(1 + stiffness)) * std::pow(1e-6 / rtol, 1.0 / 9);
  return steps * (3 + (ntgs + dense) / p.gradient_flop());
}

// Dormand-Prince: at its stability limit, or as short as the fifth order asks for.
double dopri5_cost(double stiffness, double rtol) {
  const double accurate = 150 * (0.5 + std::log10(1 + stiffness)) * std::pow(1e-6 / rtol, 1.0 / 5);
  return std::max(accurate, 2.5 * stiffness);
}

double tangent_bytes(const RunProblem& p, std::size_t element_size) {
  const double N = double(p.n) * double(p.k);
  return 10 * double(p.n) * double(p.m) * double(element_size) + 20 * N * N * sizeof(double);
}

constexpr double kMostBytes = 1e9;  // of a method that is chosen without being asked for

}  // namespace

double RunProblem::gradient_flop() const {
  return 4 * double(n) * double(m) * double(d + k + 8);
}

std::string what_forbids_leaps(const RunProblem& problem) {
  return what_forbids(problem, "leap", kMostLeapOutputs, "'step'");
}

std::string what_forbids_tangent(const RunProblem& problem) {
  return what_forbids(problem, "tangent", kMostTangentOutputs, "'dopri5' or 'rk4'");
}

FlowMethod cheapest_flow(const RunProblem& p, std::size_t element_size, double stiffness,
                         double rtol) {
  if (!smooth(p.activation)) return FlowMethod::rk4;  // more accurate there, for the same work
  const bool possible =
      what_forbids_tangent(p).empty() && tangent_bytes(p, element_size) <= kMostBytes;
  return possible && tangent_cost(p, stiffness, rtol) < dopri5_cost(stiffness, rtol)
             ? FlowMethod::tangent
             : FlowMethod::dopri5;
}

// Counted in gradients of one step. After some hundred steps, which are made, a decade of steps
// takes 120 leaps at most in the paper's settings, on its tables 80 of three rounds; 100 directions
// are fast where there are many outputs. A flop of a matrix takes 2.4 times as long as one of a
// gradient (bench/leaps.py on simulated data and concrete).
bool leaps_pay(const RunProblem& at, std::size_t element_size, Index steps, Index records) {
  const double N = double(at.n) * double(at.k), nodes = double(at.n) * double(at.m);
  const double d = double(at.d), gradient = at.gradient_flop();
  const bool all_fast = N <= double(tuning::kAllOutputs);
  const double p = all_fast ? N : std::min(N, 100.0);
  const double matrix = std::min(2 * N, all_fast ? 2 * N : 4 * d * p) * N * double(at.m);
  const double recurrence = 600 * p * p / gradient, basis = 9 * p * p * p / gradient;
  const double start = all_fast ? 200 : 400, leaps_of_decade = all_fast ? 120 : 80;
  const double leap =
      (all_fast ? 5 : 10) + 2.4 * matrix / gradient + (all_fast ? 1 : 3) * recurrence + 0.3 * basis;
  const double bytes = 13 * nodes * double(element_size) + 8 * (30 * p * p + 2 * N * N);
  const double all = std::min(start, double(steps)) +
                     leaps_of_decade * std::max(0.0, std::log10(double(steps) / start)) * leap +
                     double(records) * (1 + 2 * recurrence);
  return bytes <= kMostBytes && all < 0.8 * double(steps);
}

}  // namespace asymfast
