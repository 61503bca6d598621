// Training of both layers: the calls of train.hpp and network.hpp with the output weights trained,
// too, a <- a - lr dL/da or da/dt = -dL/da. By steps, rk4 or dopri5, and not on a device; other
// methods throw std::invalid_argument. A step takes about twice as long as one of W alone.
#pragma once

#include "asymfast/train.hpp"

namespace asymfast {

template <class T>
ASYMFAST_API RunResult<T> gradient_descent_both_layers(
    const EnsembleView<T>& nets, const DataView<T>& train, const DataView<T>& test, Loss loss,
    double lr, Index steps, const Recording& recording, const Hooks& hooks,
    const Execution& exec = {}, const Leaps& leaps = {});

template <class T>
ASYMFAST_API RunResult<T> gradient_flow_both_layers(const EnsembleView<T>& nets,
                                                    const DataView<T>& train,
                                                    const DataView<T>& test, Loss loss,
                                                    const Flow& flow, const Recording& recording,
                                                    const Hooks& hooks, const Execution& exec = {});

template <class T>
ASYMFAST_API double curvature_both_layers(const NetworkView<T>& net, MatrixView<const T> X,
                                          Loss loss, const Execution& exec = {});

}  // namespace asymfast
