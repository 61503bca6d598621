// Gradient descent.
#include "train/run.hpp"

#include "train/methods/descent.hpp"
#include "train/requirements.hpp"

namespace asymfast {

template <class T>
RunResult<T> gradient_descent(const EnsembleView<T>& nets, const DataView<T>& train,
                              const DataView<T>& test, Loss loss, double lr, Index steps,
                              const Recording& recording, const Hooks& hooks,
                              const Execution& exec) {
  constexpr const char* who = "gradient_descent";
  require_run(who, nets, train, test, recording, false);
  require_ranks_possible(who, nets.B, hooks, exec);
  require_positive(who, "lr", lr);
  require_count(who, "steps", steps);
  const Goals goals(recording.schedule, steps, kNoTimeLimit);
  Run<T, Descent<T>> run(nets, train, test, loss, recording, goals, hooks, exec);
  return run(2.0, [&](Index) { return Descent<T>(lr); });
}

#define ASYMFAST_INSTANTIATE(T)                                                      \
  template RunResult<T> gradient_descent(const EnsembleView<T>&, const DataView<T>&, \
                                         const DataView<T>&, Loss, double, Index,    \
                                         const Recording&, const Hooks&, const Execution&);

ASYMFAST_INSTANTIATE(float)
ASYMFAST_INSTANTIATE(double)

}  // namespace asymfast
