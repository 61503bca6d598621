// The small equation of the tangent method: r' = -Theta(t) r on one step, with Theta(t) a
// polynomial through given matrices, and the moments of r that move the weights.
#pragma once

#include <vector>

#include "train/eigenvectors.hpp"
#include "train/polynomials.hpp"

namespace asymfast {

// In the eigenbasis of a matrix Theta_0 near all Theta(t), with eigenvalues lambda, every mode
// obeys r' + lambda r = g, g = -(Theta(t) - Theta_0) r. g is taken for a polynomial through the
// nodes of Radau's formula and found by Picard iteration. The response to it is exact: where h
// lambda is large, a polynomial u plus exp(-lambda t) (r(0) - u(0)). So components that have
// decayed to what the change of Theta makes of the others, as all do that the network cannot fit,
// are smooth as they are. Matrices are of size N = n k.
class TangentOde {
 public:
  explicit TangentOde(const KernelTable& kernels) : kernels_(kernels), basis_(kernels) {}

  // Takes Theta_0 (N, N).
  void set_basis(const double* theta, Index N, const Context& context) {
    basis_.set(theta, N, context);
    prepared_h_ = -1;
  }
  double largest_eigenvalue() const { return basis_.largest(); }

  struct Solution {
    std::vector<double> r;        // r(h)
    std::vector<double> moments;  // (nodes, N): int_0^h l_i(t) r(t) dt
    int iterations = 0;
  };

  // Theta(t) = sum_i l_i(t / h) thetas[slots[i]] with the Lagrange polynomials l_i of the places
  // at[i]; thetas (slots, N, N). Iterates until r is known to `accuracy`.
  Solution solve(const std::vector<double>& at, const std::vector<Index>& slots,
                 const std::vector<double>& thetas, const std::vector<double>& r, double h,
                 double accuracy, const Context& context);

  // Flop of a solution.
  double cost(Index slots, int iterations) const;

  // The basis of N outputs.
  void serialise(Archive& archive, Index N) {
    basis_.serialise(archive, N);
    prepared_h_ = -1;
  }

 private:
  struct Work;

  void prepare(double h);
  void respond(const std::vector<double>& g, std::vector<double>& u) const;
  void interpolate(const std::vector<double>& at, const std::vector<Index>& slots,
                   const std::vector<double>& thetas, Work& work) const;
  int iterate(Work& work, double accuracy, const Context& context);

  const KernelTable& kernels_;
  Eigenbasis basis_;  // of Theta_0

  // Of the step size prepared_h_ and the basis.
  double prepared_h_ = -1;
  std::vector<double> decay_;     // (node, N): exp(-lambda h node)
  std::vector<double> response_;  // (node and 0, node, N): of u to g
  std::vector<double> moments_;   // (power, N): int_0^1 s^power exp(-lambda h s) ds
};

}  // namespace asymfast
