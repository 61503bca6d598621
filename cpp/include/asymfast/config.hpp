// What was built and what was chosen at load.
#pragma once

#include <string>
#include <vector>

#include "asymfast/export.h"

namespace asymfast {

struct BuildConfig {
  std::string version, compiler, eigen, isa;
  std::vector<std::string> isas_available;  // that this machine can run, best last
  bool openmp = false;
  int max_threads = 1;  // what OpenMP offers the calling thread
};

ASYMFAST_API BuildConfig build_config();

// Forces the kernels of one instruction set ("v2", "v3", "v4" or "generic") from now on; throws
// std::invalid_argument when it was not built or this machine lacks it. ASYMFAST_ISA does it at
// load.
ASYMFAST_API void use_isa(const std::string& isa);

}  // namespace asymfast
