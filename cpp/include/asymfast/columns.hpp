// What a run can record: the table of its columns, which the recorder, checkpoints, the C interface
// and the bindings read. A new quantity is a member of Rows, a row of the table, and, unless it is
// always recorded, a flag of Recording.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "asymfast/views.hpp"

namespace asymfast {

// When to record. Step 0 and the final step are recorded when asked for, the final one always.
struct Schedule {
  std::vector<Index> steps;   // explicit steps, increasing; or
  std::vector<double> times;  // explicit times, increasing (flows only, landed on exactly); or
  Index every = 0;            // step 0 and every so many steps
};

struct Recording {
  Schedule schedule;
  std::vector<Index> ntg_on;      // rows of X that the NTG of output 0 is taken on; must not be
                                  // empty where one of the next seven is true
  bool ntg_change = true;         // |NTG_t - NTG_0|_F
  bool ntg_change_2norm = false;  // and in the spectral norm
  bool eigmin = true;             // smallest eigenvalue of NTG_t
  bool eigmax = false;            // largest
  bool alignment = false;         // <K, Y Y^T> / (|K|_F |Y Y^T|_F) of K = NTG_t
  bool effective_rank = false;    // tr K / eig_max K
  bool ntg_matrix = false;        // NTG_t itself
  bool weights = false;           // W_t itself
  bool output_weights = false;    // a_t itself
  bool accuracy = false;          // share of samples whose largest output is that of the target
  Index top_nodes = 0;            // how many of the nodes that moved the most

  bool needs_ntg() const noexcept {
    return ntg_change || ntg_change_2norm || eigmin || eigmax || alignment || effective_rank ||
           ntg_matrix;
  }
};

// The axes of a column beyond that of the records.
enum class Axis { member, node, input, output, sample, sample2, rank };

constexpr const char* name_of(Axis axis) {
  constexpr const char* names[] = {"member", "node",    "input", "output",
                                   "sample", "sample2", "rank"};
  return names[static_cast<int>(axis)];
}

struct Axes {
  std::array<Axis, 3> axes{};
  int count = 0;

  template <class... A>
  constexpr Axes(A... given) : axes{given...}, count(sizeof...(A)) {}
};

// How long the axes are.
struct ColumnSizes {
  Index members, nodes, inputs, outputs, samples, ranks;

  constexpr Index of(Axis axis) const {
    const Index all[] = {members, nodes, inputs, outputs, samples, samples, ranks};
    return all[static_cast<int>(axis)];
  }
  // Elements of one record.
  constexpr Index of(const Axes& axes) const {
    Index product = 1;
    for (int i = 0; i < axes.count; ++i) product *= of(axes.axes[i]);
    return product;
  }
};

// One row of the table.
struct ColumnInfo {
  const char* name;
  Axes axes;
  bool Recording::* flag = nullptr;  // that asks for it; null: always recorded
  bool needs_test = false;           // only with test data

  bool wanted(const Recording& recording, bool tested) const {
    return (!flag || recording.*flag) && (tested || !needs_test);
  }
};

// One row a record (T of them), B members a row. A member that diverged has NaN from there on, and
// -1 among top_nodes.
template <class T>
struct Rows {
  std::vector<std::int64_t> steps;
  std::vector<double> time;
  std::vector<std::int64_t> evaluations;  // gradients computed so far
  std::vector<double> loss, test_loss, accuracy, test_accuracy;
  std::vector<double> weight_change;
  std::vector<std::int64_t> top_nodes;  // the farthest first
  std::vector<double> ntg_change, ntg_change_2norm, ntg_eigmin, ntg_eigmax;
  std::vector<double> alignment, effective_rank, ntg_matrix;
  std::vector<T> weights, output_weights;

  // visit(info, column) for each of them, in the order of a checkpoint. Self: Rows, const or not.
  template <class Self, class Visit>
  static void table(Self& rows, Visit&& visit) {
    using R = Recording;
    using A = Axis;
    visit(ColumnInfo{"steps", {A::member}}, rows.steps);
    visit(ColumnInfo{"time", {}}, rows.time);
    visit(ColumnInfo{"evaluations", {A::member}}, rows.evaluations);
    visit(ColumnInfo{"loss", {A::member}}, rows.loss);
    visit(ColumnInfo{"test_loss", {A::member}, nullptr, true}, rows.test_loss);
    visit(ColumnInfo{"accuracy", {A::member}, &R::accuracy}, rows.accuracy);
    visit(ColumnInfo{"test_accuracy", {A::member}, &R::accuracy, true}, rows.test_accuracy);
    visit(ColumnInfo{"weight_change", {A::member, A::node}}, rows.weight_change);
    visit(ColumnInfo{"top_nodes", {A::member, A::rank}}, rows.top_nodes);
    visit(ColumnInfo{"ntg_change", {A::member}, &R::ntg_change}, rows.ntg_change);
    visit(ColumnInfo{"ntg_change_2norm", {A::member}, &R::ntg_change_2norm}, rows.ntg_change_2norm);
    visit(ColumnInfo{"ntg_eigmin", {A::member}, &R::eigmin}, rows.ntg_eigmin);
    visit(ColumnInfo{"ntg_eigmax", {A::member}, &R::eigmax}, rows.ntg_eigmax);
    visit(ColumnInfo{"alignment", {A::member}, &R::alignment}, rows.alignment);
    visit(ColumnInfo{"effective_rank", {A::member}, &R::effective_rank}, rows.effective_rank);
    visit(ColumnInfo{"ntg_matrix", {A::member, A::sample, A::sample2}, &R::ntg_matrix},
          rows.ntg_matrix);
    visit(ColumnInfo{"weights", {A::member, A::node, A::input}, &R::weights}, rows.weights);
    visit(ColumnInfo{"output_weights", {A::member, A::node, A::output}, &R::output_weights},
          rows.output_weights);
  }

  // visit(name, column) for each of them.
  template <class Visit>
  void for_columns(Visit&& visit) {
    table(*this, [&](const ColumnInfo& info, auto& column) { visit(info.name, column); });
  }
};

// One of the columns above, without its type.
struct Column {
  const char* name;
  const void* data;
  std::size_t bytes;
};

}  // namespace asymfast
