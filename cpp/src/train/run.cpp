// Gradient descent and gradient flow: which method a run takes.
#include "train/run.hpp"

#include "train/methods.hpp"

namespace asymfast {

template <class T>
RunResult<T> gradient_descent(const EnsembleView<T>& nets, const DataView<T>& train,
                              const DataView<T>& test, Loss loss, double lr, Index steps,
                              const Recording& recording, const Hooks& hooks,
                              const Execution& exec) {
  const Goals goals(recording.schedule, steps, kNoTimeLimit);
  Run<T, Descent<T>> run(nets, train, test, loss, recording, goals, hooks, exec);
  return run(2.0, [&](Index) { return Descent<T>(lr); });
}

template <class T>
RunResult<T> gradient_flow_rk4(const EnsembleView<T>& nets, const DataView<T>& train,
                               const DataView<T>& test, Loss loss, double t_end, double dt,
                               double rtol, const Recording& recording, const Hooks& hooks,
                               const Execution& exec) {
  constexpr double kStability = 2.78;  // RK4 is stable for real h eig <= 2.785
  const Goals goals(recording.schedule, kNoStepLimit, t_end);
  if (dt > 0) {
    Run<T, FixedRk4<T>> run(nets, train, test, loss, recording, goals, hooks, exec);
    return run(kStability, [&](Index) { return FixedRk4<T>(dt); });
  }
  Run<T, AdaptiveRk4<T>> run(nets, train, test, loss, recording, goals, hooks, exec);
  return run(kStability, [&](Index b) {
    const double eig = run.eig_max(b);
    return AdaptiveRk4<T>(rtol, eig > 0 ? std::min(t_end, kStability / eig) / 4 : t_end / 4);
  });
}

#define ASYMFAST_INSTANTIATE(T)                                                             \
  template RunResult<T> gradient_descent(const EnsembleView<T>&, const DataView<T>&,        \
                                         const DataView<T>&, Loss, double, Index,           \
                                         const Recording&, const Hooks&, const Execution&); \
  template RunResult<T> gradient_flow_rk4(const EnsembleView<T>&, const DataView<T>&,       \
                                          const DataView<T>&, Loss, double, double, double, \
                                          const Recording&, const Hooks&, const Execution&);

ASYMFAST_INSTANTIATE(float)
ASYMFAST_INSTANTIATE(double)

}  // namespace asymfast
