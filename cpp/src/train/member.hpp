// One network in training: its engine, where it stands, and whether it still goes on.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "archive.hpp"
#include "asymfast/train.hpp"
#include "backend.hpp"
#include "losses.hpp"
#include "train/eig_max.hpp"

namespace asymfast {

// Where a member of a run stands.
struct Standing {
  Index step = 0;
  double time = 0;
  std::int64_t evaluations = 0;  // gradients computed
  bool diverged = false;
  double last_loss = 0;   // the last acceptable one
  double loss_limit = 0;  // beyond it, or NaN: diverged

  // A run may climb before it descends (the catapult of large steps), but not by ten orders.
  void expect(double loss_at_start, double loss_of_zero) {
    loss_limit = 1e10 * std::max({loss_at_start, loss_of_zero, 1e-30});
  }

  void judge(double loss) {
    if (std::isfinite(loss) && loss <= loss_limit)
      last_loss = loss;
    else
      diverged = true;
  }

  // After the member was on a march.
  void judge(const Marcher& marcher) {
    last_loss = marcher.last_loss;
    judge(marcher.loss);
  }

  void state(Archive& archive) {
    archive(step), archive(time), archive(evaluations), archive(diverged);
    archive(last_loss), archive(loss_limit);
    archive.require(step >= 0);
  }
};

// The loss of the outputs 0.
template <class T>
double loss_of_zero(Loss loss, MatrixView<const T> y) {
  const std::vector<double> zero(static_cast<std::size_t>(y.size()));
  return loss_and_residual<T>(loss, {zero.data(), y.rows, y.cols}, y, nullptr);
}

template <class T>
struct Member : Standing {
  MatrixView<const T> y;
  std::unique_ptr<Engine<T>> engine;

  Member(const KernelTable& kernels, std::unique_ptr<Engine<T>> its_engine,
         const NetworkView<T>& net, const DataView<T>& data, Loss loss)
      : y(data.y), engine(std::move(its_engine)), kernels_(&kernels), net_(net), loss_(loss) {}

  void start(const Context& context) {
    engine->restart(context);
    expect(engine->loss(), loss_of_zero(loss_, y));
    judge();
  }

  // After `state` was read.
  void go_on(const Context& context) { engine->restart(context); }

  using Standing::judge;
  // To be called after every step.
  void judge() { Standing::judge(engine->loss()); }

  // What is recorded of it: loss and outputs (n, k) on the training data, and its weights.
  void look(const Context&) {}
  double loss() const { return engine->loss(); }
  const double* outputs() const { return engine->outputs(); }
  void copy_weights_to(T* W, T* a) const {
    engine->copy_eval_to(W);
    std::copy_n(net_.a.data, net_.a.size(), a);
  }

  // The largest eigenvalue of the loss' Gauss-Newton matrix at the start of the run.
  double curvature(const Context& context) {
    engine->restart(context);
    return loss_curvature(loss_, y.rows, y.cols) *
           ntg_eig_max(*engine, y.size(), *kernels_, context);
  }

  void state(Archive& archive) {
    Standing::state(archive);
    engine->state(archive);
  }

 private:
  const KernelTable* kernels_;
  NetworkView<T> net_;  // at the start of the run
  Loss loss_;
};

}  // namespace asymfast
