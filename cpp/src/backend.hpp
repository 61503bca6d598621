// What a backend offers: the same functions with the same arguments, declared here and nowhere
// else. They are called through a table so that one library can hold kernels compiled for several
// instruction sets; each backend fills it from one list (cpu/backend.cpp, reference/backend.cpp,
// cuda/table.hpp).
#pragma once

#include <memory>

#include "asymfast/network.hpp"
#include "parallel.hpp"

namespace asymfast {

// Declared alone, so that the kernels need not be compiled anew for every change of a run.
template <class T>
class Engine;
template <class T>
class BatchEngine;
template <class T>
class Fleet;
template <class T>
struct EnsembleView;
template <class T>
struct DataView;
struct BatchTraining;

template <class T>
struct Kernels {
  // f (n, k) in double.
  void (*forward)(const NetworkView<T>& net, MatrixView<const T> X, double* f, const Context&);
  // G (m, d) = dL/dW from the residual dL/df (n, k).
  void (*node_gradients)(const NetworkView<T>& net, MatrixView<const T> X, const T* residual,
                         MatrixView<T> G, const Context&);
  void (*features)(const NetworkView<T>& net, MatrixView<const T> X, MatrixView<T> H,
                   const Context&);
  // K as in asymfast::ntg; symmetric: X2 is X.
  void (*ntg)(const NetworkView<T>& net, const double* v, MatrixView<const T> X,
              MatrixView<const T> X2, bool symmetric, MatrixView<double> K, const Context&);
  // The same, summed as accurately and rounded at the end.
  void (*rounded_ntg)(const NetworkView<T>& net, const double* v, MatrixView<const T> X,
                      MatrixView<const T> X2, bool symmetric, MatrixView<T> K, const Context&);
  void (*activation_values)(Activation, int order, const T* z, Index count, T* out);
  std::unique_ptr<Engine<T>> (*make_engine)(const NetworkView<T>& net, MatrixView<const T> X,
                                            MatrixView<const T> y, Loss loss, double slopes_memory);
  std::unique_ptr<BatchEngine<T>> (*make_batch_engine)(const NetworkView<T>& net,
                                                       MatrixView<const T> X, MatrixView<const T> y,
                                                       const BatchTraining& training);
  // Null where members are stepped one by one; else all of an ensemble, on batches or all samples.
  std::unique_ptr<Fleet<T>> (*make_fleet)(const EnsembleView<T>& nets, const DataView<T>& data,
                                          const BatchTraining& training) = nullptr;
};

// A constructor as the tables want it.
template <class Base, class Made, class... Args>
std::unique_ptr<Base> make(Args... args) {
  return std::make_unique<Made>(args...);
}

struct KernelTable {
  const char* isa;
  Kernels<float> of_float;
  Kernels<double> of_double;
  double (*min_eigenvalue)(MatrixView<const double> K, const Context&);
  // K = vectors diag(values) vectors^T for a symmetric K, values rising.
  void (*eigen_decomposition)(MatrixView<const double> K, double* values,
                              MatrixView<double> vectors, const Context&);
  // C = A B.
  void (*product)(MatrixView<const double> A, MatrixView<const double> B, MatrixView<double> C);
  // Steps take a small part of what the host needs for the small problems of leaps: these are made
  // where they are asked for alone.
  bool is_device = false;

  template <class T>
  const Kernels<T>& of() const noexcept {
    if constexpr (sizeof(T) == sizeof(float))
      return of_float;
    else
      return of_double;
  }
};

const KernelTable& reference_table();
// The table of a backend; for the CPU that of the instruction set in force.
const KernelTable& kernel_table(Backend backend);

}  // namespace asymfast
