// The hidden layer as a matrix (n, m), of which features and the NTG are made.
#pragma once

#include <vector>

#include "cpu/buffer.hpp"
#include "cpu/packing.hpp"
#include "cpu/team.hpp"
#include "cpu/tiles.hpp"
#include "watch.hpp"

namespace asymfast::cpu {

template <class T>
class HiddenLayer {
 public:
  HiddenLayer(const NetworkView<T>& net, MatrixView<const T> X)
      : at(X.rows, net.d(), net.m(), 0),
        activation_(net.activation),
        X_(X),
        W_(packed_weights(at, net.W.data)) {}

  const Layout<T> at;

  // store(block, sample, values, slopes) for every sample and every block in `blocks`; values and
  // slopes are the sigma and sigma' of the block's nodes.
  template <class Store>
  void for_each(Range blocks, const Context& context, Store&& store) const {
    const Index tasks = blocks.size() * at.tiles;
    std::vector<Buffer<T>> Z;  // of each thread
    Z.reserve(static_cast<std::size_t>(context.threads));
    for (int thread = 0; thread < context.threads; ++thread)
      Z.emplace_back(at.largest_tile * kBlock<T>);
#pragma omp parallel for schedule(static) num_threads(context.threads)
    for (Index task = 0; task < tasks; ++task) {
      context.watch.tick();
      if (context.watch.stopped()) continue;
      const Index block = blocks.first + task / at.tiles;
      const Range rows = at.samples_of_tile(task % at.tiles);
      T* z = Z[std::size_t(thread_number())].data();
      preactivations(X_.all().some(rows), W_.data() + block * at.weights_per_block(), z);
      with_activation(activation_, [&](auto sigma) {
        alignas(kVectorBytes) T values[kBlock<T>], slopes[kBlock<T>];
        for (Index i = 0; i < rows.size(); ++i) {
          for (Index half = 0; half < 2; ++half) {
            const auto s = decltype(sigma)::value_and_slope(as_vectors(z + i * kBlock<T>)[half]);
            as_vectors(values)[half] = s.value;
            as_vectors(slopes)[half] = s.slope;
          }
          store(block, rows.first + i, values, slopes);
        }
      });
    }
  }

 private:
  Activation activation_;
  SampleBuffer<T> X_;
  Buffer<T> W_;
};

}  // namespace asymfast::cpu
