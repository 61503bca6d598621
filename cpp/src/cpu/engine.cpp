// The training engine: gradient, update and forward pass of a chunk of nodes in one go, while its
// weights are in cache. Nodes are split over threads; one barrier a step, where the outputs are
// summed. Many samples of few inputs are split over threads instead: forward pass and gradient are
// one (sample_pass.hpp), and the nodes' update stands between two of them.
// Cost of a step: 4 n m d flop and n m evaluations of sigma and sigma'.
#include "engine.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "backend.hpp"
#include "cpu/network.hpp"
#include "cpu/ntg_of_slopes.hpp"
#include "cpu/sample_pass.hpp"
#include "math/losses.hpp"

namespace asymfast::cpu {

namespace {

// sigma' is remembered from the forward pass to the gradient, except where it would not fit: it is
// n m elements. Where d is small it is cheaper computed twice than fetched from main memory.
template <class T>
bool remembers_slopes(const Layout<T>& at, double slopes_memory) {
  const double bytes = double(at.n) * double(at.blocks * kBlock<T>) * sizeof(T);
  const double most = at.d <= kFewInputs ? tuning::kSlopesOfFewInputs : tuning::kSlopesOfManyInputs;
  return bytes <= most && (slopes_memory == 0 || bytes <= slopes_memory);
}

template <class T>
class CpuEngine final : public Engine<T> {
 public:
  CpuEngine(const NetworkView<T>& net, MatrixView<const T> X, MatrixView<const T> y, Loss loss,
            double slopes_memory)
      : sweep_(net, X),
        layout_(sweep_.layout),
        pass_(sweep_, y, loss),
        y_(y),
        kind_(loss),
        base_(packed(net.W)),
        lost_(base_.size()),
        point_(base_.data()),
        remembered_(
            remembers_slopes(layout_, slopes_memory) ? layout_.n * layout_.blocks * kBlock<T> : 0),
        outputs_(layout_.n * layout_.k),
        residual_(layout_.n * layout_.k),
        gradients_(base_.size()),
        jacobians_(layout_.n * layout_.blocks * kBlock<T>) {
    this->f_ = outputs_.data();
  }

  void restart(const Context& context) override {
    if (!by_samples(context) && slopes_.size() != remembered_) slopes_ = Buffer<T>(remembered_);
    go(false, base_.data(), context, [](Index, T*) {});
  }

  void advance(const Update& update, const Context& context) override {
    if (update.uses_sum() && sum_.size() == 0) sum_ = Buffer<T>(base_.size());
    go(true, destination(update.commit), context,
       [&](Index chunk, T* gradient) { apply(update, chunk, gradient); });
  }

  void ntg_product(const T* u, double* out, const Context& context) override {
    sweep_.for_chunks(context, [&](Index chunk, Scratch<T>& scratch, double* outputs) {
      sweep_.gradient(chunk, point_, slopes_.data(), u, scratch);
      sweep_.jvp(chunk, point_, slopes_.data(), scratch, outputs);
    });
    sum_outputs(out, context);
  }

  void stage(const Stage& stage, const Context& context) override {
    T* kept = stage.keep < 0 ? nullptr : gradients_.make(stage.keep);
    T* to = stage.along.empty() ? nullptr : destination(stage.commit);
    go(kept != nullptr, to, context, [&](Index chunk, T* G) {
      const auto [first, count] = weights_of(chunk);
      if (kept) std::copy_n(G, count, kept + first);
      if (!to) return;
      add_gradients(stage.along, chunk, G);
      shift(chunk, G, stage.commit);
    });
  }

  void push(const std::vector<double>& along, double* out, const Context& context) override {
    sweep_.for_chunks(context, [&](Index chunk, Scratch<T>& scratch, double* outputs) {
      add_gradients(along, chunk, scratch.G.data());
      sweep_.jvp(chunk, point_, slopes_.data(), scratch, outputs);
    });
    sum_outputs(out, context);
  }

  void combine(const std::vector<double>& along, T* out) const override {
    Buffer<T> sum(layout_.blocks_per_chunk * layout_.weights_per_block());
    for (Index chunk = 0; chunk < layout_.chunks; ++chunk) {
      const Range blocks = layout_.blocks_of_chunk(chunk);
      add_gradients(along, chunk, sum.data());
      unpack(sum.data(), blocks, MatrixView<T>{out, layout_.m, layout_.d});
    }
  }

