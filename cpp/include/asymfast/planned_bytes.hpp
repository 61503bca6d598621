// What a call allocates at most, its result included, so that it can be refused before it starts.
//
// Everything but the slopes sigma'(Z) is fixed by the sizes. Slopes are kept, or gathered, as far
// as Execution::slopes_memory allows; the rest is computed again, to the same bits. Bytes are
// doubles, so that no size overflows; bounds of the fast backend for any instruction set.
#pragma once

#include <cstddef>

#include "asymfast/train.hpp"

namespace asymfast {

struct RunSizes {
  Index n, d, m, k, B;
  std::size_t element = sizeof(double);  // of a weight, in bytes
  Index ntg_samples = 0;                 // that the NTG is recorded on; 0: it is not recorded
  Index rows = 0;                        // records kept in memory
  Index test_samples = 0;
  int threads = 1;
  bool alone = true;  // no other process has nodes of the networks
  Loss loss = Loss::half_sse;
  Activation activation = Activation::swish;
};

// Of a run by whichever method needs most among those that may be taken; without the columns of
// the record that are not weight_change.
ASYMFAST_API double planned_bytes(const RunSizes& sizes, const Descent& descent);
ASYMFAST_API double planned_bytes(const RunSizes& sizes, const Flow& flow);
ASYMFAST_API double planned_bytes(const RunSizes& sizes, const Sgd& sgd);

// Of products with the neural tangent matrix (NtgOperator).
ASYMFAST_API double planned_operator_bytes(const RunSizes& sizes);

// Of an NTG of n and n2 samples with weights v (m,) of the nodes.
struct NtgBytes {
  double fixed, least_slopes;
};
ASYMFAST_API NtgBytes planned_ntg_bytes(Index n, Index n2, Index d, const double* v, Index m,
                                        std::size_t element);

}  // namespace asymfast
