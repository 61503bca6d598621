// Which methods can carry a run to its end, and which of them with the least work.
#pragma once

#include <string>

#include "asymfast/train.hpp"

namespace asymfast {

inline bool smooth(Activation activation) {  // sigma' has no jumps
  return activation != Activation::relu;
}

// Sizes of a run, and what its methods have to do with.
struct RunProblem {
  Index n, m, d, k;
  Loss loss;
  Activation activation;
  bool train_output;

  Index outputs() const { return n * k; }
  double gradient_flop() const;  // with activations
};

// Why leaps, or the tangent method, cannot be: the end of a sentence. Empty: they can.
std::string what_forbids_leaps(const RunProblem& problem);
std::string what_forbids_tangent(const RunProblem& problem);

// element_size: of a weight, in bytes; stiffness: t_end eig_max of the Gauss-Newton matrix at the
// start.
FlowMethod cheapest_flow(const RunProblem& problem, std::size_t element_size, double stiffness,
                         double rtol);

// Whether so many steps take less time in leaps.
bool leaps_pay(const RunProblem& problem, std::size_t element_size, Index steps, Index records);

}  // namespace asymfast
