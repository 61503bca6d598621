// Stochastic gradient descent: gradient, update and the forward pass of the next batch of a chunk
// of nodes in one go, while its weights are in cache; one barrier a step, where the outputs are
// summed. Cost of a step on b samples: 4 b m d flop, with output weights 2 b m k more, and b m
// evaluations of sigma and sigma'.
#include <algorithm>
#include <utility>

#include "backend.hpp"
#include "cpu/in_double.hpp"
#include "cpu/network.hpp"
#include "cpu/tiles.hpp"
#include "engine.hpp"
#include "math/losses.hpp"

namespace asymfast::cpu {

namespace {

template <class T>
class CpuBatchEngine final : public BatchEngine<T> {
 public:
  CpuBatchEngine(const NetworkView<T>& net, MatrixView<const T> X, MatrixView<const T> y,
                 const BatchTraining& training)
      : chunks_(Layout<T>(training.largest_batch, net.d(), net.m(), net.k())),
        layout_(chunks_.layout),
        activation_(net.activation),
        X_(X),
        y_(y),
        training_(training),
        W_(packed(net.W)),
        lost_W_(W_.size()),
        a_(packed(net.a)),
        lost_a_(a_.size()),
        c_(packed_scales(net)),
        root_lam_(packed_root_lam(net)),
        x_(layout_.n, layout_.d),
        next_x_(layout_.n, layout_.d),
        batch_y_(layout_.n * layout_.k),
        slopes_(layout_.n * layout_.blocks * kBlock<T>),
        values_(training.train_output ? slopes_.size() : 0),
        residual_(layout_.n * layout_.k),
        outputs_(layout_.n * layout_.k) {}

  void evaluate(const Batch& batch, const Context& context) override {
    gather(batch);
    chunks_.for_chunks(context, [&](Index chunk, BatchMemory& memory, double* outputs) {
      evaluate(chunk, batch.size, memory, outputs);
    });
    finish(batch);
  }

  void advance(double lr, const Batch& next, const Context& context) override {
    gather(next);
    chunks_.for_chunks(context, [&](Index chunk, BatchMemory& memory, double* outputs) {
      const Range blocks = layout_.blocks_of_chunk(chunk);
      for (Index block = blocks.first; block < blocks.last; ++block) descend(block, lr, memory);
      evaluate(chunk, next.size, memory, outputs);
    });
    finish(next);
  }

  void copy_weights_to(T* W, T* a) const override {
    unpack(W_.data(), {0, layout_.blocks}, MatrixView<T>{W, layout_.m, layout_.d});
    unpack(a_.data(), {0, layout_.blocks}, MatrixView<T>{a, layout_.m, layout_.k});
  }

  void serialise(Archive& archive) override {
    archive.array(W_.data(), W_.size());
    archive.array(lost_W_.data(), lost_W_.size());
    archive.array(a_.data(), a_.size());
    archive.array(lost_a_.data(), lost_a_.size());
    archive.array(c_.data(), c_.size());
  }

 private:
  struct BatchMemory {
    Buffer<T> Z, D;  // (tile, block), (batch, block)
    Buffer<Vec<T>> outputs;
    alignas(64) T step[kBlock<T>];

    // A small last batch may have larger tiles than the others.
    explicit BatchMemory(const Layout<T>& layout)
        : Z(std::min(layout.n, kLargestTile) * kBlock<T>),
          D(layout.n * kBlock<T>),
          outputs(std::min(layout.n, kLargestTile) * layout.k) {}
  };

  Index scales_per_block() const { return layout_.k * kBlock<T>; }
  T* of_block(Buffer<T>& all, Index block) const {
    return all.data() + block * layout_.n * kBlock<T>;
  }

  // next_x = the batch's inputs over sqrt(d), and its targets.
  void gather(const Batch& batch) {
    for (Index i = 0; i < batch.size; ++i) {
      next_x_.put(i, X_.row(batch.rows[i]));
      std::copy_n(y_.row(batch.rows[i]), layout_.k, batch_y_.data() + i * layout_.k);
    }
  }

