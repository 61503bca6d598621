// What this backend has, each kernel defined in the file of its name; and the one symbol that the
// objects of an instruction set show to the rest of the library.
#include "backend.hpp"

#define ASYMFAST_JOIN_(a, b) a##b
#define ASYMFAST_JOIN(a, b) ASYMFAST_JOIN_(a, b)
#define ASYMFAST_TEXT_(a) #a
#define ASYMFAST_TEXT(a) ASYMFAST_TEXT_(a)

namespace asymfast {

namespace cpu {

template <class T>
void add_network(Kernels<T>&);  // outputs, gradients, features, activations
template <class T>
void add_ntg(Kernels<T>&);
template <class T>
void add_engine(Kernels<T>&);
template <class T>
void add_batch_engine(Kernels<T>&);
void add_matrices(KernelTable&);  // in spectrum.cpp

namespace {

template <class T>
void add_all(Kernels<T>& kernels) {
  add_network(kernels);
  add_ntg(kernels);
  add_engine(kernels);
  add_batch_engine(kernels);
}

KernelTable make_table() {
  KernelTable table{};
  table.isa = ASYMFAST_TEXT(ASYMFAST_ISA);
  add_all(table.of_float);
  add_all(table.of_double);
  add_matrices(table);
  return table;
}

}  // namespace

}  // namespace cpu

extern "C" const KernelTable* ASYMFAST_JOIN(asymfast_kernels_, ASYMFAST_ISA)() {
  static const KernelTable table = cpu::make_table();
  return &table;
}

}  // namespace asymfast
