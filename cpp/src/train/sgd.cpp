// Stochastic gradient descent.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "train/methods/method.hpp"
#include "train/requirements.hpp"
#include "train/run.hpp"
#include "train/sampler.hpp"

namespace asymfast {

namespace {

// One network trained on batches: what Member is to the methods that use all samples in a step.
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
    check(loss_on_all_);
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
    loss_on_all_ = loss_and_residual(training_.loss, f_.data(), data_.y);
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

// One batch a step; the learning rate is that of the epoch.
template <class T>
class SgdMethod : public EqualSteps<BatchMember<T>> {
 public:
  SgdMethod(const Sgd& settings, Index n) : batch_size_(settings.batch_size) {
    this->updates_ = {{-1, 0, 0, 0, true}};
    for (std::size_t e = 0; e < settings.lr.size(); ++e) {
      if (e > 0 && settings.lr[e] == settings.lr[e - 1]) continue;
      const Index first = static_cast<Index>(e) * settings.steps_per_epoch(n);
      stretches_.push_back({first, e == 0 ? 0 : stretches_.back().time_at(first), settings.lr[e]});
    }
  }

  Index steps_to(const BatchMember<T>& member, const Goal& goal) override {
    // The batches of a plan are listed: some megabytes of them at most.
    const Index most = std::max<Index>(1, (Index(1) << 20) / batch_size_);
    return std::clamp<Index>(goal.step - member.step, 0, most);
  }
  void plan(BatchMember<T>& member, Index b, const Goal&, StepPlan& plan) override {
    plan.step = this->updates_;
    plan.scales.clear(), plan.sizes.clear();
    const auto size = static_cast<std::size_t>((plan.steps + 1) * batch_size_);
    plan.rows.resize(std::max(plan.rows.size(), static_cast<std::size_t>(b + 1) * size));
    auto rows = plan.rows.begin() + b * static_cast<Index>(size);
    for (Index s = 0; s <= plan.steps; ++s, rows += batch_size_) {
      const Batch batch = member.batch(member.step + s);
      std::copy_n(batch.rows, batch.size, rows);
      plan.sizes.push_back(static_cast<std::int32_t>(batch.size));
      if (s < plan.steps) plan.scales.push_back(stretch_of(member.step + s).lr);
    }
  }

 private:
  // Steps of one learning rate: their time is not added up but multiplied.
  struct Stretch {
    Index first;
    double time, lr;

    double time_at(Index step) const { return time + lr * double(step - first); }
  };

  void advance(BatchMember<T>& member, const Context& context) override {
    member.engine->advance(stretch_of(member.step).lr, member.batch(member.step + 1), context);
    ++member.evaluations;
  }
  void take(BatchMember<T>& member, Index steps) override {
    member.step += steps;
    member.time = stretch_of(std::max<Index>(member.step - 1, 0)).time_at(member.step);
  }

  const Stretch& stretch_of(Index step) const {
    const auto after = [](Index s, const Stretch& stretch) { return s < stretch.first; };
    return *(std::upper_bound(stretches_.begin(), stretches_.end(), step, after) - 1);
  }

  Index batch_size_;
  std::vector<Stretch> stretches_;
};

void require_settings(const Sgd& settings, Index n, Index B) {
  constexpr const char* who = "sgd";
  require_count(who, "epochs", settings.epochs);
  require_count(who, "batch_size", settings.batch_size);
  if (settings.batch_size > n)
    refuse(who, "batch_size must be at most n = " + std::to_string(n) + ", got " +
                    std::to_string(settings.batch_size));
  const auto rates = static_cast<Index>(settings.lr.size());
  const auto keys = static_cast<Index>(settings.keys.size());
  if (rates != 1 && rates != settings.epochs)
    refuse(who, "lr must hold one rate or one for each of " + std::to_string(settings.epochs) +
                    " epochs, got " + std::to_string(rates));
  for (const double lr : settings.lr) require_positive(who, "lr", lr);
  if (keys != B)
    refuse(who, "keys must hold one for each of " + std::to_string(B) + " members, got " +
                    std::to_string(keys));
}

}  // namespace

template <class T>
RunResult<T> sgd(const Training<T>& training, const Sgd& settings) {
  const EnsembleView<T>& nets = training.nets;
  const Index n = training.train.X.rows;
  require_settings(settings, n, nets.B);
  require_run("sgd", training, double(settings.epochs) * double(settings.steps_per_epoch(n)), 0);
  if (training.hooks.sum_over_ranks)
    refuse("sgd", "sum_over_ranks is for gradient_descent and gradient_flow alone");
  const BatchTraining how{training.loss, settings.batch_size, settings.train_output};
  const KernelTable& kernels = kernel_table(training.exec.backend);
  const auto make_fleet = kernels.of<T>().make_fleet;
  const auto make_member = [&](Index b, Fleet<T>* fleet) {
    const NetworkView<T> net = nets.member(b);
    const DataView<T> data = training.train.member(b);
    auto engine = fleet ? fleet->batch_engine(b)
                        : kernels.of<T>().make_batch_engine(net, data.X, data.y, how);
    return BatchMember<T>(kernels, std::move(engine), net, data, how, settings.keys[b]);
  };
  Run<T, BatchMember<T>> run(
      training, settings.steps(n), kNoTimeLimit,
      {make_fleet ? make_fleet(nets, training.train, how) : nullptr, make_member});
  return run(2.0, [&](Index) { return std::make_unique<SgdMethod<T>>(settings, n); });
}

template RunResult<float> sgd(const Training<float>&, const Sgd&);
template RunResult<double> sgd(const Training<double>&, const Sgd&);

}  // namespace asymfast
