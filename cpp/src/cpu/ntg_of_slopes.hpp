// The second form of Eq. (5): the matrix of all outputs (n k, n k), whole and in double, from
// slopes that an engine has kept; used by the tangent method, whose n k is at most some hundreds.
// What users see, records included, is cpu/ntg.cpp: of one pair of outputs, from weights, for any
// n.
#pragma once

#include <vector>

#include "asymfast/views.hpp"
#include "cpu/layout.hpp"
#include "cpu/samples.hpp"
#include "watch.hpp"

namespace asymfast::cpu {

// K (n k, n k), row and column i k + q:
//   K = (x_i.x_l / d) sum_j c_jq c_jp s_ij s'_lj,   c = sqrt(lambda) a,
// with s = sum_l shares[l] lefts[l] and s' = right: slopes [block][n][node]; c [block][q][node], X
// (n, d) divided by sqrt(d). Symmetric where the left one is the right one.
template <class T>
void ntg_of_slopes(const Layout<T>& layout, const std::vector<const T*>& lefts,
                   const std::vector<double>& shares, const T* right, const T* c, Samples<T> X,
                   double* K, const Context& context);

}  // namespace asymfast::cpu
