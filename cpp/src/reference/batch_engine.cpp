// Stochastic gradient descent in plain terms: forward pass, gradients, update.
#include <algorithm>

#include "backend.hpp"
#include "engine.hpp"
#include "losses.hpp"
#include "reference/network.hpp"

namespace asymfast::reference {

namespace {

template <class T>
class ReferenceBatchEngine final : public BatchEngine<T> {
 public:
  ReferenceBatchEngine(const NetworkView<T>& net, MatrixView<const T> X, MatrixView<const T> y,
                       const BatchTraining& training)
      : net_(net),
        X_(X),
        y_(y),
        training_(training),
        W_(net.W.data, net.W.data + net.W.size()),
        a_(net.a.data, net.a.data + net.a.size()),
        lost_W_(W_.size()),
        lost_a_(a_.size()) {
    net_.W.data = W_.data();
    net_.a.data = a_.data();
  }

  void evaluate(const Batch& batch, const Context& context) override {
    x_.clear(), batch_y_.clear();
    for (Index i = 0; i < batch.size; ++i) {
      const Index row = batch.rows[i];
      x_.insert(x_.end(), X_.row(row), X_.row(row) + X_.cols);
      batch_y_.insert(batch_y_.end(), y_.row(row), y_.row(row) + y_.cols);
    }
    std::vector<double> f(batch_y_.size());
    residual_.resize(f.size());
    forward(net_, x(), f.data(), context);
    const MatrixView<const T> y{batch_y_.data(), batch.size, y_.cols};
    this->own_loss_ =
        loss_and_residual<T>(training_.loss, {f.data(), batch.size, y_.cols}, y, residual_.data());
  }

  void advance(double lr, const Batch& next, const Context& context) override {
    std::vector<T> G(W_.size());
    node_gradients(net_, x(), residual_.data(), {G.data(), net_.m(), net_.d()}, context);
    const std::vector<T> output_gradients = dL_da(context);
    descend(lr, G, W_, lost_W_);
    if (training_.train_output) descend(lr, output_gradients, a_, lost_a_);
    evaluate(next, context);
  }

  void copy_weights_to(T* W, T* a) const override {
    std::copy(W_.begin(), W_.end(), W);
    std::copy(a_.begin(), a_.end(), a);
  }

  void serialise(Archive& archive) override {
    archive.array(W_.data(), static_cast<Index>(W_.size()));
    archive.array(a_.data(), static_cast<Index>(a_.size()));
    archive.array(lost_W_.data(), static_cast<Index>(lost_W_.size()));
    archive.array(lost_a_.data(), static_cast<Index>(lost_a_.size()));
  }

 private:
  MatrixView<const T> x() const {
    return {x_.data(), static_cast<Index>(x_.size()) / X_.cols, X_.cols};
  }

  // dL/da_jq = sum_i dL/df_iq sqrt(lambda_j) sigma(Z_j(x_i)).
  std::vector<T> dL_da(const Context& context) const {
    std::vector<T> gradient(a_.size());
    if (!training_.train_output) return gradient;
    const Index size = x().rows, m = net_.m(), k = net_.k();
    std::vector<T> H(size * m);
    features(net_, x(), {H.data(), size, m}, context);
    for (Index j = 0; j < m; ++j)
      for (Index q = 0; q < k; ++q) {
        double sum = 0;
        for (Index i = 0; i < size; ++i) sum += double(residual_[i * k + q]) * double(H[i * m + j]);
        gradient[j * k + q] = T(sum);
      }
    return gradient;
  }

  static void descend(double lr, const std::vector<T>& gradient, std::vector<T>& weights,
                      std::vector<double>& lost) {
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const double exact = double(weights[i]) + (lost[i] - lr * double(gradient[i]));
      weights[i] = T(exact);
      lost[i] = exact - double(weights[i]);
    }
  }

  NetworkView<T> net_;  // its W and a are W_ and a_
  MatrixView<const T> X_, y_;
  BatchTraining training_;
  std::vector<T> W_, a_;
  std::vector<double> lost_W_, lost_a_;  // what rounding has kept out so far; 0 if T is double
  std::vector<T> x_, batch_y_, residual_;
};

}  // namespace

template <class T>
void add_batch_engine(Kernels<T>& kernels) {
  kernels.make_batch_engine = [](const NetworkView<T>& net, MatrixView<const T> X,
                                 MatrixView<const T> y,
                                 const BatchTraining& training) -> std::unique_ptr<BatchEngine<T>> {
    return std::make_unique<ReferenceBatchEngine<T>>(net, X, y, training);
  };
}

template void add_batch_engine(Kernels<float>&);
template void add_batch_engine(Kernels<double>&);

}  // namespace asymfast::reference
