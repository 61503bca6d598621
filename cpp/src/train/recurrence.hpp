// The small problem of a leap: r_{k+1} = r_k - h (A(k) r_k + b(k)) over many steps, with A(k) and
// b(k) polynomials through given matrices and vectors, and the moments of r that move the weights.
// The discrete twin of tangent_ode.hpp.
#pragma once

#include <memory>
#include <vector>

#include "train/eigenvectors.hpp"

namespace asymfast {

// The steps are cut into panels. In the eigenbasis (1 - z_l) / h, z_l of a symmetric matrix near
// all A(k), r is split into z^k r_0 and a correction v of the size of A(k)'s distance from that
// matrix, a polynomial in k through the places of a Radau rule that are rounded to steps; v is
// found by Picard iteration with z treated implicitly. Of a mode that decays within the panel, the
// residual soon follows A(k) and b(k) smoothly, and only what it starts beside that, r_0 - v_0,
// decays like z^k: v starts at the v_0 that makes it smoothest. A panel where v is no such
// polynomial is halved, and one of a few steps is stepped through. Matrices are of size N.
class Recurrence {
 public:
  explicit Recurrence(const KernelTable& kernels) : kernels_(&kernels), basis_(kernels) {}

  // Takes the symmetric part of A (N, N).
  void set_basis(const double* A, Index N, const Context& context) {
    basis_.set(A, N, context);
    prepared_.clear();
  }
  double largest_eigenvalue() const { return basis_.largest(); }

  struct Solution {
    std::vector<double> r;        // r after the steps
    std::vector<double> moments;  // (places, N): sum_k l_i(k) r_k
    int iterations = 0;           // the most of a panel
    double flop = 0;
  };

  // A(k) = sum_i l_i(k) matrices[slots[i]] with the Lagrange polynomials l_i of the places at[i] in
  // steps from the first one, b(k) likewise; matrices (slots, N, N), vectors (slots, N). Solves to
  // `accuracy` in r.
  Solution solve(const std::vector<double>& at, const std::vector<Index>& slots,
                 const std::vector<double>& matrices, const std::vector<double>& vectors,
                 const std::vector<double>& r, double h, Index steps, double accuracy,
                 const Context& context);

  // The largest |e_k| / (tolerance |r_k| + floor) while both go on for up to `steps` more; parts of
  // length e_rest and r_rest stay as they are.
  double lasting_ratio(const std::vector<double>& e, double e_rest, const std::vector<double>& r,
                       double r_rest, double h, Index steps, double tolerance, double floor) const;

  // sum_{k < steps} g(k) = sum_i weights_i g(places_i) for polynomials g of degree 21 or less.
  struct SumRule {
    std::vector<double> places, weights;
  };
  SumRule sum_rule(Index steps, const Context& context) const;

  // N: 0 while there is no basis.
  void serialise(Archive& archive, Index N) {
    basis_.serialise(archive, N);
    prepared_.clear();
  }

 private:
  struct Panel {
    Index first, steps;
  };
  // What a panel needs that depends on its length alone, for one h and basis.
  struct Prepared {
    Index steps;
    std::vector<Index> ends;      // steps after which v is collocated
    std::vector<double> before;   // (place, place): v one step earlier, from v at the places
    std::vector<double> decay;    // (place, N): z^(ends - 1)
    std::vector<double> whole;    // (N,): z^steps
    std::vector<double> factors;  // (place, place, N): LU of I - z before
    std::vector<double> sums;     // (power, N): sum_k (k / steps)^power z^k
    SumRule rule;
    std::vector<double> here;  // (rule's place, place): v there
    // (place,): v's coefficient of the highest degree, from the start and all places; without the
    // start; without the first place, too.
    std::vector<double> last, last_but_one, last_but_two;
    // Of modes that decay within the panel, else 0: v - v_0 (place, N) for v_0 = 1 and A, b as in
    // the basis, and its coefficient of the highest degree (N,).
    std::vector<double> unit, unit_last;

    void solve(std::vector<double>& g, Index N) const;
  };
  struct Work;
  struct Collocation;

  Prepared& prepared(Index steps, double h, const Context& context);
  void prepare_factors(Prepared& p, double h) const;
  void prepare_sums(Prepared& p, double h) const;
  void prepare_starts(Prepared& p, double h) const;
  void step_through(const Panel& panel, Work& work) const;
  bool collocate(const Panel& panel, Work& work);
  void interpolate(Collocation& c, Work& work) const;
  void start_smoothly(Collocation& c, std::vector<double>& v) const;
  bool iterate(Collocation& c, Work& work) const;
  bool is_polynomial(const Collocation& c, double accuracy) const;
  void add_moments(const Collocation& c, Work& work) const;

  const KernelTable* kernels_;
  Eigenbasis basis_;  // of the matrix near all A(k)
  double prepared_h_ = 0;
  std::vector<std::unique_ptr<Prepared>> prepared_;  // those used last, the newest first
};

}  // namespace asymfast
