// Threads that wait for work between calls. OpenMP's own teams keep every waiting thread busy for
// milliseconds: the thread that everybody waits for may then get no core where other programs want
// some. Here who waits gives its core away between two looks, and sleeps in the end. To sleep at
// once is no remedy: a busy program then moves to the free core and is in the way of the next step.
#include "parallel.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "tuning.hpp"

#if defined(_OPENMP)
#include <omp.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#define ASYMFAST_FORKS
#endif

namespace asymfast {

namespace {

inline void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

// A number that goes up, and who waits for that.
class Signal {
 public:
  unsigned value() const noexcept { return value_.load(std::memory_order_acquire); }

  // Makes what was written before visible to who waited.
  void raise() noexcept {
    value_.fetch_add(1);
    if (!asleep_.load()) return;  // who is about to sleep sees the new value
    {
      const std::lock_guard<std::mutex> lock(mutex_);
    }
    wake_.notify_all();
  }

  // Until value() is not `old`. The thread looks for a moment, then lets others have its core
  // between two looks, and in the end sleeps.
  void wait(unsigned old, bool crowded) {
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    for (auto waited = start - start; waited < tuning::kLooking; waited = Clock::now() - start) {
      if (crowded || waited > tuning::kUndisturbed) std::this_thread::yield();
      for (int i = 0; i < 64; ++i) {
        if (value() != old) return;
        pause();
      }
    }
    std::unique_lock<std::mutex> lock(mutex_);
    asleep_.store(true);
    wake_.wait(lock, [&] { return value_.load() != old; });
    asleep_.store(false);
  }

 private:
  alignas(64) std::atomic<unsigned> value_{0};
  std::atomic<bool> asleep_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
};

// A caller's threads. One call at a time.
class Team {
 public:
  // work(data, thread) for thread = 0, ..., threads - 1, by as many threads at once as there are to
  // be had; the calling one is number 0 and does what those that are missing should have done.
  void run(int threads, void (*work)(void*, int), void* data) {
    const int others = hire(threads - 1);
    work_ = work, data_ = data;
    // With more threads than cores, who waits takes the core of who works.
    crowded_.store(others >= cores_, std::memory_order_relaxed);
    const unsigned before = done_.value();
    left_.store(others, std::memory_order_relaxed);
    for (int i = 0; i < others; ++i) workers_[static_cast<std::size_t>(i)]->start.raise();
    work(data, 0);
    for (int thread = others + 1; thread < threads; ++thread) work(data, thread);
    if (others > 0) done_.wait(before, crowded_.load(std::memory_order_relaxed));
  }

 private:
  struct Worker {
    Signal start;
  };

  // As many as there are to be had, at most `wanted`.
  int hire(int wanted) {
    try {
      while (static_cast<int>(workers_.size()) < wanted) {
        auto worker = std::make_unique<Worker>();
        workers_.reserve(workers_.size() + 1);
        const auto thread = static_cast<int>(workers_.size()) + 1;
        std::thread([this, thread, own = worker.get()] { serve(*own, thread); }).detach();
        workers_.push_back(std::move(worker));
      }
    } catch (const std::system_error&) {  // no further thread: those there are will do
    }
    return std::min(wanted, static_cast<int>(workers_.size()));
  }

  [[noreturn]] void serve(Worker& own, int thread) {
    for (unsigned seen = 0;; ++seen) {
      own.start.wait(seen, crowded_.load(std::memory_order_relaxed));
      work_(data_, thread);
      if (left_.fetch_sub(1) == 1) done_.raise();
    }
  }