  // The sum over the samples at hand, then the update of W and, if trained, a. Both gradients are
  // taken at the same point: D, which needs the old c, comes first.
  void descend(Index block, double lr, BatchMemory& memory) {
    T* c = c_.data() + block * scales_per_block();
    T* D = memory.D.data();
    pull_slopes<T>(of_block(slopes_, block), residual_.data(), size_, c, layout_.k, D);
    if (training_.train_output) {
      const T* root_lam = root_lam_.data() + block * kBlock<T>;
      T* a = a_.data() + block * scales_per_block();
      for (Index j = 0; j < kBlock<T>; ++j) memory.step[j] = T(-lr) * root_lam[j];
      cpu::descend<T>({residual_.data(), size_, layout_.k, layout_.k}, of_block(values_, block),
                      memory.step, a, lost_a_.data() + block * scales_per_block());
      for (Index q = 0; q < layout_.k; ++q)
        for (Index j = 0; j < kBlock<T>; ++j)
          c[q * kBlock<T> + j] = root_lam[j] * a[q * kBlock<T> + j];
    }
    std::fill_n(memory.step, kBlock<T>, T(-lr));
    cpu::descend<T>(x_.all().some({0, size_}), D, memory.step,
                    W_.data() + block * layout_.weights_per_block(),
                    lost_W_.data() + block * layout_.weights_per_block());
  }

  // Adds sum_j c_j sigma(Z_j(next_x)) of the chunk to outputs; keeps sigma' and, if needed, sigma.
  // One copy for both callers, so that a resumed run finds the very products and sums fused.
  [[gnu::noinline]] void evaluate(Index chunk, Index size, BatchMemory& memory, double* outputs) {
    const Range blocks = layout_.blocks_of_chunk(chunk);
    const Index tiles = ceil_div(size, kLargestTile);
    for (Index tile = 0; tile < tiles; ++tile) {
      const Range rows = piece(size, tiles, tile);
      Vec<T>* F = memory.outputs.data();
      std::fill_n(F, rows.size() * layout_.k, Vec<T>{});
      for (Index block = blocks.first; block < blocks.last; ++block) {
        T* Z = memory.Z.data();
        preactivations(next_x_.all().some(rows), W_.data() + block * layout_.weights_per_block(),
                       Z);
        T* slope = of_block(slopes_, block) + rows.first * kBlock<T>;
        T* value = training_.train_output ? of_block(values_, block) + rows.first * kBlock<T> : Z;
        with_activation(activation_, [&](auto sigma) {
          activate_and_keep<decltype(sigma)>(Stored<T>{Z, rows.size()},
                                             c_.data() + block * scales_per_block(), layout_.k,
                                             value, slope, F);
        });
      }
      add_sums_of_lanes<T>(F, rows.size() * layout_.k, outputs + rows.first * layout_.k);
    }
  }

  // The batch gathered is now the one at hand.
  void finish(const Batch& batch) {
    chunks_.sum_outputs(outputs_.data(), batch.size * layout_.k);
    std::swap(x_, next_x_);
    size_ = batch.size;
    const MatrixView<const T> y{batch_y_.data(), size_, layout_.k};
    this->own_loss_ = loss_and_residual(training_.loss, outputs_.data(), y, residual_.data());
  }

  Chunks<T, BatchMemory> chunks_;
  const Layout<T>& layout_;  // n is the size of the largest batch
  Activation activation_;
  MatrixView<const T> X_, y_;
  BatchTraining training_;
  Buffer<T> W_, lost_W_, a_, lost_a_;  // the weights, and what rounding has kept out of them so far
  Buffer<T> c_, root_lam_;             // sqrt(lambda) a, sqrt(lambda)
  SampleBuffer<T> x_, next_x_;         // of the batch at hand, and of the one gathered last
  Buffer<T> batch_y_;
  Index size_ = 0;  // of the batch at hand
  Buffer<T> slopes_, values_, residual_;
  Buffer<double> outputs_;
};

}  // namespace

void add_batch_engine(KernelTable& table) {
  table.of_float.make_batch_engine = &make<BatchEngine<float>, CpuBatchEngine<float>>;
  table.of_double.make_batch_engine = &make<BatchEngine<double>, CpuBatchEngine<double>>;
}

}  // namespace asymfast::cpu
