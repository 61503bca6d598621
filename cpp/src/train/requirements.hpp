// What whole runs ask of their arguments, checked once before anything is allocated; which methods
// can carry a run to its end, and which of them with the least work.
#pragma once

#include <string>

#include "asymfast/train.hpp"
#include "refuse.hpp"

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
