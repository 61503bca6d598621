// The neural tangent matrix of all outputs from slopes that an engine has kept.
#pragma once

#include "asymfast/views.hpp"
#include "cpu/layout.hpp"
#include "cpu/samples.hpp"
#include "watch.hpp"

namespace asymfast::cpu {

// K (n k, n k), row and column i k + q:
//   K = (x_i.x_l / d) sum_j c_jq c_jp s_ij s_lj,   c = sqrt(lambda) a,
// from slopes [block][n][node], c [block][q][node] and X (n, d) divided by sqrt(d).
template <class T>
void frame_ntg(const Layout<T>& at, const T* slopes, const T* c, Samples<T> X, double* K,
               const Context& context);

}  // namespace asymfast::cpu
