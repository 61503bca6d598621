// One network in training: its engine, where it stands, and whether it still goes on.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "archive.hpp"
#include "asymfast/train.hpp"
#include "backend.hpp"
#include "engine.hpp"
#include "math/losses.hpp"
#include "train/eigenvectors.hpp"
#include "train/vectors.hpp"

namespace asymfast {

// Where a member of a run stands.
struct Standing {
  Index step = 0;
  double time = 0;
  std::int64_t evaluations = 0;  // gradients computed
  bool diverged = false;
  double last_loss = 0;   // the last acceptable one
  double loss_limit = 0;  // beyond it, or NaN: diverged

  // The loss may rise before it falls (the catapult of large steps), but not by ten orders.
  void expect(double loss_at_start, double loss_of_zero) {
    loss_limit = 1e10 * std::max({loss_at_start, loss_of_zero, 1e-30});
  }

  void check(double loss) {
    if (std::isfinite(loss) && loss <= loss_limit)
      last_loss = loss;
    else
      diverged = true;
  }

  // The same after the steps of a plan.
  void check(const MemberSteps& taken) {
    last_loss = taken.last_loss;
    check(taken.loss);
  }

  // Of a run that ends at last_step or t_end.
  void serialise(Archive& archive, Index last_step, double t_end) {
    constexpr double kMost = std::numeric_limits<double>::max();
    archive(step, Index(0), last_step), archive(time, 0.0, t_end);
    archive(evaluations, std::int64_t(0), std::numeric_limits<std::int64_t>::max() / 2);
    archive(diverged), archive(last_loss, -kMost, kMost);
    archive(loss_limit), archive.require(diverged || loss_limit >= 0);
  }
};

// sup |sigma'|.
inline double steepest_slope(Activation activation) {
  switch (activation) {
    case Activation::swish: return 1.0998393201288670;
    case Activation::gelu: return 1.1289041451851548;
    case Activation::erf: return 1.1283791670955126;  // 2 / sqrt(pi)
    case Activation::sigmoid: return 0.25;
    default: return 1;
  }
}

// The loss of the outputs 0.
template <class T>
double loss_of_zero(Loss loss, MatrixView<const T> y) {
  const std::vector<double> zero(y.size());
  return loss_and_residual(loss, zero.data(), y);
}

template <class T>
struct Member : Standing {
  MatrixView<const T> y;
  std::unique_ptr<Engine<T>> engine;

  Member(const KernelTable& kernels, std::unique_ptr<Engine<T>> its_engine,
         const NetworkView<T>& net, const DataView<T>& data, Loss loss)
      : y(data.y),
        engine(std::move(its_engine)),
        kernels_(&kernels),
        net_(net),
        X_(data.X),
        loss_(loss) {}

  void start(const Context& context) {
    engine->restart(context);
    expect(engine->loss(), loss_of_zero(loss_, y));
    check();
  }

  // After its state was read.
  void resume(const Context& context) { engine->restart(context); }

  // Takes the updates, in turn.
  template <class Updates>
  void advance(const Updates& updates, const Context& context) {
    for (const Update& update : updates) {
      engine->advance(update, context);
      ++evaluations;
    }
  }

  using Standing::check;
  // To be called after every step.
  void check() { Standing::check(engine->loss()); }

  // What is recorded of it: loss and outputs (n, k) on the training data, and its weights.
  void evaluate_for_record(const Context&) {}  // eval is where it stands
  double loss() const { return engine->loss(); }
  const double* outputs() const { return engine->outputs(); }
  // f - y (n, k) where it stands.
  std::vector<double> residual() const {
    std::vector<double> r(y.size());
    for (std::size_t i = 0; i < r.size(); ++i) r[i] = outputs()[i] - double(y.data[i]);
    return r;
  }
  void copy_weights_to(T* W, T* a) const {
    engine->copy_eval_to(W);
    std::copy_n(outputs_now().data, net_.a.size(), a);
  }

