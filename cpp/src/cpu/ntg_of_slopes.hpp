// The second form of Eq. (5): the matrix of all outputs (n k, n k), whole and in double, from
// slopes that an engine has kept, and its products with vectors; used by the tangent method and by
// leaps. What users see, records included, is cpu/ntg.cpp: of one pair of outputs, from weights,
// for any n.
#pragma once

#include <vector>

#include "asymfast/views.hpp"
#include "cpu/layout.hpp"
#include "watch.hpp"

namespace asymfast::cpu {

// The slopes of a Jacobian: sum_l shares[l] slopes[l], each [block][n][node].
template <class T>
struct Slopes {
  std::vector<const T*> slopes;
  std::vector<double> shares;
};

// Two Jacobians of one network, by their slopes s and s'.
template <class T>
struct Jacobians {
  const Layout<T>& layout;
  Slopes<T> left, right;
  const T* c;                        // sqrt(lambda) a: [block][q][node]
  const std::vector<Index>& blocks;  // of nodes, that are summed over
  Samples<T> X;                      // (n, d) / sqrt(d)

  Index size() const { return layout.n * layout.k; }
  bool symmetric() const { return left.slopes == right.slopes; }
};

// K (n k, n k), row and column i k + q:
//   K = (x_i.x_l / d) sum_j c_jq c_jp s_ij s'_lj,
// exactly symmetric where the left Jacobian is the right one, which is a single one.
template <class T>
void ntg_of_slopes(const Jacobians<T>& J, double* K, const Context& context);

// out = K V, V (n k, count); without the matrix itself, by
//   J^T V = sum_i,q c_jq s_ij x_i V_iq,
// where that is less work.
template <class T>
void ntg_product(const Jacobians<T>& J, MatrixView<const double> V, double* out,
                 const Context& context);

}  // namespace asymfast::cpu
