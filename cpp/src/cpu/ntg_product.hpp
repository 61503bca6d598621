// Products of some vectors with the neural tangent matrix of all outputs, from slopes that an
// engine has kept.
#pragma once

#include <vector>

#include "asymfast/views.hpp"
#include "cpu/layout.hpp"
#include "cpu/samples.hpp"
#include "watch.hpp"

namespace asymfast::cpu {

// sum_l shares[l] slopes[l]
template <class T>
struct Slopes {
  std::vector<const T*> slopes;
  std::vector<double> shares;
};

// out (n k, count) = J_left J_right^T V, V (n k, count); without the matrix itself,
//   J^T V = sum_i,q c_jq s_ij x_i V_iq,   c = sqrt(lambda) a,
// where that is less work. c [block][q][node], X (n, d) divided by sqrt(d).
template <class T>
void ntg_product(const Layout<T>& layout, const Slopes<T>& left, const T* right, const T* c,
                 Samples<T> X, MatrixView<const double> V, double* out, const Context& context);

}  // namespace asymfast::cpu
