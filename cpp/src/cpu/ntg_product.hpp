// Products of some vectors with the neural tangent matrix of all outputs, from slopes that an
// engine has kept.
#pragma once

#include <vector>

#include "cpu/ntg_of_slopes.hpp"

namespace asymfast::cpu {

// out (n k, count) = J_left J_right^T V, V (n k, count); without the matrix itself,
//   J^T V = sum_i,q c_jq s_ij x_i V_iq,   c = sqrt(lambda) a,   j in `blocks`,
// where that is less work. c [block][q][node], X (n, d) divided by sqrt(d).
template <class T>
void ntg_product(const Layout<T>& layout, const Slopes<T>& left, const T* right, const T* c,
                 const std::vector<Index>& blocks, Samples<T> X, MatrixView<const double> V,
                 double* out, const Context& context);

}  // namespace asymfast::cpu
