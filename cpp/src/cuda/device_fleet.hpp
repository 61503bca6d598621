// The host's side of training on a device: what lies where, and what is launched.
//
// Setup has a Device (tests/cpp/emulator.hpp, cuda/device.cuh) and the shapes of its tiles.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <utility>

#include "cuda/elements.hpp"
#include "cuda/matrices.hpp"
#include "cuda/memory.hpp"
#include "cuda/resident.hpp"
#include "cuda/sweep.hpp"
#include "fleet.hpp"

namespace asymfast::cuda {

template <class Setup, class T>
class DeviceFleet final : public Fleet<T> {
 public:
  using Device = typename Setup::Device;
  using Kernel = Sweep<typename Setup::template SweepShape<T>, T>;
  using Large = Sweep<typename Setup::template LargeShape<T>, T>;
  using Small = Resident<T, Setup::kResidentThreads>;
  template <class U>
  using Mem = Memory<Device, U>;

  // nets.a may be null where outputs are not wanted (k = 0), y null where losses are not. Data may
  // lie on the host or on the device.
  DeviceFleet(const EnsembleView<T>& nets, const DataView<T>& data, Loss loss, Index at_once,
              bool train_output, bool keep_values)
      : B_(nets.B), train_output_(train_output), initial_a_(nets.a) {
    const Index samples = data.X.rows, m = nets.m, d = nets.d, k = nets.k;
    const auto members = [&](Index stride) { return stride == 0 ? 1 : B_; };
    X_ = Mem<T>(data.X.data, members(data.X_stride) * samples * d);
    for_elements<Device>(X_.size(),
                         Scale<T, T>{X_.data(), 1 / std::sqrt(double(d)), nullptr, 1, X_.data()});
    if (data.y.data) y_ = Mem<T>(data.y.data, members(data.y_stride) * samples * k);
    eval_ = Mem<T>(nets.W, B_ * m * d);
    if (kCompensated<T>) lost_ = Mem<T>::zeros(B_ * m * d);

    std::vector<T> c, root_lam;
    for (Index j = 0; k > 0 && j < B_ * m; ++j) {
      root_lam.push_back(T(std::sqrt(nets.lam[j])));
      for (Index q = 0; q < k; ++q)
        c.push_back(T(std::sqrt(nets.lam[j]) * double(nets.a[j * k + q])));
    }
    c_ = Mem<T>(c);
    if (train_output) {
      root_lam_ = Mem<T>(root_lam);
      a_ = Mem<T>(nets.a, B_ * m * k);
      if (kCompensated<T>) lost_a_ = Mem<T>::zeros(B_ * m * k);
    }
    slopes_ = Mem<T>(B_ * at_once * m);
    pulled_ = Mem<T>(B_ * at_once * m);
    if (keep_values || train_output) values_ = Mem<T>(B_ * at_once * m);
    partial_ = Mem<double>(B_ * Kernel::tiles(m) * at_once * k);
    f_ = Mem<double>(B_ * at_once * k);
    residual_ = Mem<T>(B_ * at_once * k);
    loss_parts_ = Mem<double>(B_ * Kernel::slices(at_once));
    progress_ = Mem<Progress>(B_);
    const Progress unlimited{std::numeric_limits<double>::infinity(), 1, 0, 0, 0};
    alone_ = Mem<Progress>(&unlimited, 1);
    // One kernel evaluates and steps a member, so that a resumed run has the same bits.
    const bool whole = y_.data() && at_once == samples && !train_output && !keep_values;
    if (whole && samples * k <= Small::kMostOutputs && resident_grid(1, samples, m, d, k).ranks > 0)
      parts_ = Mem<T>::zeros(B_ * Small::parts_of(samples, m, k));

    problem_.d = d, problem_.m = m, problem_.k = k;
    problem_.samples = samples, problem_.n = at_once;
    problem_.activation = nets.activation, problem_.loss = loss;
    problem_.X = X_.data(), problem_.X_stride = data.X_stride;
    problem_.y = y_.data(), problem_.y_stride = data.y_stride;
    problem_.eval = eval_.data(), problem_.lost = lost_.data();
    problem_.c = c_.data(), problem_.root_lam = root_lam_.data();
    problem_.a = a_.data(), problem_.lost_a = lost_a_.data();
    problem_.slopes = slopes_.data(), problem_.values = values_.data();
    problem_.pulled = pulled_.data();
    problem_.partial = partial_.data(), problem_.f = f_.data();
    problem_.residual = residual_.data(), problem_.loss_parts = loss_parts_.data();
    host_f_.resize(f_.size());
    losses_.resize(B_);
  }

