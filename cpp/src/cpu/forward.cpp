// f_q(x_i) = sum_j sqrt(lambda_j) a_jq sigma(w_j.x_i / sqrt d), Eq. (2). Cost: 2 n m (d + k) flop.
// Samples are taken in pieces, so that the working memory is bounded: partial sums of the outputs
// (32 MB, or 96 samples where k is very large), a copy of a piece of X and of W. A sample's outputs
// do not depend on the piece it is in.
#include "cpu/kernels.hpp"
#include "cpu/sweep.hpp"

namespace asymfast::cpu {

template <class T>
void forward(const NetworkView<T>& net, MatrixView<const T> X, double* f, const Context& context) {
  const Layout<T> whole(X.rows, net.d(), net.m(), net.k());
  const Buffer<T> W = packed_weights(whole, net.W.data);
  const Index most = samples_at_once(whole.slots * net.k());
  for (Index first = 0; first < X.rows && !context.watch.stopped(); first += most) {
    Sweep<T> sweep(net, {X.row(first), std::min(most, X.rows - first), X.cols});
    sweep.for_chunks(context, [&](Index chunk, Scratch<T>& scratch, double* outputs) {
      sweep.evaluate(chunk, W.data(), nullptr, scratch, outputs);
    });
    sweep.sum_outputs(f + first * net.k());
  }
}

template void forward(const NetworkView<float>&, MatrixView<const float>, double*, const Context&);
template void forward(const NetworkView<double>&, MatrixView<const double>, double*,
                      const Context&);

}  // namespace asymfast::cpu
