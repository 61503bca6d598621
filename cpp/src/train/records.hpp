// The rows of a run's record: measured of every member at a goal, completed, shown to the caller,
// handed over.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <type_traits>
#include <utility>
#include <vector>

#include "asymfast/train.hpp"
#include "math/losses.hpp"
#include "train/ntg_measures.hpp"
#include "train/stepping.hpp"
#include "train/vectors.hpp"

namespace asymfast {

template <class T, class Member>
class Records {
 public:
  Records(const Training<T>& training, Ranks& ranks, RunResult<T>& result)
      : training_(training),
        ranks_(ranks),
        result_(result),
        rows_(result),
        ntg_(training.train, training.recording, kernels_),
        W_(nets_.W, nets_.W + nets_.B * nets_.m * nets_.d),
        a_(nets_.a, nets_.a + nets_.B * nets_.m * nets_.k),
        initial_ntg_(nets_.B),
        taken_ntg_(nets_.B) {
    result_.W = W_, result_.a = a_;
  }

  bool any() const { return any_; }  // has been recorded, in this call or before it was resumed
  double last_time() const { return last_time_; }
  bool lost() const { return lost_; }  // rows could not be handed over

  // NTG_0, from which the change is measured; to be called once, before the first step.
  void keep_initial_ntg(Index b, const Context& context) {
    if (recording_.ntg_change || recording_.ntg_change_2norm)
      initial_ntg_[b] = ntg_.matrix(b, nets_.member(b), context);
  }

  // Measures all members; those whose weights are not finite, on any rank, have diverged.
  void measure(Stepping<T, Member>& stepping) {
    stepping.for_members([&](Index b, const Context& context) {
      Member& member = stepping.member(b);
      member.evaluate_for_record(context);
      if (!member.diverged) member.diverged = ranks_.any(!take_weights(b, member));
    });
    if (!stepping.first_running()) return;
    open_row(stepping.members(), rows_);
    stepping.for_members([&](Index b, const Context& context) {
      if (stepping.member(b).diverged) return;
      measure_member(b, stepping.member(b), context);
      if (!stepping.side_by_side()) measure_spectrum(b, context);
    });
    row_is_open_ = true;
    if (!stepping.side_by_side()) finish_row(stepping);
    any_ = true;
    last_time_ = rows_.time.back();
    last_loss_.assign(rows_.loss.end() - nets_.B, rows_.loss.end());
  }

  // Completes the last row, whose weights are then those of the result. What the CPU has to do for
  // it may wait until a device is busy with the steps that follow.
  void finish_row(Stepping<T, Member>& stepping) {
    if (!row_is_open_) return;
    if (stepping.side_by_side())
      stepping.for_members([&](Index b, const Context& context) { measure_spectrum(b, context); });
    row_is_open_ = false;
    ++complete_rows_;
    result_.W = W_, result_.a = a_;
  }

  // Shows the last row to the callback. False: the run is to end here.
  bool show_last() {
    const double* test_loss = rows_.test_loss.empty() ? nullptr : &last(rows_.test_loss, 0);
    const Snapshot snapshot{Index(last(rows_.steps, 0)),
                            last_time_,
                            last_loss_.data(),
                            test_loss,
                            W_.data(),
                            a_.data()};
    const Hooks& hooks = training_.hooks;
    if (!ranks_.any(hooks.on_record && !hooks.on_record(snapshot))) return true;
    result_.stopped_by = "callback";
    return false;
  }

  // Whether `stop` ends the run at the last record.
  bool stops() {
    if (!any_) return false;
    const Stop& stop = training_.hooks.stop;
    const auto low = [&](double loss) { return !(loss > stop.loss); };  // NaN: diverged
    if (std::all_of(last_loss_.begin(), last_loss_.end(), low))
      result_.stopped_by = "loss";
    else if (last_time_ >= stop.time)
      result_.stopped_by = "time";
    return *result_.stopped_by != '\0';
  }

  // Whether so many rows are in memory that they are to be handed over.
  bool are_many() {
    std::size_t bytes = 0;
    rows_.for_columns(
        [&](const char*, auto& column) { bytes += column.size() * sizeof(column[0]); });
    return bytes > training_.hooks.rows_bytes;
  }

  // Complete rows leave the memory, if anybody takes them. False: they could not be taken.
  bool hand_over() {
    if (!training_.hooks.take_rows || complete_rows_ == 0) return true;
    std::vector<Column> columns;
    rows_.for_columns([&](const char* name, auto& column) {
      columns.push_back({name, column.data(), column.size() * sizeof(column[0])});
    });
    lost_ = !training_.hooks.take_rows(columns);
    if (lost_) return false;
    rows_.for_columns([](const char*, auto& column) { column.clear(); });
    complete_rows_ = 0;
    return true;
  }

  // An interrupted measurement leaves a row half filled; a resumed run makes this record again.
  void drop_incomplete_row() {
    const std::size_t count = rows_.time.size();
    if (count == 0) return;
    rows_.for_columns(
        [&](const char*, auto& column) { column.resize(column.size() / count * complete_rows_); });
  }

