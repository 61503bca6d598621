#include "watch.hpp"

#include <utility>

namespace asymfast {

namespace {
constexpr auto kInterval = std::chrono::milliseconds(50);
}

Watch::Watch(std::function<bool()> keep_going, bool together)
    : keep_going_(std::move(keep_going)),
      owner_(std::this_thread::get_id()),
      due_(Clock::now() + kInterval),
      together_(together) {}

void Watch::tick() {
  if (stopped()) throw Interrupted();
  if (!keep_going_ || std::this_thread::get_id() != owner_ || wants_to_stop_) return;
  if (Clock::now() < due_) return;
  try {
    wants_to_stop_ = !keep_going_();
  } catch (...) {
    thrown_ = std::current_exception();
    wants_to_stop_ = true;
  }
  due_ = Clock::now() + kInterval;
  if (wants_to_stop_ && !together_) stop();
}

void Watch::stop() {
  stopped_.store(true, std::memory_order_relaxed);
  throw Interrupted();
}

}  // namespace asymfast
