#include "watch.hpp"

#include <utility>

namespace asymfast {

namespace {
constexpr auto kInterval = std::chrono::milliseconds(50);
}

Watch::Watch(std::function<bool()> keep_going)
    : keep_going_(std::move(keep_going)),
      owner_(std::this_thread::get_id()),
      due_(Clock::now() + kInterval) {}

void Watch::tick() noexcept {
  if (!keep_going_ || std::this_thread::get_id() != owner_ || stopped()) return;
  if (Clock::now() < due_) return;
  try {
    if (!keep_going_()) stopped_.store(true, std::memory_order_relaxed);
  } catch (...) {
    thrown_ = std::current_exception();
    stopped_.store(true, std::memory_order_relaxed);
  }
  due_ = Clock::now() + kInterval;
}

}  // namespace asymfast
