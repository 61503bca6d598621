// What whole runs ask of their arguments, checked once before anything is allocated.
#pragma once

#include "asymfast/train.hpp"

namespace asymfast {

// Shapes, schedule and what is to be recorded. Throws std::invalid_argument; `who` begins the
// message. takes_times: the method can land on times.
template <class T>
void require_run(const char* who, const EnsembleView<T>& nets, const DataView<T>& train,
                 const DataView<T>& test, const Recording& recording, bool takes_times);

// What a run whose nodes are shared among processes (hooks.sum_over_ranks) cannot do.
void require_ranks_possible(const char* who, Index B, const Hooks& hooks, const Execution& exec);

// That steps and times to record at lie in a run of so many steps, or until so late.
void require_within(const char* who, const Schedule& schedule, double last_step, double t_end);

// A setting that must be a finite number > 0.
void require_positive(const char* who, const char* name, double value);

// A count that must be at least 1.
void require_count(const char* who, const char* name, Index value);

}  // namespace asymfast
