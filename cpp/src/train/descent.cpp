// Gradient descent, step by step or in leaps.
#include <algorithm>
#include <memory>
#include <string>

#include "train/methods/leap.hpp"
#include "train/requirements.hpp"
#include "train/run.hpp"

namespace asymfast {

namespace {

// W <- W - lr dL/dW.
template <class T>
class DescentByStep : public EqualSteps<Member<T>> {
 public:
  explicit DescentByStep(double lr) : lr_(lr) { this->updates_ = {{-lr, 0, 0, 0, true}}; }

  Index steps_to(const Member<T>& member, const Goal& goal) override {
    return std::max<Index>(goal.step - member.step, 0);
  }

 private:
  void advance(Member<T>& member, const Context& context) override {
    member.advance(this->updates_, context);
  }
  void take(Member<T>& member, Index steps) override {
    member.step += steps;
    member.time = lr_ * double(member.step);
  }

  double lr_;
};

}  // namespace

template <class T>
RunResult<T> gradient_descent(const Training<T>& training, const Descent& descent) {
  constexpr const char* who = "gradient_descent";
  require_positive(who, "lr", descent.lr);
  require_count(who, "steps", descent.steps);
  require_run(who, training, double(descent.steps), 0);
  require_ranks_possible(who, training);
  RunProblem problem = problem_of(training, descent.train_output);
  const std::string forbidden = what_forbids_leaps(problem);
  DescentMethod method = descent.method;
  if (method == DescentMethod::leap && !forbidden.empty()) refuse(who, forbidden);
  if (method != DescentMethod::step) require_share(who, "rtol", descent.rtol);

  Run<T, Member<T>> run(training, descent.steps, kNoTimeLimit,
                        members_on_all_samples(training, descent.train_output));
  problem.m = run.nodes();
  const KernelTable& kernels = kernel_table(training.exec.backend);
  if (method == DescentMethod::automatic) {
    const Schedule& schedule = training.recording.schedule;
    const Index records = schedule.every > 0 ? descent.steps / schedule.every
                                             : static_cast<Index>(schedule.steps.size());
    const bool leaps = forbidden.empty() && !kernels.is_device &&
                       leaps_pay(problem, sizeof(T), descent.steps, records);
    method = leaps ? DescentMethod::leap : DescentMethod::step;
  }
  RunResult<T> result = run(2.0, [&](Index) -> std::unique_ptr<Method<Member<T>>> {
    if (method == DescentMethod::step) return std::make_unique<DescentByStep<T>>(descent.lr);
    return std::make_unique<Leap<T>>(problem, descent, kernels);
  });
  result.methods.assign(training.nets.B, name_of(method));
  return result;
}

template RunResult<float> gradient_descent(const Training<float>&, const Descent&);
template RunResult<double> gradient_descent(const Training<double>&, const Descent&);

}  // namespace asymfast
