// Which method carries a gradient flow to its end with the least work.
#pragma once

#include "asymfast/train.hpp"

namespace asymfast {

struct FlowProblem {
  Index n, m, d, k;
  std::size_t element_size;  // of a weight, in bytes
  double stiffness;          // t_end eig_max of the Gauss-Newton matrix at the start
  double rtol;
  bool quadratic;  // the loss is a sum of squares
  bool smooth;     // sigma' has no jumps
};

inline bool smooth(Activation activation) {  // sigma' has no jumps
  return activation != Activation::relu;
}
inline bool quadratic(Loss loss) {
  return loss != Loss::cross_entropy;
}

FlowMethod cheapest_flow(const FlowProblem& problem);

// Whether a flow on so many outputs n k may take this method when `asked` was asked for.
bool may_be_taken(FlowMethod method, FlowMethod asked, Loss loss, Activation activation,
                  Index outputs);

// Whether descent on so many outputs n k can be done in leaps.
bool leaps_are_possible(Loss loss, Activation activation, Index outputs);

}  // namespace asymfast
