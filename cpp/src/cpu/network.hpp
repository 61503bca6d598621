// The network and its derivatives, one chunk of nodes against all samples at a time: the steps of
// which forward passes, gradients, products with the neural tangent matrix and training steps are
// made. Defined in cpu/network.cpp, compiled once for all of them.
#pragma once

#include <vector>

#include "cpu/chunks.hpp"
#include "cpu/packing.hpp"
#include "cpu/samples.hpp"

namespace asymfast::cpu {

// Working memory of one thread.
template <class T>
struct Scratch {
  Buffer<T> Z, D, G;       // (largest tile, block) twice; a chunk's (blocks, d, block)
  Buffer<T> weighed;       // (largest tile, d), where inputs are not too many
  Buffer<Vec<T>> outputs;  // (largest tile, k) vectors, one lane a node of the block

  explicit Scratch(const Layout<T>& layout);
};

template <class T>
class Sweep {
 public:
  Sweep(const NetworkView<T>& net, MatrixView<const T> X)
      : layout(X.rows, net.d(), net.m(), net.k()),
        activation_(net.activation),
        X_(X),
        c_(layout.blocks * layout.k * kBlock<T>) {
    pack_scales(layout, net, c_.data());
  }

  const Layout<T> layout;

  // Other samples, as many as before.
  void read(MatrixView<const T> X) { X_.read(X); }

  // X of some samples, sqrt(lambda) a and weights of a block.
  Samples<T> x(Range rows) const { return X_.all().some(rows); }
  Samples<T> x() const { return X_.all(); }
  const T* c(Index block) const { return c_.data() + block * layout.k * kBlock<T>; }
  const T* weights(const T* W, Index block) const { return W + block * layout.weights_per_block(); }
  Activation activation() const { return activation_; }

  // work(chunk, scratch, outputs (n, k) of the chunk's slot) for every chunk.
  template <class Work>
  void for_chunks(const Context& context, Work&& work) {
    chunks_.with_outputs(layout, context, work);
  }
  // work(chunk, scratch) for every chunk, without outputs.
  template <class Work>
  void for_nodes(const Context& context, Work&& work) {
    chunks_.of_nodes(layout, context, work);
  }
  // f (n, k): the slots' outputs added in their order.
  void sum_outputs(double* f) const { chunks_.sum(layout, layout.n * layout.k, f); }

  // Adds sum_j c_j sigma(Z_j) of the chunk to outputs; slopes, unless null, gets sigma' [block][n].
  void evaluate(Index chunk, const T* W, T* slopes, Scratch<T>& scratch, double* outputs) const;

  // scratch.G = dL/dW of the chunk for the residual dL/df (n, k); sigma' from `slopes`, or from W
  // anew where slopes is null.
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
  U* slopes(U* all, Index block, Range rows) const {
    return all + (block * layout.n + rows.first) * kBlock<T>;
  }
  bool weighs_inputs() const;
  const T* pulled(Index block, Range rows, const T* W, const T* all, const T* r,
                  Scratch<T>& scratch) const;
  const T* slopes_of(Index block, Range rows, const T* W, const T* all, Scratch<T>& scratch) const;
  template <class Work>
  void over_tiles(Index chunk, Scratch<T>& scratch, double* outputs, Work&& work) const;

  Activation activation_;
  SampleBuffer<T> X_;
  Buffer<T> c_;
  Chunks<T, Scratch<T>> chunks_;
};

extern template struct Scratch<float>;
extern template struct Scratch<double>;
extern template class Sweep<float>;
extern template class Sweep<double>;

}  // namespace asymfast::cpu
