// One network on one data set, kept in a backend's own layout between the steps of a run.
//
// An engine holds the point `base` of a run, the point `eval` where it was last evaluated, and what
// methods keep from one evaluation to the next: a sum of gradients, gradients in slots, Jacobians
// of earlier points. So the methods themselves are written once, over all backends (train/methods).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <numeric>
#include <vector>

#include "archive.hpp"
#include "asymfast/network.hpp"
#include "watch.hpp"

namespace asymfast {

// With g the gradient dL/dW at eval:
//   sum  <- keep_sum sum + gain g
//   eval <- base + along_gradient g + along_sum sum
//   base <- eval, if commit
struct Update {
  double along_gradient = 0;
  double along_sum = 0;
  double keep_sum = 0;
  double gain = 0;
  bool commit = false;

  bool uses_sum() const noexcept { return gain != 0 || along_sum != 0; }
};

// A stage of a Runge-Kutta method on gradients kept in slots, with g the gradient at eval:
//   gradients[keep] <- g, unless keep < 0
//   eval <- base + sum_s along[s] gradients[s], unless `along` is empty
//   base <- eval, if commit
struct Stage {
  Index keep = -1;
  std::vector<double> along;
  bool commit = false;
};

// A move along Jacobians of the past. J_l, the derivative of the outputs that was saved in slot l,
// is kept as sigma' at its point:
//   eval <- base + sum_l J_slots[l]^T u_l,   u (slots, n, k)
//   base <- eval, if commit
// and the Jacobian at eval is saved in slot `into`, unless into < 0.
template <class T>
struct Move {
  std::vector<Index> slots;
  std::vector<T> u;
  Index into = -1;
  bool commit = false;
};

// The strong nodes of a network and the others: the strong ones are the sixteenth with the largest
// sqrt(lambda_j) |a_j|. With a residual, these turn fastest.
enum class Part { all, strong, weak };
inline constexpr Index kStrongShare = 16;

class Parts {
 public:
  Parts() = default;
  // Of nodes, or of whole blocks of them, with these strengths; of equal ones the first.
  explicit Parts(const std::vector<double>& strength) {
    std::vector<Index> order(strength.size());
    std::iota(order.begin(), order.end(), Index(0));
    lists_[0] = order;
    std::sort(order.begin(), order.end(), [&](Index i, Index j) {
      const double one = strength[i];
      const double other = strength[j];
      return one != other ? one > other : i < j;
    });
    const auto strong = (static_cast<Index>(order.size()) + kStrongShare - 1) / kStrongShare;
    std::sort(order.begin(), order.begin() + strong);
    std::sort(order.begin() + strong, order.end());
    lists_[1].assign(order.begin(), order.begin() + strong);
    lists_[2].assign(order.begin() + strong, order.end());
  }

  bool empty() const { return lists_[0].empty(); }
  // In rising order.
  const std::vector<Index>& operator[](Part part) const {
    return lists_[static_cast<std::size_t>(part)];
  }

 private:
  std::array<std::vector<Index>, 3> lists_;
};

// A combination of saved Jacobians, sum_l shares[l] J_slots[l], of all nodes or a part of them.
struct Blend {
  std::vector<Index> slots;
  std::vector<double> shares;
  Part nodes = Part::all;

  void add(Index slot, double share) { slots.push_back(slot), shares.push_back(share); }
};

template <class T>
class Engine {
 public:
  virtual ~Engine() = default;
  Engine& operator=(Engine&&) = delete;  // nor is it copied

  // Evaluates at base: outputs, loss and what the next gradient needs.
  virtual void restart(const Context& context) = 0;
  // Gradient at eval, update, evaluation at the new eval.
  virtual void advance(const Update& update, const Context& context) = 0;

  // Theta u for the neural tangent matrix of all outputs at eval: J (J^T u), u and out (n, k).
  virtual void ntg_product(const T* u, double* out, const Context& context) = 0;

  // One stage, then the evaluation at the new eval if it moved.
  virtual void stage(const Stage& stage, const Context& context) = 0;
  // J sum_s along[s] gradients[s] with J at eval; out (n, k).
  virtual void push(const std::vector<double>& along, double* out, const Context& context) = 0;
  // sum_s along[s] gradients[s] itself; out (m, d).
  virtual void combine(const std::vector<double>& along, T* out) const = 0;

  // One move, then the evaluation there. After it restart() is due before anything but moves.
  virtual void move(const Move<T>& move, const Context& context) = 0;
  // J_left J_right^T (n k, n k), sample by sample; with the same one on either side the neural
  // tangent matrix of all outputs there.
  virtual void ntg_of_saved(const Blend& left, Index right, double* K, const Context& context) = 0;
  // J_left J_right^T V; V and out (n k, count). Both are sums over the nodes of `left`.
  virtual void product_of_saved(const Blend& left, Index right, MatrixView<const double> V,
                                double* out, const Context& context) = 0;
  // (sum_ij |s_ij - s'_ij|^8)^(1/8) of the slopes of two saved Jacobians: little more than the
  // largest term.
  virtual double distance_of_saved(Index one, Index other, const Context& context) = 0;

  virtual void save() = 0;     // keeps base ...
  virtual void restore() = 0;  // ... and takes it back; restart() is then due

  virtual void copy_eval_to(T* W) const = 0;  // (m, d)
  // The output weights (m, k) at eval where they are trained; null: they are the network's.
  virtual const T* output_weights() const noexcept { return nullptr; }

  // Base, and whatever else a later `advance` depends on besides it; restart() is due after
  // reading.
  virtual void serialise(Archive& archive) = 0;
  // Slots of gradients and Jacobians that hold something: 0, 1, ... below these.
  struct Kept {
    Index gradients, jacobians;
  };
  virtual Kept kept() const = 0;

  const double* outputs() const noexcept { return f_; }  // f (n, k) at eval
  double loss() const noexcept { return *loss_; }        // L at eval

 protected:
  const double* f_ = nullptr;
  double own_loss_ = 0;
  const double* loss_ = &own_loss_;  // or where a fleet has it
};

// ---- on batches

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

// The same trained on batches of its data: it holds the weights, and the batch on which it was last
// evaluated; a step of stochastic gradient descent is one `advance`.
template <class T>
class BatchEngine {
 public:
  virtual ~BatchEngine() = default;
  BatchEngine& operator=(BatchEngine&&) = delete;  // nor is it copied

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

// ---- side by side

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
  double loss = 0;        // where it stands
};

// All members of an ensemble on a backend that steps them side by side, many steps a call: what a
// device needs that must not be asked for every step.
template <class T>
class Fleet {
 public:
  virtual ~Fleet() = default;
  Fleet& operator=(Fleet&&) = delete;  // nor is it copied

  // A member as an engine of its own; it must not outlive the fleet, which moves it along.
  virtual std::unique_ptr<Engine<T>> engine(Index b) = 0;
  virtual std::unique_ptr<BatchEngine<T>> batch_engine(Index b) = 0;

  // meanwhile(): what the host has to do itself, while the device works.
  virtual void run_steps(const StepPlan& plan, std::vector<MemberSteps>& members,
                         const std::function<void()>& meanwhile) = 0;
};

}  // namespace asymfast
