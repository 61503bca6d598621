// The inner loops where there are few inputs: z is a sum of d products, too short to be worth
// storing for a second pass. It is used while it stands in registers, some samples at a time.
// Engine and single calls share their code (noinline): a call is for a tile of samples.
#pragma once

#include "cpu/tiles.hpp"

namespace asymfast::cpu {

// Where sigma is long, its code stands in a loop for two samples at a time: for all eight it would
// be a fifth of the kernels' code, and no faster (10 % slower with erf and gelu).
template <class Sigma>
inline constexpr bool kLong = std::is_same_v<Sigma, ActivationMath<Activation::erf>> ||
                              std::is_same_v<Sigma, ActivationMath<Activation::gelu>> ||
                              std::is_same_v<Sigma, ActivationMath<Activation::sin>> ||
                              std::is_same_v<Sigma, ActivationMath<Activation::cos>>;

template <class Sigma, int R, class T, class Use>
ASYMFAST_INLINE void use_preactivations(Samples<T> X, Index first, const Vec<T>* w,
                                        const Use& use) {
  Vec<T> z[R][2] = {};
  const T* x = X.row(first);
  for (Index l = 0; l < X.d; ++l) {
    const Vec<T> w0 = w[2 * l], w1 = w[2 * l + 1];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const Vec<T> x_rl = broadcast<Vec<T>>(x[r * X.stride + l]);
      z[r][0] += x_rl * w0;
      z[r][1] += x_rl * w1;
    }
  }
  if constexpr (kLong<Sigma>) {
#pragma GCC unroll 2
    for (int r = 0; r < R; ++r) use(first + r, z[r][0], z[r][1]);
  } else {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) use(first + r, z[r][0], z[r][1]);
  }
}

// use(sample, Z of the block's two vectors) for each sample.
template <class Sigma, class T, class Use>
inline void for_preactivations(Samples<T> X, const T* W, const Use& use) {
  Index i = 0;
  for (; i + kTogether <= X.rows; i += kTogether)
    use_preactivations<Sigma, kTogether>(X, i, as_vectors(W), use);
  for (; i < X.rows; ++i) use_preactivations<Sigma, 1>(X, i, as_vectors(W), use);
}

// F (rows, k vectors) += c_q sigma(Z); slopes <- sigma'(Z), unless null.
template <class Sigma, class T>
__attribute__((noinline)) void activate(Samples<T> X, const T* W, const T* c, Index k, T* slopes,
                                        Vec<T>* F) {
  const Vec<T>* scale = as_vectors(c);
  with_outputs(k, [=](auto outputs) {
    if (slopes) {
      for_preactivations<Sigma>(X, W, [=](Index i, Vec<T> z0, Vec<T> z1) {
        const auto left = Sigma::value_and_slope(z0), right = Sigma::value_and_slope(z1);
        as_vectors(slopes)[2 * i] = left.slope;
        as_vectors(slopes)[2 * i + 1] = right.slope;
        add_outputs<T>(left.value, right.value, scale, outputs, F + i * outputs);
      });
    } else {
      for_preactivations<Sigma>(X, W, [=](Index i, Vec<T> z0, Vec<T> z1) {
        add_outputs<T>(Sigma::value(z0), Sigma::value(z1), scale, outputs, F + i * outputs);
      });
    }
  });
}

// D = sigma'(Z) sum_q c_q r_q for the residual r = dL/df (rows, k).
template <class Sigma, class T>
__attribute__((noinline)) void pull_through(Samples<T> X, const T* W, const T* r, const T* c,
                                            Index k, T* D) {
  const Vec<T>* scale = as_vectors(c);
  for_preactivations<Sigma>(X, W, [=](Index i, Vec<T> z0, Vec<T> z1) {
    pull_residual<T>(Sigma::slope(z0), Sigma::slope(z1), r + i * k, scale, k,
                     as_vectors(D) + 2 * i);
  });
}

}  // namespace asymfast::cpu
