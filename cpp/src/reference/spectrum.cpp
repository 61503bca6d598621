// Smallest eigenvalue by Jacobi's method: rotate the largest off-diagonal parts away, sweep by
// sweep.
#include <cmath>
#include <limits>

#include "reference/kernels.hpp"

namespace asymfast::reference {

double min_eigenvalue(MatrixView<const double> K, const Context& context) {
  const Index n = K.rows;
  std::vector<double> copy(static_cast<std::size_t>(n * n));
  const MatrixView<double> A{copy.data(), n, n};
  double norm2 = 0;
  for (Index i = 0; i < n; ++i)
    for (Index j = 0; j < n; ++j) {
      A(i, j) = i >= j ? K(i, j) : K(j, i);
      norm2 += A(i, j) * A(i, j);
    }

  const auto off_diagonal2 = [&] {
    double sum = 0;
    for (Index i = 0; i < n; ++i)
      for (Index j = 0; j < i; ++j) sum += 2 * A(i, j) * A(i, j);
    return sum;
  };
  const double eps = std::numeric_limits<double>::epsilon();
  for (int sweep = 0; sweep < 60 && off_diagonal2() > eps * eps * norm2; ++sweep)
    for (Index p = 0; p < n; ++p) {
      context.watch.tick();
      if (context.watch.stopped()) return 0;
      for (Index q = 0; q < p; ++q) {
        if (A(p, q) == 0) continue;
        const double tau = (A(q, q) - A(p, p)) / (2 * A(p, q));
        const double t = (tau >= 0 ? 1 : -1) / (std::abs(tau) + std::hypot(1.0, tau));
        const double c = 1 / std::hypot(1.0, t), s = c * t;
        for (Index i = 0; i < n; ++i) {
          const double ip = A(i, p), iq = A(i, q);
          A(i, p) = c * ip - s * iq;
          A(i, q) = s * ip + c * iq;
        }
        for (Index i = 0; i < n; ++i) {
          const double pi = A(p, i), qi = A(q, i);
          A(p, i) = c * pi - s * qi;
          A(q, i) = s * pi + c * qi;
        }
      }
    }

  double smallest = A(0, 0);
  for (Index i = 1; i < n; ++i) smallest = std::fmin(smallest, A(i, i));
  return smallest;
}

}  // namespace asymfast::reference
