// What the C++ tests share: counted failures, and small random problems.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "asymfast/asymfast.hpp"

namespace check {

inline int failures = 0;

inline void expect(bool holds, const char* what) {
  if (holds) return;
  std::printf("%s: does not hold\n", what);
  ++failures;
}

// |got - expected| <= tolerance |expected|; NaN fails.
inline void expect_near(const char* what, double got, double expected, double tolerance) {
  if (std::abs(got - expected) <= tolerance * std::abs(expected)) return;
  std::printf("%s: got %.17g, expected %.17g within %g\n", what, got, expected, tolerance);
  ++failures;
}

template <class U>
void expect_same_bits(const char* what, const std::vector<U>& one, const std::vector<U>& other) {
  const bool same = one.size() == other.size() &&
                    (one.empty() || !std::memcmp(one.data(), other.data(), one.size() * sizeof(U)));
  expect(same, what);
}

// |one - other| <= tolerance max |other|, element by element; NaN fails.
template <class U>
void expect_close(const char* what, const std::vector<U>& one, const std::vector<U>& other,
                  double tolerance) {
  double size = 0, error = one.size() == other.size() ? 0 : NAN;
  for (std::size_t i = 0; i < one.size() && error >= 0; ++i) {
    size = std::max(size, std::abs(double(other[i])));
    const double difference = std::abs(double(one[i]) - double(other[i]));
    error = difference >= 0 ? std::max(error, difference) : NAN;
  }
  if (error <= tolerance * size) return;
  std::printf("%s: differ by %g of %g, %g allowed\n", what, error, size, tolerance);
  ++failures;
}

inline int summary(const char* of) {
  std::printf("%s, %s kernels: %d failures\n", of, asymfast::build_config().isa.c_str(), failures);
  return failures ? 1 : 0;
}

// B networks with k outputs, n training samples shared by all and a few test samples.
template <class T>
struct Problem {
  using Index = asymfast::Index;

  Problem(Index members, Index samples, Index inputs, Index nodes, Index outputs,
          asymfast::Activation sigma)
      : B(members),
        n(samples),
        d(inputs),
        m(nodes),
        k(outputs),
        W(size(B * m * d)),
        a(size(B * m * k)),
        x(size(n * d)),
        y(size(n * k)),
        lam(size(B * m)),
        activation(sigma) {
    std::mt19937 generator(7);
    std::normal_distribution<double> normal;
    for (auto* values : {&W, &a, &x, &y})
      for (T& value : *values) value = T(normal(generator));
    for (Index b = 0; b < B; ++b) {
      double total = 0;
      for (Index j = 0; j < m; ++j) total += lam[size(b * m + j)] = 1.0 / double(j + 1);
      for (Index j = 0; j < m; ++j) lam[size(b * m + j)] /= total;
    }
  }

  static std::size_t size(Index count) { return static_cast<std::size_t>(count); }

  asymfast::EnsembleView<T> nets() const {
    return {B, m, d, k, W.data(), a.data(), lam.data(), activation};
  }
  asymfast::DataView<T> train() const { return {{x.data(), n, d}, {y.data(), n, k}}; }
  asymfast::DataView<T> test() const {
    const Index some = (n + 1) / 2;
    return {{x.data(), some, d}, {y.data(), some, k}};
  }
  asymfast::Training<T> training(asymfast::Loss loss, const asymfast::Recording& recording,
                                 const asymfast::Hooks& hooks,
                                 const asymfast::Execution& exec) const {
    return {nets(), train(), test(), loss, recording, hooks, exec};
  }
  // One-hot targets of the largest y.
  std::vector<T> classes() const {
    std::vector<T> hot(y.size());
    for (Index i = 0; i < n; ++i) {
      Index best = 0;
      for (Index q = 1; q < k; ++q)
        if (y[size(i * k + q)] > y[size(i * k + best)]) best = q;
      hot[size(i * k + best)] = 1;
    }
    return hot;
  }

  Index B, n, d, m, k;
  std::vector<T> W, a, x, y;
  std::vector<double> lam;
  asymfast::Activation activation;
};

// Everything that can be recorded.
inline asymfast::Recording everything(asymfast::Index samples, bool outputs) {
  asymfast::Recording recording;
  for (asymfast::Index i = 0; i < samples; ++i) recording.ntg_on.push_back(i);
  recording.ntg_change_2norm = recording.eigmax = recording.alignment = true;
  recording.effective_rank = recording.ntg_matrix = recording.weights = true;
  recording.output_weights = outputs;
  recording.top_nodes = 2;
  return recording;
}

}  // namespace check
