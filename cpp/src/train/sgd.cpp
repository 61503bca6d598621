// Stochastic gradient descent.
#include <cstdint>
#include <vector>

#include "train/run.hpp"

namespace asymfast {

namespace {

// One batch a step; the learning rate is that of the epoch.
template <class T>
class SgdMethod {
 public:
  SgdMethod(const Sgd& settings, Index n) : lr_(settings.lr), epoch_(settings.steps_per_epoch(n)) {
    double time = 0;  // a stretch of equal rates is not added up but multiplied
    Index start = 0;
    for (std::size_t e = 0; e < lr_.size(); ++e) {
      const auto first = static_cast<Index>(e) * epoch_;
      if (e > 0 && lr_[e] != lr_[e - 1]) {
        time += lr_[e - 1] * double(first - start);
        start = first;
      }
      stretches_.push_back({time, start});
    }
  }

  bool step(BatchMember<T>& member, const Goal& goal, const Context& context) {
    if (member.step >= goal.step) return true;
    const auto e = static_cast<std::size_t>(member.step / epoch_);
    member.engine->advance(lr_[e], member.batch(member.step + 1), context);
    if (context.watch.stopped()) return false;
    ++member.evaluations;
    ++member.step;
    member.time = stretches_[e].time + lr_[e] * double(member.step - stretches_[e].step);
    member.judge(member.engine->loss());
    return member.step >= goal.step;
  }

  template <class Visit>
  void state(Visit&&) {}  // all is in the member

 private:
  struct Stretch {
    double time;
    Index step;
  };

  const std::vector<double>& lr_;
  Index epoch_;                     // steps of one
  std::vector<Stretch> stretches_;  // of each epoch: where its learning rate began to hold
};

}  // namespace

template <class T>
RunResult<T> sgd(const EnsembleView<T>& nets, const DataView<T>& train, const DataView<T>& test,
                 Loss loss, const Sgd& settings, const Recording& recording, const Hooks& hooks,
                 const Execution& exec) {
  const Index n = train.X.rows;
  const auto epochs = static_cast<Index>(settings.lr.size());
  const Goals goals(recording.schedule, epochs * settings.steps_per_epoch(n), kNoTimeLimit);
  Run<T, SgdMethod<T>, BatchMember<T>> run(
      nets, train, test, recording, goals, hooks, exec, loss,
      [&](const KernelTable& kernels, Index b) {
        return BatchMember<T>(kernels, nets.member(b), train.member(b), loss, settings,
                              settings.keys[static_cast<std::size_t>(b)]);
      });
  return run(2.0, [&](Index) { return SgdMethod<T>(settings, n); });
}

template RunResult<float> sgd(const EnsembleView<float>&, const DataView<float>&,
                              const DataView<float>&, Loss, const Sgd&, const Recording&,
                              const Hooks&, const Execution&);
template RunResult<double> sgd(const EnsembleView<double>&, const DataView<double>&,
                               const DataView<double>&, Loss, const Sgd&, const Recording&,
                               const Hooks&, const Execution&);

}  // namespace asymfast
