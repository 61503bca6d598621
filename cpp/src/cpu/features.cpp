// H_ij = sqrt(lambda_j) sigma(Z_j(x_i)). Cost: 2 n m d flop; samples in pieces, so
// that the only memory beside H are copies of W and of a piece of X.
#include "cpu/hidden_layer.hpp"
#include "cpu/kernels.hpp"

namespace asymfast::cpu {

template <class T>
void features(const NetworkView<T>& net, MatrixView<const T> X, MatrixView<T> H,
              const Context& context) {
  Buffer<T> scale(net.m());
  for (Index j = 0; j < net.m(); ++j) scale.data()[j] = T(std::sqrt(net.lam[j]));
  const Index most = samples_at_once(1);
  for (Index begin = 0; begin < X.rows && !context.watch.stopped(); begin += most) {
    const HiddenLayer<T> layer(net, {X.row(begin), std::min(most, X.rows - begin), X.cols});
    layer.for_each({0, layer.at.blocks}, context,
                   [&](Index block, Index i, const T* values, const T*) {
                     const Index first = block * kBlock<T>;
                     const Index count = std::min(kBlock<T>, net.m() - first);
                     for (Index j = 0; j < count; ++j)
                       H(begin + i, first + j) = scale.data()[first + j] * values[j];
                   });
  }
}

template void features(const NetworkView<float>&, MatrixView<const float>, MatrixView<float>,
                       const Context&);
template void features(const NetworkView<double>&, MatrixView<const double>, MatrixView<double>,
                       const Context&);

}  // namespace asymfast::cpu
