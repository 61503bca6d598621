// What a run tells its caller while it works, and what follows when the caller interrupts it.
#pragma once

#include <atomic>
#include <limits>

#include "asymfast/train.hpp"

namespace asymfast {

class Pulse {
 public:
  explicit Pulse(const Hooks& hooks) : hooks_(hooks) {}

  // Asked by the watch. False: the kernels return at once. With checkpoints, an interrupted run
  // completes the steps in progress first, so that its state can be kept; a second interrupt does
  // not wait for them.
  bool operator()() {
    if (!hooks_.pulse || hooks_.pulse(fraction_, loss_)) return true;
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

}  // namespace asymfast