  std::unique_ptr<Engine<T>> engine(Index b) override;
  std::unique_ptr<BatchEngine<T>> batch_engine(Index b) override;

  void run_steps(const StepPlan& steps, std::vector<MemberSteps>& members,
                 const std::function<void()>& meanwhile) override {
    const DeviceLock lock(device_mutex());
    Plan<T> plan = plan_of(steps);
    std::vector<Progress> progress;
    for (Index b = 0; b < B_; ++b) {
      const MemberSteps& member = members[b];
      progress.push_back({member.loss_limit, member.runs, 0, losses_[b], member.last_loss});
    }
    progress_.copy_in(progress.data(), 0, B_);
    launch(problem_, plan, 0, B_, progress_.data());
    meanwhile();
    progress_.copy_out(progress.data(), 0, B_);
    for (Index b = 0; b < B_; ++b) {
      if (!members[b].runs) continue;
      members[b].steps = static_cast<Index>(progress[b].steps);
      members[b].last_loss = progress[b].last_loss;
      members[b].loss = losses_[b] = progress[b].loss;
    }
    if (!plan.rows) f_.copy_out(host_f_.data(), 0, f_.size());
  }

  // ---- one member, for the engines and for single calls

  // Outputs, loss, residual and slopes at its weights; of a batch, if one is given. The slopes
  // (n, m) go to where the next gradient looks for them, or to an array that is given.
  void evaluate(Index b, const Batch* batch = nullptr, T* slopes = nullptr) {
    Plan<T> plan{};
    plan.evaluate = true;
    if (batch) {
      rows_.assign(std::vector<std::int32_t>(batch->rows, batch->rows + batch->size));
      sizes_.assign({static_cast<std::int32_t>(batch->size)});
      plan.rows = rows_.data();
      plan.sizes = sizes_.data();
    }
    Problem<T> problem = of_member(b);
    problem.base = problem.lost = problem.sum = nullptr;  // not looked at
    if (slopes) problem.slopes = slopes;
    go(b, problem, plan);
  }

  // One update, and the evaluation there. With a base of its own even where eval is always there
  // too, so that a resumed run goes through the same code.
  void advance(Index b, const Update& update) {
    need_base();
    StepPlan one;
    one.step = {update};
    one.steps = 1;
    const Plan<T> plan = plan_of(one);
    go(b, of_member(b), plan);
  }

  // G (m, d) <- the gradient for the residual at hand, or for that given, or for dL/dZ in `pulled`.
  void gradient(Index b, T* G, const T* residual = nullptr, bool is_pulled = false) {
    Plan<T> plan{};
    plan.gradient = G;
    plan.is_pulled = is_pulled;
    Problem<T> problem = of_member(b);
    if (residual) problem.residual = const_cast<T*>(residual);
    launch_one(problem, plan);
  }

  // out (n, k) <- the outputs' derivative along G (m, d).
  void push(Index b, const T* G, double* out) {
    Mem<double> derivative(outputs());
    Plan<T> plan{};
    plan.push = G;
    Problem<T> problem = of_member(b);
    problem.f = derivative.data();
    launch_one(problem, plan);
    derivative.copy_out(out, 0, outputs());
  }

  // eval <- base + sum_s along[s] slots[s]; base <- eval, if commit.
  void shift(Index b, const std::vector<double>& along, const Slots<Slot<Device, T>>& slots,
             bool commit) {
    need_base();
    const Problem<T> p = of_member(b);
    combine(along, slots, p.base, p.lost, p.eval, commit);
  }

  void combine(const std::vector<double>& along, const Slots<Slot<Device, T>>& slots, T* base,
               T* lost, T* to, bool commit) const {
    Combine<T> each{0, {}, {}, base, lost, to, commit};
    for (std::size_t s = 0; s < along.size(); ++s) {
      if (along[s] == 0) continue;
      if (each.count == Combine<T>::kMost) throw std::logic_error("cuda: too many stages");
      each.along[each.count] = along[s];
      each.slots[each.count++] = slots[static_cast<Index>(s)];
    }
    for_elements<Device>(weights(), each);
  }

