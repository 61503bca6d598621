// What is done with one chunk of nodes against all samples: the steps of which forward passes,
// gradients, products with the neural tangent matrix and training steps are made.
#pragma once

#include <algorithm>
#include <vector>

#include "cpu/buffer.hpp"
#include "cpu/few_inputs.hpp"
#include "cpu/frame_ntg.hpp"
#include "cpu/frame_tiles.hpp"
#include "cpu/in_double.hpp"
#include "cpu/packing.hpp"
#include "cpu/team.hpp"
#include "cpu/tiles.hpp"
#include "rescue.hpp"
#include "watch.hpp"

namespace asymfast::cpu {

inline constexpr Index kMostWeighedInputs = 128;

// Working memory of one thread.
template <class T>
struct Scratch {
  Buffer<T> Z, D, G;       // (largest tile, block) twice; a chunk's (blocks, d, block)
  Buffer<T> weighed;       // (largest tile, d), where inputs are not too many
  Buffer<Vec<T>> outputs;  // (largest tile, k) vectors, one lane a node of the block

  explicit Scratch(const Layout<T>& at)
      : Z(at.largest_tile * kBlock<T>),
        D(at.largest_tile * kBlock<T>),
        G(at.blocks_per_chunk * at.weights_per_block()),
        weighed(at.d <= kMostWeighedInputs ? at.largest_tile * row_stride<T>(at.d) : 0),
        outputs(at.largest_tile * at.k) {}
};

template <class T>
class Sweep {
 public:
  Sweep(const NetworkView<T>& net, MatrixView<const T> X)
      : at(X.rows, net.d(), net.m(), net.k()),
        activation_(net.activation),
        X_(X),
        c_(at.blocks * at.k * kBlock<T>) {
    pack_scales(at, net, c_.data());
  }

  const Layout<T> at;

  // X of some samples, sqrt(lambda) a and weights of a block.
  Samples<T> x(Range rows) const { return X_.all().some(rows); }
  const T* c(Index block) const { return c_.data() + block * at.k * kBlock<T>; }
  const T* weights(const T* W, Index block) const { return W + block * at.weights_per_block(); }
  Activation activation() const { return activation_; }

  // work(chunk, scratch, partial outputs (n, k) of the chunk's slot) for every chunk.
  template <class Work>
  void for_chunks(const Context& context, Work&& work) {
    if (partial_.size() == 0) partial_ = Buffer<double>(at.slots * at.n * at.k);
    const int threads = gather(context);
    Rescue rescue;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (Index slot = 0; slot < at.slots; ++slot) {
      double* outputs = partial_.data() + slot * at.n * at.k;
      std::fill_n(outputs, at.n * at.k, 0.0);
      const Range chunks = at.chunks_of_slot(slot);
      for (Index chunk = chunks.first; chunk < chunks.last; ++chunk) {
        context.watch.tick();
        if (context.watch.stopped()) continue;
        rescue([&] { work(chunk, scratch_[thread_number()], outputs); });
      }
    }
    rescue.rethrow();
  }

  // work(chunk, scratch) for every chunk, without outputs.
  template <class Work>
  void for_nodes(const Context& context, Work&& work) {
    const int threads = gather(context);
    Rescue rescue;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (Index chunk = 0; chunk < at.chunks; ++chunk)
      rescue([&] { work(chunk, scratch_[thread_number()]); });
    rescue.rethrow();
  }

  // f (n, k): the slots' outputs added in their order.
  void sum_outputs(double* f) const {
    const Index size = at.n * at.k;
    std::copy_n(partial_.data(), size, f);
    for (Index slot = 1; slot < at.slots; ++slot) {
      const double* outputs = partial_.data() + slot * size;
      for (Index i = 0; i < size; ++i) f[i] += outputs[i];
    }
  }

