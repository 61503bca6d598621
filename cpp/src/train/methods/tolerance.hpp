// What error-controlled flows allow a step, and how they measure it: in the outputs.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "asymfast/views.hpp"

namespace asymfast {

// |f - y| over all samples and outputs.
template <class T>
double residual_norm(const double* f, MatrixView<const T> y) {
  double sum = 0;
  for (Index i = 0; i < y.size(); ++i) sum += std::pow(f[i] - double(y.data[i]), 2);
  return std::sqrt(sum);
}

// What rounding alone changes in the outputs of one step.
template <class T>
double output_rounding(const double* f, MatrixView<const T> y) {
  double sum = 0;
  for (Index i = 0; i < y.size(); ++i) sum += std::pow(f[i], 2) + std::pow(double(y.data[i]), 2);
  return 4 * double(std::numeric_limits<T>::epsilon()) * std::sqrt(sum);
}

// What a step may add to the relative error of the residual.
struct Tolerance {
  double rtol;
  bool smooth;  // sigma' has no jumps

  // Of a step from t to t + h. Transients decay over every scale of time: equal shares of log t
  // keep the error of a whole run near rtol. Where a step crosses a jump of the gradient its error
  // falls with h no faster than a share would: there every step may err by a tenth of rtol, and a
  // run by more.
  double of_step(double h, double t) const { return smooth ? rtol * h / (t + h) : 0.1 * rtol; }
};

// A step so short beside the time so far, and beside the first step that was tried, that the method
// has failed. How long the run is to be says nothing about it.
inline bool hopeless(double h, double t, double first_step) {
  return !(h > 1e-14 * (t + first_step));
}

}  // namespace asymfast
