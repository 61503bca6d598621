// The training engine of W in plain terms, with Jacobians of the past.
#include <algorithm>
#include <cmath>

#include "plain_engine.hpp"
#include "reference/network.hpp"

namespace asymfast::reference {

namespace {

template <class T>
class ReferenceEngine final : public PlainEngine<T> {
  using Base = PlainEngine<T>;
  using Base::net_, Base::X_, Base::y_;

 public:
  ReferenceEngine(const NetworkView<T>& net, MatrixView<const T> X, MatrixView<const T> y,
                  Loss loss)
      : Base(reference_table().of<T>(), net, X, y, loss, {net.W.data, net.W.data + net.W.size()}),
        frames_(net.W.size()) {}

  void move(const Move<T>& move, const Context& context) override {
    std::vector<double> change(net_.W.size()), one(change.size());
    for (std::size_t l = 0; l < move.frames.size(); ++l) {
      NetworkView<T> then = net_;
      then.W.data = frames_[move.frames[l]];
      pull(then, move.u.data() + Index(l) * y_.size(), one.data(), context);
      for (std::size_t i = 0; i < change.size(); ++i) change[i] += one[i];
    }
    this->shift(move.commit, [&](Index i) { return change[i]; });
    this->evaluate(context);
    if (move.into >= 0) std::copy(this->eval_.begin(), this->eval_.end(), frames_.make(move.into));
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
              sum += net_.lam[j] * double(net_.a(j, q)) * double(net_.a(j, p)) * blend[i * m + j] *
                     s[l * m + j];
            K[(i * k + q) * n * k + l * k + p] = gram / double(X_.cols) * sum;
          }
      }
    sum_over_ranks(K, y_.size() * y_.size(), context);
  }

  void frame_product(const Blend& left, Index right, MatrixView<const double> V, double* out,
                     const Context& context) override {
    const Index size = y_.size();
    std::vector<double> K(size * size);
    frame_ntg(left, right, K.data(), context);
    reference_table().product({K.data(), size, size}, V, {out, size, V.cols});
  }

  double frame_distance(Index one, Index other, const Context& context) override {
    const std::vector<double> s = slopes(one), s_ = slopes(other);
    double sum = 0;
    for (std::size_t i = 0; i < s.size(); ++i) sum += std::pow(s[i] - s_[i], 8);
    sum_over_ranks(&sum, 1, context);
    return std::pow(sum, 0.125);
  }

  void serialise(Archive& archive) override {
    Base::serialise(archive);
    frames_.serialise(archive);
  }

  typename Engine<T>::Kept kept() const override {
    return {Base::kept().gradients, frames_.count()};
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

  // sigma'(Z) at a frame: (n, m).
  std::vector<double> slopes(Index frame) const {
    std::vector<double> all;
    for (Index i = 0; i < X_.rows; ++i)
      for (Index j = 0; j < net_.m(); ++j)
        all.push_back(sigma_prime(
            net_.activation, preactivation(frames_[frame] + j * net_.d(), X_.row(i), net_.d())));
    return all;
  }

  Slots<std::vector<T>> frames_;  // the weights at their points
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
