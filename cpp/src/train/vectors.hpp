// What the methods do with vectors of the outputs' size.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "asymfast/views.hpp"

namespace asymfast {

inline std::size_t at_index(Index i) {
  return static_cast<std::size_t>(i);
}

inline double norm(const double* v, Index count) {
  double sum = 0;
  for (Index i = 0; i < count; ++i) sum += v[i] * v[i];
  return std::sqrt(sum);
}

inline double norm(const std::vector<double>& v) {
  return norm(v.data(), static_cast<Index>(v.size()));
}

// The same where squares may leave the range of a double: they are not formed.
inline double norm_of_any_size(const std::vector<double>& v) {
  double largest = 0;
  for (const double x : v) largest = std::max(largest, std::abs(x));
  const double unit = largest > 1e-140 && largest < 1e140 ? 1 : largest;
  if (!(unit > 0)) return 0;
  double sum = 0;
  for (const double x : v) sum += (x / unit) * (x / unit);
  return unit * std::sqrt(sum);
}

}  // namespace asymfast
