// What the CUDA module offers beside its kernels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "asymfast/cuda.hpp"
#include "asymfast/network.hpp"

namespace asymfast::cuda {

struct DeviceInfo {
  std::string name;
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  std::size_t memory = 0, shared_memory = 0;  // bytes; of a block at most
};

Module module();
int runtime_version();              // as 13000 for 13.0
int driver_version();               // that the driver supports; 0: there is no driver
std::vector<DeviceInfo> devices();  // empty where there are none, or no driver
// What Backend::cuda needs and device 0 or the driver does not offer, as it would end a sentence
// "... needs"; empty: nothing.
std::string what_is_missing();

// ---- calls on data that lie on the device 0: X, y and results are in its memory, shapes as in
// network.hpp. They have ended when they return.

void* allocate(std::size_t bytes);
void release(void* memory) noexcept;
void copy_to_host(void* host, const void* device, std::size_t bytes);
void copy_on_device(void* to, const void* from, std::size_t bytes);
void wait_for(std::uintptr_t stream);  // until the work of a stream is done; 0: of all of them

template <class T>
void forward_on_device(const NetworkView<T>& net, MatrixView<const T> X, T* f);
template <class T>
double loss_on_device(const NetworkView<T>& net, MatrixView<const T> X, MatrixView<const T> y,
                      Loss loss);
template <class T>
void node_gradients_on_device(const NetworkView<T>& net, MatrixView<const T> X,
                              MatrixView<const T> y, Loss loss, T* G);
template <class T>
void features_on_device(const NetworkView<T>& net, MatrixView<const T> X, T* H);
template <class T>
void ntg_on_device(const NetworkView<T>& net, const double* v, MatrixView<const T> X,
                   MatrixView<const T> X2, T* K);
// Index of the first element that is NaN or infinite; `size`: there is none.
template <class T>
Index first_bad(const T* x, Index size);

}  // namespace asymfast::cuda
