// Rows of a run's record: what is measured of every member at a recorded step.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <type_traits>
#include <utility>
#include <vector>

#include "asymfast/train.hpp"
#include "ranks.hpp"
#include "train/batch_member.hpp"
#include "train/distance.hpp"
#include "train/ntg_measures.hpp"

namespace asymfast {

template <class T>
class Recorder {
 public:
  Recorder(const Training<T>& training, RunResult<T>& result)
      : training_(training),
        nets_(training.nets),
        recording_(training.recording),
        kernels_(kernel_table(training.exec.backend)),
        result_(result),
        rows_(result),
        ntg_(training.train, training.recording, kernels_),
        W_(nets_.W, nets_.W + nets_.B * nets_.m * nets_.d),
        a_(nets_.a, nets_.a + nets_.B * nets_.m * nets_.k),
        initial_ntg_(nets_.B),
        taken_ntg_(nets_.B) {
    close_row();
  }

  // The weights of the row to come. False: they are numbers no more, which a bounded activation
  // hides from the loss; the row before keeps its own.
  template <class Member>
  bool take_weights(Index b, const Member& member) {
    const NetworkView<T> net = nets_.member(b);
    T* W = W_.data() + b * net.W.size();
    T* a = a_.data() + b * net.a.size();
    member.copy_weights_to(W, a);
    const auto finite = [](T value) { return std::isfinite(value); };
    if (std::all_of(W, W + net.W.size(), finite) && std::all_of(a, a + net.a.size(), finite))
      return true;
    std::copy_n(result_.W.data() + b * net.W.size(), net.W.size(), W);
    std::copy_n(result_.a.data() + b * net.a.size(), net.a.size(), a);
    return false;
  }

  const T* taken_W() const { return W_.data(); }
  const T* taken_a() const { return a_.data(); }

  // A row of NaN for every member; `measure` fills in those that are still running.
  template <class Member>
  void open_row(const std::vector<Member>& members, Rows<T>& rows) const {
    const ColumnSizes sizes{nets_.B,
                            nets_.m,
                            nets_.d,
                            nets_.k,
                            static_cast<Index>(recording_.ntg_on.size()),
                            recording_.top_nodes};
    Rows<T>::table(rows, [&](const ColumnInfo& info, auto& column) {
      using U = typename std::decay_t<decltype(column)>::value_type;
      const U missing = std::is_integral_v<U> ? U(-1) : std::numeric_limits<U>::quiet_NaN();
      if (info.wanted(recording_, !training_.test.empty()))
        column.resize(column.size() + sizes.of(info.axes), missing);
    });
    rows.time.back() = 0;
    for (Index b = 0; b < nets_.B; ++b) {
      const Member& member = members[b];
      last(rows.steps, b) = member.step;
      last(rows.evaluations, b) = member.evaluations;
      if (!member.diverged) rows.time.back() = member.time;
    }
  }

  // Member b's part of the last row, at the weights taken, but for what `measure_spectrum` adds;
  // different members may be measured at the same time.
  template <class Member>
  void measure(Index b, const Member& member, const Context& context) {
    NetworkView<T> net = nets_.member(b);
    const T* W = W_.data() + b * net.W.size();
    const T* a = a_.data() + b * net.a.size();
    const T* W0 = net.W.data;
    net.W.data = W;
    net.a.data = a;

    last(rows_.loss, b) = member.loss();
    if (recording_.accuracy)
      last(rows_.accuracy, b) = accuracy(member.outputs(), training_.train.member(b).y);
    if (recording_.weights) std::copy_n(W, net.W.size(), &last(rows_.weights, b, net.W.size()));
    if (recording_.output_weights)
      std::copy_n(a, net.a.size(), &last(rows_.output_weights, b, net.a.size()));
    measure_change(b, W0, W);
    if (!training_.test.empty()) measure_test(b, net, context);
    if (ntg_.wanted()) taken_ntg_[b] = ntg_.matrix(b, net, context);
  }

