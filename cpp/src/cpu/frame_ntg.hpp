// The neural tangent matrix of all outputs from slopes that an engine has kept.
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
void frame_ntg(const Layout<T>& at, const std::vector<const T*>& lefts,
               const std::vector<double>& shares, const T* right, const T* c, Samples<T> X,
               double* K, const Context& context);

}  // namespace asymfast::cpu
