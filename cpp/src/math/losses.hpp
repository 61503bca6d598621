// The losses of loss.hpp: sample by sample, and their sums.
#pragma once

#include <cmath>

#include "asymfast/loss.hpp"
#include "asymfast/views.hpp"
#include "math/lanes.hpp"

namespace asymfast {

// L(f, y) for f and y (n, k), summed in double in the order of the rows; `residual` (n, k), unless
// null, gets dL/df. With n: the share in L of these rows, which are some of n.
template <class T>
double loss_and_residual(Loss loss, const double* f, MatrixView<const T> y, T* residual = nullptr,
                         Index n = 0);

// An upper bound of the largest eigenvalue of d^2 L / df^2.
double loss_curvature(Loss loss, Index n, Index k);

// What the loss is the sum of, times this.
ASYMFAST_DEVICE inline double loss_scale(Loss loss, Index n, Index k) {
  switch (loss) {
    case Loss::half_sse: return 0.5;
    case Loss::mse: return 1 / (double(n) * double(k));
    case Loss::cross_entropy: return 1 / double(n);
  }
  return 0;
}

// Adds to `sum` the share of one of n samples in the loss, but for its scale; `residual` (k,),
// unless null, gets dL/df.
template <class T>
ASYMFAST_DEVICE void add_sample_loss(Loss loss, double scale, Index n, const double* f, const T* y,
                                     Index k, T* residual, double& sum) {
  if (loss != Loss::cross_entropy) {
    for (Index q = 0; q < k; ++q) {
      const double r = f[q] - double(y[q]);
      sum += r * r;
      if (residual) residual[q] = T(2 * scale * r);
    }
    return;
  }
  double top = f[0], exps = 0, weight = 0, chosen = 0;
  for (Index q = 1; q < k; ++q) top = f[q] > top ? f[q] : top;
  for (Index q = 0; q < k; ++q) {
    exps += std::exp(f[q] - top);
    weight += double(y[q]);
    chosen += double(y[q]) * (f[q] - top);
  }
  sum += weight * std::log(exps) - chosen;
  for (Index q = 0; residual && q < k; ++q)
    residual[q] = T((weight * std::exp(f[q] - top) / exps - double(y[q])) / double(n));
}

}  // namespace asymfast
