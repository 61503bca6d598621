// A whole run: members step from record to record, together or one after the other.
//
// As many members as there are threads train side by side, one thread each; what is left over is
// trained member by member with all threads inside. Neither choice changes a bit of the result.
#include <atomic>
#include <limits>

#include "asymfast/train.hpp"
#include "train/eig_max.hpp"
#include "train/goals.hpp"
#include "train/methods.hpp"
#include "train/recorder.hpp"

namespace asymfast {

namespace {

constexpr Index kNoStepLimit = std::numeric_limits<Index>::max();
constexpr double kNoTimeLimit = std::numeric_limits<double>::infinity();

template <class T, class Method>
class Run {
 public:
  Run(const EnsembleView<T>& nets, const DataView<T>& train, const DataView<T>& test, Loss loss,
      const Recording& recording, const Goals& goals, const Hooks& hooks, const Execution& exec)
      : nets_(nets),
        train_(train),
        loss_(loss),
        goals_(goals),
        hooks_(hooks),
        kernels_(kernel_table(exec.backend)),
        threads_(team_size(exec.threads)),
        watch_([this] { return !hooks_.pulse || hooks_.pulse(fraction_, current_loss_); }),
        recorder_(nets, train, test, loss, recording, kernels_, result_) {
    for (Index b = 0; b < nets.B; ++b)
      members_.emplace_back(kernels_.of<T>(), nets.member(b), train.member(b), loss);
  }

  // make_method(member, context, eig_max of L's Gauss-Newton matrix) for each member;
  // stability: the largest h eig_max of the method.
  template <class MakeMethod>
  RunResult<T> operator()(double stability, MakeMethod&& make_method) {
    for_members([&](Index b, const Context& context) {
      members_[std::size_t(b)].start(context);
      recorder_.keep_initial_ntg(b, context);
    });
    for (Index b = 0; b < nets_.B && !watch_.stopped(); ++b) methods_.push_back(make_method(b));
    if (!watch_.stopped()) loop();
    finish(stability);
    return std::move(result_);
  }

  // Of the loss' Gauss-Newton matrix at the start of member b.
  double eig_max(Index b) {
    const Context context{threads_, watch_};
    Member<T>& member = members_[std::size_t(b)];
    member.engine->restart(context);
    return loss_curvature(loss_, member.y.rows, member.y.cols) *
           ntg_eig_max(*member.engine, member.y.size(), kernels_, context);
  }

 private:
  void loop() {
    if (goals_.wants_the_start() && !record()) return;
    for (;;) {
      const Member<T>* front = first_running();
      if (!front) return;
      const Goal goal = goals_.after(front->step, front->time);
      advance_to(goal);
      front = first_running();
      if (watch_.stopped() || !front) return;
      if (!record() || goals_.is_the_end(front->step, front->time)) return;
    }
  }

  // Short slices, so that the owner of the watch is never long away from it.
  void advance_to(const Goal& goal) {
    std::atomic<bool> all_there{false};
    while (!all_there && !watch_.stopped()) {
      all_there = true;
      const auto deadline = Watch::Clock::now() + std::chrono::milliseconds(50);
      for_members([&](Index b, const Context& context) {
        Member<T>& member = members_[std::size_t(b)];
        while (!member.diverged && !methods_[std::size_t(b)].step(member, goal, context)) {
          if (watch_.stopped()) return;
          if (b == 0) publish(member);
          if (Watch::Clock::now() > deadline) {
            all_there = false;
            return;
          }
        }
      });
    }
  }

  // False: the run is to end here.
  bool record() {
    recorder_.open_row(members_);
    for_members([&](Index b, const Context& context) {
      if (!members_[std::size_t(b)].diverged)
        recorder_.measure(b, members_[std::size_t(b)], context);
    });
    if (watch_.stopped()) return false;
    ++complete_rows_;
    recorder_.close_row();
    if (!hooks_.on_record) return true;
    const Index B = nets_.B;
    const Snapshot snapshot{Index(*(result_.steps.end() - B)), result_.time.back(),
                            &*(result_.loss.end() - B),
                            result_.test_loss.empty() ? nullptr : &*(result_.test_loss.end() - B)};
    stopped_by_callback_ = !hooks_.on_record(snapshot);
    return !stopped_by_callback_;
  }

  template <class Work>
  void for_members(Work&& work) {
    const Index together = threads_ > 1 ? nets_.B / threads_ * threads_ : 0;
#pragma omp parallel for schedule(dynamic) num_threads(threads_) if (together > 0)
    for (Index b = 0; b < together; ++b) {
      watch_.tick();
      work(b, Context{1, watch_});
    }
    for (Index b = together; b < nets_.B; ++b) {
      watch_.tick();
      work(b, Context{threads_, watch_});
    }
  }

  const Member<T>* first_running() const {
    for (const Member<T>& member : members_)
      if (!member.diverged) return &member;
    return nullptr;
  }

  void publish(const Member<T>& member) {
    fraction_ = goals_.fraction(member.step, member.time);
    current_loss_ = member.engine->loss();
  }

  void finish(double stability) {
    drop_incomplete_row();
    for (Index b = 0; b < nets_.B; ++b) {
      const Member<T>& member = members_[std::size_t(b)];
      result_.diverged.push_back(member.diverged);
      if (!member.diverged || result_.diverged_step >= 0) continue;
      result_.diverged_step = member.step;
      result_.last_loss = member.last_loss;
      if (!watch_.stopped()) result_.step_bound = bound_of(b, stability);
    }
    result_.status = watch_.stopped()             ? Status::interrupted
                     : result_.diverged_step >= 0 ? Status::diverged
                     : stopped_by_callback_       ? Status::stopped
                                                  : Status::finished;
  }

  // A fresh engine at the initial weights: the member's own has left them.
  double bound_of(Index b, double stability) {
    members_[std::size_t(b)] =
        Member<T>(kernels_.of<T>(), nets_.member(b), train_.member(b), loss_);
    return stability / (1.01 * eig_max(b));
  }

  // An interrupted measurement leaves a row half filled.
  void drop_incomplete_row() {
    const auto keep = [&](auto& column) {
      const std::size_t rows = result_.time.size();
      if (rows > 0) column.resize(column.size() / rows * complete_rows_);
    };
    keep(result_.steps), keep(result_.evaluations), keep(result_.loss), keep(result_.test_loss);
    keep(result_.weight_change), keep(result_.ntg_change), keep(result_.ntg_eigmin);
    keep(result_.weights);
    result_.time.resize(complete_rows_);
  }

  const EnsembleView<T>& nets_;
  const DataView<T>& train_;
  Loss loss_;
  const Goals& goals_;
  const Hooks& hooks_;
  const KernelTable& kernels_;
  int threads_;
  std::atomic<double> fraction_{0}, current_loss_{0};
  Watch watch_;
  RunResult<T> result_;
  Recorder<T> recorder_;
  std::vector<Member<T>> members_;
  std::vector<Method> methods_;
  std::size_t complete_rows_ = 0;
  bool stopped_by_callback_ = false;
};

}  // namespace

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