  std::vector<std::unique_ptr<Worker>> workers_;
  void (*work_)(void*, int) = nullptr;
  void* data_ = nullptr;
  const int cores_ = static_cast<int>(std::thread::hardware_concurrency());
  std::atomic<bool> crowded_{false};
  std::atomic<int> left_{0};
  Signal done_;
};

// Teams that no call uses just now. They are never destroyed: their threads wait as long as the
// process lives. A forked child has none of its parent's threads and begins anew.
class Teams {
 public:
  static Teams& all() {
    static const bool registered = [] {
      instance = new Teams;
#if defined(ASYMFAST_FORKS)
      pthread_atfork(nullptr, nullptr, [] { instance = new Teams; });
#endif
      return true;
    }();
    static_cast<void>(registered);
    return *instance;
  }

  std::unique_ptr<Team> take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (idle_.empty()) {
      room_ += 1;
      idle_.reserve(room_);  // so that bringing it back needs no memory
      return std::make_unique<Team>();
    }
    std::unique_ptr<Team> team = std::move(idle_.back());
    idle_.pop_back();
    return team;
  }
  void bring_back(std::unique_ptr<Team> team) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.push_back(std::move(team));
  }

 private:
  static inline Teams* instance = nullptr;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Team>> idle_;
  std::size_t room_ = 0;
};

// OMP_NUM_THREADS may say anything.
constexpr int kMostThreads = 1024;

// The pieces of one call, and the first exception that one of them has thrown: one that left a
// thread by itself would end the process.
class Pieces {
 public:
  Pieces(Watch& watch, Index pieces, Index threads, void (*work)(void*, Index, Index), void* data)
      : watch_(watch), pieces_(pieces), threads_(threads), work_(work), data_(data) {}

  static void evenly(void* self, int thread) {
    auto& own = *static_cast<Pieces*>(self);
    const Index last = own.pieces_ * (thread + 1) / own.threads_;
    for (Index piece = own.pieces_ * thread / own.threads_; piece < last; ++piece)
      own.do_one(piece, thread);
  }
  static void in_turn(void* self, int thread) {
    auto& own = *static_cast<Pieces*>(self);
    for (Index piece = 0; (piece = own.next_.fetch_add(1)) < own.pieces_;)
      own.do_one(piece, thread);
  }

  void rethrow() const {
    if (thrown_) std::rethrow_exception(thrown_);
  }

 private:
  void do_one(Index piece, Index thread) noexcept {
    watch_.tick();
    if (watch_.stopped() || failed_.load(std::memory_order_relaxed)) return;
    try {
      work_(data_, piece, thread);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!thrown_) thrown_ = std::current_exception();
      failed_.store(true, std::memory_order_relaxed);
    }
  }

  Watch& watch_;
  const Index pieces_, threads_;
  void (*work_)(void*, Index, Index);
  void* data_;
  std::atomic<Index> next_{0};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  std::exception_ptr thrown_;
};

}  // namespace

void parallel_for(const Context& context, Index pieces, Share share, Index threads,
                  void (*work)(void* data, Index piece, Index thread), void* data) {
  threads = std::clamp<Index>(threads, 1, std::max<Index>(pieces, 1));
  Pieces all(context.watch, pieces, threads, work, data);
  const auto part = share == Share::evenly ? &Pieces::evenly : &Pieces::in_turn;
  if (threads == 1) {
    part(&all, 0);
  } else {
    Teams& teams = Teams::all();
    std::unique_ptr<Team> team = teams.take();
    try {
      team->run(static_cast<int>(threads), part, &all);
    } catch (...) {  // no memory for another thread; those there are wait for the next call
      teams.bring_back(std::move(team));
      throw;
    }
    teams.bring_back(std::move(team));
  }
  all.rethrow();
}

int team_size(int requested) {
#if defined(_OPENMP)
  // Inside a parallel region of the caller's, which has all threads already.
  if (omp_in_parallel() && omp_get_active_level() >= omp_get_max_active_levels()) return 1;
  if (requested <= 0) requested = std::min(omp_get_max_threads(), omp_get_thread_limit());
#else
  if (requested <= 0) requested = static_cast<int>(std::thread::hardware_concurrency());
#endif
  return std::clamp(requested, 1, kMostThreads);
}

}  // namespace asymfast
