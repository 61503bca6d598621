// The losses of loss.hpp and their derivatives with respect to the outputs.
#pragma once

#include "asymfast/loss.hpp"
#include "asymfast/views.hpp"

namespace asymfast {

// L(f, y) for f and y (n, k), summed in double in the order of the rows; `residual` (n, k), unless
// null, gets dL/df.
template <class T>
double loss_and_residual(Loss loss, MatrixView<const double> f, MatrixView<const T> y, T* residual);

// The share in L of some rows of n, and their dL/df.
template <class T>
double loss_of_rows(Loss loss, Index n, MatrixView<const double> f, MatrixView<const T> y,
                    T* residual);

// An upper bound of the largest eigenvalue of d^2 L / df^2.
double loss_curvature(Loss loss, Index n, Index k);

}  // namespace asymfast
