// What this backend has, each kernel defined in the file of its name; and the one symbol that the
// objects of an instruction set show to the rest of the library.
#include "backend.hpp"

#define ASYMFAST_JOIN_(a, b) a##b
#define ASYMFAST_JOIN(a, b) ASYMFAST_JOIN_(a, b)
#define ASYMFAST_TEXT_(a) #a
#define ASYMFAST_TEXT(a) ASYMFAST_TEXT_(a)

namespace asymfast {

namespace cpu {

void add_network(KernelTable&);  // outputs, gradients, features, activations
void add_ntg(KernelTable&);
void add_engine(KernelTable&);
void add_batch_engine(KernelTable&);
void add_matrices(KernelTable&);  // in spectrum.cpp

}  // namespace cpu

extern "C" const KernelTable* ASYMFAST_JOIN(asymfast_kernels_, ASYMFAST_ISA)() {
  static const KernelTable table = [] {
    KernelTable all{};
    all.isa = ASYMFAST_TEXT(ASYMFAST_ISA);
    for (const auto add : {cpu::add_network, cpu::add_ntg, cpu::add_engine, cpu::add_batch_engine,
                           cpu::add_matrices})
      add(all);
    return all;
  }();
  return &table;
}

}  // namespace asymfast
