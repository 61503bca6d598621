// Which kernels run: the backend asked for and, for the CPU, the best instruction set that was
// built and that this machine has. Compiled for the oldest machine supported.
#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "asymfast/config.hpp"
#include "asymfast/cuda.hpp"
#include "asymfast/version.h"
#include "backend.hpp"
#include "interface_hash.hpp"

namespace asymfast {

// One for each set of objects that was linked in (CMakeLists.txt).
#if defined(ASYMFAST_MULTI_ISA)
extern "C" const KernelTable* asymfast_kernels_v2();
extern "C" const KernelTable* asymfast_kernels_v3();
extern "C" const KernelTable* asymfast_kernels_v4();
#elif !defined(ASYMFAST_REFERENCE_ONLY)
extern "C" const KernelTable* asymfast_kernels_generic();
#endif

namespace {

// Best last; only what this machine can run.
std::vector<const KernelTable*> runnable_tables() {
#if defined(ASYMFAST_MULTI_ISA)
  __builtin_cpu_init();
  const bool v2 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("ssse3") &&
                  __builtin_cpu_supports("popcnt");
  if (!v2)
    throw std::runtime_error(
        "this processor is too old: the kernels need x86-64-v2 (SSE4.2 and POPCNT), as processors "
        "have since about 2009");
  std::vector<const KernelTable*> tables{asymfast_kernels_v2()};
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                  __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  if (v3) tables.push_back(asymfast_kernels_v3());
  if (v4) tables.push_back(asymfast_kernels_v4());
  return tables;
#elif defined(ASYMFAST_REFERENCE_ONLY)
  return {&reference_table()};
#else
  return {asymfast_kernels_generic()};
#endif
}

const KernelTable* find_table(const std::string& isa) {
  std::string names;
  for (const KernelTable* table : runnable_tables()) {
    if (table->isa == isa) return table;
    names += (names.empty() ? "" : ", ") + std::string(table->isa);
  }
  throw std::invalid_argument("ASYMFAST_ISA must be one of " + names + " on this machine, got '" +
                              isa + "'");
}

std::atomic<const KernelTable*>& chosen() {
  static std::atomic<const KernelTable*> table = [] {
    const char* forced = std::getenv("ASYMFAST_ISA");  // NOLINT(concurrency-mt-unsafe): read once
    return forced && *forced ? find_table(forced) : runnable_tables().back();
  }();
  return table;
}

std::atomic<const KernelTable*> of_cuda{nullptr};

// What devices leave to the CPU, by the instruction set in force when it is called.
constexpr KernelTable kOfTheCpu{"cpu",
                                {},
                                {},
                                [](MatrixView<const double> K, const Context& context) {
                                  return chosen().load()->min_eigenvalue(K, context);
                                },
                                [](MatrixView<const double> K, double* values,
                                   MatrixView<double> vectors, const Context& context) {
                                  chosen().load()->eigen_decomposition(K, values, vectors, context);
                                },
                                [](MatrixView<const double> A, MatrixView<const double> B,
                                   MatrixView<double> C) { chosen().load()->product(A, B, C); }};

}  // namespace

const KernelTable& kernel_table(Backend backend) {
  switch (backend) {
    case Backend::reference: return reference_table();
    case Backend::cpu: return *chosen();
    case Backend::cuda: break;
  }
  if (const KernelTable* table = of_cuda) return *table;
  throw std::runtime_error("backend 'cuda' needs the CUDA module, which is not loaded");
}

void cuda::use_module(const Module& module) {
  if (module.interface_hash != kInterfaceHash)
    throw std::invalid_argument(
        "the CUDA module and the library are of different builds; install both from one build");
  of_cuda = static_cast<const KernelTable*>(module.table(&kOfTheCpu));
}

void use_isa(const std::string& isa) {
  chosen() = find_table(isa);
}

BuildConfig build_config() {
  BuildConfig config;
  config.version = ASYMFAST_VERSION;
#if defined(__clang__)
  config.compiler = "clang " __clang_version__;
#elif defined(__GNUC__)
  config.compiler = "gcc " __VERSION__;
#elif defined(_MSC_VER)
  config.compiler = "msvc " + std::to_string(_MSC_VER);
#endif
  config.eigen = ASYMFAST_EIGEN_VERSION;
  config.isa = chosen().load()->isa;
  for (const KernelTable* table : runnable_tables()) config.isas_available.push_back(table->isa);
#if defined(_OPENMP)
  config.openmp = true;
#endif
  config.max_threads = team_size(0);
  return config;
}

}  // namespace asymfast
