// The training engine in plain terms: a gradient, a linear update, a forward pass.
#include <algorithm>

#include "losses.hpp"
#include "reference/kernels.hpp"

namespace asymfast::reference {

namespace {

template <class T>
class ReferenceEngine final : public Engine<T> {
 public:
  ReferenceEngine(const NetworkView<T>& net, MatrixView<const T> X, MatrixView<const T> y,
                  Loss loss)
      : net_(net),
        X_(X),
        y_(y),
        kind_(loss),
        base_(net.W.data, net.W.data + net.W.size()),
        lost_(base_.size()),
        eval_(base_),
        sum_(base_.size()),
        gradient_(base_.size()),
        outputs_(static_cast<std::size_t>(y.size())),
        residual_(outputs_.size()) {
    this->f_ = outputs_.data();
    net_.W.data = eval_.data();
  }

  void restart(const Context& context) override {
    std::copy(base_.begin(), base_.end(), eval_.begin());
    evaluate(context);
  }

  void advance(const Update& u, const Context& context) override {
    const MatrixView<T> G{gradient_.data(), net_.m(), net_.d()};
    node_gradients(net_, X_, residual_.data(), G, context);
    for (std::size_t i = 0; i < base_.size(); ++i) {
      const double kept = u.keep_sum == 0 ? 0 : u.keep_sum * double(sum_[i]);  // it may be NaN
      sum_[i] = T(kept + u.gain * double(gradient_[i]));
      const double exact = double(base_[i]) + (u.along_gradient * double(gradient_[i]) +
                                               u.along_sum * double(sum_[i]) + lost_[i]);
      eval_[i] = T(exact);
      if (u.commit) {
        lost_[i] = exact - double(eval_[i]);
        base_[i] = eval_[i];
      }
    }
    evaluate(context);
  }

  void ntg_product(const T* u, double* out, const Context& context) override {
    reference::ntg_product(net_, X_, u, out, context);
  }

  void state(Archive& archive) override {
    archive.array(base_.data(), static_cast<Index>(base_.size()));
    archive.array(lost_.data(), static_cast<Index>(lost_.size()));
  }

  void save() override { saved_ = base_, saved_lost_ = lost_; }
  void restore() override { base_ = saved_, lost_ = saved_lost_; }
  void copy_base_to(T* W) const override { std::copy(base_.begin(), base_.end(), W); }

 private:
  void evaluate(const Context& context) {
    forward(net_, X_, outputs_.data(), context);
    this->loss_ =
        loss_and_residual<T>(kind_, {outputs_.data(), y_.rows, y_.cols}, y_, residual_.data());
  }

  NetworkView<T> net_;  // its W is eval_
  MatrixView<const T> X_, y_;
  Loss kind_;
  std::vector<T> base_;
  std::vector<double> lost_;  // what rounding has kept out of base so far; 0 if T is double
  std::vector<T> eval_, sum_, saved_, gradient_;
  std::vector<double> saved_lost_;
  std::vector<double> outputs_;
  std::vector<T> residual_;
};

}  // namespace

template <class T>
std::unique_ptr<Engine<T>> make_engine(const NetworkView<T>& net, MatrixView<const T> X,
                                       MatrixView<const T> y, Loss loss) {
  return std::make_unique<ReferenceEngine<T>>(net, X, y, loss);
}

namespace {

template <class T>
constexpr Kernels<T> kernels() {
  return {&forward<T>,           &node_gradients<T>, &features<T>,         &ntg<T>,
          &activation_values<T>, &make_engine<T>,    &make_batch_engine<T>};
}

}  // namespace

const KernelTable& table() {
  static constexpr KernelTable kTable{"reference", kernels<float>(), kernels<double>(),
                                      &min_eigenvalue};
  return kTable;
}

}  // namespace asymfast::reference
