// The random network of Assumption 2.3, with the node scalings lambda of Eqs. (1) and (35).
#pragma once

#include <cstdint>
#include <vector>

#include "asymfast/export.h"
#include "asymfast/views.hpp"

namespace asymfast {

// lambda_j = gamma / m + (1 - gamma) t_j / sum_k t_k with t_j = j^(-1/alpha), j = 1 .. m. They sum
// to 1; each errs by a few roundings and those of the power. With gamma = 1 alpha is not read.
// Throws std::invalid_argument unless m >= 1, 0 <= gamma <= 1 and alpha > 0. Cost: O(m).
ASYMFAST_API std::vector<double> node_scaling(Index m, double gamma, double alpha);

// W (m, d) standard normal and a (m, k) uniform on {-1, +1}, drawn in double and rounded to T. The
// draws depend on the seed and the shapes alone (not NumPy's; see src/initial.cpp), up to the last
// bit of the C library's log, cos and sin.
template <class T>
ASYMFAST_API void draw_weights(std::uint64_t seed, MatrixView<T> W, MatrixView<T> a);

}  // namespace asymfast