  void move(const Move<T>& move, const Context& context) override {
    T* slopes = move.into < 0 ? slopes_.data() : jacobians_.make(move.into);
    const std::vector<const T*> along = saved(move.slots);
    T* to = destination(move.commit);
    sweep_.for_chunks(context, [&](Index chunk, Scratch<T>& scratch, double* outputs) {
      sweep_.vjp_of_slopes(chunk, along, move.u.data(), scratch);
      shift(chunk, scratch.G.data(), move.commit);
      sweep_.evaluate(chunk, to, slopes, scratch, outputs);
    });
    point_ = to;
    finish(context);
  }

  void ntg_of_saved(const Blend& left, Index right, double* K, const Context& context) override {
    cpu::ntg_of_slopes(jacobians(left, right), K, context);
    sum_over_ranks(K, layout_.n * layout_.k * layout_.n * layout_.k, context);
  }

  void product_of_saved(const Blend& left, Index right, MatrixView<const double> V, double* out,
                        const Context& context) override {
    cpu::ntg_product(jacobians(left, right), V, out, context);
    sum_over_ranks(out, V.size(), context);
  }

  double distance_of_saved(Index one, Index other, const Context& context) override {
    double sum = sweep_.slope_distance8(jacobians_[one], jacobians_[other], context);
    sum_over_ranks(&sum, 1, context);
    return std::pow(sum, 0.125);
  }

  void save() override {
    if (saved_.size() == 0) {
      saved_ = Buffer<T>(base_.size());
      saved_lost_ = Buffer<T>(base_.size());
    }
    std::copy_n(base_.data(), base_.size(), saved_.data());
    std::copy_n(lost_.data(), base_.size(), saved_lost_.data());
  }

  void restore() override {
    std::copy_n(saved_.data(), base_.size(), base_.data());
    std::copy_n(saved_lost_.data(), base_.size(), lost_.data());
  }

  void serialise(Archive& archive) override {
    archive.array(base_.data(), base_.size());
    archive.array(lost_.data(), lost_.size());
    gradients_.serialise(archive);
    jacobians_.serialise(archive);
  }

  typename Engine<T>::Kept kept() const override {
    return {gradients_.count(), jacobians_.count()};
  }

  void copy_eval_to(T* W) const override {
    unpack(point_, {0, layout_.blocks}, MatrixView<T>{W, layout_.m, layout_.d});
  }

 private:
  // update(chunk, G) for every chunk, G being its gradient if that is needed, and then, unless `to`
  // is null, the evaluation there.
  template <class TakeUpdate>
  void go(bool needs_gradient, T* to, const Context& context, TakeUpdate&& update) {
    const T* from = point_;
    if (to) point_ = to;
    if (by_samples(context)) {
      sweep_.for_nodes(context, [&](Index chunk, Scratch<T>& scratch) {
        if (needs_gradient) pass_.gradient(chunk, scratch.G.data());
        update(chunk, scratch.G.data());
      });
      if (to) this->own_loss_ = pass_(to, outputs_.data(), residual_.data(), context);
      return;
    }
    sweep_.for_chunks(context, [&](Index chunk, Scratch<T>& scratch, double* outputs) {
      if (needs_gradient) sweep_.gradient(chunk, from, slopes_.data(), residual_.data(), scratch);
      update(chunk, scratch.G.data());
      if (to) sweep_.evaluate(chunk, to, slopes_.data(), scratch, outputs);
    });
    if (to) finish(context);
  }

  // Whole blocks, as strong as their strongest node.
  const std::vector<Index>& blocks_of(Part part) {
    if (parts_.empty()) {
      std::vector<double> strength;
      for (Index block = 0; block < layout_.blocks; ++block) {
        double most = 0;
        for (Index i = 0; i < layout_.k * kBlock<T>; ++i)
          most = std::max(most, std::abs(double(sweep_.c(block)[i])));
        strength.push_back(most);
      }
      parts_ = Parts(strength);
    }
    return parts_[part];
  }

  std::vector<const T*> saved(const std::vector<Index>& which) const {
    std::vector<const T*> all(which.size());
    std::transform(which.begin(), which.end(), all.begin(), [&](Index l) { return jacobians_[l]; });
    return all;
  }
  Jacobians<T> jacobians(const Blend& left, Index right) {
    return {layout_,
            {saved(left.slots), left.shares},
            {{jacobians_[right]}, {1}},
            sweep_.c(0),
            blocks_of(left.nodes),
            sweep_.x()};
  }

  // First weight of a chunk and how many it has, in the packed order.
  std::pair<Index, Index> weights_of(Index chunk) const {
    const Range blocks = layout_.blocks_of_chunk(chunk);
    return {blocks.first * layout_.weights_per_block(),
            blocks.size() * layout_.weights_per_block()};
  }