  // Between updates that leave base where it is, eval is another array.
  void need_base() {
    if (!base_.empty()) return;
    base_ = Mem<T>(eval_.size());
    Device::copy(base_.data(), eval_.data(), bytes(eval_.size()));
    problem_.base = base_.data();
  }

  // eval <- base
  void go_back(Index b) {
    if (base_.empty()) return;
    Device::copy(eval_.data() + b * weights(), base_.data() + b * weights(), bytes(weights()));
  }

  void serialise(Index b, Archive& archive) {
    visit(archive, base_.empty() ? eval_ : base_, b, weights());
    visit(archive, lost_, b, weights());
    visit(archive, a_, b, output_weights());
    visit(archive, lost_a_, b, output_weights());
    if (!archive.reading()) return;
    go_back(b);
    if (!train_output_) return;
    std::vector<T> a(output_weights()), root(problem_.m), c;
    a_.copy_out(a.data(), b * output_weights(), output_weights());
    root_lam_.copy_out(root.data(), b * problem_.m, problem_.m);
    for (std::size_t e = 0; e < a.size(); ++e) c.push_back(root[e / problem_.k] * a[e]);
    c_.copy_in(c.data(), b * output_weights(), output_weights());
  }

  Problem<T> of_member(Index b) const {
    Problem<T> p = problem_;
    const auto move = [b](auto*& array, Index stride) {
      if (array) array += b * stride;
    };
    move(p.X, p.X_stride), move(p.y, p.y_stride);
    for (T** array : {&p.eval, &p.base, &p.lost, &p.sum}) move(*array, weights());
    for (T** array : {&p.c, &p.a, &p.lost_a}) move(*array, output_weights());
    move(p.root_lam, p.m);
    for (T** array : {&p.slopes, &p.values, &p.pulled}) move(*array, p.n * p.m);
    move(p.partial, Kernel::tiles(p.m) * outputs());
    move(p.f, outputs()), move(p.residual, outputs());
    move(p.loss_parts, Kernel::slices(p.n));
    return p;
  }

  Index weights() const { return problem_.m * problem_.d; }         // of a member
  Index output_weights() const { return problem_.m * problem_.k; }  // of a member
  Index outputs() const { return problem_.n * problem_.k; }         // of a member
  const double* host_f(Index b) const { return host_f_.data() + b * outputs(); }
  // Where the loss of a member stands after every launch that moved it.
  const double* loss(Index b) const { return &losses_[b]; }
  const Mem<T>& eval() const { return eval_; }
  const Mem<T>& base() const { return base_; }
  const Mem<T>& values() const { return values_; }
  Mem<T>& lost() { return lost_; }
  const Mem<T>& output_layer() const { return a_; }
  bool trains_output() const { return train_output_; }
  void copy_initial_outputs(Index b, T* a) const {
    std::copy_n(initial_a_ + b * output_weights(), output_weights(), a);
  }
  Index members() const { return B_; }
  Index samples_at_once() const { return problem_.n; }
  static std::size_t bytes(Index count) { return static_cast<std::size_t>(count) * sizeof(T); }

 private:
  Plan<T> plan_of(const StepPlan& steps) {
    Plan<T> plan{};
    plan.steps = steps.steps;
    plan.train_output = train_output_;
    if (steps.step.size() > std::size(plan.stage)) throw std::logic_error("cuda: too many stages");
    for (const Update& update : steps.step) {
      plan.stage[plan.stages++] = update;
      if (!update.commit) need_base();
      if (update.uses_sum() && sum_.empty()) {
        sum_ = Mem<T>::zeros(eval_.size());
        problem_.sum = sum_.data();
      }
    }
    if (!steps.scales.empty()) scales_.assign(steps.scales), plan.scales = scales_.data();
    if (!steps.rows.empty()) {
      rows_.assign(steps.rows), plan.rows = rows_.data();
      sizes_.assign(steps.sizes), plan.sizes = sizes_.data();
    }
    return plan;
  }

  // A plan that ends with an evaluation.
  void go(Index b, const Problem<T>& problem, const Plan<T>& plan) {
    launch_one(problem, plan);
    Progress progress;
    alone_.copy_out(&progress, 0, 1);
    losses_[b] = progress.loss;
    if (!plan.rows && problem_.k > 0)
      f_.copy_out(host_f_.data() + b * outputs(), b * outputs(), outputs());
  }

