// The network and its derivatives, one chunk of nodes against all samples at a time: the steps of
// which forward passes, gradients, products with the neural tangent matrix and training steps are
// made. Defined in cpu/network.cpp, compiled once for all of them.
#pragma once

#include <vector>

#include "cpu/layout.hpp"
#include "parallel.hpp"

namespace asymfast::cpu {

// Chunks of nodes shared out among threads: each thread has working memory of its own, made by
// Memory(layout), and each slot of chunks its own part of the outputs (n, k).
template <class T, class Memory>
class Chunks {
 public:
  explicit Chunks(const Layout<T>& cut) : layout(cut) {}

  const Layout<T> layout;

  // work(chunk, memory, outputs (n, k) of the chunk's slot) for every chunk.
  template <class Work>
  void for_chunks(const Context& context, Work&& work) {
    const Index size = layout.n * layout.k;
    if (outputs_.size() == 0) outputs_ = Buffer<double>(layout.slots * size);
    parallel_for(context, layout.slots, Share::evenly, gather(context),
                 [&](Index slot, Index thread) {
                   double* outputs = outputs_.data() + slot * size;
                   std::fill_n(outputs, size, 0.0);
                   const Range chunks = layout.chunks_of_slot(slot);
                   for (Index chunk = chunks.first; chunk < chunks.last; ++chunk) {
                     context.watch.tick();
                     work(chunk, memory_[thread], outputs);
                   }
                 });
  }

  // work(chunk, memory) for every chunk, without outputs.
  template <class Work>
  void for_nodes(const Context& context, Work&& work) {
    parallel_for(context, layout.chunks, Share::evenly, gather(context),
                 [&](Index chunk, Index thread) { work(chunk, memory_[thread]); });
  }

  // f (size) = the first outputs of all slots, added in the order of the slots.
  void sum_outputs(double* f, Index size) const {
    std::copy_n(outputs_.data(), size, f);
    for (Index slot = 1; slot < layout.slots; ++slot) {
      const double* outputs = outputs_.data() + slot * layout.n * layout.k;
      for (Index i = 0; i < size; ++i) f[i] += outputs[i];
    }
  }
  void sum_outputs(double* f) const { sum_outputs(f, layout.n * layout.k); }

 private:
  // The size of the team, each of which then has working memory.
  Index gather(const Context& context) {
    const Index threads = useful_threads(layout, context.threads, layout.slots);
    while (static_cast<Index>(memory_.size()) < threads) memory_.emplace_back(layout);
    return threads;
  }

  Buffer<double> outputs_;
  std::vector<Memory> memory_;
};

// Working memory of one thread.
template <class T>
struct Scratch {
  Buffer<T> Z, D, G;       // (largest tile, block) twice; a chunk's (blocks, d, block)
  Buffer<T> weighed;       // (largest tile, d), where inputs are not too many
  Buffer<Vec<T>> outputs;  // (largest tile, k) vectors, one lane a node of the block

  explicit Scratch(const Layout<T>& layout)
      : Z(layout.largest_tile * kBlock<T>),
        D(layout.largest_tile * kBlock<T>),
        G(layout.blocks_per_chunk * layout.weights_per_block()),
        weighed(layout.d <= kMostWeighedInputs ? layout.largest_tile * row_stride<T>(layout.d) : 0),
        outputs(layout.largest_tile * layout.k) {}
};

template <class T>
class Sweep : public Chunks<T, Scratch<T>> {
 public:
  using Chunks<T, Scratch<T>>::layout;

  Sweep(const NetworkView<T>& net, MatrixView<const T> X)
      : Chunks<T, Scratch<T>>(Layout<T>(X.rows, net.d(), net.m(), net.k())),
        activation_(net.activation),
        X_(X.rows, X.cols),
        c_(packed_scales(net)) {
    read(X);
  }

  // Other samples, as many as before.
  void read(MatrixView<const T> X) { X_.put(X); }

  // X of some samples, sqrt(lambda) a and weights of a block.
  Samples<T> x(Range rows) const { return X_.all().some(rows); }
  Samples<T> x() const { return X_.all(); }
  const T* c(Index block) const { return c_.data() + block * layout.k * kBlock<T>; }
  const T* weights(const T* W, Index block) const { return W + block * layout.weights_per_block(); }
  Activation activation() const { return activation_; }

  // Adds sum_j c_j sigma(Z_j) of the chunk to outputs; slopes, unless null, gets sigma' [block][n].
  void evaluate(Index chunk, const T* W, T* slopes, Scratch<T>& scratch, double* outputs) const;

  // scratch.G = dL/dW of the chunk for the residual dL/df (n, k); sigma' from `slopes`, or computed
  // from W where slopes is null.
  void gradient(Index chunk, const T* W, const T* slopes, const T* residual,
                Scratch<T>& scratch) const;
  // The same in two steps, where samples come in pieces: G of the chunk += the sum over the samples
  // here, and then what all of them have in common.
  void add_gradient(Index chunk, const T* W, const T* slopes, const T* residual, T* G,
                    Scratch<T>& scratch) const;
  void complete_gradient(Index chunk, T* G) const;

  // scratch.G = sum_l J_l^T u_l of the chunk: J_l by its slopes as evaluate() left them, u (l, n,
  // k).
  void vjp_of_slopes(Index chunk, const std::vector<const T*>& slopes, const T* u,
                     Scratch<T>& scratch) const;

  // Adds to outputs the derivative of f along the direction scratch.G of the chunk's weights.
  void jvp(Index chunk, const T* W, const T* slopes, Scratch<T>& scratch, double* outputs) const;

  // sum_ij |s_ij - s'_ij|^8 of the slopes at two points.
  double slope_distance8(const T* one, const T* other, const Context& context);

 private:
  template <class U>
  U* slopes_at(U* all, Index block, Range rows) const {
    return all + (block * layout.n + rows.first) * kBlock<T>;
  }
  bool weighs_inputs() const;
  const T* pulled(Index block, Range rows, const T* W, const T* all, const T* r,
                  Scratch<T>& scratch) const;
  template <class Use>
  void with_preactivations(Index block, Range rows, const T* W, T* Z, Use&& use) const;
  const T* slopes_of(Index block, Range rows, const T* W, const T* all, Scratch<T>& scratch) const;
  template <class Work>
  void over_tiles(Index chunk, Scratch<T>& scratch, double* outputs, Work&& work) const;

  Activation activation_;
  SampleBuffer<T> X_;
  Buffer<T> c_;
};

extern template class Sweep<float>;
extern template class Sweep<double>;

}  // namespace asymfast::cpu
