// The host's side of training on a device: what lies where, and what is launched.
//
// Setup has a Device (tests/cpp/emulator.hpp, cuda/device.cuh) and the shapes of its tiles.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <stdexcept>
#include <utility>

#include "asymfast/train.hpp"
#include "cuda/matrices.hpp"
#include "cuda/memory.hpp"
#include "cuda/resident.hpp"
#include "cuda/sweep.hpp"
#include "engine.hpp"

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
  DeviceFleet(const EnsembleView<T>& nets, const DataView<T>& data, const BatchTraining& training,
              bool keep_values = false)
      : B_(nets.B), train_output_(training.train_output), initial_a_(nets.a) {
    const DeviceLock lock(device_mutex());
    const Index at_once = training.largest_batch;
    const Index samples = data.X.rows, m = nets.m, d = nets.d, k = nets.k;
    const auto members = [&](Index stride) { return stride == 0 ? 1 : B_; };
    Problem<T>& p = problem_;
    p.d = d, p.m = m, p.k = k, p.samples = samples, p.n = at_once;
    p.activation = nets.activation, p.loss = training.loss;
    p.X_stride = data.X_stride, p.y_stride = data.y_stride, p.node_tiles = Kernel::tiles(m);
    const Index inputs = members(data.X_stride) * samples * d;
    T* X = hold(Mem<T>(data.X.data, inputs));
    p.X = X;
    scale<Device>(X, inputs, 1 / std::sqrt(double(d)));
    if (data.y.data) p.y = hold(Mem<T>(data.y.data, members(data.y_stride) * samples * k));
    p.eval = hold(Mem<T>(nets.W, B_ * m * d));
    if (kCompensated<T>) p.lost = hold(Mem<T>::zeros(B_ * m * d));

    std::vector<T> c, root_lam;
    for (Index j = 0; k > 0 && j < B_ * m; ++j) {
      root_lam.push_back(T(std::sqrt(nets.lam[j])));
      for (Index q = 0; q < k; ++q)
        c.push_back(T(std::sqrt(nets.lam[j]) * double(nets.a[j * k + q])));
    }
    p.c = hold(Mem<T>(c));
    if (train_output_) {
      p.root_lam = hold(Mem<T>(root_lam));
      p.a = hold(Mem<T>(nets.a, B_ * m * k));
      if (kCompensated<T>) p.lost_a = hold(Mem<T>::zeros(B_ * m * k));
    }
    p.slopes = hold(Mem<T>(B_ * at_once * m));
    p.pulled = hold(Mem<T>(B_ * at_once * m));
    if (keep_values || train_output_) p.values = hold(Mem<T>(B_ * at_once * m));
    p.partial = hold(Mem<double>(B_ * p.node_tiles * at_once * k));
    p.f = hold(Mem<double>(B_ * at_once * k));
    p.residual = hold(Mem<T>(B_ * at_once * k));
    p.loss_parts = hold(Mem<double>(B_ * slices_of(at_once)));
    progress_ = hold(Mem<MemberSteps>(B_));
    const MemberSteps unlimited{true, std::numeric_limits<double>::infinity()};
    alone_ = hold(Mem<MemberSteps>(&unlimited, 1));
    // One kernel evaluates and steps a member, so that a resumed run has the same bits.
    const bool whole = p.y && at_once == samples && !train_output_ && !keep_values;
    if (whole && samples * k <= Small::kMostOutputs && resident_grid(1, samples, m, d, k).ranks > 0)
      parts_ = hold(Mem<T>::zeros(B_ * Small::parts_of(samples, m, k)));
    host_f_.resize(B_ * at_once * k);
    losses_.resize(B_);
  }

  std::unique_ptr<Engine<T>> engine(Index b) override;
  std::unique_ptr<BatchEngine<T>> batch_engine(Index b) override;

  void run_steps(const StepPlan& steps, std::vector<MemberSteps>& members,
                 const std::function<void()>& meanwhile) override {
    const DeviceLock lock(device_mutex());
    Plan<T> plan = plan_of(steps);
    for (Index b = 0; b < B_; ++b) members[b].loss = losses_[b];
    transfer<Device>(progress_, members.data(), B_);
    launch(problem_, plan, B_, progress_);
    meanwhile();
    transfer<Device>(members.data(), progress_, B_);
    for (Index b = 0; b < B_; ++b) losses_[b] = members[b].loss;
    if (!plan.rows) transfer<Device>(host_f_.data(), problem_.f, B_ * outputs());
  }

  // ---- one member, for the engines and for single calls

  // Outputs, loss, residual and slopes at its weights; of a batch, if one is given. The slopes
  // (n, m) go to where the next gradient looks for them, or to an array that is given.
  void evaluate(Index b, const Batch* batch = nullptr, T* slopes = nullptr) {
    StepPlan none;
    if (batch) {
      none.rows.assign(batch->rows, batch->rows + batch->size);
      none.sizes = {static_cast<std::int32_t>(batch->size)};
    }
    Plan<T> plan = plan_of(none);
    plan.evaluate = true;
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
    go(b, of_member(b), plan_of(one));
  }

  // G (m, d) <- the gradient for the residual at hand, or for that given, or for dL/dZ in `pulled`.
  void gradient(Index b, T* G, const T* residual = nullptr, bool is_pulled = false) {
    Plan<T> plan{};
    plan.gradient = G;
    plan.is_pulled = is_pulled;
    Problem<T> problem = of_member(b);
    if (residual) problem.residual = const_cast<T*>(residual);
    launch(problem, plan, 1, alone_);
  }

  // out (n, k) <- the outputs' derivative along G (m, d).
  void push(Index b, const T* G, double* out) {
    Mem<double> derivative(outputs());
    Plan<T> plan{};
    plan.push = G;
    Problem<T> problem = of_member(b);
    problem.f = derivative.data();
    launch(problem, plan, 1, alone_);
    derivative.copy_out(out);
  }

  // eval <- base + sum_s along[s] slots[s]; base <- eval, if commit.
  void shift(Index b, const std::vector<double>& along, const Slots<Slot<Device, T>>& slots,
             bool commit) {
    need_base();
    const Problem<T> p = of_member(b);
    combine(along, slots, p.base, p.lost, p.eval, commit);
  }

  // to <- base + sum_s along[s] slots[s], with what rounding has kept out of base (float); base <-
  // to, if commit. base may be null: 0.
  void combine(const std::vector<double>& along, const Slots<Slot<Device, T>>& slots, T* base,
               T* lost, T* to, bool commit) const {
    Blended<T> change;
    for (std::size_t s = 0; s < along.size(); ++s)
      if (along[s] != 0) change.add(along[s], slots[static_cast<Index>(s)]);
    for_elements<Device>(
        weights(), ASYMFAST_ON_DEVICE(Index e) {
          const double exact =
              (base ? double(base[e]) : 0) + ((lost ? double(lost[e]) : 0) + change(e));
          to[e] = T(exact);
          if (!commit) return;
          if (lost) lost[e] = T(exact - double(to[e]));
          base[e] = to[e];
        });
  }

  // Between updates that leave base where it is, eval is another array.
  void need_base() {
    if (problem_.base) return;
    problem_.base = hold(Mem<T>(B_ * weights()));
    cuda::copy<Device>(problem_.base, problem_.eval, B_ * weights());
  }

  // eval <- base
  void go_back(Index b) {
    const Problem<T> p = of_member(b);
    if (p.base) cuda::copy<Device>(p.eval, p.base, weights());
  }

  void serialise(Index b, Archive& archive) {
    const Problem<T> p = of_member(b);
    const auto visit = [&](T* array, Index size) {
      if (array) serialise_on<Device>(archive, array, size);
    };
    visit(p.base ? p.base : p.eval, weights());
    visit(p.lost, weights());
    visit(p.a, output_weights());
    visit(p.lost_a, output_weights());
    if (!archive.reading()) return;
    go_back(b);
    if (!train_output_) return;
    std::vector<T> a(output_weights()), root(p.m), c;
    transfer<Device>(a.data(), p.a, output_weights());
    transfer<Device>(root.data(), p.root_lam, p.m);
    for (std::size_t e = 0; e < a.size(); ++e) c.push_back(root[e / p.k] * a[e]);
    transfer<Device>(p.c, c.data(), output_weights());
  }

  Problem<T> of_member(Index b) const { return problem_.of_member(b); }

  Index weights() const { return problem_.m * problem_.d; }         // of a member
  Index output_weights() const { return problem_.m * problem_.k; }  // of a member
  Index outputs() const { return problem_.n * problem_.k; }         // of a member
  const double* host_f(Index b) const { return host_f_.data() + b * outputs(); }
  // Where the loss of a member stands after every launch that moved it.
  const double* loss(Index b) const { return &losses_[b]; }
  void copy_initial_outputs(Index b, T* a) const {
    std::copy_n(initial_a_ + b * output_weights(), output_weights(), a);
  }

 private:
  Plan<T> plan_of(const StepPlan& steps) {
    Plan<T> plan{};
    plan.steps = steps.steps;
    plan.train_output = train_output_;
    if (steps.step.size() > std::size(plan.stage)) throw std::logic_error("cuda: too many stages");
    for (const Update& update : steps.step) {
      plan.stage[plan.stages++] = update;
      if (!update.commit) need_base();
      if (update.uses_sum() && !problem_.sum) problem_.sum = hold(Mem<T>::zeros(B_ * weights()));
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
    launch(problem, plan, 1, alone_);
    MemberSteps progress;
    transfer<Device>(&progress, alone_, 1);
    losses_[b] = progress.loss;
    if (!plan.rows && problem_.k > 0)
      transfer<Device>(host_f_.data() + b * outputs(), problem_.f + b * outputs(), outputs());
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

  void launch(const Problem<T>& problem, const Plan<T>& plan, Index members,
              MemberSteps* progress) {
    if (parts_ && !plan.gradient && !plan.push) {
      const auto room = [&](const T* array, T*& copy) {  // transposed, if there is such an array
        if (array && !copy)
          copy = hold(Mem<T>(B_ * problem.d * Small::units_of(problem.m) * Small::kUnit));
        return array ? copy : nullptr;
      };
      launch_all<Small>(resident_grid(members, problem.n, problem.m, problem.d, problem.k), members,
                        {problem, plan, progress, parts_, room(problem.base, base_transposed_),
                         room(problem.lost, lost_transposed_), room(problem.sum, sum_transposed_)});
    } else if (Large::tiles(problem.m) * Large::tiles(problem.n) >= Setup::kManyTiles) {
      launch_all<Large>(grid_for<Large>(members, problem), members, {problem, plan, progress});
    } else {
      launch_all<Kernel>(grid_for<Kernel>(members, problem), members, {problem, plan, progress});
    }
  }

  template <class Which>
  static void launch_all(const Grid& grid, Index members, const typename Which::Args& args) {
    for (Index group = 0; group < members; group += grid.groups)
      Device::template launch<Which>(group, std::min(grid.groups, members - group), grid.ranks,
                                     grid.shared, args);
  }

  // Memory of the fleet, to its end.
  template <class U>
  U* hold(Mem<U>&& memory) {
    U* data = memory.data();
    held_.push_back(std::make_shared<Mem<U>>(std::move(memory)));
    return data;
  }

  Index B_;
  bool train_output_;
  const T* initial_a_;  // the caller's
  std::vector<std::shared_ptr<void>> held_;
  Problem<T> problem_{};
  T* parts_ = nullptr;  // null: the problem is not small
  T *base_transposed_ = nullptr, *lost_transposed_ = nullptr, *sum_transposed_ = nullptr;
  MemberSteps *progress_, *alone_;  // of all members, of one by itself
  Mem<double> scales_;
  Mem<std::int32_t> rows_, sizes_;
  std::vector<double> host_f_, losses_;
};

}  // namespace asymfast::cuda
