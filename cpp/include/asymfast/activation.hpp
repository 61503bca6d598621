// The activation functions sigma of Eq. (2).
#pragma once

#include <string_view>

#include "asymfast/export.h"

namespace asymfast {

enum class Activation {
  swish,     // z / (1 + exp(-z))
  relu,      // max(z, 0), relu'(0) = 0
  tanh,      //
  erf,       // erf(z), not erf(z / sqrt 2)
  gelu,      // z Phi(z), exact
  softplus,  // log(1 + exp z)
  sigmoid,   // 1 / (1 + exp(-z))
  sin,       //
  cos,       //
  identity,  //
};

// Both throw std::invalid_argument for what they do not know.
ASYMFAST_API Activation activation_from_name(std::string_view name);
ASYMFAST_API std::string_view name_of(Activation activation);

}  // namespace asymfast
