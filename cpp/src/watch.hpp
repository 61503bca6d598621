// Looks at the clock for a long call and asks its owner now and then whether to go on.
#pragma once

#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <thread>

namespace asymfast {

class Watch {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Watch(std::function<bool()> keep_going);

  // Called often, from any thread, at most every few milliseconds of work. Only the thread that
  // made the watch ever runs `keep_going`, whose exception counts as a no and is kept.
  void tick() noexcept;
  bool stopped() const noexcept { return stopped_.load(std::memory_order_relaxed); }

  // When the kernels have come back: throws what `keep_going` threw.
  void rethrow() const {
    if (thrown_) std::rethrow_exception(thrown_);
  }

 private:
  std::function<bool()> keep_going_;
  std::thread::id owner_;
  Clock::time_point due_;
  std::atomic<bool> stopped_{false};
  std::exception_ptr thrown_;
};

// What every kernel gets besides its data.
struct Context {
  int threads;
  Watch& watch;
  double slopes_memory = 0;  // as in Execution
};

}  // namespace asymfast
