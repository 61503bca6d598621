// Gradient flow: which method each member takes, and its first step.
#include <algorithm>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "asymfast/both_layers.hpp"
#include "names.hpp"
#include "train/flow_choice.hpp"
#include "train/methods/adaptive_rk4.hpp"
#include "train/methods/dopri5.hpp"
#include "train/methods/fixed_rk4.hpp"
#include "train/methods/tangent.hpp"
#include "train/requirements.hpp"
#include "train/run.hpp"

namespace asymfast {

namespace {

constexpr std::pair<FlowMethod, std::string_view> kNames[] = {{FlowMethod::automatic, "auto"},
                                                              {FlowMethod::rk4, "rk4"},
                                                              {FlowMethod::dopri5, "dopri5"},
                                                              {FlowMethod::tangent, "tangent"}};

constexpr double kRk4Stability = 2.78;  // RK4 is stable for real h eig <= 2.785

// h eig_max of the shortest step of ReLU. Fixed steps of RK4 err by 7e-3 h eig_max of the residual
// (n = 12, m = 40, three outputs, t eig_max = 17), so by 2e-5 here.
constexpr double kShortestWithKinks = 0.003;

void require_dt(const Flow& flow) {
  require_positive("gradient_flow", "dt", flow.dt);
  if (flow.method != FlowMethod::automatic && flow.method != FlowMethod::rk4)
    throw std::invalid_argument("gradient_flow: dt is for method 'rk4', got '" +
                                std::string(name_of(flow.method)) + "'");
  if (!(flow.t_end / flow.dt <= 0x1p53))
    throw std::invalid_argument("gradient_flow: t_end / dt must be at most 2^53 steps");
}

void require_possible(const Flow& flow, bool train_output, Loss loss, Activation activation,
                      Index outputs) {
  require_positive("gradient_flow", "t_end", flow.t_end);
  if (flow.dt != 0)
    require_dt(flow);
  else if (!(flow.rtol > 0 && flow.rtol < 1))
    throw std::invalid_argument("gradient_flow: rtol must be in (0, 1), got " +
                                std::to_string(flow.rtol));
  if (flow.method != FlowMethod::tangent) return;
  if (train_output)
    throw std::invalid_argument(
        "gradient_flow: method 'tangent' is for W alone, not for train_output; use 'dopri5' or "
        "'rk4'");
  if (!smooth(activation))
    throw std::invalid_argument(
        "gradient_flow: method 'tangent' needs an activation without kinks, got 'relu'");
  if (!quadratic(loss))
    throw std::invalid_argument(
        "gradient_flow: method 'tangent' needs a loss of constant curvature, 'half_sse' or 'mse', "
        "got '" +
        std::string(name_of(loss)) + "'");
  if (outputs > kMostTangentOutputs)
    throw std::invalid_argument("gradient_flow: method 'tangent' takes at most n k = " +
                                std::to_string(kMostTangentOutputs) + " outputs, got " +
                                std::to_string(outputs));
}

}  // namespace

FlowMethod flow_method_from_name(std::string_view name) {
  for (const auto& [method, its_name] : kNames)
    if (its_name == name) return method;
  throw std::invalid_argument("method must be 'auto', 'rk4', 'dopri5' or 'tangent', got '" +
                              std::string(name) + "'");
}

std::string_view name_of(FlowMethod method) {
  return name_in(kNames, method);
}

namespace {

template <class T>
RunResult<T> flow_of(bool train_output, const EnsembleView<T>& nets, const DataView<T>& train,
                     const DataView<T>& test, Loss loss, const Flow& flow,
                     const Recording& recording, const Hooks& hooks, const Execution& exec) {
  require_run("gradient_flow", nets, train, test, recording, true);
  require_ranks_possible("gradient_flow", nets.B, hooks, exec);
  require_within("gradient_flow", recording.schedule, std::numeric_limits<double>::infinity(),
                 flow.t_end);
  const Index n = train.X.rows;
  const KernelTable& kernels = kernel_table(exec.backend);
  require_possible(flow, train_output, loss, nets.activation, n * nets.k);
  Run<T, Member<T>> run(nets, train, test, loss, recording, kNoStepLimit, flow.t_end, hooks, exec,
                        members_on_all_samples(nets, train, loss, train_output, exec));
  std::vector<FlowMethod> methods;
  const Index m = run.nodes();
  using Problem = typename Tangent<T>::Problem;
  const Problem problem{n, m, nets.d, nets.k, loss_curvature(loss, n, nets.k)};

  const auto make_method = [&](Index b) -> std::unique_ptr<Method<Member<T>>> {
    if (flow.dt > 0) {
      methods.push_back(FlowMethod::rk4);
      return std::make_unique<FixedRk4<T>>(flow.dt);
    }
    const double eig = run.eig_max(b);
    FlowMethod method = flow.method;
    if (method == FlowMethod::automatic)
      method = cheapest_flow({n, m, nets.d, nets.k, sizeof(T), flow.t_end * eig, flow.rtol,
                              quadratic(loss) && !train_output, smooth(nets.activation)});
    methods.push_back(method);
    const bool slides = !smooth(nets.activation) && eig > 0;
    const ErrorControl<T> control(flow.rtol, slides ? kShortestWithKinks / eig : 0);
    const auto first_step = [&](double stable) {
      return eig > 0 ? std::min(flow.t_end, stable / eig) / 4 : flow.t_end / 4;
    };
    switch (method) {
      case FlowMethod::tangent:
        return std::make_unique<Tangent<T>>(problem, control, flow.t_end, first_step(0.2), kernels);
      case FlowMethod::dopri5:
        return std::make_unique<Dopri5<T>>(control, flow.t_end, first_step(Dopri5<T>::kStability));
      default: return std::make_unique<AdaptiveRk4<T>>(control, first_step(kRk4Stability));
    }
  };
  const bool takes_rk4 = flow.dt > 0 || flow.method == FlowMethod::rk4;
  RunResult<T> result = run(takes_rk4 ? kRk4Stability : Dopri5<T>::kStability, make_method);
  for (const FlowMethod method : methods) result.methods.push_back(name_of(method));
  return result;
}

}  // namespace

template <class T>
RunResult<T> gradient_flow(const EnsembleView<T>& nets, const DataView<T>& train,
                           const DataView<T>& test, Loss loss, const Flow& flow,
                           const Recording& recording, const Hooks& hooks, const Execution& exec) {
  return flow_of(false, nets, train, test, loss, flow, recording, hooks, exec);
}

template <class T>
RunResult<T> gradient_flow_both_layers(const EnsembleView<T>& nets, const DataView<T>& train,
                                       const DataView<T>& test, Loss loss, const Flow& flow,
                                       const Recording& recording, const Hooks& hooks,
                                       const Execution& exec) {
  return flow_of(true, nets, train, test, loss, flow, recording, hooks, exec);
}

#define ASYMFAST_INSTANTIATE(T)                                                                \
  template RunResult<T> gradient_flow(const EnsembleView<T>&, const DataView<T>&,              \
                                      const DataView<T>&, Loss, const Flow&, const Recording&, \
                                      const Hooks&, const Execution&);                         \
  template RunResult<T> gradient_flow_both_layers(                                             \
      const EnsembleView<T>&, const DataView<T>&, const DataView<T>&, Loss, const Flow&,       \
      const Recording&, const Hooks&, const Execution&);

ASYMFAST_INSTANTIATE(float)
ASYMFAST_INSTANTIATE(double)

}  // namespace asymfast
