// Work shared out among threads: the only place of the library that uses several.
//
// Results never depend on which thread does what: whoever calls this gives every piece a place of
// its own to write to, and adds up what belongs together in a fixed order afterwards.
#pragma once

#include <type_traits>

#include "asymfast/views.hpp"
#include "watch.hpp"

namespace asymfast {

// How many threads a call may use that asks for so many (0: as many as OpenMP offers here); at most
// 1024. A forked child has one: OpenMP's threads exist only in its parent.
int team_size(int requested);

enum class Share {
  evenly,   // thread t has the t-th part of the pieces, the same in every call of the same size
  in_turn,  // whoever is free takes the next piece
};

// What is called as f(arguments...), by its address. A std::function of each of the many lambdas
// would make the library a tenth larger.
template <class... Arguments>
class Callback {
 public:
  template <class F>
  explicit Callback(F& f)
      : data_(const_cast<std::remove_const_t<F>*>(&f)),
        call_([](void* data, Arguments... arguments) { (*static_cast<F*>(data))(arguments...); }) {}

  void operator()(Arguments... arguments) const { call_(data_, arguments...); }

 private:
  void* data_;
  void (*call_)(void*, Arguments...);
};

// work(piece, thread) for every piece in [0, pieces), with numbers of threads below `threads`; no
// two pieces have the same number at the same time. The watch is asked before each piece; once it
// or a piece has thrown, the rest are left out. Throws what was thrown first.
void run_pieces(const Context& context, Index pieces, Share share, Index threads,
                Callback<Index, Index> work);
template <class Work>
void parallel_for(const Context& context, Index pieces, Share share, Index threads, Work&& work) {
  run_pieces(context, pieces, share, threads, Callback<Index, Index>(work));
}

// body(), with a team that stands by for each parallel_for of this thread: to gather one costs some
// microseconds, and OpenMP's threads between two teams keep the cores from other programs. Nobody
// stands by where there was no work for several threads since the last such call.
void call_with_team(int threads, Callback<> body);
template <class Body>
void with_team(int threads, Body&& body) {
  call_with_team(threads, Callback<>(body));
}

// call(context) of a public function, watched and with a team; if it is abandoned, there is no
// result.
template <class Call>
void watched(const Execution& exec, Call&& call) {
  Watch watch(exec.keep_going);
  const Context context{team_size(exec.threads), watch, exec.slopes_memory};
  try {
    with_team(context.threads, [&] { call(context); });
  } catch (const Interrupted&) {
    watch.rethrow();
    throw;
  }
}

}  // namespace asymfast
