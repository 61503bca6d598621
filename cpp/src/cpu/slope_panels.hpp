// sigma'(Z_j(x_i)) of chosen nodes, times a scale of each node, for all samples in panels:
// [block of samples][node][sample], in the element type P.
#pragma once

#include <cmath>
#include <vector>

#include "cpu/panels.hpp"
#include "parallel.hpp"

namespace asymfast::cpu {

template <class T, class P>
class SlopePanels {
 public:
  // Room for `capacity` nodes. inputs: the panels of X / sqrt d, of `samples` rows; they stay.
  SlopePanels(const NetworkView<T>& net, const Buffer<T>& inputs, Index samples, Index capacity)
      : net_(net),
        inputs_(inputs.data()),
        samples_(samples),
        capacity_(capacity),
        blocks_(capacity > 0 ? ceil_div(samples, kBlock<T>) : 0),
        slopes_(blocks_ * capacity * kBlock<T>, Buffer<P>::Contents::unset) {}

  // (node, sample) of one block of samples. Half a block suffices for few samples: the rest of it
  // is unset then.
  const P* of(Index block) const { return slopes_.data() + block * capacity_ * kBlock<T>; }

  // nodes: their numbers, increasing; scale: one of each node of the network.
  void fill(const Index* nodes, Index count, const std::vector<double>& scale,
            const Context& context) {
    const Index parts = ceil_div(count, tuning::kNodesOfTask);
    const auto fill_part = [&](Index task, Index) {
      const Index block = task / parts;
      const Range part = piece(count, parts, task % parts);
      for (Index first = part.first; first < part.last; first += kPiece) {
        const Index some = std::min(kPiece, part.last - first);
        if (samples_ - block * kBlock<T> > kLanes<T>)
          fill_piece<2>(block, first, nodes + first, some, scale);
        else
          fill_piece<1>(block, first, nodes + first, some, scale);
      }
    };
    parallel_for(context, blocks_ * parts, Share::in_turn, context.threads, fill_part);
  }

 private:
  static constexpr Index kPiece = tuning::kNodesAtOnce;

  // V: vectors of samples.
  template <int V>
  void fill_piece(Index block, Index first, const Index* nodes, Index count,
                  const std::vector<double>& scale) {
    const Index d = net_.d();
    alignas(kVectorBytes) T Z[kPiece * kBlock<T>];
    const T* x = inputs_ + block * d * kBlock<T>;
    if (nodes[count - 1] - nodes[0] == count - 1)
      preactivations<V>(Samples<T>{net_.W.row(nodes[0]), count, d, d}, x, Z);
    else
      for (Index j = 0; j < count; ++j)
        preactivations<V>(Samples<T>{net_.W.row(nodes[j]), 1, d, d}, x, Z + j * kBlock<T>);

    P* out = slopes_.data() + (block * capacity_ + first) * kBlock<T>;
    with_activation(net_.activation, [&](auto sigma) {
      for (Index j = 0; j < count; ++j) {
        const Vec<T>* z = as_vectors(Z + j * kBlock<T>);
        Vec<T> slope[V];
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) slope[v] = decltype(sigma)::slope(z[v]);
        store_scaled(slope, P(scale[nodes[j]]), out + j * kBlock<T>);
      }
    });
  }

  // The product is formed in P: exact in double for slopes in float.
  template <int V>
  static void store_scaled(const Vec<T> (&slope)[V], P scale, P* out) {
    if constexpr (sizeof(P) == sizeof(T)) {
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) as_vectors(out)[v] = slope[v] * scale;
    } else {
      const T* values = reinterpret_cast<const T*>(slope);
      for (Index i = 0; i < V * kLanes<T>; ++i) out[i] = P(values[i]) * scale;
    }
  }

  const NetworkView<T>& net_;
  const T* inputs_;
  Index samples_, capacity_, blocks_;
  Buffer<P> slopes_;
};

}  // namespace asymfast::cpu
