// An engine in plain terms, in double, over the forward pass of a backend on the CPU: a gradient, a
// linear update, an evaluation. Which weights there are, and their derivatives, say the two that
// are made of it: reference/backend.cpp and train/both_layers.hpp.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "backend.hpp"
#include "engine.hpp"
#include "math/losses.hpp"

namespace asymfast {

template <class T>
class PlainEngine : public Engine<T> {
 public:
  void restart(const Context& context) override {
    shift(false, [](Index) { return 0.0; });
    evaluate(context);
  }

  void advance(const Update& u, const Context& context) override {
    gradient(residual_.data(), gradient_.data(), context);
    shift(u.commit, [&](Index i) {
      const double kept = u.keep_sum == 0 ? 0 : u.keep_sum * sum_[i];  // it may be NaN
      sum_[i] = kept + u.gain * gradient_[i];
      return u.along_gradient * gradient_[i] + u.along_sum * sum_[i];
    });
    evaluate(context);
  }

  void stage(const Stage& stage, const Context& context) override {
    if (stage.keep >= 0) gradient(residual_.data(), gradients_.make(stage.keep), context);
    if (stage.along.empty()) return;
    shift(stage.commit, [&](Index i) { return along_gradients(stage.along, i); });
    evaluate(context);
  }

  void push(const std::vector<double>& along, double* out, const Context& context) override {
    std::vector<T> direction(base_.size());
    for (std::size_t i = 0; i < direction.size(); ++i) direction[i] = T(along_gradients(along, i));
    jvp(direction.data(), out, context);
    sum_over_ranks(out, y_.size(), context);
  }

  void combine(const std::vector<double>& along, T* out) const override {
    for (Index i = 0; i < net_.W.size(); ++i) out[i] = T(along_gradients(along, i));
  }

  void ntg_product(const T* u, double* out, const Context& context) override {
    gradient(u, gradient_.data(), context);
    const std::vector<T> direction(gradient_.begin(), gradient_.end());
    jvp(direction.data(), out, context);
    sum_over_ranks(out, y_.size(), context);
  }

  void save() override { saved_ = base_; }
  void restore() override { base_ = saved_; }
  void copy_eval_to(T* W) const override { std::copy_n(eval_.begin(), net_.W.size(), W); }

  void serialise(Archive& archive) override {
    archive.array(base_.data(), static_cast<Index>(base_.size()));
    gradients_.serialise(archive);
  }

  typename Engine<T>::Kept kept() const override { return {gradients_.count(), 0}; }

 protected:
  // weights: W, and whatever else is trained, behind it.
  PlainEngine(const Kernels<T>& kernels, const NetworkView<T>& net, MatrixView<const T> X,
              MatrixView<const T> y, Loss loss, std::vector<double> weights)
      : kernels_(kernels),
        net_(net),
        X_(X),
        y_(y),
        gradient_(weights.size()),
        eval_(weights.begin(), weights.end()),
        loss_kind_(loss),
        base_(std::move(weights)),
        sum_(base_.size()),
        gradients_(static_cast<Index>(base_.size())),
        residual_(y.size()),
        outputs_(y.size()) {
    net_.W.data = eval_.data();
    this->f_ = outputs_.data();
  }

  // out = J^T u by the weights at eval; u (n, k).
  virtual void gradient(const T* u, double* out, const Context& context) = 0;
  // out (n, k) = J g at eval, of the nodes that are here.
  virtual void jvp(const T* g, double* out, const Context& context) const = 0;

  // eval <- base + change(i); base <- that, unrounded, if commit.
  template <class Change>
  void shift(bool commit, Change&& change) {
    for (Index i = 0; i < static_cast<Index>(base_.size()); ++i) {
      const double exact = base_[i] + change(i);
      eval_[i] = T(exact);
      if (commit) base_[i] = exact;
    }
  }

  void evaluate(const Context& context) {
    kernels_.forward(net_, X_, outputs_.data(), context);
    sum_over_ranks(outputs_.data(), y_.size(), context);
    this->own_loss_ = loss_and_residual(loss_kind_, outputs_.data(), y_, residual_.data());
  }

  const Kernels<T>& kernels_;
  NetworkView<T> net_;  // at eval
  MatrixView<const T> X_, y_;
  std::vector<double> gradient_;
  std::vector<T> eval_;

 private:
  double along_gradients(const std::vector<double>& along, Index i) const {
    double sum = 0;
    for (std::size_t s = 0; s < along.size(); ++s)
      if (along[s] != 0) sum += along[s] * gradients_[s][i];
    return sum;
  }

  Loss loss_kind_;
  std::vector<double> base_, sum_, saved_;
  Slots<std::vector<double>> gradients_;
  std::vector<T> residual_;
  std::vector<double> outputs_;
};

}  // namespace asymfast
