// Largest eigenvalue of the neural tangent matrix of all outputs, `size` of them, at the point of
// an engine, by the Lanczos method on products with it. At most 30 products; a lower bound, within
// 1 % as a rule. Infinite where a product is not finite.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "backend.hpp"
#include "engine.hpp"
#include "train/vectors.hpp"

namespace asymfast {

template <class T>
double ntg_eig_max(Engine<T>& engine, Index size, const KernelTable& kernels,
                   const Context& context) {
  constexpr Index kMost = 30;
  const Index most = std::min(size, kMost);
  const auto dot = [](const std::vector<double>& a, const std::vector<double>& b) {
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
  };

  std::vector<std::vector<double>> basis(1);
  std::vector<double> diagonal, off_diagonal, w(size);
  for (Index i = 0; i < size; ++i)  // a fixed vector that no symmetry of the data annihilates
    basis[0].push_back(1 + 0.5 * std::sin(double(i + 1) * 1.7));
  double norm = norm_of_any_size(basis[0]);
  for (Index j = 0; j < most; ++j) {
    std::vector<double>& q = basis.back();
    for (double& x : q) x /= norm;
    const std::vector<T> u(q.begin(), q.end());
    engine.ntg_product(u.data(), w.data(), context);
    if (context.watch.stopped()) return 0;
    diagonal.push_back(dot(q, w));
    if (!std::isfinite(diagonal.back())) return std::numeric_limits<double>::infinity();
    for (int pass = 0; pass < 2; ++pass)
      for (const auto& b : basis) {
        const double along = dot(b, w);
        for (Index i = 0; i < size; ++i) w[i] -= along * b[i];
      }
    norm = norm_of_any_size(w);
    if (!(norm > 1e-6 * std::abs(diagonal[0])) || j + 1 == most) break;
    off_diagonal.push_back(norm);
    basis.push_back(w);
  }

  // -T has the wanted eigenvalue as its smallest.
  const Index steps = static_cast<Index>(diagonal.size());
  std::vector<double> minus_T(steps * steps);
  for (Index i = 0; i < steps; ++i) {
    minus_T[i * steps + i] = -diagonal[i];
    if (i > 0) minus_T[i * steps + i - 1] = -off_diagonal[i - 1];
  }
  return std::max(0.0, -kernels.min_eigenvalue({minus_T.data(), steps, steps}, context));
}

}  // namespace asymfast