  // Of a member's problem; what the launch says of its progress comes back with the outputs alone.
  void launch_one(const Problem<T>& problem, const Plan<T>& plan) {
    launch(problem, plan, 0, 1, alone_.data());
  }

  Index transposed_size() const {
    return B_ * problem_.d * Small::units_of(problem_.m) * Small::kUnit;
  }

  // How many blocks work on a member, and how many members at once.
  struct Grid {
    int ranks;
    Index groups;
    std::size_t shared;
  };

  // As many blocks as there are tiles, or as run at once.
  template <class Which>
  static Grid grid_for(Index members, const Problem<T>& p) {
    const Index at_once = Device::template blocks_at_once<Which>(Which::kShared);
    if (at_once < 1) throw std::runtime_error("cuda: the device cannot run a single block");
    const Index tiles = Which::tiles(p.m) * std::max(Which::tiles(p.n), Which::tiles(p.d));
    const Index ranks = std::clamp<Index>(at_once / members, 1, tiles);
    return {static_cast<int>(ranks), std::min(members, at_once / ranks), Which::kShared};
  }

  // As many blocks a member as run at once, or more where their nodes would not fit; ranks 0: there
  // are not enough blocks for that.
  static Grid resident_grid(Index members, Index n, Index m, Index d, Index k) {
    const Index units = Small::units_of(m);
    const Index at_once = Device::template blocks_at_once<Small>(Small::shared(n, d, k, 1));
    for (Index ranks = std::clamp<Index>(at_once / members, 1, units); ranks <= units; ++ranks) {
      const std::size_t shared = Small::shared(n, d, k, (units + ranks - 1) / ranks);
      const Index with = Device::template blocks_at_once<Small>(shared);
      if (with >= ranks) return {static_cast<int>(ranks), std::min(members, with / ranks), shared};
    }
    return {0, 0, 0};
  }

  void launch(const Problem<T>& problem, const Plan<T>& plan, Index first, Index members,
              Progress* progress) {
    if (!parts_.empty() && !plan.gradient && !plan.push) {
      const typename Small::Args args{problem,
                                      plan,
                                      progress,
                                      parts_.data(),
                                      transposed(problem.base, base_transposed_),
                                      transposed(problem.lost, lost_transposed_),
                                      transposed(problem.sum, sum_transposed_)};
      launch_all<Small>(resident_grid(members, problem.n, problem.m, problem.d, problem.k), first,
                        members, args);
    } else if (Large::tiles(problem.m) * Large::tiles(problem.n) >= Setup::kManyTiles) {
      launch_all<Large>(grid_for<Large>(members, problem), first, members,
                        {problem, plan, progress});
    } else {
      launch_all<Kernel>(grid_for<Kernel>(members, problem), first, members,
                         {problem, plan, progress});
    }
  }

  template <class Which>
  static void launch_all(const Grid& grid, Index first, Index members,
                         const typename Which::Args& args) {
    for (Index group = first; group < first + members; group += grid.groups)
      Device::template launch<Which>(group, std::min(grid.groups, first + members - group),
                                     grid.ranks, grid.shared, args);
  }

  // Room for a transposed copy of an array of the problem, if there is such an array.
  T* transposed(const T* array, Mem<T>& copy) {
    if (!array) return nullptr;
    if (copy.empty()) copy = Mem<T>(transposed_size());
    return copy.data();
  }

  static void visit(Archive& archive, Mem<T>& memory, Index b, Index size) {
    if (!memory.empty()) memory.serialise(archive, b * size, size);
  }

  Index B_;
  bool train_output_;
  const T* initial_a_;  // the caller's
  Problem<T> problem_{};
  Mem<T> X_, y_, eval_, base_, lost_, sum_, c_, root_lam_, a_, lost_a_, slopes_, pulled_, values_,
      residual_;
  Mem<T> parts_;  // empty: the problem is not small
  Mem<T> base_transposed_, lost_transposed_, sum_transposed_;
  Mem<double> partial_, f_, loss_parts_, scales_;
  Mem<std::int32_t> rows_, sizes_;
  Mem<Progress> progress_, alone_;  // of all members, of one by itself
  std::vector<double> host_f_, losses_;
};

}  // namespace asymfast::cuda
