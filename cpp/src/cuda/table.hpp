// What a device has: each call of src/backend.hpp by what the device runs.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "backend.hpp"
#include "cuda/engines.hpp"

namespace asymfast::cuda {

// One network as an ensemble of one.
template <class T>
EnsembleView<T> alone(const NetworkView<T>& net) {
  return {1, net.m(), net.d(), net.k(), net.W.data, net.a.data, net.lam, net.activation};
}

// A network on samples, evaluated, for a single call.
template <class Setup, class T>
std::unique_ptr<DeviceFleet<Setup, T>> evaluated(const NetworkView<T>& net, MatrixView<const T> X,
                                                 bool keep_values = false) {
  const DataView<T> data{X, {nullptr, X.rows, net.k()}};
  auto fleet = std::make_unique<DeviceFleet<Setup, T>>(
      alone(net), data, BatchTraining{Loss::half_sse, X.rows, false}, keep_values);
  fleet->evaluate(0);
  return fleet;
}

// Samples are worked on by so many at once: a call's memory is bounded, its bits do not depend on
// it.
inline constexpr Index kSamplesAtOnce = 4096;

// work(X of the piece, its first row) for pieces of the samples.
template <class T, class Work>
void in_pieces(MatrixView<const T> X, const Context& context, Work&& work) {
  const DeviceLock lock(device_mutex());
  for (Index first = 0; first < X.rows; first += kSamplesAtOnce) {
    context.watch.tick();
    work(MatrixView<const T>{X.row(first), std::min(kSamplesAtOnce, X.rows - first), X.cols},
         first);
  }
}

template <class Setup, class T>
void forward(const NetworkView<T>& net, MatrixView<const T> X, double* f, const Context& context) {
  in_pieces(X, context, [&](MatrixView<const T> piece, Index first) {
    const auto fleet = evaluated<Setup, T>(net, piece);
    std::copy_n(fleet->host_f(0), piece.rows * net.k(), f + first * net.k());
  });
}

// The pieces' gradients are added in double, in their order.
template <class Setup, class T>
void node_gradients(const NetworkView<T>& net, MatrixView<const T> X, const T* residual,
                    MatrixView<T> G, const Context& context) {
  std::vector<double> sums(G.size());
  in_pieces(X, context, [&](MatrixView<const T> piece, Index first) {
    const auto fleet = evaluated<Setup, T>(net, piece);
    using Mem = Memory<typename Setup::Device, T>;
    const Mem gradient(G.size()), r(residual + first * net.k(), piece.rows * net.k());
    fleet->gradient(0, gradient.data(), r.data());
    gradient.copy_out(G.data);
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += double(G.data[i]);
  });
  for (std::size_t i = 0; i < sums.size(); ++i) G.data[i] = T(sums[i]);
}

template <class Setup, class T>
void features(const NetworkView<T>& net, MatrixView<const T> X, MatrixView<T> H,
              const Context& context) {
  using Device = typename Setup::Device;
  std::vector<T> root_lam(net.m());
  std::transform(net.lam, net.lam + net.m(), root_lam.begin(),
                 [](double lam) { return T(std::sqrt(lam)); });
  in_pieces(X, context, [&](MatrixView<const T> piece, Index first) {
    const auto fleet = evaluated<Setup, T>(net, piece, true);
    const Memory<Device, T> roots(root_lam);
    T* values = fleet->of_member(0).values;
    const Index size = piece.rows * net.m();
    scale<Device>(values, size, 1, roots.data(), net.m());
    transfer<Device>(H.row(first), values, size);
  });
}

template <class Setup, class T, class E>
void ntg(const NetworkView<T>& net, const double* v, MatrixView<const T> X, MatrixView<const T> X2,
         bool symmetric, MatrixView<E> K, const Context&) {
  using Device = typename Setup::Device;
  const DeviceLock lock(device_mutex());
  const NetworkView<T> slopes_alone{net.W, {nullptr, net.m(), 0}, nullptr, net.activation};
  const auto left = evaluated<Setup, T>(slopes_alone, X);
  const auto right = symmetric ? nullptr : evaluated<Setup, T>(slopes_alone, X2);
  const Problem<T> a = left->of_member(0), b = symmetric ? a : right->of_member(0);
  const Memory<Device, double> weights(v, net.m());
  const Memory<Device, E> held(K.size());
  using Shape = typename Setup::NtgShape;
  launch_tiles<Device, Shape, Ntg<Shape, T, T, E>>({X.rows, X2.rows, net.d(), net.m(), 1, a.X, b.X,
                                                    a.slopes, b.slopes, weights.data(), held.data(),
                                                    symmetric, false});
  held.copy_out(K.data);
}

template <class Setup, class T>
void activation_values(Activation activation, int order, const T* z, Index count, T* out) {
  using Device = typename Setup::Device;
  const DeviceLock lock(device_mutex());
  const Memory<Device, T> in(z, count), result(count);
  T* to = result.data();
  const T* from = in.data();
  for_elements<Device>(
      count, ASYMFAST_ON_DEVICE(Index e) {
        with_activation(activation, [&](auto sigma) {
          to[e] = order == 0   ? derivatives(sigma, from[e]).value
                  : order == 1 ? derivatives(sigma, from[e]).slope
                               : derivatives(sigma, from[e]).curvature;
        });
      });
  result.copy_out(out);
}

// Batches are stepped through by fleets alone.
template <class Setup, class T>
Kernels<T> kernels() {
  using Own = DeviceFleet<Setup, T>;
  Kernels<T> all{};
  all.forward = &forward<Setup, T>;
  all.node_gradients = &node_gradients<Setup, T>;
  all.features = &features<Setup, T>;
  all.ntg = &ntg<Setup, T, double>;
  all.rounded_ntg = &ntg<Setup, T, T>;
  all.activation_values = &activation_values<Setup, T>;
  all.make_engine = [](const NetworkView<T>& net, MatrixView<const T> X, MatrixView<const T> y,
                       Loss loss, double) -> std::unique_ptr<Engine<T>> {
    auto fleet =
        std::make_unique<Own>(alone(net), DataView<T>{X, y}, BatchTraining{loss, X.rows, false});
    auto& of_one = *fleet;
    return std::make_unique<MemberEngine<Setup, T>>(of_one, 0, std::move(fleet));
  };
  all.make_fleet = [](const EnsembleView<T>& nets, const DataView<T>& data,
                      const BatchTraining& training) -> std::unique_ptr<Fleet<T>> {
    return std::make_unique<Own>(nets, data, training);
  };
  return all;
}

// Eigenvalues and small products are the CPU's.
template <class Setup>
KernelTable make_table(const char* name, const KernelTable& cpu) {
  KernelTable table = cpu;
  table.isa = name;
  table.of_float = kernels<Setup, float>();
  table.of_double = kernels<Setup, double>();
  table.is_device = true;
  return table;
}

}  // namespace asymfast::cuda
