// How public functions refuse arguments: "who: what must be ..., got ...".
#pragma once

#include <stdexcept>
#include <string>

#include "asymfast/views.hpp"

namespace asymfast {

[[noreturn]] inline void refuse(const std::string& who, const std::string& what) {
  throw std::invalid_argument(who + ": " + what);
}

inline std::string shape(Index rows, Index cols) {
  return "(" + std::to_string(rows) + ", " + std::to_string(cols) + ")";
}

template <class U>
void require_shape(const char* who, const char* name, MatrixView<U> view, Index rows, Index cols) {
  if (view.rows != rows || view.cols != cols)
    refuse(who, std::string(name) + " must have shape " + shape(rows, cols) + ", got " +
                    shape(view.rows, view.cols));
}

}  // namespace asymfast
