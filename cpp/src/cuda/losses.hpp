// The losses of losses.hpp, sample by sample.
#pragma once

#include "asymfast/loss.hpp"
#include "cuda/block.hpp"

namespace asymfast::cuda {

// What the loss is the sum of, times this.
ASYMFAST_DEVICE inline double loss_scale(Loss loss, Index n, Index k) {
  switch (loss) {
    case Loss::half_sse: return 0.5;
    case Loss::mse: return 1 / (double(n) * double(k));
    case Loss::cross_entropy: return 1 / double(n);
  }
  return 0;
}

// The share of one sample in the loss, but for the scale, and dL/df (k,).
template <class T>
ASYMFAST_DEVICE double sample_loss(Loss loss, double scale, const double* f, const T* y, Index k,
                                   T* residual) {
  double sum = 0;
  if (loss != Loss::cross_entropy) {
    for (Index q = 0; q < k; ++q) {
      const double r = f[q] - double(y[q]);
      sum += r * r;
      residual[q] = T(2 * scale * r);
    }
    return sum;
  }
  double top = f[0], exps = 0, weight = 0, chosen = 0;
  for (Index q = 1; q < k; ++q) top = f[q] > top ? f[q] : top;
  for (Index q = 0; q < k; ++q) {
    exps += std::exp(f[q] - top);
    weight += double(y[q]);
    chosen += double(y[q]) * (f[q] - top);
  }
  for (Index q = 0; q < k; ++q)
    residual[q] = T((weight * std::exp(f[q] - top) / exps - double(y[q])) * scale);
  return weight * std::log(exps) - chosen;
}

}  // namespace asymfast::cuda
