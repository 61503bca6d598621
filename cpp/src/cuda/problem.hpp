// What the kernels of a training run work on: plain pointers into the memory of the device.
#pragma once

#include <cstdint>

#include "asymfast/loss.hpp"
#include "asymfast/network.hpp"
#include "engine.hpp"

namespace asymfast::cuda {

inline constexpr Index kSlice = 16;  // samples whose losses are summed by one block
ASYMFAST_INLINE constexpr Index slices_of(Index n) {
  return (n + kSlice - 1) / kSlice;
}

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
  T* pulled;           // (B, n, m) dL/dZ
  Index node_tiles;    // at most
  double* partial;     // (B, node_tiles, n, k)
  double* f;           // (B, n, k)
  T* residual;         // (B, n, k) dL/df
  double* loss_parts;  // (B, slices of samples)

  // The arrays of one member.
  ASYMFAST_INLINE Problem of_member(Index b) const {
    Problem p = *this;
    const auto move = [b](auto*& array, Index stride) {
      if (array) array += b * stride;
    };
    move(p.X, X_stride), move(p.y, y_stride);
    move(p.eval, m * d), move(p.base, m * d), move(p.lost, m * d), move(p.sum, m * d);
    move(p.c, m * k), move(p.root_lam, m), move(p.a, m * k), move(p.lost_a, m * k);
    move(p.slopes, n * m), move(p.values, n * m), move(p.pulled, n * m);
    move(p.partial, node_tiles * n * k), move(p.f, n * k), move(p.residual, n * k);
    move(p.loss_parts, slices_of(n));
    return p;
  }
};

// What one launch does, in this order.
template <class T>
struct Plan {
  bool evaluate;   // outputs, loss, residual and slopes at eval
  T* gradient;     // unless null: (m, d) dL/dW for the residual, of a single member
  bool is_pulled;  // it has gone through to `pulled` before
  const T* push;   // unless null: (m, d); f becomes the derivative of the outputs along it
  int stages;      // of a step
  Update stage[4];
  Index steps;
  bool train_output;
  const double* scales;       // (steps,) factors of along_gradient; null: 1
  const std::int32_t* rows;   // (B, steps + 1, n) of the batches; null: all samples, in order
  const std::int32_t* sizes;  // (steps + 1,) of the batches
};

// Runs in float keep what rounding loses of the weights.
template <class T>
inline constexpr bool kCompensated = sizeof(T) == sizeof(float);

// An Update of single weights.
template <class T>
struct Step {
  T along_gradient, along_sum, keep_sum, gain;
  bool uses_sum, commit;

  ASYMFAST_DEVICE Step(const Update& u, double scale)
      : along_gradient(T(u.along_gradient * scale)),
        along_sum(T(u.along_sum)),
        keep_sum(T(u.keep_sum)),
        gain(T(u.gain)),
        uses_sum(u.gain != 0 || u.along_sum != 0),
        commit(u.commit) {}

  // The weight after the step; sum and *lost change, too.
  ASYMFAST_DEVICE T operator()(T g, T base, T& sum, T* lost) const {
    T change = along_gradient * g;
    if (uses_sum) {
      const T kept = keep_sum == T(0) ? T(0) : keep_sum * sum;  // it may be NaN
      sum = fma(gain, g, kept);
      change = fma(along_sum, sum, change);
    }
    return shifted(base, change, lost, commit);
  }

  // base + change, with what rounding has kept out of base so far.
  ASYMFAST_DEVICE static T shifted(T base, T change, T* lost, bool commit) {
    if (!lost) return base + change;
    const T whole = change + *lost;
    const T next = base + whole;
    if (commit) {  // exact, by Knuth's two-sum
      const T taken = next - base;
      *lost = (base - (next - taken)) + (whole - taken);
    }
    return next;
  }
};

// The steps of a plan: update(step, its number) and evaluate(), which returns the loss, for every
// stage. `loss` is that at the start; the progress of the group's member says what came of them.
template <class T, class Block, class TakeUpdate, class Evaluate>
ASYMFAST_DEVICE void make_steps(const Block& block, const Plan<T>& plan, MemberSteps& progress,
                                double loss, TakeUpdate update, Evaluate evaluate) {
  double last_loss = progress.last_loss;
  Index steps = 0;
  while (steps < plan.steps) {
    for (int stage = 0; stage < plan.stages; ++stage) {
      update(Step<T>(plan.stage[stage], plan.scales ? plan.scales[steps] : 1), steps);
      loss = evaluate();
    }
    ++steps;
    if (!(loss <= progress.loss_limit)) break;
    last_loss = loss;
  }
  if (block.rank != 0 || block.thread != 0) return;
  progress.steps = steps;
  progress.loss = loss;
  progress.last_loss = last_loss;
}

}  // namespace asymfast::cuda
