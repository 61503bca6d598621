// What a call has besides its data: threads, who may end it, and who shares its work.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "asymfast/execution.hpp"
#include "asymfast/views.hpp"

namespace asymfast {

// Asks the caller of a long call, about every 50 ms, whether it may continue.
class Watch {
 public:
  using Clock = std::chrono::steady_clock;

  // together: a false answer is only noted, until all ranks stop at once (below).
  explicit Watch(std::function<bool()> keep_going, bool together = false);

  // Called often, from any thread, at most every few milliseconds of work; throws Interrupted from
  // a false answer on. Only the thread that made the watch ever runs `keep_going`, whose exception
  // counts as a no and is kept.
  void tick();
  bool stopped() const noexcept { return stopped_.load(std::memory_order_relaxed); }
  bool wants_to_stop() const noexcept { return wants_to_stop_; }
  [[noreturn]] void stop();

  // When the kernels have come back: throws what `keep_going` threw.
  void rethrow() const {
    if (thrown_) std::rethrow_exception(thrown_);
  }

 private:
  std::function<bool()> keep_going_;
  std::thread::id owner_;
  Clock::time_point due_;
  bool together_;
  bool wants_to_stop_ = false;  // of the owner's thread
  std::atomic<bool> stopped_{false};
  std::exception_ptr thrown_;
};

// Processes that share the nodes of one network: each has some of them and all samples, so that
// what is a sum over nodes is summed over the processes too.
//
// All of them make the same sums in the same order, or they would wait for each other for ever. So
// whatever is decided on the way must come out alike: it hangs on sums alone, which have the same
// bits everywhere; and a wish to stop, Ctrl-C in one of them, travels along with the next sum.
class Ranks {
 public:
  // sum(values, count) in place, false if it failed; empty: there is one process.
  Ranks(std::function<bool(double*, Index)> sum, Watch& watch)
      : sum_(std::move(sum)), watch_(watch) {}

  bool alone() const noexcept { return !sum_; }

  void sum(double* values, Index count) {
    if (alone()) return;
    with_wish_.assign(values, values + count);
    with_wish_.push_back(watch_.wants_to_stop() ? 1 : 0);
    if (!sum_(with_wish_.data(), count + 1)) watch_.stop();
    std::copy_n(with_wish_.data(), count, values);
    if (with_wish_.back() > 0) watch_.stop();
  }

  bool any(bool here) {
    double count = here ? 1 : 0;
    sum(&count, 1);
    return count > 0;
  }

 private:
  std::function<bool(double*, Index)> sum_;
  Watch& watch_;
  std::vector<double> with_wish_;
};

// What every kernel gets besides its data.
struct Context {
  int threads;
  Watch& watch;
  double slopes_memory = 0;  // as in Execution
  Ranks* ranks = nullptr;    // who has the other nodes of the network; null: nobody
};

inline void sum_over_ranks(double* values, Index count, const Context& context) {
  if (context.ranks) context.ranks->sum(values, count);
}

}  // namespace asymfast
