// Processes that share the nodes of one network: each has some of them and all samples, so that
// what is a sum over nodes is summed over the processes too.
//
// All of them make the same sums in the same order, or they would wait for each other for ever. So
// whatever is decided on the way must come out alike: it hangs on sums alone, which have the same
// bits everywhere; and a wish to stop, Ctrl-C in one of them, travels along with the next sum.
#pragma once

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "asymfast/network.hpp"
#include "watch.hpp"

namespace asymfast {

class Ranks {
 public:
  // sum(values, count) in place, false if it failed; empty: there is one process.
  Ranks(std::function<bool(double*, Index)> sum, Watch& watch)
      : sum_(std::move(sum)), watch_(watch) {}

  bool alone() const noexcept { return !sum_; }

  void sum(double* values, Index count) {
    if (alone() || watch_.stopped()) return;
    with_wish_.assign(values, values + count);
    with_wish_.push_back(watch_.wants_to_stop() ? 1 : 0);
    if (!sum_(with_wish_.data(), count + 1)) return watch_.stop();
    std::copy_n(with_wish_.data(), count, values);
    if (with_wish_.back() > 0) watch_.stop();
  }

  bool any(bool here) {
    double count = here ? 1 : 0;
    sum(&count, 1);
    return count > 0;
  }

 private:
  std::function<bool(double*, Index)> sum_;
  Watch& watch_;
  std::vector<double> with_wish_;
};

inline void sum_over_ranks(double* values, Index count, const Context& context) {
  if (context.ranks) context.ranks->sum(values, count);
}

}  // namespace asymfast
