// Work shared out among threads: the only place of the library that uses several.
//
// Results never depend on which thread does what: whoever calls this gives every piece a place of
// its own to write to, and adds up what belongs together in a fixed order afterwards.
#pragma once

#include <memory>
#include <type_traits>

#include "asymfast/views.hpp"
#include "watch.hpp"

namespace asymfast {

// How many threads a call may use that asks for so many (0: as many as OpenMP would take here). At
// most 1024, as in C and Python.
int team_size(int requested);

enum class Share {
  evenly,   // thread t has the t-th part of the pieces, the same in every call of the same size
  in_turn,  // whoever is free takes the next piece
};

// work(data, piece, thread) for every piece in [0, pieces), by at most `threads` threads, of which
// the calling one is number 0. The watch is asked before each piece; once it says stop, or a piece
// has thrown, the rest are left out. Throws what was thrown first.
void parallel_for(const Context& context, Index pieces, Share share, Index threads,
                  void (*work)(void* data, Index piece, Index thread), void* data);

// The same with work(piece, thread).
template <class Work>
void parallel_for(const Context& context, Index pieces, Share share, Index threads, Work&& work) {
  using Callable = std::remove_reference_t<Work>;
  parallel_for(
      context, pieces, share, threads,
      [](void* data, Index piece, Index thread) { (*static_cast<Callable*>(data))(piece, thread); },
      const_cast<std::remove_const_t<Callable>*>(std::addressof(work)));
}

}  // namespace asymfast
