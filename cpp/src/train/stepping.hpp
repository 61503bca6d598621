// The members of a run, each with its method, carried from goal to goal.
//
// As many members as there are threads train side by side, one thread each; what is left over is
// trained member by member with all threads inside. Neither choice changes a bit of the result.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "archive.hpp"
#include "asymfast/train.hpp"
#include "backend.hpp"
#include "train/methods/method.hpp"

namespace asymfast {

// The sequence of points at which a run is recorded.
class Goals {
 public:
  // Until `last_step` or `t_end`, whichever the method can reach; the other is infinite.
  Goals(const Schedule& schedule, Index last_step, double t_end)
      : schedule_(schedule), last_step_(last_step), t_end_(t_end) {}

  bool wants_the_start() const {
    return schedule_.every > 0 || (!schedule_.steps.empty() && schedule_.steps.front() == 0) ||
           (!schedule_.times.empty() && schedule_.times.front() == 0);
  }

  // The first point after (step, time).
  Goal after(Index step, double time) const {
    Goal goal{t_end_, last_step_};
    if (schedule_.every > 0 && step < last_step_)
      goal.step = step + std::min(last_step_ - step, schedule_.every - step % schedule_.every);
    const auto next_step = std::upper_bound(schedule_.steps.begin(), schedule_.steps.end(), step);
    if (next_step != schedule_.steps.end()) goal.step = std::min(last_step_, *next_step);
    const auto next_time = std::upper_bound(schedule_.times.begin(), schedule_.times.end(), time);
    if (next_time != schedule_.times.end()) goal.leg_end = std::min(t_end_, *next_time);
    return goal;
  }

  Index last_step() const { return last_step_; }
  double t_end() const { return t_end_; }
  bool is_the_end(Index step, double time) const { return step >= last_step_ || time >= t_end_; }

  // Of the way, at (step, time).
  double fraction(Index step, double time) const {
    return std::isfinite(t_end_) ? time / t_end_ : double(step) / double(last_step_);
  }

 private:
  const Schedule& schedule_;
  Index last_step_;
  double t_end_;
};

// What a run tells its caller while it works, and what follows when the caller interrupts it.
class Pulse {
 public:
  explicit Pulse(const Hooks& hooks) : hooks_(hooks) {}

  // Asked by the watch. False: the kernels return at once. With checkpoints, an interrupted run
  // completes the steps in progress first, so that its state can be kept; a second interrupt does
  // not wait for them.
  bool operator()() {
    if (!hooks_.pulse || hooks_.pulse(fraction_, loss_)) return true;
    if (hooks_.sum_over_ranks) return false;  // all ranks end together, at the next sum
    const bool again = interrupted_.exchange(true);
    if (between_steps_) return false;
    if (hooks_.checkpoints.write && !again) return true;
    state_is_lost_ = true;
    return false;
  }

  // What is shown next time: the fraction of the run that is done, and the loss.
  void publish(double fraction, double loss) { fraction_ = fraction, loss_ = loss; }

  // Between two steps an interrupt costs nothing but the record in progress.
  void set_between_steps(bool are) { between_steps_ = are; }

  bool interrupted() const { return interrupted_; }
  // A step was abandoned, and with it the state after whole steps.
  bool state_is_lost() const { return state_is_lost_; }

 private:
  const Hooks& hooks_;
  std::atomic<double> fraction_{0}, loss_{std::numeric_limits<double>::quiet_NaN()};
  std::atomic<bool> interrupted_{false};
  bool between_steps_ = true, state_is_lost_ = false;
};

// Where the members of a run come from: a fleet that steps all of them, or null, and a function
// that makes member b, a part of the fleet or, if that is null, one by itself.
template <class T, class Member>
struct MemberSource {
  std::unique_ptr<Fleet<T>> fleet;
  std::function<Member(Index b, Fleet<T>* fleet)> make;
};

template <class T, class Member>
class Stepping {
 public:
  using Clock = Watch::Clock;
  using MakeMethod = std::function<std::unique_ptr<Method<Member>>(Index b)>;

  Stepping(MemberSource<T, Member> source, Index B, const Execution& exec, const Goals& goals,
           Pulse& pulse, Watch& watch, Ranks& ranks)
      : source_(std::move(source)),
        goals_(goals),
        pulse_(pulse),
        threads_(team_size(exec.threads)),
        slopes_memory_(exec.slopes_memory / double(B)),
        watch_(watch),
        ranks_(ranks) {
    for (Index b = 0; b < B; ++b) members_.push_back(source_.make(b, source_.fleet.get()));
  }

  // Chooses the methods; the members stand at the start.
  void choose_methods(const MakeMethod& make) {
    for (Index b = 0; b < count(); ++b) methods_.push_back(make(b));
  }

  Context context() { return context(threads_); }
  Index count() const { return static_cast<Index>(members_.size()); }
  const std::vector<Member>& members() const { return members_; }
  Member& member(Index b) { return members_[b]; }

