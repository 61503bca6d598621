// An engine that trains W and a together, by the kernels of any backend on the CPU: what methods
// see as the weights is (W, a). A step takes twice the flop of an engine of W alone, because each
// gradient evaluates the activations again; base, sum and gradients are kept in double.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <stdexcept>
#include <vector>

#include "backend.hpp"
#include "engine.hpp"
#include "losses.hpp"
#include "ranks.hpp"

namespace asymfast {

template <class T>
class BothLayers final : public Engine<T> {
 public:
  BothLayers(const KernelTable& kernels, const NetworkView<T>& net, MatrixView<const T> X,
             MatrixView<const T> y, Loss loss)
      : kernels_(kernels.of<T>()),
        net_(net),
        X_(X),
        y_(y),
        loss_kind_(loss),
        size_W_(net.W.size()),
        base_(net.W.data, net.W.data + size_W_),
        residual_(static_cast<std::size_t>(y.size())),
        outputs_(residual_.size()) {
    base_.insert(base_.end(), net.a.data, net.a.data + net.a.size());
    gradient_.resize(base_.size()), sum_.resize(base_.size());
    eval_.assign(base_.begin(), base_.end());
    net_.W.data = eval_.data();
    net_.a.data = eval_.data() + size_W_;
    this->f_ = outputs_.data();
  }

  void restart(const Context& context) override {
    shift(false, [](std::size_t) { return 0.0; });
    evaluate(context);
  }

  void advance(const Update& u, const Context& context) override {
    gradient(residual_.data(), gradient_, context);
    shift(u.commit, [&](std::size_t i) {
      const double kept = u.keep_sum == 0 ? 0 : u.keep_sum * sum_[i];  // it may be NaN
      sum_[i] = kept + u.gain * gradient_[i];
      return u.along_gradient * gradient_[i] + u.along_sum * sum_[i];
    });
    evaluate(context);
  }

  void stage(const Stage& stage, const Context& context) override {
    if (stage.keep >= 0) gradient(residual_.data(), slot(stage.keep), context);
    if (stage.along.empty()) return;
    shift(stage.commit, [&](std::size_t i) { return along_gradients(stage.along, i); });
    evaluate(context);
  }

  void push(const std::vector<double>& along, double* out, const Context& context) override {
    std::vector<T> direction(base_.size());
    for (std::size_t i = 0; i < base_.size(); ++i) direction[i] = T(along_gradients(along, i));
    jacobian_product(direction, out, context);
  }

  void combine(const std::vector<double>& along, T* out) const override {
    for (Index i = 0; i < size_W_; ++i)
      out[i] = T(along_gradients(along, static_cast<std::size_t>(i)));
  }

  void ntg_product(const T* u, double* out, const Context& context) override {
    gradient(u, gradient_, context);
    jacobian_product({gradient_.begin(), gradient_.end()}, out, context);
  }

  void move(const Move<T>&, const Context&) override { no_frames(); }
  void frame_ntg(const Blend&, Index, double*, const Context&) override { no_frames(); }
  void frame_product(const Blend&, Index, MatrixView<const double>, double*,
                     const Context&) override {
    no_frames();
  }
  double frame_distance(Index, Index, const Context&) override { return no_frames(); }

  void save() override { saved_ = base_; }
  void restore() override { base_ = saved_; }
  void copy_eval_to(T* W) const override { std::copy_n(eval_.begin(), size_W_, W); }
  const T* output_weights() const noexcept override { return net_.a.data; }

  void state(Archive& archive) override {
    archive.array(base_.data(), static_cast<Index>(base_.size()));
    auto count = static_cast<Index>(slots_.size());
    archive(count);
    for (Index l = 0; l < count; ++l)
      archive.array(slot(l).data(), static_cast<Index>(base_.size()));
  }

  typename Engine<T>::Kept kept() const override { return {static_cast<Index>(slots_.size()), 0}; }

 private:
  // Leaps and the tangent method are refused before.
  static double no_frames() { throw std::logic_error("frames are of W alone"); }

  std::vector<double>& slot(Index index) {
    while (static_cast<Index>(slots_.size()) <= index) slots_.emplace_back(base_.size());
    return slots_[static_cast<std::size_t>(index)];
  }

  double along_gradients(const std::vector<double>& along, std::size_t i) const {
    double sum = 0;
    for (std::size_t s = 0; s < along.size(); ++s)
      if (along[s] != 0) sum += along[s] * slots_[s][i];
    return sum;
  }

  // eval <- base + change(i); base <- that, unrounded, if commit.
  template <class Change>
  void shift(bool commit, Change&& change) {
    for (std::size_t i = 0; i < base_.size(); ++i) {
      const double exact = base_[i] + change(i);
      eval_[i] = T(exact);
      if (commit) base_[i] = exact;
    }
  }

