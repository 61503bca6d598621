// What the methods do with vectors of the outputs' size, and lengths of any vectors.
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

inline std::vector<double> difference(std::vector<double> a, const std::vector<double>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  return a;
}

// |v| of `count` numbers.
template <class T>
double norm(const T* v, Index count) {
  double sum = 0;
  for (Index i = 0; i < count; ++i) sum += double(v[i]) * double(v[i]);
  return std::sqrt(sum);
}

inline double norm(const std::vector<double>& v) {
  return norm(v.data(), static_cast<Index>(v.size()));
}

// The power of two just below `largest`, in whose units squares stay in the range of double and no
// digit changes; 1 where there is none.
inline double unit_of(double largest) {
  return largest > 0 && std::isfinite(largest) ? std::ldexp(1.0, std::ilogb(largest)) : 1;
}

// The length of n numbers at(i), whatever their size.
template <class At>
double length(Index n, At&& at) {
  double largest = 0, sum = 0;
  for (Index i = 0; i < n; ++i) largest = std::max(largest, std::abs(at(i)));
  const double unit = unit_of(largest);
  for (Index i = 0; i < n; ++i) sum += std::pow(at(i) / unit, 2);
  return unit * std::sqrt(sum);
}

// |a - b| of two rows of n numbers.
template <class T>
double distance(const T* a, const T* b, Index n) {
  return length(n, [=](Index i) { return double(a[i]) - double(b[i]); });
}

}  // namespace asymfast
