// A whole training run: members step from record to record until the end, or until they are
// stopped, interrupted or have all diverged.
#pragma once

#include <algorithm>
#include <chrono>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "asymfast/train.hpp"
#include "train/both_layers.hpp"
#include "train/member.hpp"
#include "train/records.hpp"
#include "train/stepping.hpp"

namespace asymfast {

inline constexpr Index kNoStepLimit = std::numeric_limits<Index>::max();
inline constexpr double kNoTimeLimit = std::numeric_limits<double>::infinity();

template <class T, class Member>
class Run {
 public:
  using MakeMethod = typename Stepping<T, Member>::MakeMethod;

  // Goes to last_step or t_end, whichever the method can reach; the other is infinite.
  Run(const Training<T>& training, Index last_step, double t_end, MemberSource<T, Member> source)
      : hooks_(training.hooks),
        goals_(training.recording.schedule, last_step, t_end),
        pulse_(hooks_),
        watch_([this] { return pulse_(); }, bool(hooks_.sum_over_ranks)),
        ranks_(hooks_.sum_over_ranks, watch_),
        nodes_(training.nets.m),
        stepping_(std::move(source), training.nets.B, training.exec, goals_, pulse_, watch_,
                  ranks_),
        records_(training, ranks_, result_) {}

  // make_method(b) for each member, which stands at the start; stability: the largest h eig_max of
  // the method.
  RunResult<T> operator()(double stability, const MakeMethod& make_method) {
    bool begun = false;
    try {
      stepping_.for_members([&](Index b, const Context& context) {
        stepping_.member(b).start(context);
        records_.keep_initial_ntg(b, context);
      });
      stepping_.choose_methods(make_method);
      resume();
      begun = true;
      pulse_.set_between_steps(false);
      run_to_the_end();
      records_.finish_row(stepping_);
      bound_step(stability);
    } catch (const Interrupted&) {
      if (!watch_.stopped()) throw;  // it is a callback's own
    }
    watch_.rethrow();
    records_.drop_incomplete_row();
    if (begun && pulse_.interrupted() && !pulse_.state_is_lost() && !records_.lost() &&
        !state_refused_)
      keep_state();
    finish();
    return std::move(result_);
  }

  // The nodes of all ranks.
  Index nodes() {
    double m = double(nodes_);
    try {
      ranks_.sum(&m, 1);
    } catch (const Interrupted&) {
      if (!watch_.stopped()) throw;  // else the run itself says so
    }
    return Index(m);
  }

  // Largest eigenvalue of the loss' Gauss-Newton matrix at the start of member b.
  double eig_max(Index b) { return stepping_.member(b).curvature(stepping_.context()); }

 private:
  using Clock = Watch::Clock;
  static constexpr auto kSlice = std::chrono::milliseconds(50);

  static Clock::duration seconds(double count) {
    constexpr double kLongest = 1e9;  // 30 years; beyond 290 the clock's own count overflows
    return std::chrono::duration_cast<Clock::duration>(
        std::chrono::duration<double>(std::min(count, kLongest)));
  }

  // ---- from record to record

  void run_to_the_end() {
    if (!records_.any() && goals_.wants_the_start() && !record()) return;
    if (hooks_.checkpoints.resume_from.empty() && !keep_state()) return;
    while (under_way_ || !(at_the_end() || records_.stops())) {
      const Member* front = stepping_.first_running();
      if (!under_way_) goal_ = goals_.after(front->step, front->time);
      under_way_ = true;
      const bool reached = advance_to(goal_);
      if (interrupted()) return;
      if (!reached) return end_before_the_goal();
      if (!record()) return;
      under_way_ = false;
      if (time_is_up() && !at_the_end()) return end_before_the_goal();
      if (Clock::now() >= checkpoint_due_ && !keep_state()) return;
    }
    keep_state();
  }

  // False: interrupted, or the time was up before all members had reached the goal.
  bool advance_to(const Goal& goal) {
    const auto pauses = [this] {
      return pulse_.interrupted() || time_is_up() ||
             (Clock::now() >= checkpoint_due_ && !keep_state());
    };
    return stepping_.advance_to(goal, std::min<Clock::duration>(kSlice, checkpoint_interval()),
                                pauses, [this] { records_.finish_row(stepping_); });
  }

  bool at_the_end() const {
    const Member* front = stepping_.first_running();
    return !front || goals_.is_the_end(front->step, front->time);
  }

  // Makes a record. False: the run is to end here.
  bool record() {
    records_.finish_row(stepping_);
    pulse_.set_between_steps(true);
    records_.measure(stepping_);
    pulse_.set_between_steps(false);
    if (!stepping_.first_running()) return true;
    under_way_ = false;
    if (!records_.show_last()) {
      keep_state();
      return false;
    }
    if (!records_.are_many()) return true;
    records_.finish_row(stepping_);
    return records_.hand_over();
  }

  // ---- checkpoints

  void serialise(Archive& archive) {
    stepping_.serialise(archive);
    records_.serialise(archive, stepping_.members(), goals_.t_end());
    archive(under_way_), archive(goal_.leg_end, 0.0, goals_.t_end());
    archive(goal_.step, Index(0), goals_.last_step());
    archive.end();
  }