  // What rounding changes in the outputs, whatever cancels in them: the norm over all of them of
  //   eps (sum_j sqrt(lam_j) |a_j| (|sigma(Z_j)| + |Z_j sigma'(Z_j)|) + |y|),
  // of which the second term, that of W, is at most the first one and min(1, |Z_j|), but for the
  // periodic activations.
  double rounding(const Context& context) const {
    const Index n = X_.rows, m = net_.m(), k = net_.k();
    const bool periodic = net_.activation == Activation::sin || net_.activation == Activation::cos;
    const std::vector<T> W = weights();
    NetworkView<T> now = net_;
    now.W.data = W.data();
    now.a = outputs_now();
    const Index piece = std::clamp<Index>((Index(1) << 16) / m, 1, n);
    std::vector<T> H(piece * m);
    std::vector<double> sums(n * k);
    std::vector<double> lengths;
    lengths.reserve(m);
    for (Index j = 0; j < m; ++j) lengths.push_back(norm(now.W.row(j), net_.d()));
    for (Index first = 0; first < n; first += piece) {
      const Index rows = std::min(piece, n - first);
      kernels_->of<T>().features(now, {X_.row(first), rows, X_.cols}, {H.data(), rows, m}, context);
      for (Index i = 0; i < rows; ++i) {
        const double scale = norm(X_.row(first + i), X_.cols) / std::sqrt(double(X_.cols));
        double* sum = sums.data() + (first + i) * k;
        for (Index j = 0; j < m; ++j) {
          const double z = scale * lengths[j];
          const double size = 2 * std::abs(double(H[i * m + j])) +
                              std::sqrt(net_.lam[j]) * (periodic ? z : std::min(1.0, z));
          for (Index q = 0; q < k; ++q) sum[q] += size * std::abs(double(now.a(j, q)));
        }
      }
    }
    sum_over_ranks(sums.data(), n * k, context);
    double sum2 = 0;
    for (Index i = 0; i < n * k; ++i) sum2 += std::pow(sums[i] + std::abs(double(y.data[i])), 2);
    return double(std::numeric_limits<T>::epsilon()) * std::sqrt(sum2);
  }

  // How far the loss may rise: by rounding of the outputs, |dL/df| <= sqrt(2 s L) for a loss >= 0
  // of curvature s, and next to a minimum by the square of their error.
  double loss_rounding(double rounding, double error) const {
    const double s = loss_curvature(loss_, y.rows, y.cols);
    return rounding * std::sqrt(2 * s * last_loss) + s * (rounding * rounding + error * error);
  }

  // An upper bound of |J E|, E (m, d), over all points that J may be taken at:
  //   |J E| <= sup |sigma'| |X|_F / sqrt(d) sum_j e_j,  e_j = sqrt(lam_j) |a_j| |E_j|.
  // The sum of many nodes exceeds what they do by far, that of a few does not: it is taken to be at
  // least 10 |e|, which is more where less than about 100 nodes matter.
  double reach(const T* E, const Context& context) const {
    const Index d = net_.d();
    const MatrixView<const T> a = outputs_now();
    double sums[2] = {0, 0}, inputs2 = 0;
    for (Index i = 0; i < X_.size(); ++i) inputs2 += std::pow(double(X_.data[i]), 2);
    const double steepest = steepest_slope(net_.activation) * std::sqrt(inputs2 / double(d));
    const double unit = unit_of(steepest);  // in which the squares are as those of outputs
    for (Index j = 0; j < net_.m(); ++j) {
      double a2 = 0;
      for (Index q = 0; q < net_.k(); ++q) a2 += std::pow(double(a(j, q)), 2);
      const double e = unit * std::sqrt(net_.lam[j] * a2) * norm(E + j * d, d);
      sums[0] += e, sums[1] += e * e;
    }
    sum_over_ranks(sums, 2, context);
    return steepest / unit * std::max(sums[0], 10 * std::sqrt(sums[1]));
  }

  // The same for E = other - the weights at eval.
  double reach_from(std::vector<T> other, const Context& context) const {
    const std::vector<T> W = weights();
    for (std::size_t i = 0; i < W.size(); ++i) other[i] -= W[i];
    return reach(other.data(), context);
  }

  // At eval, (m, d).
  std::vector<T> weights() const {
    std::vector<T> W(net_.W.size());
    engine->copy_eval_to(W.data());
    return W;
  }

  // The largest eigenvalue of the loss' Gauss-Newton matrix at the start of the run.
  double curvature(const Context& context) {
    return largest_curvature(*engine, loss_, y.rows, y.cols, *kernels_, context);
  }

  void serialise(Archive& archive, Index last_step, double t_end) {
    Standing::serialise(archive, last_step, t_end);
    engine->serialise(archive);
  }

 private:
  MatrixView<const T> outputs_now() const {
    MatrixView<const T> a = net_.a;
    if (const T* trained = engine->output_weights()) a.data = trained;
    return a;
  }

  const KernelTable* kernels_;
  NetworkView<T> net_;  // at the start of the run
  MatrixView<const T> X_;
  Loss loss_;
};

}  // namespace asymfast
