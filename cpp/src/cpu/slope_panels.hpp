// sigma'(Z_j(x_i)) of chosen nodes, times a scale of each node, for all samples in panels:
// [block of samples][node][sample], in the element type P.
#pragma once

#include <cmath>
#include <vector>

#include "cpu/panels.hpp"
#include "watch.hpp"

namespace asymfast::cpu {

template <class T, class P>
class SlopePanels {
 public:
  // Room for `capacity` nodes.
  SlopePanels(const NetworkView<T>& net, MatrixView<const T> X, Index capacity)
      : net_(net),
        capacity_(capacity),
        blocks_(capacity > 0 ? ceil_div(X.rows, kBlock<T>) : 0),
        inputs_(blocks_ > 0 ? input_panels<T>(X, 1 / std::sqrt(double(X.cols))) : Buffer<T>()),
        slopes_(blocks_ * capacity * kBlock<T>, Buffer<P>::Contents::unset) {}

  // (node, sample) of one block of samples.
  const P* of(Index block) const { return slopes_.data() + block * capacity_ * kBlock<T>; }

  // nodes: their numbers, increasing; scale: one of each node of the network.
  void fill(const Index* nodes, Index count, const std::vector<double>& scale,
            const Context& context) {
    const Index pieces = ceil_div(count, kPiece);
#pragma omp parallel for schedule(static) num_threads(context.threads)
    for (Index task = 0; task < blocks_ * pieces; ++task) {
      context.watch.tick();
      if (context.watch.stopped()) continue;
      const Range some = piece(count, pieces, task % pieces);
      fill_piece(task / pieces, some.first, nodes + some.first, some.size(), scale);
    }
  }

 private:
  static constexpr Index kPiece = 64;

  void fill_piece(Index block, Index first, const Index* nodes, Index count,
                  const std::vector<double>& scale) {
    const Index d = net_.d();
    alignas(kVectorBytes) T Z[kPiece * kBlock<T>];
    const T* x = inputs_.data() + block * d * kBlock<T>;
    if (nodes[count - 1] - nodes[0] == count - 1)
      preactivations(net_.W.row(nodes[0]), count, d, x, Z);
    else
      for (Index j = 0; j < count; ++j)
        preactivations(net_.W.row(nodes[j]), 1, d, x, Z + j * kBlock<T>);

    P* out = slopes_.data() + (block * capacity_ + first) * kBlock<T>;
    with_activation(net_.activation, [&](auto sigma) {
      for (Index j = 0; j < count; ++j) {
        Vec<T>* z = as_vectors(Z + j * kBlock<T>);
        const Vec<T> slope[2] = {decltype(sigma)::slope(z[0]), decltype(sigma)::slope(z[1])};
        store_scaled(slope, P(scale[std::size_t(nodes[j])]), out + j * kBlock<T>);
      }
    });
  }

  // The product is formed in P: exact in double for slopes in float.
  static void store_scaled(const Vec<T> (&slope)[2], P scale, P* out) {
    if constexpr (sizeof(P) == sizeof(T)) {
      as_vectors(out)[0] = slope[0] * scale;
      as_vectors(out)[1] = slope[1] * scale;
    } else {
      const T* values = reinterpret_cast<const T*>(slope);
      for (Index i = 0; i < kBlock<T>; ++i) out[i] = P(values[i]) * scale;
    }
  }

  const NetworkView<T>& net_;
  Index capacity_, blocks_;
  Buffer<T> inputs_;
  Buffer<P> slopes_;
};

}  // namespace asymfast::cpu
