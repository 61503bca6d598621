// What the methods do with vectors of the outputs' size.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "backend.hpp"

namespace asymfast {

// A B for A (rows, inner) and B (inner, cols).
inline std::vector<double> product(const KernelTable& kernels, Index rows, Index inner, Index cols,
                                   const double* A, const double* B) {
  std::vector<double> C(rows * cols);
  kernels.product({A, rows, inner}, {B, inner, cols}, {C.data(), rows, cols});
  return C;
}

inline std::vector<double> transposed(const std::vector<double>& A, Index rows, Index cols) {
  std::vector<double> out(A.size());
  for (Index i = 0; i < rows; ++i)
    for (Index l = 0; l < cols; ++l) out[l * rows + i] = A[i * cols + l];
  return out;
}

// (A + A^T) / 2 for A (N, N).
inline std::vector<double> symmetric_part(const double* A, Index N) {
  std::vector<double> out(N * N);
  for (Index i = 0; i < N; ++i)
    for (Index l = 0; l < N; ++l) out[i * N + l] = (A[i * N + l] + A[l * N + i]) / 2;
  return out;
}

inline double norm(const double* v, Index count) {
  double sum = 0;
  for (Index i = 0; i < count; ++i) sum += v[i] * v[i];
  return std::sqrt(sum);
}

inline double norm(const std::vector<double>& v) {
  return norm(v.data(), static_cast<Index>(v.size()));
}

// The same where squares may leave the range of a double: they are not formed.
inline double norm_of_any_size(const std::vector<double>& v) {
  double largest = 0;
  for (const double x : v) largest = std::max(largest, std::abs(x));
  const double unit = largest > 1e-140 && largest < 1e140 ? 1 : largest;
  if (!(unit > 0)) return 0;
  double sum = 0;
  for (const double x : v) sum += (x / unit) * (x / unit);
  return unit * std::sqrt(sum);
}

}  // namespace asymfast
