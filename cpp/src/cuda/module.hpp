// What the CUDA module offers beside its kernels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "asymfast/cuda.hpp"
#include "asymfast/views.hpp"

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
std::string device_error();  // what the driver says when it is asked for them; empty: nothing

// ---- the memory of device 0, where a network's inputs and results may lie, too. Calls have ended
// when they return.

void* allocate(std::size_t bytes);
void release(void* memory) noexcept;
void copy(void* to, const void* from, std::size_t bytes);  // between any of device and host
void wait_for(std::uintptr_t stream);  // until the work of a stream is done; 0: of all of them
// Index of the first element, a float or a double, that is NaN or infinite; `size`: there is none.
Index first_bad(const void* x, Index size, std::size_t itemsize);

}  // namespace asymfast::cuda
