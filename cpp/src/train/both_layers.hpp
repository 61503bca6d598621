// An engine that trains W and a together, by the kernels of any backend on the CPU: what methods
// see as the weights is (W, a). A step takes twice the flop of an engine of W alone, because each
// gradient evaluates the activations again.
#pragma once

#include <cmath>
#include <memory>
#include <stdexcept>
#include <vector>

#include "plain_engine.hpp"

namespace asymfast {

template <class T>
class BothLayers final : public PlainEngine<T> {
  using Base = PlainEngine<T>;
  using Base::kernels_, Base::net_, Base::X_, Base::y_;

 public:
  BothLayers(const KernelTable& kernels, const NetworkView<T>& net, MatrixView<const T> X,
             MatrixView<const T> y, Loss loss)
      : Base(kernels.of<T>(), net, X, y, loss, weights_of(net)) {
    net_.a.data = this->eval_.data() + net.W.size();
  }

  // Leaps and the tangent method are refused before.
  void move(const Move<T>&, const Context&) override { refuse_saved(); }
  void ntg_of_saved(const Blend&, Index, double*, const Context&) override { refuse_saved(); }
  void product_of_saved(const Blend&, Index, MatrixView<const double>, double*,
                        const Context&) override {
    refuse_saved();
  }
  double distance_of_saved(Index, Index, const Context&) override { return refuse_saved(); }

  const T* output_weights() const noexcept override { return net_.a.data; }

 private:
  static double refuse_saved() { throw std::logic_error("saved Jacobians are of W alone"); }

  static std::vector<double> weights_of(const NetworkView<T>& net) {
    std::vector<double> weights(net.W.data, net.W.data + net.W.size());
    weights.insert(weights.end(), net.a.data, net.a.data + net.a.size());
    return weights;
  }

  // That by a, sqrt(lam_j) sum_i u_iq sigma(Z_ij), is the output of a network whose nodes are the
  // samples, with the output weights u, for the inputs w_j.
  void gradient(const T* u, double* out, const Context& context) override {
    const Index m = net_.m(), k = net_.k();
    std::vector<T> by_weights(net_.W.size());
    kernels_.node_gradients(net_, X_, u, {by_weights.data(), m, net_.d()}, context);
    double* by_outputs = std::copy(by_weights.begin(), by_weights.end(), out);
    const std::vector<double> ones(X_.rows, 1.0);
    const NetworkView<T> samples{X_, {u, X_.rows, k}, ones.data(), net_.activation};
    kernels_.forward(samples, net_.W, by_outputs, context);
    for (Index j = 0; j < m; ++j)
      for (Index q = 0; q < k; ++q) by_outputs[j * k + q] *= std::sqrt(net_.lam[j]);
  }

  // That by a is the output with the output weights g. That by W,
  //   sum_j sqrt(lam_j) a_jq sigma'(Z_ij) g_j.x_i / sqrt(d),
  // comes from the gradient of a network whose nodes are the samples (x_i, 0) in its weights, for
  // the inputs (w_j, g_j): its second half is that sum before the product with x_i.
  void jvp(const T* g, double* out, const Context& context) const override {
    const Index n = X_.rows, m = net_.m(), d = net_.d(), k = net_.k();
    NetworkView<T> along = net_;
    along.a.data = g + net_.W.size();
    kernels_.forward(along, X_, out, context);
    std::vector<T> nodes(2 * n * d), G(nodes.size()), inputs(2 * m * d), u(m);
    const std::vector<T> one(n, T(1));
    const std::vector<double> ones(n, 1.0);
    const double root = std::sqrt(2.0);  // Z is divided by sqrt(2 d)
    for (Index i = 0; i < n; ++i)
      std::transform(X_.row(i), X_.row(i) + d, nodes.data() + 2 * i * d,
                     [=](T x) { return T(root * double(x)); });
    for (Index j = 0; j < m; ++j) {
      std::copy_n(net_.W.row(j), d, inputs.data() + 2 * j * d);
      std::copy_n(g + j * d, d, inputs.data() + (2 * j + 1) * d);
    }
    const NetworkView<T> samples{
        {nodes.data(), n, 2 * d}, {one.data(), n, 1}, ones.data(), net_.activation};
    for (Index q = 0; q < k; ++q) {
      for (Index j = 0; j < m; ++j) u[j] = T(std::sqrt(net_.lam[j]) * double(net_.a(j, q)));
      kernels_.node_gradients(samples, {inputs.data(), m, 2 * d}, u.data(), {G.data(), n, 2 * d},
                              context);
      for (Index i = 0; i < n; ++i) {
        const T* half = G.data() + (2 * i + 1) * d;
        double sum = 0;
        for (Index c = 0; c < d; ++c) sum += double(half[c]) * double(X_(i, c));
        out[i * k + q] += root * sum;
      }
    }
  }
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
