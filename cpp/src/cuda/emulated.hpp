// The kernels of the CUDA backend on the emulated device.
#pragma once

#include "backend.hpp"

namespace asymfast::cuda {

const KernelTable& emulated_table(const KernelTable& cpu);

}  // namespace asymfast::cuda