  // A fresh member at the initial weights, beside the one that has left them.
  Member another(Index b) { return source_.make(b, nullptr); }

  // Whether a device steps all members at once.
  bool side_by_side() const { return source_.fleet && methods_.front()->side_by_side(); }

  // Null: all have diverged.
  const Member* first_running() const {
    for (const Member& member : members_)
      if (!member.diverged) return &member;
    return nullptr;
  }

  // The largest value among the running members.
  template <class Of>
  auto farthest(Of of) const {
    auto most = of(*first_running());
    for (const Member& member : members_)
      if (!member.diverged) most = std::max(most, of(member));
    return most;
  }

  // work(b, context) for every member.
  template <class Work>
  void for_members(Work&& work) {
    with_team(threads_, [&] {
      const Index together = threads_ > 1 ? count() / threads_ * threads_ : 0;
      parallel_for(context(), together, Share::in_turn, threads_,
                   [&](Index b, Index) { work(b, context(1)); });
      for (Index b = together; b < count(); ++b) {
        watch_.tick();
        work(b, context());
      }
    });
  }

  // Carries all running members to the goal. After every slice of about this time, so that the
  // owner of the watch is never long away from it, pauses() is asked; meanwhile() is run where a
  // device does the steps. False: paused before.
  template <class Pauses, class Meanwhile>
  bool advance_to(const Goal& goal, Clock::duration slice, Pauses&& pauses, Meanwhile&& meanwhile) {
    while (!(side_by_side() ? run_fleet(goal, slice, meanwhile) : run_members(goal, slice)))
      if (pauses()) return false;
    return true;
  }

  void serialise(Archive& archive) {
    for (Index b = 0; b < count(); ++b) {
      member(b).serialise(archive, goals_.last_step(), goals_.t_end());
      method(b).serialise(archive, member(b));
    }
  }

  // After both were read: evaluates where the members stand.
  void resume() {
    for_members([&](Index b, const Context& context) {
      if (member(b).diverged) return;
      member(b).resume(context);
      method(b).resume(member(b), context);
    });
    publish();
  }

 private:
  Context context(int threads) { return {threads, watch_, slopes_memory_, &ranks_}; }
  Method<Member>& method(Index b) { return *methods_[b]; }

  void publish() {
    const Member& first = member(0);
    pulse_.publish(goals_.fraction(first.step, first.time), first.engine->loss());
  }

  // One slice of time, in equal shares, so that members stay near each other: a run that the clock
  // ends waits for the last one. True: all running members are at the goal.
  bool run_members(const Goal& goal, Clock::duration slice) {
    std::atomic<bool> reached{true};
    const auto share = std::max<Clock::duration>(slice / count(), std::chrono::milliseconds(2));
    for_members([&](Index b, const Context& context) {
      const auto deadline = Clock::now() + share;
      while (!member(b).diverged && !method(b).step(member(b), goal, context)) {
        if (b == 0) publish();
        if (pulse_.interrupted() || Clock::now() > deadline) {
          reached = false;
          return;
        }
      }
    });
    publish();
    return reached;
  }

  // The same by one call of the fleet, of as many steps as took about a slice before.
  template <class Meanwhile>
  bool run_fleet(const Goal& goal, Clock::duration slice, const Meanwhile& meanwhile) {
    const Member* front = first_running();
    if (!front) return true;
    const auto first = static_cast<Index>(front - members_.data());
    const Index left = method(first).steps_to(member(first), goal);
    if (left == 0) return true;
    StepPlan plan;
    plan.steps = std::min(left, steps_of_slice_);
    std::vector<MemberSteps> of_members(members_.size());
    for (Index b = 0; b < count(); ++b) {
      Member& one = member(b);
      of_members[b] = {!one.diverged, one.loss_limit, one.last_loss, 0, 0};
      if (!one.diverged) method(b).plan(one, b, goal, plan);
    }
    const auto start = Clock::now();
    source_.fleet->run_steps(plan, of_members, meanwhile);
    const auto took = Clock::now() - start;
    if (took < slice / 2 && plan.steps == steps_of_slice_) steps_of_slice_ *= 2;
    if (took > slice) steps_of_slice_ = std::max<Index>(1, steps_of_slice_ / 2);
    for (Index b = 0; b < count(); ++b)
      if (!member(b).diverged) method(b).took_steps(member(b), of_members[b]);
    publish();
    watch_.tick();
    return !front->diverged && method(first).steps_to(member(first), goal) == 0;
  }

  MemberSource<T, Member> source_;
  const Goals& goals_;
  Pulse& pulse_;
  int threads_;
  double slopes_memory_;  // of one member
  Watch& watch_;
  Ranks& ranks_;
  std::vector<Member> members_;
  std::vector<std::unique_ptr<Method<Member>>> methods_;
  Index steps_of_slice_ = 16;  // of the fleet
};

}  // namespace asymfast
