// Extreme eigenvalues of symmetric matrices.
#pragma once

#include "asymfast/execution.hpp"
#include "asymfast/export.h"
#include "asymfast/views.hpp"

namespace asymfast {

// Smallest eigenvalue of the symmetric matrix K (n, n); the lower triangle is read. Absolute error
// below 1e-13 of the largest absolute eigenvalue; relative error below 1e-6 wherever the eigenvalue
// exceeds 1e-10 of the largest. Cost: n^3/3 flop for a positive semi-definite K.
ASYMFAST_API double min_eigenvalue(MatrixView<const double> K, const Execution& exec = {});

}  // namespace asymfast
