// One network trained on batches: what Member is to the methods that use all samples in a step.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "train/both_layers.hpp"
#include "train/member.hpp"
#include "train/sampler.hpp"

namespace asymfast {

template <class T>
class BatchMember : public Standing {
 public:
  BatchMember(const KernelTable& kernels, std::unique_ptr<BatchEngine<T>> its_engine,
              const NetworkView<T>& net, const DataView<T>& data, const BatchTraining& training,
              std::uint64_t key)
      : engine(std::move(its_engine)),
        kernels_(&kernels),
        net_(net),
        data_(data),
        training_(training),
        sampler_(key, data.X.rows, training.largest_batch),
        f_(data.y.size()),
        W_(net.W.size()),
        a_(net.a.size()) {}

  std::unique_ptr<BatchEngine<T>> engine;

  void start(const Context& context) {
    evaluate_on_all(context);
    expect(loss_on_all_, loss_of_zero(training_.loss, data_.y));
    check(loss_on_all_);
    resume(context);
  }

  void resume(const Context& context) { engine->evaluate(sampler_.batch(step), context); }

  Batch batch(Index at_step) { return sampler_.batch(at_step); }

  // All samples may show a divergence that no batch has shown.
  void evaluate_for_record(const Context& context) {
    if (diverged) return;
    evaluate_on_all(context);
    if (!context.watch.stopped()) check(loss_on_all_);
  }

  using Standing::check;
  void check() { Standing::check(engine->loss()); }  // on the batch at hand

  double loss() const { return loss_on_all_; }
  const double* outputs() const { return f_.data(); }
  void copy_weights_to(T* W, T* a) const { engine->copy_weights_to(W, a); }

  double curvature(const Context& context) {
    const Batch first = sampler_.batch(0);
    const Index d = net_.d(), k = net_.k();
    std::vector<T> x, y;
    for (Index i = 0; i < first.size; ++i) {
      const Index row = first.rows[i];
      x.insert(x.end(), data_.X.row(row), data_.X.row(row) + d);
      y.insert(y.end(), data_.y.row(row), data_.y.row(row) + k);
    }
    const MatrixView<const T> X{x.data(), first.size, d}, Y{y.data(), first.size, k};
    const auto engine_of_all = make_engine<T>(*kernels_, net_, X, Y, training_.loss,
                                              training_.train_output, context.slopes_memory);
    return largest_curvature(*engine_of_all, training_.loss, first.size, k, *kernels_, context);
  }

  void serialise(Archive& archive, Index last_step, double t_end) {
    Standing::serialise(archive, last_step, t_end);
    engine->serialise(archive);
  }

 private:
  void evaluate_on_all(const Context& context) {
    engine->copy_weights_to(W_.data(), a_.data());
    NetworkView<T> now = net_;
    now.W.data = W_.data();
    now.a.data = a_.data();
    kernels_->of<T>().forward(now, data_.X, f_.data(), context);
    loss_on_all_ = loss_and_residual<T>(training_.loss, {f_.data(), data_.y.rows, data_.y.cols},
                                        data_.y, nullptr);
  }

  const KernelTable* kernels_;
  NetworkView<T> net_;  // at the start of the run
  DataView<T> data_;
  BatchTraining training_;
  Sampler sampler_;
  std::vector<double> f_;  // (n, k) at the last record
  std::vector<T> W_, a_;
  double loss_on_all_ = 0;
};

}  // namespace asymfast
