// The members of a fleet as engines of their own.
#pragma once

#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "cuda/device_fleet.hpp"
#include "cuda/saved_jacobians.hpp"

namespace asymfast::cuda {

template <class Setup, class T>
class MemberEngine final : public Engine<T> {
 public:
  using Fleet = DeviceFleet<Setup, T>;
  using Device = typename Setup::Device;
  using Mem = Memory<Device, T>;

  // A fleet of one belongs to its only engine.
  MemberEngine(Fleet& fleet, Index b, std::unique_ptr<Fleet> own = nullptr)
      : own_(std::move(own)),
        fleet_(fleet),
        b_(b),
        gradients_(fleet.weights()),
        change_(fleet.weights()),
        jacobians_(fleet.of_member(b)) {
    this->f_ = fleet_.host_f(b);
    this->loss_ = fleet_.loss(b);
  }

  void restart(const Context&) override {
    const DeviceLock lock(device_mutex());
    fleet_.go_back(b_);
    fleet_.evaluate(b_);
  }

  void advance(const Update& update, const Context&) override {
    const DeviceLock lock(device_mutex());
    fleet_.advance(b_, update);
  }

  void ntg_product(const T* u, double* out, const Context&) override {
    const DeviceLock lock(device_mutex());
    const Mem residual(u, fleet_.outputs()), G(fleet_.weights());
    fleet_.gradient(b_, G.data(), residual.data());
    fleet_.push(b_, G.data(), out);
  }

  void stage(const Stage& stage, const Context&) override {
    const DeviceLock lock(device_mutex());
    if (stage.keep >= 0) fleet_.gradient(b_, gradients_.make(stage.keep));
    if (stage.along.empty()) return;
    fleet_.shift(b_, stage.along, gradients_, stage.commit);
    fleet_.evaluate(b_);
  }

  void combine(const std::vector<double>& along, T* out) const override {
    const DeviceLock lock(device_mutex());
    combined(along).copy_out(out);
  }

  void push(const std::vector<double>& along, double* out, const Context&) override {
    const DeviceLock lock(device_mutex());
    const Mem direction = combined(along);
    fleet_.push(b_, direction.data(), out);
  }

  void move(const Move<T>& move, const Context&) override {
    const DeviceLock lock(device_mutex());
    std::vector<double> along;
    if (!move.slots.empty()) {
      jacobians_.pull(fleet_.of_member(b_), move);
      fleet_.gradient(b_, change_.make(0), nullptr, true);
      along = {1};
    }
    fleet_.shift(b_, along, change_, move.commit);
    fleet_.evaluate(b_, nullptr, move.into < 0 ? nullptr : jacobians_.slots.make(move.into));
  }

  void ntg_of_saved(const Blend& left, Index right, double* K, const Context&) override {
    const DeviceLock lock(device_mutex());
    jacobians_.ntg(fleet_.of_member(b_), left, right, K);
  }

  void product_of_saved(const Blend& left, Index right, MatrixView<const double> V, double* out,
                        const Context&) override {
    const DeviceLock lock(device_mutex());
    jacobians_.product(fleet_.of_member(b_), left, right, V, out);
  }

  double distance_of_saved(Index one, Index other, const Context&) override {
    const DeviceLock lock(device_mutex());
    return jacobians_.distance(one, other);
  }

  void save() override {
    const DeviceLock lock(device_mutex());
    fleet_.need_base();
    const Problem<T> p = fleet_.of_member(b_);
    const Index size = fleet_.weights();
    if (saved_.empty()) saved_ = Mem((p.lost ? 2 : 1) * size);
    cuda::copy<Device>(saved_.data(), p.base, size);
    if (p.lost) cuda::copy<Device>(saved_.data() + size, p.lost, size);
  }
  void restore() override {
    const DeviceLock lock(device_mutex());
    const Problem<T> p = fleet_.of_member(b_);
    const Index size = fleet_.weights();
    cuda::copy<Device>(p.base, saved_.data(), size);
    if (p.lost) cuda::copy<Device>(p.lost, saved_.data() + size, size);
  }

  void copy_eval_to(T* W) const override {
    const DeviceLock lock(device_mutex());
    transfer<Device>(W, fleet_.of_member(b_).eval, fleet_.weights());
  }

  typename Engine<T>::Kept kept() const override {
    return {gradients_.count(), jacobians_.slots.count()};
  }

  void serialise(Archive& archive) override {
    const DeviceLock lock(device_mutex());
    fleet_.serialise(b_, archive);
    gradients_.serialise(archive);
    jacobians_.slots.serialise(archive);
  }

 private:
  // sum_s along[s] gradients_[s].
  Mem combined(const std::vector<double>& along) const {
    Mem sum(fleet_.weights());
    fleet_.combine(along, gradients_, nullptr, nullptr, sum.data(), false);
    return sum;
  }

  std::unique_ptr<Fleet> own_;
  Fleet& fleet_;
  Index b_;
  Slots<Slot<Device, T>> gradients_;
  Slots<Slot<Device, T>> change_;  // of the weights, in a move
  SavedJacobians<Setup, T> jacobians_;
  Mem saved_;  // base, and what rounding kept out of it
};

template <class Setup, class T>
class MemberBatchEngine final : public BatchEngine<T> {
 public:
  using Fleet = DeviceFleet<Setup, T>;

  MemberBatchEngine(Fleet& fleet, Index b) : fleet_(fleet), b_(b) { this->loss_ = fleet_.loss(b); }

  void evaluate(const Batch& batch, const Context&) override {
    const DeviceLock lock(device_mutex());
    fleet_.evaluate(b_, &batch);
  }

  void advance(double, const Batch&, const Context&) override {
    throw std::logic_error("cuda: batches are stepped through by all members of a fleet at once");
  }

  void copy_weights_to(T* W, T* a) const override {
    const DeviceLock lock(device_mutex());
    using Device = typename Setup::Device;
    const Problem<T> p = fleet_.of_member(b_);
    transfer<Device>(W, p.eval, fleet_.weights());
    if (p.a)
      transfer<Device>(a, p.a, fleet_.output_weights());
    else
      fleet_.copy_initial_outputs(b_, a);
  }

  void serialise(Archive& archive) override {
    const DeviceLock lock(device_mutex());
    fleet_.serialise(b_, archive);
  }

 private:
  Fleet& fleet_;
  Index b_;
};

template <class Setup, class T>
std::unique_ptr<Engine<T>> DeviceFleet<Setup, T>::engine(Index b) {
  return std::make_unique<MemberEngine<Setup, T>>(*this, b);
}

template <class Setup, class T>
std::unique_ptr<BatchEngine<T>> DeviceFleet<Setup, T>::batch_engine(Index b) {
  return std::make_unique<MemberBatchEngine<Setup, T>>(*this, b);
}

}  // namespace asymfast::cuda
