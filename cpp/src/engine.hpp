// One network on one data set, kept in a backend's own layout between the steps of a run.
//
// An engine holds the point `base` of a run, the point `eval` where it was last evaluated, and a
// sum of gradients; every step of gradient descent and every stage of a Runge-Kutta method is one
// `advance`, so the methods themselves are written once, over all backends (train.cpp).
#pragma once

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

template <class T>
class Engine {
 public:
  Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  virtual ~Engine() = default;

  // Evaluates at base: outputs, loss and what the next gradient needs.
  virtual void restart(const Context& context) = 0;
  // Gradient at eval, update, evaluation at the new eval.
  virtual void advance(const Update& update, const Context& context) = 0;

  // Theta u for the neural tangent matrix of all outputs at eval: J (J^T u), u and out (n, k).
  virtual void ntg_product(const T* u, double* out, const Context& context) = 0;

  virtual void save() = 0;     // keeps base ...
  virtual void restore() = 0;  // ... and takes it back; restart() is then due

  virtual void copy_base_to(T* W) const = 0;  // (m, d)

  // Base, and whatever else a later `advance` depends on besides it; restart() is due after
  // reading.
  virtual void state(Archive& archive) = 0;

  const double* outputs() const noexcept { return f_; }  // f (n, k) at eval
  double loss() const noexcept { return loss_; }         // L at eval

 protected:
  const double* f_ = nullptr;
  double loss_ = 0;
};

}  // namespace asymfast
