// The sequence of points at which a run is recorded.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "asymfast/train.hpp"
#include "train/methods/method.hpp"

namespace asymfast {

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

}  // namespace asymfast