  // Eigenvalues and norms of the NTG that was taken: the CPU's part.
  void measure_spectrum(Index b, const Context& context) {
    const std::vector<double> K = std::exchange(taken_ntg_[b], {});
    if (K.empty() || context.watch.stopped()) return;
    const std::vector<double>& K0 = initial_ntg_[b];
    if (recording_.ntg_change) last(rows_.ntg_change, b) = ntg_.frobenius_distance(K, K0);
    if (recording_.ntg_change_2norm)
      last(rows_.ntg_change_2norm, b) = ntg_.spectral_distance(K, K0, context);
    if (recording_.eigmin) last(rows_.ntg_eigmin, b) = ntg_.eigmin(K, context);
    if (recording_.eigmax || recording_.effective_rank) {
      const double eigmax = ntg_.eigmax(K, context);
      if (recording_.eigmax) last(rows_.ntg_eigmax, b) = eigmax;
      if (recording_.effective_rank) last(rows_.effective_rank, b) = ntg_.trace(K) / eigmax;
    }
    if (recording_.alignment) last(rows_.alignment, b) = ntg_.alignment(b, K);
    if (recording_.ntg_matrix)
      std::copy(K.begin(), K.end(), &last(rows_.ntg_matrix, b, static_cast<Index>(K.size())));
  }

  // The row is complete: its weights are now those of the result.
  void close_row() {
    result_.W = W_;
    result_.a = a_;
  }

  // The other way round, after the result was read from a checkpoint: members that have diverged
  // keep these weights.
  void resume() {
    W_ = result_.W;
    a_ = result_.a;
  }

  // NTG_0, from which the change is measured; to be called once, before the first step.
  void keep_initial_ntg(Index b, const Context& context) {
    if (recording_.ntg_change || recording_.ntg_change_2norm)
      initial_ntg_[b] = ntg_.matrix(b, nets_.member(b), context);
  }

 private:
  // Element 0 of member b in the last row of a column that has `width` elements a member.
  template <class U>
  U& last(std::vector<U>& column, Index b, Index width = 1) const {
    return *(column.end() - (nets_.B - b) * width);
  }

  // |w_tj - w_0j| of every node, and the nodes where it is largest; of equal ones the first.
  void measure_change(Index b, const T* W0, const T* W) {
    double* change = &last(rows_.weight_change, b, nets_.m);
    for (Index j = 0; j < nets_.m; ++j)
      change[j] = distance(W + j * nets_.d, W0 + j * nets_.d, nets_.d);
    if (recording_.top_nodes == 0) return;
    std::vector<std::int64_t> order(nets_.m);
    std::iota(order.begin(), order.end(), 0);
    const auto top = order.begin() + recording_.top_nodes;
    std::partial_sort(order.begin(), top, order.end(), [=](std::int64_t i, std::int64_t j) {
      return change[i] != change[j] ? change[i] > change[j] : i < j;
    });
    std::copy(order.begin(), top, &last(rows_.top_nodes, b, recording_.top_nodes));
  }

  void measure_test(Index b, const NetworkView<T>& net, const Context& context) {
    const DataView<T> data = training_.test.member(b);
    std::vector<double> f(data.y.size());
    kernels_.of<T>().forward(net, data.X, f.data(), context);
    sum_over_ranks(f.data(), data.y.size(), context);
    last(rows_.test_loss, b) =
        loss_and_residual<T>(training_.loss, {f.data(), data.y.rows, data.y.cols}, data.y, nullptr);
    if (recording_.accuracy) last(rows_.test_accuracy, b) = accuracy(f.data(), data.y);
  }

  // The share of samples whose largest output is that of the largest target, the first of equals.
  static double accuracy(const double* f, MatrixView<const T> y) {
    Index right = 0;
    for (Index i = 0; i < y.rows; ++i) {
      const double* fi = f + i * y.cols;
      right += std::max_element(fi, fi + y.cols) - fi ==
               std::max_element(y.row(i), y.row(i) + y.cols) - y.row(i);
    }
    return double(right) / double(y.rows);
  }

  const Training<T>& training_;
  const EnsembleView<T>& nets_;
  const Recording& recording_;
  const KernelTable& kernels_;
  RunResult<T>& result_;
  Rows<T>& rows_;
  NtgMeasures<T> ntg_;
  std::vector<T> W_, a_;  // (B, m, d), (B, m, k) of the row being measured
  std::vector<std::vector<double>> initial_ntg_, taken_ntg_;
};

}  // namespace asymfast
