#include "emulator.hpp"

#include <ucontext.h>

#include <algorithm>
#include <exception>
#include <limits>
#include <numeric>
#include <stdexcept>

namespace asymfast::cuda {

// Runs one fiber at a time, round after round, in the order asked for.
class Fibers {
 public:
  Fibers(int count, const std::function<void(int, Fibers*)>& work) : work_(work) {
    order_.resize(count);
    std::iota(order_.begin(), order_.end(), 0);
    if (emulation.order == Order::descending) std::reverse(order_.begin(), order_.end());
    fibers_.resize(order_.size());
    for (int i = 0; i < count; ++i) start(i);
  }

  void run() {
    std::size_t left = fibers_.size();
    while (left > 0) {
      moved_ = false;
      if (emulation.order == Order::shuffled) shuffle();
      for (const int i : order_) {
        Fiber& fiber = fibers_[i];
        if (fiber.done || (fiber.waits_for && fiber.waits_for->generation == fiber.generation))
          continue;
        fiber.waits_for = nullptr;
        moved_ = true;
        current_ = i;
        swapcontext(&home_, &fiber.context);
        if (error_) std::rethrow_exception(error_);
        left -= fiber.done;
      }
      if (!moved_ && left > 0) throw std::logic_error("emulated device: a barrier was missed");
    }
  }

  void wait(Barrier& barrier) {
    Fiber& fiber = fibers_[current_];
    if (++barrier.arrived == barrier.members) {
      barrier.arrived = 0;
      ++barrier.generation;
      return;
    }
    fiber.waits_for = &barrier;
    fiber.generation = barrier.generation;
    swapcontext(&fiber.context, &home_);
  }

 private:
  static constexpr std::size_t kStack = 64 * 1024;

  struct Fiber {
    ucontext_t context{};
    std::unique_ptr<unsigned char[]> stack;
    const Barrier* waits_for = nullptr;
    long generation = 0;
    bool done = false;
  };

  void start(int i) {
    Fiber& fiber = fibers_[i];
    fiber.stack.reset(new unsigned char[kStack]);  // not touched before it is used
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStack;
    fiber.context.uc_link = &home_;
    const auto self = reinterpret_cast<std::uintptr_t>(this);
    makecontext(&fiber.context, reinterpret_cast<void (*)()>(&enter), 3,
                static_cast<unsigned>(self >> 32), static_cast<unsigned>(self), i);
  }

  // makecontext passes integers only.
  static void enter(unsigned high, unsigned low, int i) {
    const auto address = (static_cast<std::uintptr_t>(high) << 32) | low;
    auto* self = reinterpret_cast<Fibers*>(address);  // NOLINT(performance-no-int-to-ptr)
    try {
      self->work_(i, self);
    } catch (...) {
      self->error_ = std::current_exception();
    }
    self->fibers_[i].done = true;
  }

  void shuffle() {
    for (std::size_t i = order_.size(); i-- > 1;) {
      random_ = random_ * 6364136223846793005u + 1442695040888963407u;
      std::swap(order_[i], order_[(random_ >> 33) % (i + 1)]);
    }
  }

  const std::function<void(int, Fibers*)>& work_;
  std::vector<Fiber> fibers_;
  std::vector<int> order_;
  ucontext_t home_{};
  std::exception_ptr error_;
  std::uint64_t random_ = 1;
  int current_ = 0;
  bool moved_ = false;
};

void run_fibers(int count, const std::function<void(int, Fibers*)>& work) {
  Fibers(count, work).run();
}

void EmulatedBlock::sync() {
  fibers->wait(*of_block);
}

void EmulatedBlock::group_sync() {
  fibers->wait(*of_group);
}

namespace {

// Bytes that make any number of them a NaN.
unsigned char* poisoned(std::size_t bytes) {
  const std::size_t whole = (std::max<std::size_t>(bytes, 1) + kSharedAlignment - 1) /
                            kSharedAlignment * kSharedAlignment;
  void* memory = std::aligned_alloc(kSharedAlignment, whole);
  if (!memory) throw std::bad_alloc();
  std::memset(memory, 0xFF, whole);
  return static_cast<unsigned char*>(memory);
}

}  // namespace

EmulatedShared::EmulatedShared(std::size_t bytes) : memory_(poisoned(bytes)) {}

// How many bytes there are stands before them.
void* EmulatedDevice::allocate(std::size_t bytes) {
  unsigned char* memory = poisoned(kSharedAlignment + bytes);
  std::memcpy(memory, &bytes, sizeof bytes);
  emulated_memory.taken += bytes;
  emulated_memory.most = std::max(emulated_memory.most, emulated_memory.taken);
  return memory + kSharedAlignment;
}

void EmulatedDevice::release(void* memory) noexcept {
  unsigned char* all = static_cast<unsigned char*>(memory) - kSharedAlignment;
  std::size_t bytes = 0;
  std::memcpy(&bytes, all, sizeof bytes);
  emulated_memory.taken -= bytes;
  std::free(all);
}

}  // namespace asymfast::cuda
