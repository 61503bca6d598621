// One network in training: its engine, where it stands, and whether it still goes on.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "backend.hpp"
#include "losses.hpp"

namespace asymfast {

template <class T>
struct Member {
  MatrixView<const T> y;
  std::unique_ptr<Engine<T>> engine;
  Index step = 0;
  double time = 0;
  std::int64_t evaluations = 0;  // gradients computed
  bool diverged = false;
  double last_loss = 0;   // the last acceptable one
  double loss_limit = 0;  // beyond it, or NaN: diverged

  Member(const Kernels<T>& kernels, const NetworkView<T>& net, const DataView<T>& data, Loss loss)
      : y(data.y), engine(kernels.make_engine(net, data.X, data.y, loss)) {
    const std::vector<double> zero(static_cast<std::size_t>(y.size()));
    loss_of_zero_ = loss_and_residual<T>(loss, {zero.data(), y.rows, y.cols}, y, nullptr);
  }

  void start(const Context& context) {
    engine->restart(context);
    // A run may climb before it descends (the catapult of large steps), but not by ten orders.
    loss_limit = 1e10 * std::max({engine->loss(), loss_of_zero_, 1e-30});
    judge();
  }

  // To be called after every step.
  void judge() {
    if (engine->loss() <= loss_limit)
      last_loss = engine->loss();
    else
      diverged = true;
  }

 private:
  double loss_of_zero_;
};

}  // namespace asymfast
