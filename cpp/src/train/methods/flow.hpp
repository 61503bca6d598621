// Any method for gradient flow: one for each member of an ensemble, chosen by its own problem.
#pragma once

#include "train/methods.hpp"
#include "train/methods/one_of.hpp"

namespace asymfast {

template <class T>
using FlowOf = OneOf<T, FixedRk4<T>, AdaptiveRk4<T>, Dopri5<T>, Tangent<T>>;

}  // namespace asymfast
