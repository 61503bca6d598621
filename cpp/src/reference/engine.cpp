// The training engine in plain terms: a gradient, a linear update, a forward pass.
#include "engine.hpp"

#include <algorithm>
#include <cmath>

#include "backend.hpp"
#include "losses.hpp"
#include "ranks.hpp"
#include "reference/network.hpp"

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
    const MatrixView<T> G{gradient_.data(), net_.m(), net_.d()};
    node_gradients(net_, X_, u, G, context);
    jvp<T>(net_, X_, G, out, context);
    sum_over_ranks(out, y_.size(), context);
  }

  void stage(const Stage& stage, const Context& context) override {
    if (stage.keep >= 0) {
      const MatrixView<T> G{slot(gradients_, stage.keep).data(), net_.m(), net_.d()};
      node_gradients(net_, X_, residual_.data(), G, context);
    }
    if (stage.along.empty()) return;
    shift(stage.commit, [&](std::size_t i) { return along_gradients(stage.along, i); });
    evaluate(context);
  }

  void combine(const std::vector<double>& along, T* out) const override {
    for (std::size_t i = 0; i < base_.size(); ++i) out[i] = T(along_gradients(along, i));
  }

  void push(const std::vector<double>& along, double* out, const Context& context) override {
    std::vector<T> direction(base_.size());
    combine(along, direction.data());
    jvp<T>(net_, X_, {direction.data(), net_.m(), net_.d()}, out, context);
    sum_over_ranks(out, y_.size(), context);
  }

  void move(const Move<T>& move, const Context& context) override {
    std::vector<double> change(base_.size());
    for (std::size_t l = 0; l < move.frames.size(); ++l) {
      NetworkView<T> then = net_;
      then.W.data = frames_[static_cast<std::size_t>(move.frames[l])].data();
      const MatrixView<T> G{gradient_.data(), net_.m(), net_.d()};
      node_gradients(then, X_, move.u.data() + Index(l) * y_.size(), G, context);
      for (std::size_t i = 0; i < change.size(); ++i) change[i] += double(gradient_[i]);
    }
    shift(move.commit, [&](std::size_t i) { return change[i]; });
    evaluate(context);
    if (move.into >= 0) slot(frames_, move.into) = eval_;
  }

  // (J_l J^T)_iq,lp = (x_i.x_l / d) sum_j lambda_j a_jq a_jp s_ij s'_lj.
  void frame_ntg(const Blend& left, Index right, double* K, const Context& context) override {
    std::vector<double> s = slopes(right), blend(s.size());
    for (std::size_t l = 0; l < left.frames.size(); ++l) {
      const std::vector<double> one = slopes(left.frames[l]);
      for (std::size_t i = 0; i < s.size(); ++i) blend[i] += left.shares[l] * one[i];
    }
    const Index n = y_.rows, k = y_.cols, m = net_.m();
    const std::vector<Index> nodes = nodes_of(left.nodes);
    for (Index i = 0; i < n && !context.watch.stopped(); ++i)
      for (Index l = 0; l < n; ++l) {
        context.watch.tick();
        double gram = 0;
        for (Index c = 0; c < X_.cols; ++c) gram += double(X_(i, c)) * double(X_(l, c));
        for (Index q = 0; q < k; ++q)
          for (Index p = 0; p < k; ++p) {
            double sum = 0;
            for (const Index j : nodes)
              sum += net_.lam[j] * double(net_.a(j, q)) * double(net_.a(j, p)) *
                     blend[static_cast<std::size_t>(i * m + j)] *
                     s[static_cast<std::size_t>(l * m + j)];
            K[(i * k + q) * n * k + l * k + p] = gram / double(X_.cols) * sum;
          }
      }
    sum_over_ranks(K, y_.size() * y_.size(), context);
  }

  void frame_product(const Blend& left, Index right, MatrixView<const double> V, double* out,
                     const Context& context) override {
    const Index size = y_.size();
    std::vector<double> K(static_cast<std::size_t>(size * size));
    frame_ntg(left, right, K.data(), context);
    for (Index i = 0; i < size; ++i)
      for (Index v = 0; v < V.cols; ++v) {
        double sum = 0;
        for (Index l = 0; l < size; ++l) sum += K[static_cast<std::size_t>(i * size + l)] * V(l, v);
        out[i * V.cols + v] = sum;
      }
  }

  double frame_distance(Index one, Index other, const Context& context) override {
    const std::vector<double> s = slopes(one), s_ = slopes(other);
    double sum = 0;
    for (std::size_t i = 0; i < s.size(); ++i) sum += std::pow(s[i] - s_[i], 8);
    sum_over_ranks(&sum, 1, context);
    return std::pow(sum, 0.125);
  }

  void state(Archive& archive) override {
    archive.array(base_.data(), static_cast<Index>(base_.size()));
    archive.array(lost_.data(), static_cast<Index>(lost_.size()));
    visit(archive, gradients_);
    visit(archive, frames_);
  }

  typename Engine<T>::Kept kept() const override {
    return {static_cast<Index>(gradients_.size()), static_cast<Index>(frames_.size())};
  }

  void save() override { saved_ = base_, saved_lost_ = lost_; }
  void restore() override { base_ = saved_, lost_ = saved_lost_; }
  void copy_eval_to(T* W) const override { std::copy(eval_.begin(), eval_.end(), W); }

 private:
  using Slots = std::vector<std::vector<T>>;

  // Slots come into being in their order, or all those before with them.
  std::vector<T>& slot(Slots& slots, Index index) const {
    while (static_cast<Index>(slots.size()) <= index) slots.emplace_back(base_.size());
    return slots[static_cast<std::size_t>(index)];
  }

  std::vector<Index> nodes_of(Part part) const {
    std::vector<double> strength;
    for (Index j = 0; j < net_.m(); ++j) {
      double most = 0;
      for (Index q = 0; q < y_.cols; ++q) most = std::max(most, std::abs(double(net_.a(j, q))));
      strength.push_back(std::sqrt(net_.lam[j]) * most);
    }
    return Parts(strength)[part];
  }

  // sigma'(Z) at a frame: (n, m).
  std::vector<double> slopes(Index frame) const {
    const T* W = frames_[static_cast<std::size_t>(frame)].data();
    std::vector<double> all;
    for (Index i = 0; i < X_.rows; ++i)
      for (Index j = 0; j < net_.m(); ++j)
        all.push_back(
            sigma_prime(net_.activation, preactivation(W + j * net_.d(), X_.row(i), net_.d())));
    return all;
  }

  void visit(Archive& archive, Slots& slots) const {
    auto count = static_cast<Index>(slots.size());
    archive(count);
    for (Index l = 0; l < count; ++l)
      archive.array(slot(slots, l).data(), static_cast<Index>(base_.size()));
  }

  double along_gradients(const std::vector<double>& along, std::size_t i) const {
    double sum = 0;
    for (std::size_t s = 0; s < along.size(); ++s)
      if (along[s] != 0) sum += along[s] * double(gradients_[s][i]);
    return sum;
  }

  // eval <- base + change(i), with what rounding kept out of base; base <- eval, if commit.
  template <class Change>
  void shift(bool commit, Change&& change) {
    for (std::size_t i = 0; i < base_.size(); ++i) {
      const double exact = double(base_[i]) + (change(i) + lost_[i]);
      eval_[i] = T(exact);
      if (commit) {
        lost_[i] = exact - double(eval_[i]);
        base_[i] = eval_[i];
      }
    }
  }

  void evaluate(const Context& context) {
    forward(net_, X_, outputs_.data(), context);
    sum_over_ranks(outputs_.data(), y_.size(), context);
    this->own_loss_ =
        loss_and_residual<T>(kind_, {outputs_.data(), y_.rows, y_.cols}, y_, residual_.data());
  }

  NetworkView<T> net_;  // its W is eval_
  MatrixView<const T> X_, y_;
  Loss kind_;
  std::vector<T> base_;
  std::vector<double> lost_;  // what rounding has kept out of base so far; 0 if T is double
  std::vector<T> eval_, sum_, saved_, gradient_;
  std::vector<double> saved_lost_;
  Slots gradients_, frames_;  // frames as the weights at their points
  std::vector<double> outputs_;
  std::vector<T> residual_;
};

}  // namespace

template <class T>
void add_engine(Kernels<T>& kernels) {
  kernels.make_engine = [](const NetworkView<T>& net, MatrixView<const T> X, MatrixView<const T> y,
                           Loss loss, double) -> std::unique_ptr<Engine<T>> {
    return std::make_unique<ReferenceEngine<T>>(net, X, y, loss);
  };
}

template void add_engine(Kernels<float>&);
template void add_engine(Kernels<double>&);

}  // namespace asymfast::reference
