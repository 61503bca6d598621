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

inline constexpr int kTotalLanes = 32;  // that sum side by side

// The sum of x in an order of its own, the same in every thread; lanes (kTotalLanes,) is shared
// memory.
template <class Block>
ASYMFAST_DEVICE double total(Block& block, const double* x, Index count, double* lanes) {
  for (int lane = block.thread; lane < kTotalLanes; lane += block.threads) {
    double sum = 0;
    for (Index i = lane; i < count; i += kTotalLanes) sum += x[i];
    lanes[lane] = sum;
  }
  block.sync();
  double sum[4] = {};
  for (int lane = 0; lane < kTotalLanes; ++lane) sum[lane % 4] += lanes[lane];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

}  // namespace asymfast::cuda
