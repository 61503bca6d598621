// Asks the caller of a long call, about every 50 ms, whether it may continue.
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

  // together: a false answer is only noted, until all ranks stop at once (ranks.hpp).
  explicit Watch(std::function<bool()> keep_going, bool together = false);

  // Called often, from any thread, at most every few milliseconds of work. Only the thread that
  // made the watch ever runs `keep_going`, whose exception counts as a no and is kept.
  void tick() noexcept;
  bool stopped() const noexcept { return stopped_.load(std::memory_order_relaxed); }
  bool wants_to_stop() const noexcept { return wants_to_stop_; }
  void stop() noexcept { stopped_.store(true, std::memory_order_relaxed); }

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

class Ranks;

// What every kernel gets besides its data.
struct Context {
  int threads;
  Watch& watch;
  double slopes_memory = 0;  // as in Execution
  Ranks* ranks = nullptr;    // who has the other nodes of the network; null: nobody
};

}  // namespace asymfast