  // Goes to where a checkpoint was written, if there is one.
  void resume() {
    if (hooks_.checkpoints.resume_from.empty()) return;
    Archive archive(hooks_.checkpoints.resume_from);
    serialise(archive);
    stepping_.resume();
  }

  // Between two steps: writes a checkpoint, if anybody wants one. False: the run is to end here.
  bool keep_state() {
    if (!hooks_.checkpoints.write || closing_) return true;
    records_.finish_row(stepping_);
    if (!records_.hand_over()) return false;
    std::string text;
    Archive archive(text);
    serialise(archive);
    state_refused_ = !hooks_.checkpoints.write(text);
    checkpoint_due_ = Clock::now() + checkpoint_interval();
    return !state_refused_;
  }

  Clock::duration checkpoint_interval() const {
    if (!hooks_.checkpoints.write) return seconds(kNoTimeLimit);
    return std::max<Clock::duration>(seconds(hooks_.checkpoints.every),
                                     std::chrono::milliseconds(1));
  }

  // ---- the end

  // Members on the way to the closing record get a little more: one of them may be far behind.
  bool time_is_up() const {
    const double limit = hooks_.stop.wall_seconds;
    return Clock::now() - start_ > seconds(closing_ ? 1.1 * limit + 5 : limit);
  }

  // The clock has run out on the way to the goal. A resumed run continues from here; only the run
  // that ends makes a closing record, for which its members must meet.
  void end_before_the_goal() {
    if (!keep_state()) return;
    result_.stopped_by = "wall_seconds";
    closing_ = true;
    if (!stepping_.first_running()) return;
    const Index step = stepping_.farthest([](const Member& m) { return m.step; });
    if (!advance_to({goal_.leg_end, step}) || !stepping_.first_running()) return;
    // Members that choose their own steps stand at different times even so.
    const double time = stepping_.farthest([](const Member& m) { return m.time; });
    const auto behind = [=](const Member& m) { return !m.diverged && m.time < time; };
    const auto& members = stepping_.members();
    if (std::any_of(members.begin(), members.end(), behind) && !advance_to({time, kNoStepLimit}))
      return;
    if (!(records_.any() && time == records_.last_time())) record();
  }

  bool interrupted() const {
    return watch_.stopped() || pulse_.interrupted() || records_.lost() || state_refused_;
  }

  // The largest stable step at the start of the first member that diverged.
  void bound_step(double stability) {
    const auto& members = stepping_.members();
    const auto first = std::find_if(members.begin(), members.end(),
                                    [](const Member& member) { return member.diverged; });
    if (first == members.end() || pulse_.interrupted()) return;
    Member again = stepping_.another(first - members.begin());
    result_.step_bound = stability / (1.01 * again.curvature(stepping_.context()));
  }

  void finish() {
    if (!records_.lost() && !state_refused_) records_.hand_over();
    for (Index b = 0; b < stepping_.count(); ++b) {
      const Member& member = stepping_.member(b);
      result_.diverged.push_back(member.diverged);
      if (!member.diverged || result_.diverged_step >= 0) continue;
      result_.diverged_step = member.step;
      result_.last_loss = member.last_loss;
    }
    result_.status = interrupted()                 ? Status::interrupted
                     : result_.diverged_step >= 0  ? Status::diverged
                     : *result_.stopped_by != '\0' ? Status::stopped
                                                   : Status::finished;
  }

  const Hooks& hooks_;
  Goals goals_;
  Pulse pulse_;
  Watch watch_;
  Ranks ranks_;
  Index nodes_;  // of this rank
  Stepping<T, Member> stepping_;
  RunResult<T> result_;
  Records<T, Member> records_;

  Goal goal_{0, 0};         // the next record, if
  bool under_way_ = false;  // members are on the way to it
  bool closing_ = false;    // it is the last one of a run that the clock ended
  bool state_refused_ = false;

  const Clock::time_point start_ = Clock::now();
  Clock::time_point checkpoint_due_ = start_ + checkpoint_interval();
};

// The members of methods that use all samples in a step.
template <class T>
MemberSource<T, Member<T>> members_on_all_samples(const Training<T>& training, bool train_output) {
  const KernelTable& kernels = kernel_table(training.exec.backend);
  const auto make_fleet = kernels.of<T>().make_fleet;
  if (train_output && make_fleet)
    throw std::invalid_argument(
        std::string("train_output is for the CPU, it is not available on ") + kernels.isa);
  const double slopes_memory = training.exec.slopes_memory / double(training.nets.B);
  return {make_fleet ? make_fleet(training.nets, training.train,
                                  {training.loss, training.train.X.rows, false})
                     : nullptr,
          [&training, &kernels, train_output, slopes_memory](Index b, Fleet<T>* fleet) {
            const NetworkView<T> net = training.nets.member(b);
            const DataView<T> data = training.train.member(b);
            auto engine = fleet ? fleet->engine(b)
                                : make_engine<T>(kernels, net, data.X, data.y, training.loss,
                                                 train_output, slopes_memory);
            return Member<T>(kernels, std::move(engine), net, data, training.loss);
          }};
}

}  // namespace asymfast
