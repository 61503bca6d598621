// Sums of losses by the threads of a block.
#pragma once

#include "cuda/block.hpp"
#include "math/losses.hpp"

namespace asymfast::cuda {

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
