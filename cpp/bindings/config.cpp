#include "asymfast/config.hpp"

#include <pybind11/stl.h>

#include "arrays.hpp"
#include "asymfast/cuda.hpp"
#include "asymfast/planned_bytes.hpp"
#include "register.hpp"

namespace asymfast::bindings {

namespace py = pybind11;
using namespace py::literals;

namespace {

// Sizes of a run of one or both layers.
struct Plan {
  RunSizes sizes;
  bool train_output;
};

void register_planned_bytes(py::module_& module) {
  py::class_<Plan>(module, "RunSizes")
      .def(py::init([](Index n, Index d, Index m, Index k, Index B, std::size_t itemsize,
                       Index ntg_samples, Index rows, Index test_samples, int threads, bool alone,
                       const std::string& loss, const std::string& activation, bool train_output) {
             return Plan{{n, d, m, k, B, itemsize, ntg_samples, rows, test_samples, threads, alone,
                          loss_from_name(loss), activation_from_name(activation)},
                         train_output};
           }),
           "n"_a, "d"_a, "m"_a, "k"_a, "B"_a, "itemsize"_a, "ntg_samples"_a = 0, "rows"_a = 0,
           "test_samples"_a = 0, "threads"_a = 1, "alone"_a = true, "loss"_a = "half_sse",
           "activation"_a = "swish", "train_output"_a = false)
      .def(
          "gradient_descent",
          [](const Plan& plan, const std::string& method) {
            return planned_bytes(
                plan.sizes, Descent{0, 0, descent_method_from_name(method), 0, plan.train_output});
          },
          "method"_a)
      .def(
          "gradient_flow",
          [](const Plan& plan, const std::string& method, double dt) {
            return planned_bytes(plan.sizes,
                                 Flow{flow_method_from_name(method), 0, dt, 0, plan.train_output});
          },
          "method"_a, "dt"_a)
      .def(
          "sgd",
          [](const Plan& plan, Index batch_size) {
            return planned_bytes(plan.sizes, Sgd{{}, 1, batch_size, plan.train_output, {}});
          },
          "batch_size"_a)
      .def("operator", [](const Plan& plan) { return planned_operator_bytes(plan.sizes); });
  module.def(
      "planned_ntg_bytes",
      [](Index n, Index n2, Index d, const py::array& v, std::size_t itemsize) {
        const NtgBytes bytes =
            planned_ntg_bytes(n, n2, d, data_of<double>(v, "v", 1), v.shape(0), itemsize);
        return std::pair(bytes.fixed, bytes.least_slopes);
      },
      "n"_a, "n2"_a, "d"_a, "v"_a, "itemsize"_a);
}

}  // namespace

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
  register_planned_bytes(module);
  // Says now, not in the first call, that ASYMFAST_ISA asks for what this machine lacks.
  build_config();
}

}  // namespace asymfast::bindings
