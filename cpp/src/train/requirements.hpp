// What whole runs ask of their arguments, checked once before anything is allocated.
#pragma once

#include "refuse.hpp"
#include "train/method_choice.hpp"

namespace asymfast {

// Shapes, what is to be recorded, and that it is until last_step or t_end. Throws
// std::invalid_argument; `who` begins the message. t_end is 0 where the method does not land on
// times.
template <class T>
void require_run(const char* who, const Training<T>& training, double last_step, double t_end);

// What a run whose nodes are shared among processes (hooks.sum_over_ranks) cannot do.
template <class T>
void require_ranks_possible(const char* who, const Training<T>& training);

// A setting that must be a finite number > 0, or in (0, 1).
void require_positive(const char* who, const char* name, double value);
void require_share(const char* who, const char* name, double value);

// A count that must be at least 1.
void require_count(const char* who, const char* name, Index value);

template <class T>
RunProblem problem_of(const Training<T>& training, bool train_output) {
  const EnsembleView<T>& nets = training.nets;
  return {training.train.X.rows, nets.m,          nets.d,      nets.k,
          training.loss,         nets.activation, train_output};
}

}  // namespace asymfast
