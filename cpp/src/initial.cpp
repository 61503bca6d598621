// The node scalings and weights of a network at its start. With u_i(key) the stream of
// train/sampler.hpp, W is drawn from the stream of key u_0(seed), a from that of u_1(seed), both
// row by row: two normals from two numbers (Box and Muller), one sign from the highest bit of one.
#include "asymfast/initial.hpp"

#include <cmath>
#include <string>

#include "refuse.hpp"
#include "train/sampler.hpp"

namespace asymfast {

std::vector<double> node_scaling(Index m, double gamma, double alpha) {
  if (m < 1) refuse("node_scaling", "m must be at least 1, got " + std::to_string(m));
  if (!(gamma >= 0 && gamma <= 1))
    refuse("node_scaling", "gamma must be in [0, 1], got " + std::to_string(gamma));
  if (gamma == 1) return std::vector<double>(m, 1 / double(m));
  if (!(alpha > 0) || std::isinf(alpha))
    refuse("node_scaling", "alpha must be in (0, inf), got " + std::to_string(alpha));
  std::vector<double> lam(m);
  double sum = 0;
  for (std::size_t j = lam.size(); j-- > 0;)  // the small ones first
    sum += lam[j] = std::pow(double(j + 1), -1 / alpha);
  for (double& t : lam) t = gamma / double(m) + (1 - gamma) * (t / sum);
  return lam;
}

namespace {

// In (0, 1), from the highest 53 bits.
double uniform(std::uint64_t u) {
  return (double(u >> 11) + 0.5) * 0x1p-53;
}

}  // namespace

template <class T>
void draw_weights(std::uint64_t seed, MatrixView<T> W, MatrixView<T> a) {
  constexpr double two_pi = 6.28318530717958647692;
  const std::uint64_t normals = split_mix(seed, 0), signs = split_mix(seed, 1);
  for (Index i = 0; i < W.size(); i += 2) {
    const auto at = static_cast<std::uint64_t>(i);
    const double radius = std::sqrt(-2 * std::log(uniform(split_mix(normals, at))));
    const double angle = two_pi * uniform(split_mix(normals, at + 1));
    W.data[i] = T(radius * std::cos(angle));
    if (i + 1 < W.size()) W.data[i + 1] = T(radius * std::sin(angle));
  }
  for (Index i = 0; i < a.size(); ++i)
    a.data[i] = split_mix(signs, static_cast<std::uint64_t>(i)) >> 63 ? T(1) : T(-1);
}

template void draw_weights(std::uint64_t, MatrixView<float>, MatrixView<float>);
template void draw_weights(std::uint64_t, MatrixView<double>, MatrixView<double>);

}  // namespace asymfast
