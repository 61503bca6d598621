// Products with a neural tangent Gram matrix that is never formed.
#pragma once

#include <memory>

#include "asymfast/export.h"
#include "asymfast/network.hpp"

namespace asymfast {

// Theta u for Theta_il = (x_i.x_l / d) sum_j v_j sigma'(Z_j(x_i)) sigma'(Z_j(x_l)) with v >= 0, as
// J (J^T u). Keeps its own copies of inputs, weights and, where exec.slopes_memory allows, slopes.
// Memory: O((n + m) d), and n m for the slopes. Not for two threads at once.
template <class T>
class ASYMFAST_API NtgOperator {
 public:
  // net.a and net.lam are not read; v (m,).
  NtgOperator(const NetworkView<T>& net, const double* v, MatrixView<const T> X,
              const Execution& exec = {});
  ~NtgOperator();
  NtgOperator(NtgOperator&&) noexcept;
  NtgOperator& operator=(NtgOperator&&) noexcept;

  // out = U Theta, row by row: U and out (r, n). Cost: 6 n m d flop a row.
  void apply(MatrixView<const T> U, MatrixView<double> out, const Execution& exec = {});

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace asymfast
