// The random network of Assumption 2.3.
#pragma once

#include <cstdint>

#include "asymfast/export.h"
#include "asymfast/views.hpp"

namespace asymfast {

// W (m, d) standard normal and a (m, k) uniform on {-1, +1}, drawn in double and rounded to T. The
// draws depend on the seed and the shapes alone (not NumPy's; see src/initial.cpp), up to the last
// bit of the C library's log, cos and sin.
template <class T>
ASYMFAST_API void draw_weights(std::uint64_t seed, MatrixView<T> W, MatrixView<T> a);

}  // namespace asymfast
