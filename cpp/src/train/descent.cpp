// Gradient descent, step by step or in leaps.
#include "train/methods/descent.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "asymfast/both_layers.hpp"
#include "names.hpp"
#include "train/flow_choice.hpp"
#include "train/methods/leap.hpp"
#include "train/requirements.hpp"
#include "train/run.hpp"
#include "tuning.hpp"

namespace asymfast {

namespace {

constexpr const char* kWho = "gradient_descent";

constexpr std::pair<DescentMethod, std::string_view> kNames[] = {{DescentMethod::automatic, "auto"},
                                                                 {DescentMethod::step, "step"},
                                                                 {DescentMethod::leap, "leap"}};

// Why there can be no leaps; empty: there can.
std::string what_forbids_leaps(Loss loss, Activation activation, Index outputs) {
  const std::string method = "method 'leap' ";
  if (!smooth(activation))
    return method + "needs an activation without kinks, got 'relu'; use 'step'";
  if (!quadratic(loss))
    return method +
           "needs a loss of constant curvature, 'half_sse' or 'mse', got 'cross_entropy'; use "
           "'step'";
  if (outputs > kMostLeapOutputs)
    return method + "takes at most n k = " + std::to_string(kMostLeapOutputs) + " outputs, got " +
           std::to_string(outputs) + "; use 'step'";
  return "";
}

Index count_records(const Schedule& schedule, Index steps) {
  return schedule.every > 0 ? steps / schedule.every : static_cast<Index>(schedule.steps.size());
}

// Whether leaps are worth while, counted in gradients of one step. After some hundred steps, which
// are made, a decade of steps takes 120 leaps at most in the paper's settings, on its tables 80 of
// three rounds; 100 directions are fast where there are many outputs. A flop of a matrix takes 2.4
// times as long as one of a gradient (bench/leaps.py on simulated data and concrete).
bool leaps_pay(Index n, Index m, Index d, Index k, std::size_t element, Index steps,
               Index records) {
  const double N = double(n) * double(k), nodes = double(n) * double(m);
  const bool all_fast = N <= double(tuning::kAllOutputs);
  const double p = all_fast ? N : std::min(N, 100.0), gradient = 4 * nodes * double(d + k + 8);
  const double matrix = std::min(2 * N, all_fast ? 2 * N : 4 * double(d) * p) * N * double(m);
  const double recurrence = 600 * p * p / gradient, basis = 9 * p * p * p / gradient;
  const double start = all_fast ? 200 : 400, leaps_of_decade = all_fast ? 120 : 80;
  const double leap =
      (all_fast ? 5 : 10) + 2.4 * matrix / gradient + (all_fast ? 1 : 3) * recurrence + 0.3 * basis;
  const double bytes = 13 * nodes * double(element) + 8 * (30 * p * p + 2 * N * N);
  const double all = std::min(start, double(steps)) +
                     leaps_of_decade * std::max(0.0, std::log10(double(steps) / start)) * leap +
                     double(records) * (1 + 2 * recurrence);
  return bytes <= 1e9 && all < 0.8 * double(steps);
}

}  // namespace

DescentMethod descent_method_from_name(std::string_view name) {
  for (const auto& [method, its_name] : kNames)
    if (its_name == name) return method;
  throw std::invalid_argument("method must be 'auto', 'step' or 'leap', got '" + std::string(name) +
                              "'");
}

std::string_view name_of(DescentMethod method) {
  return name_in(kNames, method);
}

namespace {

template <class T>
RunResult<T> descend(bool train_output, const EnsembleView<T>& nets, const DataView<T>& train,
                     const DataView<T>& test, Loss loss, double lr, Index steps,
                     const Recording& recording, const Hooks& hooks, const Execution& exec,
                     const Leaps& leaps) {
  require_run(kWho, nets, train, test, recording, false);
  require_ranks_possible(kWho, nets.B, hooks, exec);
  require_positive(kWho, "lr", lr);
  require_count(kWho, "steps", steps);
  require_within(kWho, recording.schedule, double(steps), 0);
  const KernelTable& kernels = kernel_table(exec.backend);
  const Index n = train.X.rows, outputs = n * nets.k;
  DescentMethod method = leaps.method;
  const std::string forbidden =
      train_output ? "method 'leap' is for W alone, not for train_output; use 'step'"
                   : what_forbids_leaps(loss, nets.activation, outputs);
  if (method == DescentMethod::leap && !forbidden.empty())
    throw std::invalid_argument(std::string(kWho) + ": " + forbidden);
  if (method != DescentMethod::step) {
    if (!(leaps.rtol > 0 && leaps.rtol < 1))
      throw std::invalid_argument(std::string(kWho) + ": rtol must be in (0, 1), got " +
                                  std::to_string(leaps.rtol));
  }
  Run<T, Member<T>> run(nets, train, test, loss, recording, steps, kNoTimeLimit, hooks, exec,
                        members_on_all_samples(nets, train, loss, train_output, exec));
  const Index m = run.nodes();
  if (method == DescentMethod::automatic)
    method = forbidden.empty() && !kernels.is_device &&
                     leaps_pay(n, m, nets.d, nets.k, sizeof(T), steps,
                               count_records(recording.schedule, steps))
                 ? DescentMethod::leap
                 : DescentMethod::step;
  using Problem = typename Leap<T>::Problem;
  const Problem problem{n,  m,     nets.d,    nets.k, loss_curvature(loss, n, nets.k),
                        lr, steps, leaps.rtol};
  RunResult<T> result = run(2.0, [&](Index) -> std::unique_ptr<Method<Member<T>>> {
    if (method == DescentMethod::step) return std::make_unique<Descent<T>>(lr);
    return std::make_unique<Leap<T>>(problem, kernels);
  });
  result.methods.assign(static_cast<std::size_t>(nets.B), name_of(method));
  return result;
}

}  // namespace

template <class T>
RunResult<T> gradient_descent(const EnsembleView<T>& nets, const DataView<T>& train,
                              const DataView<T>& test, Loss loss, double lr, Index steps,
                              const Recording& recording, const Hooks& hooks, const Execution& exec,
                              const Leaps& leaps) {
  return descend(false, nets, train, test, loss, lr, steps, recording, hooks, exec, leaps);
}

template <class T>
RunResult<T> gradient_descent_both_layers(const EnsembleView<T>& nets, const DataView<T>& train,
                                          const DataView<T>& test, Loss loss, double lr,
                                          Index steps, const Recording& recording,
                                          const Hooks& hooks, const Execution& exec,
                                          const Leaps& leaps) {
  return descend(true, nets, train, test, loss, lr, steps, recording, hooks, exec, leaps);
}

#define ASYMFAST_INSTANTIATE(T)                                                            \
  template RunResult<T> gradient_descent(                                                  \
      const EnsembleView<T>&, const DataView<T>&, const DataView<T>&, Loss, double, Index, \
      const Recording&, const Hooks&, const Execution&, const Leaps&);                     \
  template RunResult<T> gradient_descent_both_layers(                                      \
      const EnsembleView<T>&, const DataView<T>&, const DataView<T>&, Loss, double, Index, \
      const Recording&, const Hooks&, const Execution&, const Leaps&);

ASYMFAST_INSTANTIATE(float)
ASYMFAST_INSTANTIATE(double)

}  // namespace asymfast
