// The one symbol that the objects of an instruction set show to the rest of the library.
#include "cpu/kernels.hpp"

#define ASYMFAST_JOIN_(a, b) a##b
#define ASYMFAST_JOIN(a, b) ASYMFAST_JOIN_(a, b)
#define ASYMFAST_TEXT_(a) #a
#define ASYMFAST_TEXT(a) ASYMFAST_TEXT_(a)

namespace asymfast {

namespace {

template <class T>
constexpr Kernels<T> kernels() {
  return {&cpu::forward<T>,     &cpu::node_gradients<T>,   &cpu::features<T>,
          &cpu::ntg<T, double>, &cpu::ntg<T, T>,           &cpu::activation_values<T>,
          &cpu::make_engine<T>, &cpu::make_batch_engine<T>};
}

constexpr KernelTable kTable{ASYMFAST_TEXT(ASYMFAST_ISA), kernels<float>(),
                             kernels<double>(),           &cpu::min_eigenvalue,
                             &cpu::eigen_decomposition,   &cpu::product};

}  // namespace

extern "C" const KernelTable* ASYMFAST_JOIN(asymfast_kernels_, ASYMFAST_ISA)() {
  return &kTable;
}

}  // namespace asymfast
