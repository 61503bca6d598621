// What the kernels of a training run work on: plain pointers into the memory of the device.
#pragma once

#include <cstdint>

#include "asymfast/loss.hpp"
#include "asymfast/network.hpp"
#include "engine.hpp"

namespace asymfast::cuda {

// B members of one shape. Samples are the rows of X, or those that a batch names.
template <class T>
struct Problem {
  Index d, m, k;
  Index samples;  // of X
  Index n;        // of which are worked on at once: all of them, or a batch
  Activation activation;
  Loss loss;

  const T* X;  // (samples, d) / sqrt d
  const T* y;  // (samples, k); null: outputs alone are wanted
  Index X_stride, y_stride;

  T *eval, *base;      // (B, m, d); where all updates commit, one array
  T *lost, *sum;       // (B, m, d) what rounding kept out of base (float); gradients' sum
  T *c, *root_lam;     // (B, m, k) sqrt(lam) a, (B, m)
  T *a, *lost_a;       // (B, m, k), if the output weights are trained
  T *slopes, *values;  // (B, n, m) sigma', and sigma where asked for
  double* partial;     // (B, node tiles, n, k)
  double* f;           // (B, n, k)
  T* residual;         // (B, n, k) dL/df
  double* loss_parts;  // (B, slices of samples)
};

// What one launch does, in this order.
template <class T>
struct Plan {
  bool evaluate;  // outputs, loss, residual and slopes at eval
  T* gradient;    // unless null: (B, m, d) dL/dW for the residual
  const T* push;  // unless null: (B, m, d); f becomes the derivative of the outputs along it
  int stages;     // of a step
  Update stage[4];
  Index steps;
  bool train_output;
  const double* scales;       // (steps,) factors of along_gradient; null: 1
  const std::int32_t* rows;   // (B, steps + 1, n) of the batches; null: all samples, in order
  const std::int32_t* sizes;  // (steps + 1,) of the batches
};

// Of a member, in and out.
struct Progress {
  double loss_limit;  // beyond it, or NaN: no further step
  std::int32_t runs;
  std::int64_t steps;  // done in this launch
  double loss;         // at the end
  double last_loss;    // the last that was within the limit
};

}  // namespace asymfast::cuda
