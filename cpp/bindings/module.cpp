// The extension module, and what it says of itself.
#include <pybind11/stl.h>

#include "arrays.hpp"
#include "asymfast/config.hpp"
#include "asymfast/cuda.hpp"
#include "asymfast/planned_bytes.hpp"

namespace asymfast::bindings {

using namespace py::literals;

void register_dlpack(py::module_& module);    // dlpack.cpp
void register_network(py::module_& module);   // network.cpp
void register_training(py::module_& module);  // training.cpp

namespace {

// Of a run of `fn`, or of the operator of the NTG. What a kind of run has no use for is not read.
double bytes_of(const std::string& fn, Index n, Index d, Index m, Index k, Index B,
                std::size_t itemsize, Index ntg_samples, Index rows, Index test_samples,
                int threads, bool alone, const std::string& loss, const std::string& activation,
                bool train_output, const std::string& method, double dt, Index batch_size) {
  RunSizes sizes{n, d, m, k, B, itemsize, ntg_samples, rows, test_samples, threads, alone};
  sizes.loss = loss_from_name(loss), sizes.activation = activation_from_name(activation);
  if (fn == "NTGOperator") return planned_operator_bytes(sizes);
  if (fn == "sgd") return planned_bytes(sizes, Sgd{{}, 1, batch_size, train_output, {}});
  if (fn == "gradient_descent")
    return planned_bytes(sizes, Descent{0, 0, descent_method_from_name(method), 0, train_output});
  return planned_bytes(sizes, Flow{flow_method_from_name(method), 0, dt, 0, train_output});
}

std::pair<double, double> ntg_bytes(Index n, Index n2, Index d, const py::array& v,
                                    std::size_t itemsize) {
  const NtgBytes bytes =
      planned_ntg_bytes(n, n2, d, data_of<double>(v, "v", 1), v.shape(0), itemsize);
  return {bytes.fixed, bytes.least_slopes};
}

py::dict config() {
  const BuildConfig config = build_config();
  return py::dict("version"_a = config.version, "compiler"_a = config.compiler,
                  "isa"_a = config.isa, "isas_available"_a = config.isas_available,
                  "threads"_a = config.max_threads, "openmp"_a = config.openmp,
                  "eigen"_a = config.eigen);
}

// What `_cuda.module()` returned.
void use_cuda(const py::object& cuda_module) {
  cuda::use_module(*py::cast<py::capsule>(cuda_module).get_pointer<const cuda::Module>());
}

void register_all(py::module_& module) {
  module.doc() = "Compiled core of asymfast; see the package for documented functions.";
  module.def("build_config", &config);
  module.def("use_isa", &use_isa, "isa"_a);
  module.def("use_cuda", &use_cuda, "module"_a);
  module.def("planned_bytes", &bytes_of, "fn"_a, "n"_a, "d"_a, "m"_a, "k"_a, "B"_a, "itemsize"_a,
             "ntg_samples"_a = 0, "rows"_a = 0, "test_samples"_a = 0, "threads"_a = 1,
             "alone"_a = true, "loss"_a = "half_sse", "activation"_a = "swish",
             "train_output"_a = false, "method"_a = "step", "dt"_a = 0.0, "batch_size"_a = 1);
  module.def("planned_ntg_bytes", &ntg_bytes, "n"_a, "n2"_a, "d"_a, "v"_a, "itemsize"_a);
  register_dlpack(module);
  register_network(module);
  register_training(module);
  // Says now, not in the first call, that ASYMFAST_ISA asks for what this machine lacks.
  build_config();
}

}  // namespace

}  // namespace asymfast::bindings

// Nothing here is shared between calls but what guards itself: no GIL is needed.
PYBIND11_MODULE(_core, module, pybind11::mod_gil_not_used()) {
  asymfast::bindings::register_all(module);
}
