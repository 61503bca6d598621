// One OpenMP team, which stands by while a run computes. OpenMP's own barriers keep every waiting
// thread busy for milliseconds: where other programs want a core, too, that core may be the one
// that the late thread needs. Here a waiting thread soon gives its core away between two looks, and
// in the end sleeps. To sleep at once is no remedy: a busy program then moves to the free core and
// is in the way of the next step.
#include "parallel.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "tuning.hpp"

#if defined(_OPENMP)
#include <omp.h>
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#define ASYMFAST_FORKS
#endif
#endif

namespace asymfast {

namespace {

// OMP_NUM_THREADS may say anything; an OpenMP run time may crash on what the system does not give.
constexpr int kMostThreads = 1024;

inline void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

// A value, and who waits until it changes. What was written before set() is then visible to them.
class Signal {
 public:
  std::uint64_t value() const noexcept { return value_.load(std::memory_order_acquire); }

  void set(std::uint64_t value) noexcept {
    value_.store(value);
    if (sleepers_.load() == 0) return;  // who is about to sleep sees the new value
    {
      const std::lock_guard<std::mutex> lock(mutex_);
    }
    wake_.notify_all();
  }

  // The first value that is not `old`. The thread looks for a moment, unless there are more threads
  // than cores; then it lets others have its core between two looks, and in the end it sleeps.
  std::uint64_t wait(std::uint64_t old, bool crowded) {
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    for (auto waited = start - start; waited < tuning::kLooking; waited = Clock::now() - start) {
      if (crowded || waited > tuning::kUndisturbed) std::this_thread::yield();
      for (int i = 0; i < 64; ++i) {
        if (value() != old) return value();
        pause();
      }
    }
    std::unique_lock<std::mutex> lock(mutex_);
    ++sleepers_;
    wake_.wait(lock, [&] { return value_.load() != old; });
    --sleepers_;
    return value();
  }

 private:
  alignas(64) std::atomic<std::uint64_t> value_{0};
  std::atomic<int> sleepers_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
};

// The pieces of one call, and the first exception that one of them has thrown.
struct Pieces {
  Watch& watch;
  const Index pieces;
  const Share share;
  const Index threads;
  const Callback<Index, Index> work;
  std::atomic<Index> next{0};
  std::atomic<bool> failed{false};
  std::mutex mutex{};
  std::exception_ptr thrown{};

  // The parts of threads first, first + step, ...: there may be fewer threads than were asked for.
  void operator()(Index first, Index step) noexcept {
    for (Index thread = first; thread < threads; thread += step) {
      if (share == Share::evenly) {
        const Index last = pieces * (thread + 1) / threads;
        for (Index piece = pieces * thread / threads; piece < last; ++piece) one(piece, thread);
      } else {
        for (Index piece; (piece = next.fetch_add(1)) < pieces;) one(piece, thread);
      }
    }
  }

  void one(Index piece, Index thread) noexcept {
    if (failed.load(std::memory_order_relaxed)) return;
    try {
      watch.tick();
      work(piece, thread);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex);
      if (!thrown) thrown = std::current_exception();
      failed.store(true, std::memory_order_relaxed);
    }
  }
};

// The threads of a parallel region: number 0 calls run(), the others are in serve().
class Team {
 public:
  explicit Team(int wanted) : crowded_(wanted > int(std::thread::hardware_concurrency())) {}

  void gathered(int size) { size_ = size; }

  void run(Pieces& pieces) {
    const Index taking = std::min<Index>(pieces.threads, size_);
    pieces_ = &pieces;
    left_.store(taking - 1, std::memory_order_relaxed);
    const std::uint64_t before = done_.value();
    call(taking);
    pieces(0, taking);
    if (taking > 1) done_.wait(before, crowded_);
  }

  void dismiss() { call(0); }

  void serve(Index thread) {
    for (std::uint64_t called = 0;;) {
      called = called_.wait(called, crowded_);
      const auto taking = Index(called % kCalls);
      if (taking == 0) return;
      if (thread >= taking) continue;
      (*pieces_)(thread, taking);
      if (left_.fetch_sub(1) == 1) done_.set(done_.value() + 1);
    }
  }

 private:
  static constexpr std::uint64_t kCalls = 2 * kMostThreads;

  // Together with a count of calls: each differs from the one before.
  void call(Index taking) {
    called_.set((called_.value() / kCalls + 1) * kCalls + std::uint64_t(taking));
  }

  const bool crowded_;
  int size_ = 1;  // fewer than wanted where OpenMP gives fewer
  Pieces* pieces_ = nullptr;
  std::atomic<Index> left_{0};
  Signal called_, done_;
};

// Of the calling thread: its team that waits for work, and whether it had work for one of late.
thread_local Team* standing = nullptr;
thread_local bool busy = false;

// A forked child must not wait for OpenMP's threads, which exist only in its parent.
std::atomic<bool> forked{false};
#if defined(ASYMFAST_FORKS)
[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, [] {
  forked = true;
  standing = nullptr;
});
#endif

// body(), by number 0 of a team that stands by.
void gather(int threads, Callback<> body) {
#if defined(_OPENMP)
  if (threads > 1 && !standing && !forked) {
    Team team(threads);
    std::exception_ptr thrown;
#pragma omp parallel num_threads(threads)
    if (const int thread = omp_get_thread_num(); thread > 0) {
      team.serve(thread);
    } else {
      team.gathered(omp_get_num_threads());
      standing = &team;
      try {
        body();
      } catch (...) {  // what left a region by itself would end the process
        thrown = std::current_exception();
      }
      standing = nullptr;
      team.dismiss();
    }
    if (thrown) std::rethrow_exception(thrown);
    return;
  }
#endif
  static_cast<void>(threads);
  body();
}

}  // namespace

void call_with_team(int threads, Callback<> body) {
  if (std::exchange(busy, false)) return gather(threads, body);
  body();
}

void run_pieces(const Context& context, Index pieces, Share share, Index threads,
                Callback<Index, Index> work) {
  threads = std::clamp<Index>(threads, 1, std::clamp<Index>(pieces, 1, kMostThreads));
  Pieces all{context.watch, pieces, share, threads, work};
  if (threads == 1) {
    all(0, 1);
  } else {
    busy = true;
    const auto run = [&all] {
      // While it works a team is not there for calls from within a piece.
      Team* const team = std::exchange(standing, nullptr);
      team ? team->run(all) : all(0, 1);
      standing = team;
    };
    gather(int(threads), Callback<>(run));
  }
  if (all.thrown) std::rethrow_exception(all.thrown);
}

int team_size([[maybe_unused]] int requested) {
#if defined(_OPENMP)
  if (!forked)
    return std::clamp(requested > 0 ? requested : omp_get_max_threads(), 1, kMostThreads);
#endif
  return 1;
}

}  // namespace asymfast
