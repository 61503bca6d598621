// dL/dw_j = sqrt(lambda_j) / sqrt d sum_iq a_jq dL/df_iq sigma'(Z_j(x_i)) x_i. Cost: 4 n m d flop.
// Samples are taken in pieces, one after the other: the sum runs over them in their order, whatever
// the pieces are. Memory: a copy of W, of the gradient and of a piece of X.
#include "cpu/kernels.hpp"
#include "cpu/sweep.hpp"

namespace asymfast::cpu {

template <class T>
void node_gradients(const NetworkView<T>& net, MatrixView<const T> X, const T* residual,
                    MatrixView<T> G, const Context& context) {
  const Layout<T> whole(X.rows, net.d(), net.m(), net.k());
  const Buffer<T> W = packed_weights(whole, net.W.data), sums(W.size());
  const Index most = samples_at_once(1);
  for (Index first = 0; first < X.rows && !context.watch.stopped(); first += most) {
    Sweep<T> sweep(net, {X.row(first), std::min(most, X.rows - first), X.cols});
    const bool last = first + most >= X.rows;
    sweep.for_nodes(context, [&](Index chunk, Scratch<T>& scratch) {
      T* sum = sums.data() + whole.blocks_of_chunk(chunk).first * whole.weights_per_block();
      context.watch.tick();
      if (context.watch.stopped()) return;
      sweep.add_gradient(chunk, W.data(), nullptr, residual + first * net.k(), sum, scratch);
      if (last) sweep.complete_gradient(chunk, sum);
    });
  }
  unpack_weights(whole, sums.data(), {0, whole.blocks}, G.data);
}

template void node_gradients(const NetworkView<float>&, MatrixView<const float>, const float*,
                             MatrixView<float>, const Context&);
template void node_gradients(const NetworkView<double>&, MatrixView<const double>, const double*,
                             MatrixView<double>, const Context&);

}  // namespace asymfast::cpu
