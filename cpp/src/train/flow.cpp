// Gradient flow: which method each member takes, and its first step.
#include <algorithm>
#include <memory>
#include <string>

#include "train/methods/dopri5.hpp"
#include "train/methods/rk4.hpp"
#include "train/methods/tangent.hpp"
#include "train/requirements.hpp"
#include "train/run.hpp"

namespace asymfast {

namespace {

constexpr const char* kWho = "gradient_flow";
constexpr double kRk4Stability = 2.78;  // RK4 is stable for real h eig <= 2.785

// h eig_max of the shortest step of ReLU. Fixed steps of RK4 err by 7e-3 h eig_max of the residual
// (n = 12, m = 40, three outputs, t eig_max = 17), so by 2e-5 here.
constexpr double kShortestWithKinks = 0.003;

void require_possible(const Flow& flow, const RunProblem& problem) {
  if (flow.dt != 0) {
    require_positive(kWho, "dt", flow.dt);
    if (flow.method != FlowMethod::automatic && flow.method != FlowMethod::rk4)
      refuse(kWho, "dt is for method 'rk4', got '" + std::string(name_of(flow.method)) + "'");
    if (!(flow.t_end / flow.dt <= 0x1p53)) refuse(kWho, "t_end / dt must be at most 2^53 steps");
  } else {
    require_share(kWho, "rtol", flow.rtol);
  }
  if (flow.method != FlowMethod::tangent) return;
  const std::string forbidden = what_forbids_tangent(problem);
  if (!forbidden.empty()) refuse(kWho, forbidden);
}

}  // namespace

template <class T>
RunResult<T> gradient_flow(const Training<T>& training, const Flow& flow) {
  require_positive(kWho, "t_end", flow.t_end);
  require_run(kWho, training, kNoTimeLimit, flow.t_end);
  require_ranks_possible(kWho, training);
  RunProblem problem = problem_of(training, flow.train_output);
  require_possible(flow, problem);
  Run<T, Member<T>> run(training, kNoStepLimit, flow.t_end,
                        members_on_all_samples(training, flow.train_output));
  problem.m = run.nodes();
  const KernelTable& kernels = kernel_table(training.exec.backend);
  std::vector<FlowMethod> methods;
  const auto make_method = [&](Index b) -> std::unique_ptr<Method<Member<T>>> {
    if (flow.dt > 0) {
      methods.push_back(FlowMethod::rk4);
      return std::make_unique<FixedRk4<T>>(flow.dt);
    }
    const double eig = run.eig_max(b);
    methods.push_back(flow.method == FlowMethod::automatic
                          ? cheapest_flow(problem, sizeof(T), flow.t_end * eig, flow.rtol)
                          : flow.method);
    const bool slides = !smooth(problem.activation) && eig > 0;
    const ErrorControl<T> control(flow.rtol, slides ? kShortestWithKinks / eig : 0);
    const auto first_step = [&](double stable) {
      return eig > 0 ? std::min(flow.t_end, stable / eig) / 4 : flow.t_end / 4;
    };
    switch (methods.back()) {
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

template RunResult<float> gradient_flow(const Training<float>&, const Flow&);
template RunResult<double> gradient_flow(const Training<double>&, const Flow&);

}  // namespace asymfast
