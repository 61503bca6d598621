// The members of a run, each with its method, carried from goal to goal.
//
// As many members as there are threads train side by side, one thread each; what is left over is
// trained member by member with all threads inside. Neither choice changes a bit of the result.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "archive.hpp"
#include "asymfast/train.hpp"
#include "backend.hpp"
#include "ranks.hpp"
#include "train/goals.hpp"
#include "train/methods/method.hpp"
#include "train/pulse.hpp"

namespace asymfast {

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
    for (Index b = 0; b < count() && !watch_.stopped(); ++b) methods_.push_back(make(b));
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
  // device does the steps. False: paused or stopped before.
  template <class Pauses, class Meanwhile>
  bool advance_to(const Goal& goal, Clock::duration slice, Pauses&& pauses, Meanwhile&& meanwhile) {
    for (;;) {
      const bool reached =
          side_by_side() ? run_fleet(goal, slice, meanwhile) : run_members(goal, slice);
      if (watch_.stopped()) return false;
      if (reached) return true;
      if (pauses()) return false;
    }
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
        if (watch_.stopped()) return;
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
