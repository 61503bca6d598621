#include <pybind11/stl.h>

#include <numeric>

#include "arrays.hpp"
#include "cuda/module.hpp"
#include "dlpack.hpp"

namespace asymfast::bindings {

using namespace py::literals;

namespace {

// An array on the device that Python owns.
class DeviceArray {
 public:
  DeviceArray(std::vector<std::int64_t> shape, const py::dtype& dtype)
      : shape_(std::move(shape)), bytes_an_element_(dtype.itemsize()) {
    without_gil([&] { memory_ = std::shared_ptr<void>(cuda::allocate(bytes()), &cuda::release); });
  }

  std::uintptr_t pointer() const { return reinterpret_cast<std::uintptr_t>(memory_.get()); }
  const std::vector<std::int64_t>& shape() const { return shape_; }
  py::tuple shape_tuple() const { return py::tuple(py::cast(shape_)); }
  py::dtype dtype() const { return py::dtype("f" + std::to_string(bytes_an_element_)); }

  py::array numpy() const {
    py::array host(dtype(), std::vector<py::ssize_t>(shape_.begin(), shape_.end()));
    void* data = host.mutable_data();
    without_gil([&] { cuda::copy_to_host(data, memory_.get(), bytes()); });
    return host;
  }

  // The calls that filled it have ended: there is no stream to wait for.
  py::dict interface() const {
    return py::dict("shape"_a = shape_tuple(),
                    "typestr"_a = "<f" + std::to_string(bytes_an_element_),
                    "data"_a = py::make_tuple(pointer(), false), "strides"_a = py::none(),
                    "stream"_a = py::none(), "version"_a = 3);
  }

  // The calls that filled it have ended: the consumer's stream need not wait.
  py::capsule dlpack(const py::object& dl_device, const py::object& copy) const {
    if (!dl_device.is_none() && !dl_device.equal(py::make_tuple(int(kDlCuda), 0)))
      throw py::buffer_error("dl_device: this array is on CUDA device 0, (2, 0), got " +
                             py::repr(dl_device).cast<std::string>() +
                             "; numpy() copies it to the host");
    std::shared_ptr<void> memory = memory_;
    if (!copy.is_none() && copy.cast<bool>())
      without_gil([&] {
        memory = std::shared_ptr<void>(cuda::allocate(bytes()), &cuda::release);
        cuda::copy_on_device(memory.get(), memory_.get(), bytes());
      });
    struct Owner {
      DlManagedTensor managed;
      std::vector<std::int64_t> shape;
      std::shared_ptr<void> memory;
    };
    auto* owner = new Owner{{}, shape_, memory};
    owner->managed = {
        {memory.get(), kDlCuda, 0, static_cast<std::int32_t>(shape_.size()), kDlFloat,
         static_cast<std::uint8_t>(8 * bytes_an_element_), 1, owner->shape.data(), nullptr, 0},
        owner,
        [](DlManagedTensor* self) { delete static_cast<Owner*>(self->context); }};
    return py::capsule(&owner->managed, "dltensor", [](PyObject* capsule) {
      // Whoever took the tensor has renamed the capsule and calls the deleter himself.
      if (!PyCapsule_IsValid(capsule, "dltensor")) return;
      auto* managed = static_cast<DlManagedTensor*>(PyCapsule_GetPointer(capsule, "dltensor"));
      managed->deleter(managed);
    });
  }

 private:
  std::size_t bytes() const {
    return std::accumulate(shape_.begin(), shape_.end(), bytes_an_element_,
                           [](std::size_t a, std::int64_t b) { return a * std::size_t(b); });
  }

