// dL/dw_j = sqrt(lambda_j) / sqrt d sum_iq a_jq dL/df_iq sigma'(Z_j(x_i)) x_i. Cost: 4 n m d flop.
#include "cpu/kernels.hpp"
#include "cpu/sweep.hpp"

namespace asymfast::cpu {

template <class T>
void node_gradients(const NetworkView<T>& net, MatrixView<const T> X, const T* residual,
                    MatrixView<T> G, const Context& context) {
  Sweep<T> sweep(net, X);
  const Buffer<T> W = packed_weights(sweep.at, net.W.data);
  sweep.for_chunks(context, [&](Index chunk, Scratch<T>& scratch, double*) {
    sweep.gradient(chunk, W.data(), nullptr, residual, scratch);
    unpack_weights(sweep.at, scratch.G.data(), sweep.at.blocks_of_chunk(chunk), G.data);
  });
}

template void node_gradients(const NetworkView<float>&, MatrixView<const float>, const float*,
                             MatrixView<float>, const Context&);
template void node_gradients(const NetworkView<double>&, MatrixView<const double>, const double*,
                             MatrixView<double>, const Context&);

}  // namespace asymfast::cpu
