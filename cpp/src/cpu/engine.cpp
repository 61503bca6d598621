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
#include "cpu/ntg_product.hpp"
#include "cpu/sample_pass.hpp"
#include "losses.hpp"
#include "ranks.hpp"

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
        at_(sweep_.layout),
        pass_(sweep_, y, loss),
        y_(y),
        kind_(loss),
        base_(packed_weights(at_, net.W.data)),
        lost_(base_.size()),
        point_(base_.data()),
        remembered_(remembers_slopes(at_, slopes_memory) ? at_.n * at_.blocks * kBlock<T> : 0),
        outputs_(at_.n * at_.k),
        residual_(at_.n * at_.k) {
    this->f_ = outputs_.data();
  }

  void restart(const Context& context) override {
    point_ = base_.data();
    if (by_samples(context)) return pass(context);
    if (slopes_.size() != remembered_) slopes_ = Buffer<T>(remembered_);
    sweep_.for_chunks(context, [&](Index chunk, Scratch<T>& scratch, double* outputs) {
      sweep_.evaluate(chunk, point_, slopes_.data(), scratch, outputs);
    });
    finish(context);
  }

  void advance(const Update& update, const Context& context) override {
    if (update.uses_sum() && sum_.size() == 0) sum_ = Buffer<T>(base_.size());
    const T* from = point_;
    T* to = destination(update.commit);
    if (by_samples(context)) {
      sweep_.for_nodes(context, [&](Index chunk, Scratch<T>& scratch) {
        pass_.gradient(chunk, scratch.G.data());
        apply(update, chunk, scratch.G.data());
      });
      point_ = to;
      return pass(context);
    }
    sweep_.for_chunks(context, [&](Index chunk, Scratch<T>& scratch, double* outputs) {
      sweep_.gradient(chunk, from, slopes_.data(), residual_.data(), scratch);
      apply(update, chunk, scratch.G.data());
      sweep_.evaluate(chunk, to, slopes_.data(), scratch, outputs);
    });
    point_ = to;
    finish(context);
  }

  void ntg_product(const T* u, double* out, const Context& context) override {
    sweep_.for_chunks(context, [&](Index chunk, Scratch<T>& scratch, double* outputs) {
      sweep_.gradient(chunk, point_, slopes_.data(), u, scratch);
      sweep_.jvp(chunk, point_, slopes_.data(), scratch, outputs);
    });
    sum_outputs(out, context);
  }

  void stage(const Stage& stage, const Context& context) override {
    const bool moves = !stage.along.empty();
    if (stage.keep >= 0) slot(gradients_, stage.keep, base_.size());
    const T* from = point_;
    T* to = moves ? destination(stage.commit) : nullptr;
    const auto keep = [&](Index chunk, const T* gradient) {
      const auto [first, count] = weights_of(chunk);
      std::copy_n(gradient, count, gradients_[static_cast<std::size_t>(stage.keep)].data() + first);
    };
    const auto move = [&](Index chunk, T* change) {
      add_gradients(stage.along, chunk, change);
      shift(chunk, change, stage.commit);
    };
    if (by_samples(context)) {
      sweep_.for_nodes(context, [&](Index chunk, Scratch<T>& scratch) {
        if (stage.keep >= 0) {
          pass_.gradient(chunk, scratch.G.data());
          keep(chunk, scratch.G.data());
        }
        if (moves) move(chunk, scratch.G.data());
      });
      if (!moves) return;
      point_ = to;
      return pass(context);
    }
    sweep_.for_chunks(context, [&](Index chunk, Scratch<T>& scratch, double* outputs) {
      if (stage.keep >= 0) {
        sweep_.gradient(chunk, from, slopes_.data(), residual_.data(), scratch);
        keep(chunk, scratch.G.data());
      }
      if (!moves) return;
      move(chunk, scratch.G.data());
      sweep_.evaluate(chunk, to, slopes_.data(), scratch, outputs);
    });
    if (!moves) return;
    point_ = to;
    finish(context);
  }

  void push(const std::vector<double>& along, double* out, const Context& context) override {
    sweep_.for_chunks(context, [&](Index chunk, Scratch<T>& scratch, double* outputs) {
      add_gradients(along, chunk, scratch.G.data());
      sweep_.jvp(chunk, point_, slopes_.data(), scratch, outputs);
    });
    sum_outputs(out, context);
  }

  void combine(const std::vector<double>& along, T* out) const override {
    Buffer<T> sum(at_.blocks_per_chunk * at_.weights_per_block());
    for (Index chunk = 0; chunk < at_.chunks; ++chunk) {
      const Range blocks = at_.blocks_of_chunk(chunk);
      add_gradients(along, chunk, sum.data());
      unpack_weights(at_, sum.data(), blocks, out);
    }
  }

  void move(const Move<T>& move, const Context& context) override {
    T* slopes = slopes_.data();
    if (move.into >= 0) slopes = slot(frames_, move.into, at_.n * at_.blocks * kBlock<T>).data();
    const std::vector<const T*> along = frames(move.frames);
    T* to = destination(move.commit);
    sweep_.for_chunks(context, [&](Index chunk, Scratch<T>& scratch, double* outputs) {
      sweep_.vjp_of_slopes(chunk, along, move.u.data(), scratch);
      shift(chunk, scratch.G.data(), move.commit);
      sweep_.evaluate(chunk, to, slopes, scratch, outputs);
    });
    point_ = to;
    finish(context);
  }

  void frame_ntg(const Blend& left, Index right, double* K, const Context& context) override {
    cpu::ntg_of_slopes(at_, Slopes<T>{frames(left.frames), left.shares}, frame(right), sweep_.c(0),
                       blocks_of(left.nodes), sweep_.x(), K, context);
    sum_over_ranks(K, at_.n * at_.k * at_.n * at_.k, context);
  }

  void frame_product(const Blend& left, Index right, MatrixView<const double> V, double* out,
                     const Context& context) override {
    cpu::ntg_product(at_, Slopes<T>{frames(left.frames), left.shares}, frame(right), sweep_.c(0),
                     blocks_of(left.nodes), sweep_.x(), V, out, context);
    sum_over_ranks(out, V.size(), context);
  }

  double frame_distance(Index one, Index other, const Context& context) override {
    double sum = sweep_.slope_distance8(frame(one), frame(other), context);
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

  void state(Archive& archive) override {
    archive.array(base_.data(), base_.size());
    archive.array(lost_.data(), lost_.size());
    visit(archive, gradients_, base_.size());
    visit(archive, frames_, at_.n * at_.blocks * kBlock<T>);
  }

  typename Engine<T>::Kept kept() const override {
    return {static_cast<Index>(gradients_.size()), static_cast<Index>(frames_.size())};
  }

  void copy_eval_to(T* W) const override { unpack_weights(at_, point_, {0, at_.blocks}, W); }

 private:
  using Slots = std::vector<Buffer<T>>;

  // Slots come into being in their order, or all those before with them.
  static Buffer<T>& slot(Slots& slots, Index index, Index size) {
    while (static_cast<Index>(slots.size()) <= index) slots.emplace_back(size);
    return slots[static_cast<std::size_t>(index)];
  }

  // Whole blocks, as strong as their strongest node.
  const std::vector<Index>& blocks_of(Part part) {
    if (parts_.empty()) {
      std::vector<double> strength;
      for (Index block = 0; block < at_.blocks; ++block) {
        double most = 0;
        for (Index i = 0; i < at_.k * kBlock<T>; ++i)
          most = std::max(most, std::abs(double(sweep_.c(block)[i])));
        strength.push_back(most);
      }
      parts_ = Parts(strength);
    }
    return parts_[part];
  }

  const T* frame(Index l) const { return frames_[static_cast<std::size_t>(l)].data(); }
  std::vector<const T*> frames(const std::vector<Index>& which) const {
    std::vector<const T*> all;
    for (const Index l : which) all.push_back(frame(l));
    return all;
  }

  static void visit(Archive& archive, Slots& slots, Index size) {
    auto count = static_cast<Index>(slots.size());
    archive(count);
    for (Index l = 0; l < count; ++l) archive.array(slot(slots, l, size).data(), size);
  }

  // First weight of a chunk and how many it has, in the packed order.
  std::pair<Index, Index> weights_of(Index chunk) const {
    const Range blocks = at_.blocks_of_chunk(chunk);
    return {blocks.first * at_.weights_per_block(), blocks.size() * at_.weights_per_block()};
  }

  // sum (of a chunk) = sum_s along[s] gradients[s]; rejected stages may have left NaN in a slot.
  void add_gradients(const std::vector<double>& along, Index chunk, T* sum) const {
    const auto [first, count] = weights_of(chunk);
    std::fill_n(sum, count, T(0));
    for (std::size_t s = 0; s < along.size(); ++s) {
      if (along[s] == 0) continue;
      const Vec<T>* g = as_vectors(gradients_[s].data() + first);
      const T weight = T(along[s]);
      for (Index i = 0; i < count / kLanes<T>; ++i) as_vectors(sum)[i] += weight * g[i];
    }
  }

  // Where the next point of evaluation is to be written.
  T* destination(bool commit) {
    if (!commit && stage_.size() == 0) stage_ = Buffer<T>(base_.size());
    return commit ? base_.data() : stage_.data();
  }

  // destination <- base + change of a chunk, with what rounding has kept out of base so far.
  void shift(Index chunk, const T* change, bool commit) {
    const auto [first, count] = weights_of(chunk);
    const Vec<T>* delta = as_vectors(change);
    Vec<T>* base = as_vectors(base_.data() + first);
    Vec<T>* lost = as_vectors(lost_.data() + first);
    Vec<T>* stage = commit ? nullptr : as_vectors(stage_.data() + first);
    for (Index i = 0; i < count / kLanes<T>; ++i) {
      const Vec<T> step = delta[i] + lost[i];
      const Vec<T> next = base[i] + step;
      if (commit) {
        lost[i] = step - (next - base[i]);
        base[i] = next;
      } else {
        stage[i] = next;
      }
    }
  }

  // Late in a run the steps are below the rounding of W: what a step loses is added to the next.
  void apply(const Update& update, Index chunk, const T* gradient) {
    const auto [first, count] = weights_of(chunk);
    const Vec<T>* g = as_vectors(gradient);
    Vec<T>* base = as_vectors(base_.data() + first);
    Vec<T>* lost = as_vectors(lost_.data() + first);
    const T along_gradient = T(update.along_gradient), along_sum = T(update.along_sum);
    const T keep = T(update.keep_sum), gain = T(update.gain);
    Vec<T>* stage = update.commit ? nullptr : as_vectors(stage_.data() + first);
    Vec<T>* sum = update.uses_sum() ? as_vectors(sum_.data() + first) : nullptr;
    if (sum && keep == 0)
      std::fill_n(sum, count / kLanes<T>, Vec<T>{});  // a rejected step may have left NaN
    for (Index i = 0; i < count / kLanes<T>; ++i) {
      Vec<T> change = along_gradient * g[i] + lost[i];
      if (sum) {
        sum[i] = fma(broadcast<Vec<T>>(keep), sum[i], gain * g[i]);
        change += along_sum * sum[i];
      }
      const Vec<T> next = base[i] + change;
      if (update.commit) {
        lost[i] = change - (next - base[i]);
        base[i] = next;
      } else {
        stage[i] = next;
      }
    }
  }

  void sum_outputs(double* out, const Context& context) const {
    sweep_.sum_outputs(out);
    sum_over_ranks(out, at_.n * at_.k, context);
  }

  // A process that shares the nodes with others has the outputs only after all of them.
  bool by_samples(const Context& context) const {
    return pass_ && !(context.ranks && !context.ranks->alone());
  }
  void pass(const Context& context) {
    this->own_loss_ = pass_(point_, outputs_.data(), residual_.data(), context);
  }

  void finish(const Context& context) {
    sum_outputs(outputs_.data(), context);
    this->own_loss_ =
        loss_and_residual<T>(kind_, {outputs_.data(), at_.n, at_.k}, y_, residual_.data());
  }

  Sweep<T> sweep_;
  const Layout<T>& at_;
  SamplePass<T> pass_;
  MatrixView<const T> y_;
  Loss kind_;
  Buffer<T> base_, lost_;  // the point of the run, and what rounding has kept out of it so far
  const T* point_;         // where it was last evaluated: base_ or stage_
  Index remembered_;       // elements of slopes_, where steps go through the nodes
  Buffer<T> stage_, sum_, saved_, saved_lost_, slopes_;
  Buffer<double> outputs_;
  Buffer<T> residual_;
  Slots gradients_, frames_;  // frames as the slopes at their points
  Parts parts_;               // of the blocks; empty until they are asked for
};

}  // namespace

template <class T>
void add_engine(Kernels<T>& kernels) {
  kernels.make_engine = [](const NetworkView<T>& net, MatrixView<const T> X, MatrixView<const T> y,
                           Loss loss, double slopes_memory) -> std::unique_ptr<Engine<T>> {
    return std::make_unique<CpuEngine<T>>(net, X, y, loss, slopes_memory);
  };
}

template void add_engine(Kernels<float>&);
template void add_engine(Kernels<double>&);

}  // namespace asymfast::cpu
