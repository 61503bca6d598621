// Rows of a run's record: what is measured of every member at a recorded step.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "asymfast/train.hpp"
#include "train/member.hpp"

namespace asymfast {

template <class T>
class Recorder {
 public:
  Recorder(const EnsembleView<T>& nets, const DataView<T>& train, const DataView<T>& test,
           Loss loss, const Recording& recording, const KernelTable& kernels, RunResult<T>& result)
      : nets_(nets),
        train_(train),
        test_(test),
        loss_(loss),
        recording_(recording),
        kernels_(kernels),
        result_(result),
        W_(nets.W, nets.W + nets.B * nets.m * nets.d),
        initial_ntg_(static_cast<std::size_t>(nets.B)) {
    result_.W = W_;
  }

  // A row of NaN for every member; `measure` fills in those that are still running.
  void open_row(const std::vector<Member<T>>& members) {
    const auto B = static_cast<std::size_t>(nets_.B);
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    const auto grow = [](auto& column, std::size_t count, auto value) {
      column.resize(column.size() + count, value);
    };
    result_.time.push_back(0);
    for (const Member<T>& member : members) {
      result_.steps.push_back(member.step);
      result_.evaluations.push_back(member.evaluations);
      if (!member.diverged) result_.time.back() = member.time;
    }
    grow(result_.loss, B, nan);
    if (!test_.empty()) grow(result_.test_loss, B, nan);
    grow(result_.weight_change, B * static_cast<std::size_t>(nets_.m), nan);
    if (recording_.ntg_change) grow(result_.ntg_change, B, nan);
    if (recording_.eigmin) grow(result_.ntg_eigmin, B, nan);
    if (recording_.weights)
      grow(result_.weights, B * static_cast<std::size_t>(nets_.m * nets_.d), T(nan));
  }

  // Member b's part of the last row; different members may be measured at the same time.
  void measure(Index b, const Member<T>& member, const Context& context) {
    const Index size = nets_.m * nets_.d;
    const T* W0 = nets_.W + b * size;
    T* W = W_.data() + b * size;
    member.engine->copy_base_to(W);
    NetworkView<T> net = nets_.member(b);
    net.W.data = W;

    last(result_.loss, b) = member.engine->loss();
    double* change = &last(result_.weight_change, b, nets_.m);
    for (Index j = 0; j < nets_.m; ++j) {
      double sum = 0;
      for (Index l = 0; l < nets_.d; ++l)
        sum += std::pow(double(W[j * nets_.d + l]) - double(W0[j * nets_.d + l]), 2);
      change[j] = std::sqrt(sum);
    }
    if (recording_.weights) std::copy_n(W, size, &last(result_.weights, b, size));
    if (!test_.empty()) last(result_.test_loss, b) = test_loss(net, test_.member(b), context);
    if (recording_.ntg_change || recording_.eigmin) measure_ntg(b, net, context);
  }

  // The row is complete: its weights are now those of the result.
  void close_row() { result_.W = W_; }

  // NTG_0, from which the change is measured; to be called once, before the first step.
  void keep_initial_ntg(Index b, const Context& context) {
    if (recording_.ntg_change)
      initial_ntg_[static_cast<std::size_t>(b)] = ntg_of(b, nets_.member(b), context);
  }

 private:
  // Element 0 of member b in the last row of a column that has `width` elements a member.
  template <class Column>
  auto& last(Column& column, Index b, Index width = 1) {
    return *(column.end() - (nets_.B - b) * width);
  }

  double test_loss(const NetworkView<T>& net, const DataView<T>& data, const Context& context) {
    std::vector<double> f(static_cast<std::size_t>(data.y.size()));
    kernels_.of<T>().forward(net, data.X, f.data(), context);
    return loss_and_residual<T>(loss_, {f.data(), data.y.rows, data.y.cols}, data.y, nullptr);
  }

  Index ntg_size() const { return static_cast<Index>(recording_.ntg_on.size()); }

  // The NTG of output 0 on the chosen samples.
  std::vector<double> ntg_of(Index b, const NetworkView<T>& net, const Context& context) {
    const Index n = ntg_size();
    const DataView<T> data = train_.member(b);
    std::vector<T> rows;
    for (Index i : recording_.ntg_on)
      rows.insert(rows.end(), data.X.row(i), data.X.row(i) + nets_.d);
    std::vector<double> v(static_cast<std::size_t>(nets_.m));
    for (Index j = 0; j < nets_.m; ++j)
      v[static_cast<std::size_t>(j)] = net.lam[j] * std::pow(double(net.a(j, 0)), 2);
    const MatrixView<const T> X{rows.data(), n, nets_.d};
    std::vector<double> K(static_cast<std::size_t>(n * n));
    kernels_.of<T>().ntg(net, v.data(), X, X, true, {K.data(), n, n}, context);
    return K;
  }

  void measure_ntg(Index b, const NetworkView<T>& net, const Context& context) {
    const std::vector<double> K = ntg_of(b, net, context);
    if (context.watch.stopped()) return;
    if (recording_.ntg_change) {
      const std::vector<double>& K0 = initial_ntg_[static_cast<std::size_t>(b)];
      double sum = 0;
      for (std::size_t i = 0; i < K.size(); ++i) sum += std::pow(K[i] - K0[i], 2);
      last(result_.ntg_change, b) = std::sqrt(sum);
    }
    if (recording_.eigmin)
      last(result_.ntg_eigmin, b) =
          kernels_.min_eigenvalue({K.data(), ntg_size(), ntg_size()}, context);
  }

  const EnsembleView<T>& nets_;
  const DataView<T>&train_, &test_;
  Loss loss_;
  const Recording& recording_;
  const KernelTable& kernels_;
  RunResult<T>& result_;
  std::vector<T> W_;  // (B, m, d) of the row being measured
  std::vector<std::vector<double>> initial_ntg_;
};

}  // namespace asymfast
