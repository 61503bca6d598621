// The module `_cuda`. Arrays on the device go in and out as NumPy arrays of its addresses, which
// the host must not read.
#include <pybind11/stl.h>

#include "arrays.hpp"
#include "cuda/module.hpp"

namespace asymfast::bindings {

using namespace py::literals;

namespace {

// An array on the device, released with its last user.
py::array empty(const std::vector<py::ssize_t>& shape, const py::dtype& dtype) {
  auto bytes = static_cast<std::size_t>(dtype.itemsize());
  for (const py::ssize_t size : shape) bytes *= static_cast<std::size_t>(size);
  void* memory = nullptr;
  without_gil([&] { memory = cuda::allocate(bytes); });
  return {dtype, shape, memory, py::capsule(memory, [](void* p) { cuda::release(p); })};
}

// Between arrays of the same size and any place, both C-contiguous.
void copy(py::array& to, const py::array& from) {
  if (to.nbytes() != from.nbytes() || !(to.flags() & from.flags() & py::array::c_style))
    throw py::value_error("copy: the arrays differ in size or are not C-contiguous");
  void* out = to.mutable_data();
  const void* in = from.data();
  const auto bytes = static_cast<std::size_t>(to.nbytes());
  without_gil([&] { cuda::copy(out, in, bytes); });
}

Index first_bad(const py::array& x) {
  const void* data = x.data();
  const auto itemsize = static_cast<std::size_t>(x.itemsize());
  const Index size = x.size();
  Index first = 0;
  without_gil([&] { first = cuda::first_bad(data, size, itemsize); });
  return first;
}

py::list devices() {
  py::list all;
  for (const cuda::DeviceInfo& device : cuda::devices())
    all.append(py::dict("name"_a = device.name,
                        "compute_capability"_a = py::make_tuple(device.major, device.minor),
                        "multiprocessors"_a = device.multiprocessors, "memory"_a = device.memory,
                        "shared_memory"_a = device.shared_memory));
  return all;
}

}  // namespace

}  // namespace asymfast::bindings

PYBIND11_MODULE(_cuda, module) {
  using namespace asymfast;
  using namespace pybind11::literals;
  module.doc() = "CUDA kernels of asymfast; imports without a driver.";
  module.def("module", [] {
    static const cuda::Module own = cuda::module();
    return pybind11::capsule(&own);
  });
  module.def("runtime_version", &cuda::runtime_version);
  module.def("driver_version", &cuda::driver_version);
  module.def("devices", &bindings::devices);
  module.def("device_error", &cuda::device_error);
  module.def("empty", &bindings::empty, "shape"_a, "dtype"_a);
  module.def("copy", &bindings::copy, "to"_a, "source"_a);
  module.def("first_bad", &bindings::first_bad, "x"_a);
  module.def(
      "wait_for",
      [](std::uintptr_t stream) { bindings::without_gil([&] { cuda::wait_for(stream); }); },
      "stream"_a);
}
