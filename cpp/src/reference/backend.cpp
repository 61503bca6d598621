// What the reference backend has: the functions of reference/network.hpp, its engines in plain
// terms, and the dense matrices of reference/spectrum.cpp.
#include "backend.hpp"

#include <algorithm>
#include <cmath>

#include "math/losses.hpp"
#include "plain_engine.hpp"
#include "reference/network.hpp"

namespace asymfast {

namespace reference {

void add_matrices(KernelTable&);

namespace {

// Training of W, with Jacobians of the past.
template <class T>
class ReferenceEngine final : public PlainEngine<T> {
  using Base = PlainEngine<T>;
  using Base::net_, Base::X_, Base::y_;

 public:
  ReferenceEngine(const NetworkView<T>& net, MatrixView<const T> X, MatrixView<const T> y,
                  Loss loss, double)
      : Base(reference_table().of<T>(), net, X, y, loss, {net.W.data, net.W.data + net.W.size()}),
        jacobians_(net.W.size()) {}

  void move(const Move<T>& move, const Context& context) override {
    std::vector<double> change(net_.W.size()), one(change.size());
    for (std::size_t l = 0; l < move.slots.size(); ++l) {
      NetworkView<T> then = net_;
      then.W.data = jacobians_[move.slots[l]];
      pull(then, move.u.data() + Index(l) * y_.size(), one.data(), context);
      for (std::size_t i = 0; i < change.size(); ++i) change[i] += one[i];
    }
    this->shift(move.commit, [&](Index i) { return change[i]; });
    this->evaluate(context);
    if (move.into >= 0)
      std::copy(this->eval_.begin(), this->eval_.end(), jacobians_.make(move.into));
  }

  // (J_l J^T)_iq,lp = (x_i.x_l / d) sum_j lambda_j a_jq a_jp s_ij s'_lj.
  void ntg_of_saved(const Blend& left, Index right, double* K, const Context& context) override {
    std::vector<double> s = slopes(right), blend(s.size());
    for (std::size_t l = 0; l < left.slots.size(); ++l) {
      const std::vector<double> one = slopes(left.slots[l]);
      for (std::size_t i = 0; i < s.size(); ++i) blend[i] += left.shares[l] * one[i];
    }
    const Index n = y_.rows, k = y_.cols, m = net_.m();
    const std::vector<Index> nodes = nodes_of(left.nodes);
    for (Index i = 0; i < n; ++i)
      for (Index l = 0; l < n; ++l) {
        context.watch.tick();
        double gram = 0;
        for (Index c = 0; c < X_.cols; ++c) gram += double(X_(i, c)) * double(X_(l, c));
        for (Index q = 0; q < k; ++q)
          for (Index p = 0; p < k; ++p) {
            double sum = 0;
            for (const Index j : nodes)
              sum += net_.lam[j] * double(net_.a(j, q)) * double(net_.a(j, p)) * blend[i * m + j] *
                     s[l * m + j];
            K[(i * k + q) * n * k + l * k + p] = gram / double(X_.cols) * sum;
          }
      }
    sum_over_ranks(K, y_.size() * y_.size(), context);
  }

  void product_of_saved(const Blend& left, Index right, MatrixView<const double> V, double* out,
                        const Context& context) override {
    const Index size = y_.size();
    std::vector<double> K(size * size);
    ntg_of_saved(left, right, K.data(), context);
    reference_table().product({K.data(), size, size}, V, {out, size, V.cols});
  }

  double distance_of_saved(Index one, Index other, const Context& context) override {
    const std::vector<double> s = slopes(one), s_ = slopes(other);
    double sum = 0;
    for (std::size_t i = 0; i < s.size(); ++i) sum += std::pow(s[i] - s_[i], 8);
    sum_over_ranks(&sum, 1, context);
    return std::pow(sum, 0.125);
  }

  void serialise(Archive& archive) override {
    Base::serialise(archive);
    jacobians_.serialise(archive);
  }

  typename Engine<T>::Kept kept() const override {
    return {Base::kept().gradients, jacobians_.count()};
  }

 private:
  void gradient(const T* u, double* out, const Context& context) override {
    pull(net_, u, out, context);
  }

  void jvp(const T* g, double* out, const Context& context) const override {
    reference::jvp<T>(net_, X_, {g, net_.m(), net_.d()}, out, context);
  }

  void pull(const NetworkView<T>& net, const T* u, double* out, const Context& context) const {
    std::vector<T> G(net.W.size());
    node_gradients(net, X_, u, {G.data(), net.m(), net.d()}, context);
    std::copy(G.begin(), G.end(), out);
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

  // sigma'(Z) at a saved point: (n, m).
  std::vector<double> slopes(Index slot) const {
    std::vector<double> all;
    for (Index i = 0; i < X_.rows; ++i)
      for (Index j = 0; j < net_.m(); ++j)
        all.push_back(sigma_prime(
            net_.activation, preactivation(jacobians_[slot] + j * net_.d(), X_.row(i), net_.d())));
    return all;
  }

  Slots<std::vector<T>> jacobians_;  // the weights at their points
};

// Stochastic gradient descent: forward pass, gradients, update.
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
    this->own_loss_ = loss_and_residual(training_.loss, f.data(), y, residual_.data());
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

template <class T>
void add_all(Kernels<T>& kernels) {
  kernels.forward = &forward<T>;
  kernels.node_gradients = &node_gradients<T>;
  kernels.features = &features<T>;
  kernels.ntg = &ntg<T, double>;
  kernels.rounded_ntg = &ntg<T, T>;
  kernels.activation_values = &activation_values<T>;
  kernels.make_engine = &make<Engine<T>, ReferenceEngine<T>>;
  kernels.make_batch_engine = &make<BatchEngine<T>, ReferenceBatchEngine<T>>;
}

KernelTable make_table() {
  KernelTable table{};
  table.isa = "reference";
  add_all(table.of_float);
  add_all(table.of_double);
  add_matrices(table);
  return table;
}

}  // namespace

}  // namespace reference

const KernelTable& reference_table() {
  static const KernelTable table = reference::make_table();
  return table;
}

}  // namespace asymfast
