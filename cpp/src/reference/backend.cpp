// What the reference backend has.
#include "backend.hpp"

#include "reference/network.hpp"

namespace asymfast {

namespace reference {

template <class T>
void add_engine(Kernels<T>&);
template <class T>
void add_batch_engine(Kernels<T>&);
void add_matrices(KernelTable&);

namespace {

template <class T>
void add_all(Kernels<T>& kernels) {
  kernels.forward = &forward<T>;
  kernels.node_gradients = &node_gradients<T>;
  kernels.features = &features<T>;
  kernels.ntg = &ntg<T, double>;
  kernels.rounded_ntg = &ntg<T, T>;
  kernels.activation_values = &activation_values<T>;
  add_engine(kernels);
  add_batch_engine(kernels);
}

KernelTable make_table() {
  KernelTable table{};
  table.isa = "reference";
  add_all(table.of_float);
  add_all(table.of_double);
  add_matrices(table);
  return table;
}

}  // namespace

}  // namespace reference

const KernelTable& reference_table() {
  static const KernelTable table = reference::make_table();
  return table;
}

}  // namespace asymfast
