// All members of an ensemble on a backend that steps them side by side, many steps a call: what a
// device needs that must not be asked for every step.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "asymfast/train.hpp"
#include "batch_engine.hpp"
#include "engine.hpp"

namespace asymfast {

// `steps` times the updates of a step, each followed by an evaluation at the new eval.
struct StepPlan {
  std::vector<Update> step;
  Index steps = 0;
  // Of stochastic gradient descent: the learning rate of each step, which multiplies
  // along_gradient, and the batches from the one at hand to the one after the last step.
  std::vector<double> scales;       // (steps,)
  std::vector<std::int32_t> rows;   // (B, steps + 1, largest batch)
  std::vector<std::int32_t> sizes;  // (steps + 1,)
};

// What one member does of a plan.
struct MemberSteps {
  bool runs = true;       // else it stays where it is
  double loss_limit = 0;  // the first step that ends beyond it, or at NaN, is its last
  double last_loss = 0;   // the last within the limit, before and after
  Index steps = 0;        // that it did
  double loss = 0;        // at the end
};

template <class T>
class Fleet {
 public:
  Fleet() = default;
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;
  virtual ~Fleet() = default;

  // A member as an engine of its own; it must not outlive the fleet, which moves it along.
  virtual std::unique_ptr<Engine<T>> engine(Index b) = 0;
  virtual std::unique_ptr<BatchEngine<T>> batch_engine(Index b) = 0;

  // meanwhile(): what the host has to do itself, while the device works.
  virtual void run_steps(const StepPlan& plan, std::vector<MemberSteps>& members,
                         const std::function<void()>& meanwhile) = 0;
};

}  // namespace asymfast