  void evaluate(const Context& context) {
    kernels_.forward(net_, X_, outputs_.data(), context);
    sum_over_ranks(outputs_.data(), y_.size(), context);
    this->own_loss_ =
        loss_and_residual<T>(loss_kind_, {outputs_.data(), y_.rows, y_.cols}, y_, residual_.data());
  }

  // J^T u. That of a, sqrt(lam_j) sum_i u_iq sigma(Z_ij), is the output of a network whose nodes
  // are the samples, with the output weights u, for the inputs w_j.
  void gradient(const T* u, std::vector<double>& out, const Context& context) {
    const Index m = net_.m(), k = net_.k();
    std::vector<T> by_weights(static_cast<std::size_t>(size_W_));
    kernels_.node_gradients(net_, X_, u, {by_weights.data(), m, net_.d()}, context);
    std::copy(by_weights.begin(), by_weights.end(), out.begin());
    const std::vector<double> ones(static_cast<std::size_t>(X_.rows), 1.0);
    const NetworkView<T> samples{X_, {u, X_.rows, k}, ones.data(), net_.activation};
    double* by_outputs = out.data() + size_W_;
    kernels_.forward(samples, net_.W, by_outputs, context);
    for (Index j = 0; j < m; ++j)
      for (Index q = 0; q < k; ++q) by_outputs[j * k + q] *= std::sqrt(net_.lam[j]);
  }

  // J g with J at eval. That of a is the output with the output weights g. That of W,
  //   sum_j sqrt(lam_j) a_jq sigma'(Z_ij) g_j.x_i / sqrt(d),
  // comes from the gradient of a network whose nodes are the samples (x_i, 0) in its weights, for
  // the inputs (w_j, g_j): its second half is that sum before the product with x_i.
  void jacobian_product(const std::vector<T>& g, double* out, const Context& context) const {
    const Index n = X_.rows, m = net_.m(), d = net_.d(), k = net_.k();
    NetworkView<T> along = net_;
    along.a.data = g.data() + size_W_;
    kernels_.forward(along, X_, out, context);
    std::vector<T> nodes(static_cast<std::size_t>(2 * n * d)), G(nodes.size());
    std::vector<T> inputs(static_cast<std::size_t>(2 * m * d)), u(static_cast<std::size_t>(m));
    const std::vector<T> one(static_cast<std::size_t>(n), T(1));
    const std::vector<double> ones(static_cast<std::size_t>(n), 1.0);
    const double root = std::sqrt(2.0);  // Z is divided by sqrt(2 d)
    for (Index i = 0; i < n; ++i)
      std::transform(X_.row(i), X_.row(i) + d, nodes.data() + 2 * i * d,
                     [=](T x) { return T(root * double(x)); });
    for (Index j = 0; j < m; ++j) {
      std::copy_n(net_.W.row(j), d, inputs.data() + 2 * j * d);
      std::copy_n(g.data() + j * d, d, inputs.data() + (2 * j + 1) * d);
    }
    const NetworkView<T> samples{
        {nodes.data(), n, 2 * d}, {one.data(), n, 1}, ones.data(), net_.activation};
    for (Index q = 0; q < k; ++q) {
      for (Index j = 0; j < m; ++j)
        u[static_cast<std::size_t>(j)] = T(std::sqrt(net_.lam[j]) * double(net_.a(j, q)));
      kernels_.node_gradients(samples, {inputs.data(), m, 2 * d}, u.data(), {G.data(), n, 2 * d},
                              context);
      for (Index i = 0; i < n; ++i) {
        const T* half = G.data() + (2 * i + 1) * d;
        double sum = 0;
        for (Index c = 0; c < d; ++c) sum += double(half[c]) * double(X_(i, c));
        out[i * k + q] += root * sum;
      }
    }
    sum_over_ranks(out, y_.size(), context);
  }

  const Kernels<T>& kernels_;
  NetworkView<T> net_;  // at eval
  MatrixView<const T> X_, y_;
  Loss loss_kind_;
  Index size_W_;
  std::vector<double> base_, sum_, gradient_, saved_;  // (m d + m k), W first
  std::vector<std::vector<double>> slots_;
  std::vector<T> eval_, residual_;
  std::vector<double> outputs_;
};

// The engine of one network, of W alone or of both layers.
template <class T>
std::unique_ptr<Engine<T>> make_engine(const KernelTable& kernels, const NetworkView<T>& net,
                                       MatrixView<const T> X, MatrixView<const T> y, Loss loss,
                                       bool train_output, double slopes_memory) {
  if (!train_output) return kernels.of<T>().make_engine(net, X, y, loss, slopes_memory);
  return std::make_unique<BothLayers<T>>(kernels, net, X, y, loss);
}

}  // namespace asymfast
