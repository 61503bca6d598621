// Every piece is done once, whoever does it; what a piece throws comes out; a watch that says stop
// is obeyed; calls may be nested, and come from several threads at once.
#include "parallel.hpp"

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "check.hpp"

namespace {

using asymfast::Context;
using asymfast::Index;
using asymfast::parallel_for;
using asymfast::Share;
using asymfast::Watch;

void check_pieces(const Context& context) {
  for (const Share share : {Share::evenly, Share::in_turn})
    for (const Index pieces : {0, 1, 2, 7, 1000})
      for (const Index threads : {0, 1, 2, 3, 8, 2000}) {
        std::vector<std::atomic<int>> times(std::size_t(pieces) + 1);
        std::atomic<Index> largest{0};
        parallel_for(context, pieces, share, threads, [&](Index piece, Index thread) {
          ++times[std::size_t(piece)];
          Index seen = largest;
          while (seen < thread && !largest.compare_exchange_weak(seen, thread)) {
          }
        });
        bool once = times.back() == 0;
        for (Index piece = 0; piece < pieces; ++piece) once &= times[std::size_t(piece)] == 1;
        check::expect(once, "each piece once");
        check::expect(largest < std::max<Index>(1, std::min(threads, pieces)), "threads asked for");
      }
}

// The parts of `evenly` are the same in every call: who adds up in them finds his own again.
void check_even_parts(const Context& context) {
  std::vector<Index> first(100), second(100);
  for (auto* owners : {&first, &second})
    parallel_for(context, 100, Share::evenly, 3,
                 [&](Index piece, Index thread) { (*owners)[std::size_t(piece)] = thread; });
  check::expect(first == second, "the same parts");
  check::expect(first.front() == 0 && first.back() == 2, "all threads have a part");
}

void check_exceptions(const Context& context) {
  for (const Index threads : {1, 4})
    for (int repeat = 0; repeat < 20; ++repeat) {
      std::string said;
      try {
        parallel_for(context, 50, Share::in_turn, threads, [](Index piece, Index) {
          if (piece % 10 == 3) throw std::runtime_error("from a piece");
        });
      } catch (const std::runtime_error& error) {
        said = error.what();
      }
      check::expect(said == "from a piece", "an exception comes out");
    }
}

void check_stop() {
  Watch watch({});
  std::atomic<int> done{0};
  bool said = false;
  try {
    parallel_for(Context{4, watch}, 10000, Share::in_turn, 4, [&](Index, Index) {
      if (++done == 10) watch.stop();
    });
  } catch (const asymfast::Interrupted&) {
    said = true;
  }
  check::expect(said && done >= 10 && done < 100, "the rest is left out, and the caller told");
}

void check_nesting(const Context& context) {
  std::atomic<int> done{0};
  std::vector<std::thread> callers;
  callers.reserve(4);
  for (int caller = 0; caller < 4; ++caller)
    callers.emplace_back([&] {
      for (int repeat = 0; repeat < 50; ++repeat)
        parallel_for(context, 3, Share::evenly, 3, [&](Index, Index) {
          parallel_for(context, 5, Share::in_turn, 2, [&](Index, Index) { ++done; });
        });
    });
  for (std::thread& caller : callers) caller.join();
  check::expect(done == 4 * 50 * 3 * 5, "nested calls from several threads");
}

}  // namespace

int main() {
  Watch watch({});
  const Context context{8, watch};
  check_pieces(context);
  check_even_parts(context);
  check_exceptions(context);
  check_stop();
  check_nesting(context);
  return check::summary("parallel");
}
