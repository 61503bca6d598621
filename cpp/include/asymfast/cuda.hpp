// The CUDA backend: what there is of it, and how it joins the library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "asymfast/network.hpp"

namespace asymfast::cuda {

struct DeviceInfo {
  std::string name;
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  std::size_t memory = 0, shared_memory = 0;  // bytes; of a block at most
};

// What the CUDA module, which is linked apart, hands to the library.
struct Module {
  std::uint64_t interface_hash;           // of what it was compiled against; the library's own
  const void* (*table)(const void* cpu);  // the kernels, given those of the CPU for the rest
};

// Takes the module's kernels for Backend::cuda; throws std::invalid_argument for that of another
// build.
ASYMFAST_API void use_module(const Module& module);

// ---- of the module itself

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
void wait_for(std::uintptr_t stream);  // until the work of a stream is done

template <class T>
void forward_there(const NetworkView<T>& net, MatrixView<const T> X, T* f);
template <class T>
double loss_there(const NetworkView<T>& net, MatrixView<const T> X, MatrixView<const T> y,
                  Loss loss);
template <class T>
void node_gradients_there(const NetworkView<T>& net, MatrixView<const T> X, MatrixView<const T> y,
                          Loss loss, T* G);
template <class T>
void features_there(const NetworkView<T>& net, MatrixView<const T> X, T* H);
template <class T>
void ntg_there(const NetworkView<T>& net, const double* v, MatrixView<const T> X,
               MatrixView<const T> X2, T* K);
// Index of the first element that is NaN or infinite; `size`: there is none.
template <class T>
Index first_bad(const T* x, Index size);

// ---- the emulated device, for tests

enum class EmulatedOrder { forward, backward, shuffled };

struct Emulation {
  EmulatedOrder order = EmulatedOrder::forward;  // of threads between barriers
  int blocks = 4;                                // that run at once
  std::size_t shared_memory = std::size_t(1) << 16;
};
ASYMFAST_API Emulation& emulation();

}  // namespace asymfast::cuda