  // Adds sum_j c_j sigma(Z_j) of the chunk to outputs; slopes, unless null, gets sigma' [block][n].
  void evaluate(Index chunk, const T* W, T* slopes, Scratch<T>& scratch, double* outputs) const {
    with_activation(activation_, [&](auto sigma) {
      over_tiles(chunk, scratch, outputs, [&](Index block, Range rows) {
        if (at.d <= kFewInputs)
          return activate<decltype(sigma)>(x(rows), weights(W, block), c(block), at.k,
                                           slopes ? this->slopes(slopes, block, rows) : nullptr,
                                           scratch.outputs.data());
        // In place: a store to another array may look, by its address, like one to the next Z.
        T* Z = slopes ? this->slopes(slopes, block, rows) : scratch.Z.data();
        preactivations(x(rows), weights(W, block), Z);
        if (slopes)
          activate_and_differentiate<decltype(sigma)>(Z, rows.size(), c(block), at.k,
                                                      scratch.outputs.data());
        else
          activate<decltype(sigma)>(Z, rows.size(), c(block), at.k, scratch.outputs.data());
      });
    });
  }

  // scratch.G = dL/dW of the chunk for the residual dL/df (n, k); sigma' from `slopes`, or from W
  // anew where slopes is null.
  void gradient(Index chunk, const T* W, const T* slopes, const T* residual,
                Scratch<T>& scratch) const {
    T* G = scratch.G.data();
    std::fill_n(G, at.blocks_of_chunk(chunk).size() * at.weights_per_block(), T(0));
    add_gradient(chunk, W, slopes, residual, G, scratch);
    complete_gradient(chunk, G);
  }

  // In two steps, where samples come in pieces: G of the chunk += the sum over the samples here ...
  void add_gradient(Index chunk, const T* W, const T* slopes, const T* residual, T* G,
                    Scratch<T>& scratch) const {
    const Range blocks = at.blocks_of_chunk(chunk);
    for (Index tile = 0; tile < at.tiles; ++tile) {
      const Range rows = at.samples_of_tile(tile);
      const T* r = residual + rows.first * at.k;
      const Samples<T> X =
          weighs_inputs() ? weighed_inputs(x(rows), r, scratch.weighed.data()) : x(rows);
      for (Index block = blocks.first; block < blocks.last; ++block) {
        const T* D = weighs_inputs() ? slopes_of(block, rows, W, slopes, scratch)
                                     : pulled(block, rows, W, slopes, r, scratch);
        accumulate_gradient(X, D, G + (block - blocks.first) * at.weights_per_block());
      }
    }
  }

  // ... and what all of them have in common.
  void complete_gradient(Index chunk, T* G) const {
    if (!weighs_inputs()) return;
    const Range blocks = at.blocks_of_chunk(chunk);
    for (Index block = blocks.first; block < blocks.last; ++block, G += at.weights_per_block())
      scale_nodes(G, at.d, c(block));
  }

  // scratch.G = sum_l J_l^T u_l of the chunk: J_l by its slopes as evaluate() left them, u (l, n,
  // k).
  void pull_frames(Index chunk, const std::vector<const T*>& frames, const T* u,
                   Scratch<T>& scratch) const {
    const Range blocks = at.blocks_of_chunk(chunk);
    std::fill_n(scratch.G.data(), blocks.size() * at.weights_per_block(), T(0));
    std::vector<const T*> here(frames.size());
    for (Index tile = 0; tile < at.tiles; ++tile) {
      const Range rows = at.samples_of_tile(tile);
      for (Index block = blocks.first; block < blocks.last; ++block) {
        for (std::size_t l = 0; l < frames.size(); ++l) here[l] = slopes(frames[l], block, rows);
        pull_residuals(here.data(), static_cast<Index>(here.size()), u + rows.first * at.k,
                       at.n * at.k, rows.size(), c(block), at.k, scratch.D.data());
        accumulate_gradient(x(rows), scratch.D.data(),
                            scratch.G.data() + (block - blocks.first) * at.weights_per_block());
      }
    }
  }

  // J J^T by the slopes of a frame.
  void ntg(const T* frame, double* K, const Context& context) const {
    frame_ntg<T>(at, {frame}, {1}, frame, c_.data(), X_.all(), K, context);
  }

  // J_left J_right^T, with sum_l shares[l] lefts[l] on the left.
  void ntg(const std::vector<const T*>& lefts, const std::vector<double>& shares, const T* right,
           double* K, const Context& context) const {
    frame_ntg(at, lefts, shares, right, c_.data(), X_.all(), K, context);
  }

