// One network trained on batches of a data set, kept in a backend's own layout between the steps.
//
// The engine holds the weights, and the batch on which it was last evaluated; a step of stochastic
// gradient descent is one `advance`.
#pragma once

#include "archive.hpp"
#include "asymfast/network.hpp"
#include "watch.hpp"

namespace asymfast {

// Samples of the data set, by their rows.
struct Batch {
  const Index* rows;
  Index size;
};

// What an engine is to do; output weights are trained too if asked.
struct BatchTraining {
  Loss loss;
  Index largest_batch;
  bool train_output;
};

template <class T>
class BatchEngine {
 public:
  BatchEngine() = default;
  BatchEngine(const BatchEngine&) = delete;
  BatchEngine& operator=(const BatchEngine&) = delete;
  virtual ~BatchEngine() = default;

  // Evaluates on a batch: the loss and what the gradient needs.
  virtual void evaluate(const Batch& batch, const Context& context) = 0;
  // W <- W - lr dL/dW (and a <- a - lr dL/da) for the loss L of the batch at hand, then `evaluate`.
  virtual void advance(double lr, const Batch& next, const Context& context) = 0;

  virtual void copy_weights_to(T* W, T* a) const = 0;  // (m, d) and (m, k)
  virtual void serialise(Archive& archive) = 0;        // the weights; `evaluate` is then due

  double loss() const noexcept { return *loss_; }  // of the batch at hand

 protected:
  double own_loss_ = 0;
  const double* loss_ = &own_loss_;  // or where a fleet has it
};

}  // namespace asymfast
