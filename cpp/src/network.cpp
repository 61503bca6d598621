// The public calls on a network: check the shapes, choose the backend, call its kernel.
#include "asymfast/network.hpp"

#include <string>
#include <type_traits>
#include <vector>

#include "backend.hpp"
#include "math/losses.hpp"
#include "refuse.hpp"
#include "train/both_layers.hpp"
#include "train/eigenvectors.hpp"

namespace asymfast {

namespace {

template <class T>
void require_network(const char* who, const NetworkView<T>& net, MatrixView<const T> X) {
  if (net.m() < 1 || net.d() < 1 || X.rows < 1) refuse(who, "W and X must not be empty");
  require_shape(who, "X", X, X.rows, net.d());
  require_shape(who, "a", net.a, net.m(), net.k());
}

template <class T>
const Kernels<T>& kernels_of(const Execution& exec) {
  return kernel_table(exec.backend).of<T>();
}

template <class T>
std::vector<double> outputs_of(const NetworkView<T>& net, MatrixView<const T> X,
                               const Execution& exec) {
  std::vector<double> f(X.rows * net.k());
  watched(exec,
          [&](const Context& context) { kernels_of<T>(exec).forward(net, X, f.data(), context); });
  return f;
}

}  // namespace

template <class T>
void forward(const NetworkView<T>& net, MatrixView<const T> X, MatrixView<T> f,
             const Execution& exec) {
  require_network("forward", net, X);
  require_shape("forward", "f", f, X.rows, net.k());
  const std::vector<double> outputs = outputs_of(net, X, exec);
  for (Index i = 0; i < f.size(); ++i) f.data[i] = T(outputs[i]);
}

template <class T>
double loss(const NetworkView<T>& net, MatrixView<const T> X, MatrixView<const T> y, Loss loss,
            const Execution& exec) {
  require_network("loss", net, X);
  require_shape("loss", "y", y, X.rows, net.k());
  const std::vector<double> f = outputs_of(net, X, exec);
  return loss_and_residual(loss, f.data(), y);
}

template <class T>
void pullback(const NetworkView<T>& net, MatrixView<const T> X, MatrixView<const T> u,
              MatrixView<T> G, const Execution& exec) {
  require_network("pullback", net, X);
  require_shape("pullback", "u", u, X.rows, net.k());
  require_shape("pullback", "G", G, net.m(), net.d());
  watched(exec, [&](const Context& context) {
    kernels_of<T>(exec).node_gradients(net, X, u.data, G, context);
  });
}

template <class T>
void node_gradients(const NetworkView<T>& net, MatrixView<const T> X, MatrixView<const T> y,
                    Loss loss, MatrixView<T> G, const Execution& exec) {
  require_network("node_gradients", net, X);
  require_shape("node_gradients", "y", y, X.rows, net.k());
  require_shape("node_gradients", "G", G, net.m(), net.d());
  const std::vector<double> f = outputs_of(net, X, exec);
  std::vector<T> residual(f.size());
  loss_and_residual(loss, f.data(), y, residual.data());
  pullback(net, X, {residual.data(), y.rows, y.cols}, G, exec);
}

template <class T>
double curvature(const NetworkView<T>& net, MatrixView<const T> X, Loss loss, bool both_layers,
                 const Execution& exec) {
  require_network("curvature", net, X);
  const Index n = X.rows, k = net.k();
  const std::vector<T> y(n * k);
  const KernelTable& kernels = kernel_table(exec.backend);
  double largest = 0;
  watched(exec, [&](const Context& context) {
    const auto engine =
        make_engine<T>(kernels, net, X, {y.data(), n, k}, loss, both_layers, context.slopes_memory);
    largest = largest_curvature(*engine, loss, n, k, kernels, context);
  });
  return largest;
}

template <class T>
void features(const NetworkView<T>& net, MatrixView<const T> X, MatrixView<T> H,
              const Execution& exec) {
  require_network("features", net, X);
  require_shape("features", "H", H, X.rows, net.m());
  watched(exec, [&](const Context& context) { kernels_of<T>(exec).features(net, X, H, context); });
}

template <class T, class E>
void ntg(const NetworkView<T>& net, const double* v, MatrixView<const T> X, MatrixView<const T> X2,
         MatrixView<E> K, const Execution& exec) {
  require_network("ntg", net, X);
  require_shape("ntg", "X2", X2, X2.rows, net.d());
  require_shape("ntg", "K", K, X.rows, X2.rows);
  const bool symmetric = X.data == X2.data && X.rows == X2.rows;
  watched(exec, [&](const Context& context) {
    if constexpr (std::is_same_v<E, double>)
      kernels_of<T>(exec).ntg(net, v, X, X2, symmetric, K, context);
    else
      kernels_of<T>(exec).rounded_ntg(net, v, X, X2, symmetric, K, context);
  });
}

template <class T>
void activation_values(Activation activation, int order, const T* z, Index count, T* out,
                       const Execution& exec) {
  if (order < 0 || order > 2)
    refuse("activation_values", "order must be 0, 1 or 2, got " + std::to_string(order));
  kernels_of<T>(exec).activation_values(activation, order, z, count, out);
}

double min_eigenvalue(MatrixView<const double> K, const Execution& exec) {
  if (K.rows < 1) refuse("min_eigenvalue", "K must not be empty");
  require_shape("min_eigenvalue", "K", K, K.rows, K.rows);
  double smallest = 0;
  watched(exec, [&](const Context& context) {
    smallest = kernel_table(exec.backend).min_eigenvalue(K, context);
  });
  return smallest;
}

#define ASYMFAST_INSTANTIATE(T)                                                                 \
  template void forward(const NetworkView<T>&, MatrixView<const T>, MatrixView<T>,              \
                        const Execution&);                                                      \
  template double loss(const NetworkView<T>&, MatrixView<const T>, MatrixView<const T>, Loss,   \
                       const Execution&);                                                       \
  template void node_gradients(const NetworkView<T>&, MatrixView<const T>, MatrixView<const T>, \
                               Loss, MatrixView<T>, const Execution&);                          \
  template void pullback(const NetworkView<T>&, MatrixView<const T>, MatrixView<const T>,       \
                         MatrixView<T>, const Execution&);                                      \
  template double curvature(const NetworkView<T>&, MatrixView<const T>, Loss, bool,             \
                            const Execution&);                                                  \
  template void features(const NetworkView<T>&, MatrixView<const T>, MatrixView<T>,             \
                         const Execution&);                                                     \
  template void ntg(const NetworkView<T>&, const double*, MatrixView<const T>,                  \
                    MatrixView<const T>, MatrixView<double>, const Execution&);                 \
  template void activation_values(Activation, int, const T*, Index, T*, const Execution&);

ASYMFAST_INSTANTIATE(float)
ASYMFAST_INSTANTIATE(double)

template void ntg(const NetworkView<float>&, const double*, MatrixView<const float>,
                  MatrixView<const float>, MatrixView<float>, const Execution&);

}  // namespace asymfast