  // sum_ij |s_ij - s'_ij|^8 of two frames.
  double slope_distance8(const T* one, const T* other, const Context& context) {
    for_chunks(context, [&](Index chunk, Scratch<T>&, double* outputs) {
      const Range blocks = at.blocks_of_chunk(chunk);
      double sum = 0;
      for (Index i = blocks.first * at.n * kBlock<T>; i < blocks.last * at.n * kBlock<T>; ++i) {
        const double difference = double(one[i]) - double(other[i]),
                     square = difference * difference;
        sum += square * square * square * square;
      }
      outputs[0] += sum;
    });
    double sum = 0;
    for (Index slot = 0; slot < at.slots; ++slot) sum += partial_.data()[slot * at.n * at.k];
    return sum;
  }

  // Adds to outputs the derivative of f along the direction scratch.G of the chunk's weights.
  void push(Index chunk, const T* W, const T* slopes, Scratch<T>& scratch, double* outputs) const {
    const Index first = at.blocks_of_chunk(chunk).first;
    over_tiles(chunk, scratch, outputs, [&](Index block, Range rows) {
      const T* slope = slopes_of(block, rows, W, slopes, scratch);
      preactivations(x(rows), scratch.G.data() + (block - first) * at.weights_per_block(),
                     scratch.D.data());
      push_direction(scratch.D.data(), slope, rows.size(), c(block), at.k, scratch.outputs.data());
    });
  }

 private:
  // The size of the team, each of which then has working memory.
  int gather(const Context& context) {
    const int threads = useful_threads(at, context.threads, at.slots);
    while (static_cast<int>(scratch_.size()) < threads) scratch_.emplace_back(at);
    return threads;
  }

  template <class U>
  U* slopes(U* all, Index block, Range rows) const {
    return all + (block * at.n + rows.first) * kBlock<T>;
  }

  // Whether weighing the inputs for each chunk is less work than a product for each of its nodes.
  bool weighs_inputs() const {
    return at.k == 1 && at.blocks_per_chunk > 1 && at.d <= kMostWeighedInputs;
  }

  // scratch.D = dL/dZ of a tile for the residual r of its samples.
  const T* pulled(Index block, Range rows, const T* W, const T* all, const T* r,
                  Scratch<T>& scratch) const {
    T* D = scratch.D.data();
    if (all) {
      pull(slopes(all, block, rows), r, rows.size(), c(block), at.k, D);
      return D;
    }
    with_activation(activation_, [&](auto sigma) {
      if (at.d <= kFewInputs)
        return pull_through<decltype(sigma)>(x(rows), weights(W, block), r, c(block), at.k, D);
      preactivations(x(rows), weights(W, block), D);
      pull_through<decltype(sigma)>(D, r, rows.size(), c(block), at.k, D);
    });
    return D;
  }

  // sigma' of a tile: remembered, or computed into scratch.Z.
  const T* slopes_of(Index block, Range rows, const T* W, const T* all, Scratch<T>& scratch) const {
    if (all) return slopes(all, block, rows);
    Vec<T>* z = as_vectors(scratch.Z.data());
    preactivations(x(rows), weights(W, block), scratch.Z.data());
    with_activation(activation_, [&](auto sigma) {
      for (Index i = 0; i < 2 * rows.size(); ++i) z[i] = decltype(sigma)::slope(z[i]);
    });
    return scratch.Z.data();
  }

  // work(block, rows) adds to scratch.outputs; its lanes are summed into `outputs` tile by tile.
  template <class Work>
  void over_tiles(Index chunk, Scratch<T>& scratch, double* outputs, Work&& work) const {
    const Range blocks = at.blocks_of_chunk(chunk);
    for (Index tile = 0; tile < at.tiles; ++tile) {
      const Range rows = at.samples_of_tile(tile);
      const Index size = rows.size() * at.k;
      std::fill_n(scratch.outputs.data(), size, Vec<T>{});
      for (Index block = blocks.first; block < blocks.last; ++block) work(block, rows);
      add_sums_of_lanes<T>(scratch.outputs.data(), size, outputs + rows.first * at.k);
    }
  }

  Activation activation_;
  SampleBuffer<T> X_;
  Buffer<T> c_;
  Buffer<double> partial_;
  std::vector<Scratch<T>> scratch_;
};

}  // namespace asymfast::cpu