  // sum (of a chunk) = sum_s along[s] gradients[s]; rejected stages may have left NaN in a slot.
  void add_gradients(const std::vector<double>& along, Index chunk, T* sum) const {
    const auto [first, count] = weights_of(chunk);
    std::fill_n(sum, count, T(0));
    for (std::size_t s = 0; s < along.size(); ++s) {
      if (along[s] == 0) continue;
      const Vec<T>* g = as_vectors(gradients_[s] + first);
      const T weight = T(along[s]);
      for (Index i = 0; i < count / kLanes<T>; ++i) as_vectors(sum)[i] += weight * g[i];
    }
  }

  // Where the next point of evaluation is to be written.
  T* destination(bool commit) {
    if (!commit && stage_.size() == 0) stage_ = Buffer<T>(base_.size());
    return commit ? base_.data() : stage_.data();
  }

  // destination <- base + change(i, what rounding has kept out of base so far) of a chunk. Late in
  // a run the steps are below the rounding of W: what a step loses is added to the next.
  template <class Change>
  void shift_by(Index chunk, bool commit, Change&& change) {
    const auto [first, count] = weights_of(chunk);
    Vec<T>* base = as_vectors(base_.data() + first);
    Vec<T>* lost = as_vectors(lost_.data() + first);
    Vec<T>* stage = commit ? nullptr : as_vectors(stage_.data() + first);
    for (Index i = 0; i < count / kLanes<T>; ++i) {
      const Vec<T> step = change(i, lost[i]);
      const Vec<T> next = base[i] + step;
      if (commit) {
        lost[i] = step - (next - base[i]);
        base[i] = next;
      } else {
        stage[i] = next;
      }
    }
  }

  void shift(Index chunk, const T* change, bool commit) {
    const Vec<T>* delta = as_vectors(change);
    shift_by(chunk, commit, [=](Index i, Vec<T> lost) { return delta[i] + lost; });
  }

  void apply(const Update& update, Index chunk, const T* gradient) {
    const Vec<T>* g = as_vectors(gradient);
    const T along_gradient = T(update.along_gradient), along_sum = T(update.along_sum);
    if (!update.uses_sum())
      return shift_by(chunk, update.commit,
                      [=](Index i, Vec<T> lost) { return along_gradient * g[i] + lost; });
    const auto [first, count] = weights_of(chunk);
    const T keep = T(update.keep_sum), gain = T(update.gain);
    Vec<T>* sum = as_vectors(sum_.data() + first);
    if (update.keep_sum == 0)
      std::fill_n(sum, count / kLanes<T>, Vec<T>{});  // a rejected step may have left NaN
    shift_by(chunk, update.commit, [=](Index i, Vec<T> lost) {
      sum[i] = fma(broadcast<Vec<T>>(keep), sum[i], gain * g[i]);
      Vec<T> change = along_gradient * g[i] + lost;
      change += along_sum * sum[i];
      return change;
    });
  }

  void sum_outputs(double* out, const Context& context) const {
    sweep_.sum_outputs(out);
    sum_over_ranks(out, layout_.n * layout_.k, context);
  }

  // A process that shares the nodes with others has the outputs only after all of them.
  bool by_samples(const Context& context) const {
    return pass_ && !(context.ranks && !context.ranks->alone());
  }

  void finish(const Context& context) {
    sum_outputs(outputs_.data(), context);
    this->own_loss_ = loss_and_residual(kind_, outputs_.data(), y_, residual_.data());
  }

  Sweep<T> sweep_;
  const Layout<T>& layout_;
  SamplePass<T> pass_;
  MatrixView<const T> y_;
  Loss kind_;
  Buffer<T> base_, lost_;  // the point of the run, and what rounding has kept out of it so far
  const T* point_;         // where it was last evaluated: base_ or stage_
  Index remembered_;       // elements of slopes_, where steps go through the nodes
  Buffer<T> stage_, sum_, saved_, saved_lost_, slopes_;
  Buffer<double> outputs_;
  Buffer<T> residual_;
  Slots<Buffer<T>> gradients_, jacobians_;  // Jacobians as the slopes at their points
  Parts parts_;                             // of the blocks; empty until they are asked for
};

}  // namespace

void add_engine(KernelTable& table) {
  table.of_float.make_engine = &make<Engine<float>, CpuEngine<float>>;
  table.of_double.make_engine = &make<Engine<double>, CpuEngine<double>>;
}

}  // namespace asymfast::cpu
