// What whole runs ask of their arguments, checked once before anything is allocated.
#pragma once

#include "asymfast/train.hpp"

namespace asymfast {

// Shapes, schedule and what is to be recorded. Throws std::invalid_argument; `who` begins the
// message. takes_times: the method can land on times.
template <class T>
void require_run(const char* who, const EnsembleView<T>& nets, const DataView<T>& train,
                 const DataView<T>& test, const Recording& recording, bool takes_times);

// A setting that must be a finite number > 0.
void require_positive(const char* who, const char* name, double value);

// A count that must be at least 1.
void require_count(const char* who, const char* name, Index value);

}  // namespace asymfast
