// Brings an exception out of a parallel region: one that left it by itself would end the process.
#pragma once

#include <atomic>
#include <exception>
#include <mutex>

namespace asymfast {

class Rescue {
 public:
  // f(), from any thread; once one has failed, nothing.
  template <class F>
  void operator()(F&& f) noexcept {
    if (failed_.load(std::memory_order_relaxed)) return;
    try {
      f();
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!first_) first_ = std::current_exception();
      failed_.store(true, std::memory_order_relaxed);
    }
  }

  // Behind the region: throws what was caught, if anything.
  void rethrow() const {
    if (first_) std::rethrow_exception(first_);
  }

 private:
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  std::exception_ptr first_;
};

}  // namespace asymfast
