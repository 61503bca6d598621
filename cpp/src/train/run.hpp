// A whole training run: members step from record to record until the end, or until they are
// stopped, interrupted or have all diverged.
#pragma once

#include <limits>

#include "asymfast/train.hpp"
#include "train/batch_member.hpp"
#include "train/pulse.hpp"
#include "train/records.hpp"
#include "train/stepping.hpp"

namespace asymfast {

inline constexpr Index kNoStepLimit = std::numeric_limits<Index>::max();
inline constexpr double kNoTimeLimit = std::numeric_limits<double>::infinity();

template <class T, class Member>
class Run {
 public:
  // Goes to last_step or t_end, whichever the method can reach; the other is infinite.
  Run(const Training<T>& training, Index last_step, double t_end, MemberSource<T, Member> source);

  // make_method(b) for each member, which stands at the start; stability: the largest h eig_max of
  // the method.
  RunResult<T> operator()(double stability,
                          const typename Stepping<T, Member>::MakeMethod& make_method);

  // Largest eigenvalue of the loss' Gauss-Newton matrix at the start of member b.
  double eig_max(Index b) { return stepping_.member(b).curvature(stepping_.context()); }

  // The nodes of all ranks.
  Index nodes();

 private:
  using Clock = Watch::Clock;

  void run_to_the_end();
  bool advance_to(const Goal& goal);
  bool at_the_end() const;
  bool time_is_up() const;
  bool record();
  void serialise(Archive& archive);
  bool resume();
  bool keep_state();
  Clock::duration checkpoint_interval() const;
  void end_before_the_goal();
  void finish(double stability);
  bool interrupted() const;

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
MemberSource<T, Member<T>> members_on_all_samples(const Training<T>& training, bool train_output);

}  // namespace asymfast
