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

// The slopes of a Jacobian: sum_l shares[l] slopes[l], each [block][n][node].
template <class T>
struct Slopes {
  std::vector<const T*> slopes;
  std::vector<double> shares;
};

// Blocks are taken by groups, whose c s are formed first. Rows of these 4 KB apart would all
// compete for the same places of a cache.
template <class T>
inline constexpr Index kBlocksOfGroup = tuning::kNodesOfGroup / kBlock<T>;
inline constexpr Index kRowOfGroup = tuning::kNodesOfGroup + 8;

// c s of `count` blocks, c [block][q][node]: out (n k, kRowOfGroup), row i k + q.
template <class T>
void weigh(const Layout<T>& layout, const Slopes<T>& from, const T* c, const Index* blocks,
           Index count, double* out, const Context& context);

// K (n k, n k), row and column i k + q:
//   K = (x_i.x_l / d) sum_j c_jq c_jp s_ij s'_lj,   c = sqrt(lambda) a,   j in `blocks`,
// with the slopes s of the left Jacobian and s' of the right one; X (n, d) divided by sqrt(d).
// Symmetric where the left one is the right one.
template <class T>
void ntg_of_slopes(const Layout<T>& layout, const Slopes<T>& left, const T* right, const T* c,
                   const std::vector<Index>& blocks, Samples<T> X, double* K,
                   const Context& context);

}  // namespace asymfast::cpu
