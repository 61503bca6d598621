// How the CUDA backend, a module that is built and loaded apart, joins the library.
#pragma once

#include <cstdint>

#include "asymfast/export.h"

namespace asymfast::cuda {

// What the CUDA module, which is linked apart, hands to the library.
struct Module {
  std::uint64_t interface_hash;           // of what it was compiled against; the library's own
  const void* (*table)(const void* cpu);  // the kernels, given those of the CPU for the rest
};

// Takes the module's kernels for Backend::cuda; throws std::invalid_argument for that of another
// build.
ASYMFAST_API void use_module(const Module& module);

}  // namespace asymfast::cuda
