// Lengths whose squares may leave the range of double.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "asymfast/views.hpp"

namespace asymfast {

// Whether a sum of squares kept its precision: it neither lost terms below the range of double nor
// left it above. True of NaN, which no other scale would repair.
inline bool has_precision(double sum) {
  return !(sum < 1e-270) && !(sum > std::numeric_limits<double>::max());
}

// |a - b| of two rows of n numbers. Where squares leave the range, the numbers are divided by the
// largest first.
template <class T>
double distance(const T* a, const T* b, Index n) {
  const auto sum_over = [=](double unit) {
    double sum = 0;
    for (Index i = 0; i < n; ++i) sum += std::pow((double(a[i]) - double(b[i])) / unit, 2);
    return sum;
  };
  const double sum = sum_over(1);
  if (has_precision(sum)) return std::sqrt(sum);
  double largest = 0;
  for (Index i = 0; i < n; ++i) largest = std::max(largest, std::abs(double(a[i]) - double(b[i])));
  return largest > 0 && std::isfinite(largest) ? largest * std::sqrt(sum_over(largest)) : largest;
}

}  // namespace asymfast