  std::vector<std::int64_t> shape_;
  std::size_t bytes_an_element_;
  std::shared_ptr<void> memory_;
};

template <class T>
T* on_device(std::uintptr_t address) {
  return reinterpret_cast<T*>(address);  // NOLINT(performance-no-int-to-ptr): as Python has it
}

template <class T>
MatrixView<const T> rows_on_device(std::uintptr_t address, Index rows, Index cols) {
  return {on_device<const T>(address), rows, cols};
}

using Address = std::uintptr_t;

// module.name(W, a, lam, activation, X, n, more...): call(network, X (n, d) on the device, more...)
// on the element type of W.
template <class... More, class Call, class... Named>
void define(py::module_& module, const char* name, Call call, const Named&... named) {
  module.def(
      name,
      [call](const py::array& W, const py::array& a, const py::array& lam,
             const std::string& activation, Address X, Index n, const More&... more) {
        return with_dtype(W, "W", [&](auto zero) {
          using T = decltype(zero);
          const auto net = network<T>(W, a, lam, activation);
          return call(net, rows_on_device<T>(X, n, net.d()), more...);
        });
      },
      "W"_a, "a"_a, "lam"_a, "activation"_a, "X"_a, "n"_a, named...);
}

void register_device(py::module_& module) {
  module.def("module", [] {
    static const cuda::Module own = cuda::module();
    return py::capsule(&own);
  });
  module.def("what_is_missing", &cuda::what_is_missing);
  module.def("runtime_version", &cuda::runtime_version);
  module.def("driver_version", &cuda::driver_version);
  module.def("devices", [] {
    py::list all;
    for (const cuda::DeviceInfo& device : cuda::devices())
      all.append(py::dict("name"_a = device.name,
                          "compute_capability"_a = py::make_tuple(device.major, device.minor),
                          "multiprocessors"_a = device.multiprocessors, "memory"_a = device.memory,
                          "shared_memory"_a = device.shared_memory));
    return all;
  });
}

void register_arrays(py::module_& module) {
  py::class_<DeviceArray>(module, "DeviceArray")
      .def(py::init<std::vector<std::int64_t>, const py::dtype&>(), "shape"_a, "dtype"_a)
      .def_property_readonly("pointer", &DeviceArray::pointer)
      .def_property_readonly("shape", &DeviceArray::shape_tuple)
      .def_property_readonly("dtype", &DeviceArray::dtype)
      .def("numpy", &DeviceArray::numpy)
      .def_property_readonly("__cuda_array_interface__", &DeviceArray::interface)
      .def(
          "__dlpack__",
          [](const DeviceArray& self, const py::object&, const py::object&,
             const py::object& dl_device,
             const py::object& copy) { return self.dlpack(dl_device, copy); },
          py::kw_only(), "stream"_a = py::none(), "max_version"_a = py::none(),
          "dl_device"_a = py::none(), "copy"_a = py::none())
      .def("__dlpack_device__", [](const DeviceArray&) { return py::make_tuple(int(kDlCuda), 0); });
  module.def(
      "wait_for", [](Address stream) { without_gil([&] { cuda::wait_for(stream); }); }, "stream"_a);
  module.def(
      "copy_to_host",
      [](Address pointer, std::vector<py::ssize_t> shape, const py::dtype& dtype) {
        py::array host(dtype, std::move(shape));
        void* data = host.mutable_data();
        const auto bytes = static_cast<std::size_t>(host.nbytes());
        without_gil([&] { cuda::copy_to_host(data, on_device<const void>(pointer), bytes); });
        return host;
      },
      "pointer"_a, "shape"_a, "dtype"_a);
  module.def(
      "first_bad",
      [](Address pointer, Index size, const py::dtype& dtype) {
        const bool is_float = dtype.itemsize() == 4;
        Index first = 0;
        without_gil([&] {
          first = is_float ? cuda::first_bad(on_device<const float>(pointer), size)
                           : cuda::first_bad(on_device<const double>(pointer), size);
        });
        return first;
      },
      "pointer"_a, "size"_a, "dtype"_a);
}

void register_calls(py::module_& module) {
  define<Address>(
      module, "forward",
      [](const auto& net, const auto& X, Address f) {
        using T = ElementOf<decltype(net)>;
        without_gil([&] { cuda::forward_on_device<T>(net, X, on_device<T>(f)); });
      },
      "f"_a);
  define<Address, std::string>(
      module, "loss",
      [](const auto& net, const auto& X, Address y, const std::string& loss) {
        using T = ElementOf<decltype(net)>;
        const Loss kind = loss_from_name(loss);
        double value = 0;
        without_gil([&] {
          value = cuda::loss_on_device<T>(net, X, rows_on_device<T>(y, X.rows, net.k()), kind);
        });
        return value;
      },
      "y"_a, "loss"_a);
  define<Address, std::string, Address>(
      module, "node_gradients",
      [](const auto& net, const auto& X, Address y, const std::string& loss, Address G) {
        using T = ElementOf<decltype(net)>;
        const Loss kind = loss_from_name(loss);
        without_gil([&] {
          cuda::node_gradients_on_device<T>(net, X, rows_on_device<T>(y, X.rows, net.k()), kind,
                                            on_device<T>(G));
        });
      },
      "y"_a, "loss"_a, "G"_a);
  define<Address>(
      module, "features",
      [](const auto& net, const auto& X, Address H) {
        using T = ElementOf<decltype(net)>;
        without_gil([&] { cuda::features_on_device<T>(net, X, on_device<T>(H)); });
      },
      "H"_a);
}

void register_ntg(py::module_& module) {
  module.def(
      "ntg",
      [](const py::array& W, const py::array& a, const py::array& lam,
         const std::string& activation, const py::array& v, Address X, Index n, Address X2,
         Index n2, Address K) {
        with_dtype(W, "W", [&](auto zero) {
          using T = decltype(zero);
          const auto net = network<T>(W, a, lam, activation);
          const double* values = vector<double>(v, "v", net.m());
          without_gil([&] {
            cuda::ntg_on_device<T>(net, values, rows_on_device<T>(X, n, net.d()),
                                   rows_on_device<T>(X2, n2, net.d()), on_device<T>(K));
          });
        });
      },
      "W"_a, "a"_a, "lam"_a, "activation"_a, "v"_a, "X"_a, "n"_a, "X2"_a, "n2"_a, "K"_a);
}

}  // namespace

}  // namespace asymfast::bindings

PYBIND11_MODULE(_cuda, module) {
  using namespace asymfast::bindings;
  module.doc() = "CUDA kernels of asymfast; imports without a driver.";
  register_device(module), register_arrays(module);
  register_calls(module), register_ntg(module);
}
