// f_q(x_i) = sum_j sqrt(lambda_j) a_jq sigma(w_j.x_i / sqrt d), Eq. (2). Cost: 2 n m (d + k) flop.
#include "cpu/kernels.hpp"
#include "cpu/sweep.hpp"

namespace asymfast::cpu {

template <class T>
void forward(const NetworkView<T>& net, MatrixView<const T> X, double* f, const Context& context) {
  Sweep<T> sweep(net, X);
  const Buffer<T> W = packed_weights(sweep.at, net.W.data);
  sweep.for_chunks(context, [&](Index chunk, Scratch<T>& scratch, double* outputs) {
    sweep.evaluate(chunk, W.data(), nullptr, scratch, outputs);
  });
  sweep.sum_outputs(f);
}

template void forward(const NetworkView<float>&, MatrixView<const float>, double*, const Context&);
template void forward(const NetworkView<double>&, MatrixView<const double>, double*,
                      const Context&);

}  // namespace asymfast::cpu
