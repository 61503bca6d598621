#include "asymfast/config.hpp"

#include <pybind11/stl.h>

#include "asymfast/cuda.hpp"
#include "register.hpp"

namespace asymfast::bindings {

namespace py = pybind11;
using namespace py::literals;

void register_config(py::module_& module) {
  module.def("build_config", [] {
    const BuildConfig config = build_config();
    return py::dict("version"_a = config.version, "compiler"_a = config.compiler,
                    "isa"_a = config.isa, "isas_available"_a = config.isas_available,
                    "threads"_a = config.max_threads, "openmp"_a = config.openmp,
                    "eigen"_a = config.eigen);
  });
  module.def("use_isa", &use_isa, "isa"_a);
  // What `_cuda.module()` returned.
  module.def(
      "use_cuda",
      [](const py::object& cuda_module) {
        const auto capsule = py::cast<py::capsule>(cuda_module);
        cuda::use_module(*capsule.get_pointer<const cuda::Module>());
      },
      "module"_a);
  // Says now, not in the first call, that ASYMFAST_ISA asks for what this machine lacks.
  build_config();
}

}  // namespace asymfast::bindings
