// Calls on a network whose results stay on the device; inputs may lie there or on the host.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "cuda/device_fleet.hpp"

namespace asymfast::cuda {

// One network as an ensemble of one.
template <class T>
EnsembleView<T> alone(const NetworkView<T>& net) {
  return {1, net.m(), net.d(), net.k(), net.W.data, net.a.data, net.lam, net.activation};
}

// A network on samples, for a single call.
template <class Setup, class T>
DeviceFleet<Setup, T> fleet_of(const NetworkView<T>& net, MatrixView<const T> X,
                               bool keep_values = false) {
  const DataView<T> data{X, {nullptr, X.rows, net.k()}};
  return {alone(net), data, Loss::half_sse, X.rows, false, keep_values};
}

// f (n, k)
template <class Setup, class T>
void forward_on_device(const NetworkView<T>& net, MatrixView<const T> X, T* f) {
  auto fleet = fleet_of<Setup, T>(net, X);
  fleet.evaluate(0);
  for_elements<typename Setup::Device>(
      X.rows * net.k(), Scale<double, T>{fleet.outputs_on_device().data(), 1, nullptr, 1, f});
}

template <class Setup, class T>
double loss_on_device(const NetworkView<T>& net, MatrixView<const T> X, MatrixView<const T> y,
                      Loss loss) {
  DeviceFleet<Setup, T> fleet(alone(net), {X, y}, loss, X.rows, false, false);
  fleet.evaluate(0);
  return *fleet.loss(0);
}

// G (m, d)
template <class Setup, class T>
void node_gradients_on_device(const NetworkView<T>& net, MatrixView<const T> X,
                              MatrixView<const T> y, Loss loss, T* G) {
  DeviceFleet<Setup, T> fleet(alone(net), {X, y}, loss, X.rows, false, false);
  fleet.evaluate(0);
  fleet.gradient(0, G);
}

// H (n, m)
template <class Setup, class T>
void features_on_device(const NetworkView<T>& net, MatrixView<const T> X, T* H) {
  auto fleet = fleet_of<Setup, T>(net, X, true);
  fleet.evaluate(0);
  std::vector<T> root_lam(net.m());
  std::transform(net.lam, net.lam + net.m(), root_lam.begin(),
                 [](double lam) { return T(std::sqrt(lam)); });
  const Memory<typename Setup::Device, T> roots(root_lam);
  for_elements<typename Setup::Device>(
      X.rows * net.m(), Scale<T, T>{fleet.values().data(), 1, roots.data(), net.m(), H});
}

// K (n, n2)
template <class Setup, class T, class E>
void ntg_on_device(const NetworkView<T>& net, const double* v, MatrixView<const T> X,
                   MatrixView<const T> X2, bool symmetric, E* K) {
  using Device = typename Setup::Device;
  using Kernel = Ntg<typename Setup::NtgShape, T, E>;
  constexpr Index tile = Setup::NtgShape::tile;
  const NetworkView<T> slopes_alone{net.W, {nullptr, net.m(), 0}, nullptr, net.activation};
  auto left = fleet_of<Setup, T>(slopes_alone, X);
  left.evaluate(0);
  std::optional<DeviceFleet<Setup, T>> right;
  if (!symmetric) {
    right.emplace(alone(slopes_alone), DataView<T>{X2, {nullptr, X2.rows, 0}}, Loss::half_sse,
                  X2.rows, false, false);
    right->evaluate(0);
  }
  const Problem<T> a = left.of_member(0), b = symmetric ? a : right->of_member(0);
  const Memory<Device, double> weights(v, net.m());
  const Index tiles = ((X.rows + tile - 1) / tile) * ((X2.rows + tile - 1) / tile);
  Device::template launch<Kernel>(0, 1, static_cast<int>(std::min<Index>(tiles, 1 << 15)),
                                  Kernel::kShared,
                                  {X.rows, X2.rows, net.d(), net.m(), symmetric, a.X, b.X, a.slopes,
                                   b.slopes, weights.data(), K});
}

// Where the first element is that is NaN or infinite; `size`: there is none.
template <class Setup, class T>
Index first_bad(const T* x, Index size) {
  const std::vector<Index> firsts = reduce<typename Setup::Device>(size, FirstBad<T>{x, size});
  return *std::min_element(firsts.begin(), firsts.end());
}

}  // namespace asymfast::cuda
