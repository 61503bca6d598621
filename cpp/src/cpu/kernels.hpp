// The CPU backend's functions, in the order of asymfast::Kernels; one file each.
#pragma once

#include <memory>

#include "backend.hpp"

namespace asymfast::cpu {

template <class T>
void forward(const NetworkView<T>& net, MatrixView<const T> X, double* f, const Context&);

template <class T>
void node_gradients(const NetworkView<T>& net, MatrixView<const T> X, const T* residual,
                    MatrixView<T> G, const Context&);

template <class T>
void features(const NetworkView<T>& net, MatrixView<const T> X, MatrixView<T> H, const Context&);

template <class T, class E>
void ntg(const NetworkView<T>& net, const double* v, MatrixView<const T> X, MatrixView<const T> X2,
         bool symmetric, MatrixView<E> K, const Context&);

template <class T>
void activation_values(Activation activation, int order, const T* z, Index count, T* out);

template <class T>
std::unique_ptr<Engine<T>> make_engine(const NetworkView<T>& net, MatrixView<const T> X,
                                       MatrixView<const T> y, Loss loss, double slopes_memory);

template <class T>
std::unique_ptr<BatchEngine<T>> make_batch_engine(const NetworkView<T>& net, MatrixView<const T> X,
                                                  MatrixView<const T> y,
                                                  const BatchTraining& training);

double min_eigenvalue(MatrixView<const double> K, const Context&);

void eigen_decomposition(MatrixView<const double> K, double* values, MatrixView<double> vectors,
                         const Context&);

void product(MatrixView<const double> A, MatrixView<const double> B, MatrixView<double> C);

}  // namespace asymfast::cpu
