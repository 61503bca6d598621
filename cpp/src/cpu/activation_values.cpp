// sigma, sigma' or sigma'' of an array, through the vectors of the training kernels.
#include "backend.hpp"
#include "math/activations.hpp"

namespace asymfast::cpu {

namespace {

template <class T>
void activation_values(Activation activation, int order, const T* z, Index count, T* out) {
  with_activation(activation, [&](auto sigma) {
    using Sigma = decltype(sigma);
    for (Index i = 0; i < count; i += kLanes<T>) {
      const std::size_t bytes =
          static_cast<std::size_t>(count - i < kLanes<T> ? count - i : kLanes<T>) * sizeof(T);
      Vec<T> x{};
      std::memcpy(&x, z + i, bytes);
      if (order == 2) {
        x = Sigma::curvature(x);
      } else {
        const auto s = Sigma::value_and_slope(x);
        x = order == 0 ? s.value : s.slope;
      }
      std::memcpy(out + i, &x, bytes);
    }
  });
}

}  // namespace

template <class T>
void add_activation_values(Kernels<T>& kernels) {
  kernels.activation_values = &activation_values<T>;
}

template void add_activation_values(Kernels<float>&);
template void add_activation_values(Kernels<double>&);

}  // namespace asymfast::cpu
