// The strong nodes of a network and the others: the strong ones are the sixteenth with the largest
// sqrt(lambda_j) |a_j|. With a residual, these turn fastest.
#pragma once

#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

#include "asymfast/views.hpp"

namespace asymfast {

enum class Part { all, strong, weak };
inline constexpr Index kStrongShare = 16;

class Parts {
 public:
  Parts() = default;
  // Of nodes, or of whole blocks of them, with these strengths; of equal ones the first.
  explicit Parts(const std::vector<double>& strength) {
    std::vector<Index> order(strength.size());
    std::iota(order.begin(), order.end(), Index(0));
    lists_[0] = order;
    std::sort(order.begin(), order.end(), [&](Index i, Index j) {
      const double one = strength[i];
      const double other = strength[j];
      return one != other ? one > other : i < j;
    });
    const auto strong = (static_cast<Index>(order.size()) + kStrongShare - 1) / kStrongShare;
    std::sort(order.begin(), order.begin() + strong);
    std::sort(order.begin() + strong, order.end());
    lists_[1].assign(order.begin(), order.begin() + strong);
    lists_[2].assign(order.begin() + strong, order.end());
  }

  bool empty() const { return lists_[0].empty(); }
  // In rising order.
  const std::vector<Index>& operator[](Part part) const {
    return lists_[static_cast<std::size_t>(part)];
  }

 private:
  std::array<std::vector<Index>, 3> lists_;
};

}  // namespace asymfast