  // The rows in memory, and the weights and losses of the last one. Of a run until t_end.
  void serialise(Archive& archive, const std::vector<Member>& members, double t_end) {
    Rows<T> one;  // for the lengths of a row's columns
    open_row(members, one);
    std::vector<std::size_t> widths;
    one.for_columns([&](const char*, auto& column) { widths.push_back(column.size()); });
    archive(complete_rows_);
    auto width = widths.begin();
    rows_.for_columns([&](const char*, auto& column) {
      archive(column);
      archive.require(column.size() == *width++ * complete_rows_);
    });
    for (std::vector<T>* weights : {&result_.W, &result_.a}) {
      archive.array(weights->data(), static_cast<Index>(weights->size()));
      archive.require(all_finite(weights->data(), static_cast<Index>(weights->size())));
    }
    archive(any_), archive(last_time_, 0.0, t_end);
    last_loss_.resize(nets_.B);
    archive.array(last_loss_.data(), nets_.B);
    if (archive.reading()) W_ = result_.W, a_ = result_.a;  // members that have diverged keep these
  }

 private:
  static bool all_finite(const T* values, Index count) {
    return std::all_of(values, values + count, [](T value) { return std::isfinite(value); });
  }

  // Element 0 of member b in the last row of a column that has `width` elements a member.
  template <class U>
  U& last(std::vector<U>& column, Index b, Index width = 1) const {
    return *(column.end() - (nets_.B - b) * width);
  }

  // The weights of the row to come. False: they are numbers no more, which a bounded activation
  // hides from the loss; the row before keeps its own.
  bool take_weights(Index b, const Member& member) {
    const Index W_size = nets_.m * nets_.d, a_size = nets_.m * nets_.k;
    T *W = W_.data() + b * W_size, *a = a_.data() + b * a_size;
    member.copy_weights_to(W, a);
    if (all_finite(W, W_size) && all_finite(a, a_size)) return true;
    std::copy_n(result_.W.data() + b * W_size, W_size, W);
    std::copy_n(result_.a.data() + b * a_size, a_size, a);
    return false;
  }

  // A row of NaN for every member; `measure_member` fills in those that are still running.
  void open_row(const std::vector<Member>& members, Rows<T>& rows) const {
    const auto q = static_cast<Index>(recording_.ntg_on.size());
    const ColumnSizes sizes{nets_.B, nets_.m, nets_.d, nets_.k, q, recording_.top_nodes};
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
  void measure_member(Index b, const Member& member, const Context& context) {
    NetworkView<T> net = nets_.member(b);
    const T* W0 = net.W.data;
    net.W.data = W_.data() + b * net.W.size();
    net.a.data = a_.data() + b * net.a.size();

    last(rows_.loss, b) = member.loss();
    if (recording_.accuracy)
      last(rows_.accuracy, b) = accuracy(member.outputs(), training_.train.member(b).y);
    if (recording_.weights)
      std::copy_n(net.W.data, net.W.size(), &last(rows_.weights, b, net.W.size()));
    if (recording_.output_weights)
      std::copy_n(net.a.data, net.a.size(), &last(rows_.output_weights, b, net.a.size()));
    measure_change(b, W0, net.W.data);
    if (!training_.test.empty()) measure_test(b, net, context);
    if (recording_.needs_ntg()) taken_ntg_[b] = ntg_.matrix(b, net, context);
  }

  // Eigenvalues and norms of the NTG that was taken: the CPU's part.
  void measure_spectrum(Index b, const Context& context) {
    const std::vector<double> K = std::exchange(taken_ntg_[b], {});
    if (K.empty()) return;
    const std::vector<double>& K0 = initial_ntg_[b];
    const auto size = static_cast<Index>(K.size());
    if (recording_.ntg_change) last(rows_.ntg_change, b) = distance(K.data(), K0.data(), size);
    if (recording_.ntg_change_2norm)
      last(rows_.ntg_change_2norm, b) = ntg_.spectral_distance(K, K0, context);
    if (recording_.eigmin) last(rows_.ntg_eigmin, b) = ntg_.eigmin(K, context);
    if (recording_.eigmax || recording_.effective_rank) {
      const double eigmax = ntg_.eigmax(K, context);
      if (recording_.eigmax) last(rows_.ntg_eigmax, b) = eigmax;
      if (recording_.effective_rank) last(rows_.effective_rank, b) = ntg_.trace(K) / eigmax;
    }
    if (recording_.alignment) last(rows_.alignment, b) = ntg_.alignment(b, K);
    if (recording_.ntg_matrix) std::copy(K.begin(), K.end(), &last(rows_.ntg_matrix, b, size));
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
    last(rows_.test_loss, b) = loss_and_residual(training_.loss, f.data(), data.y);
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
  const EnsembleView<T>& nets_ = training_.nets;
  const Recording& recording_ = training_.recording;
  const KernelTable& kernels_ = kernel_table(training_.exec.backend);
  Ranks& ranks_;
  RunResult<T>& result_;
  Rows<T>& rows_;
  NtgMeasures<T> ntg_;
  std::vector<T> W_, a_;  // (B, m, d), (B, m, k) of the row being measured
  std::vector<std::vector<double>> initial_ntg_, taken_ntg_;
  std::size_t complete_rows_ = 0;  // that are in memory
  bool row_is_open_ = false;       // there is one more
  bool any_ = false, lost_ = false;
  double last_time_ = 0;  // of the last row, if there is any
  std::vector<double> last_loss_;
};

}  // namespace asymfast
