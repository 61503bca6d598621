// DLPack, version 0: the tensor in a capsule named "dltensor".
#include <cstdint>
#include <utility>

#include "arrays.hpp"

namespace asymfast::bindings {

using namespace py::literals;

namespace {

// The structs that the standard fixes.
struct DlTensor {
  void* data;
  std::int32_t device_type, device_id;
  std::int32_t ndim;
  std::uint8_t code, bits;
  std::uint16_t lanes;
  std::int64_t* shape;
  std::int64_t* strides;  // in elements; null: C-contiguous
  std::uint64_t byte_offset;
};

struct DlManagedTensor {
  DlTensor tensor;
  void* context;
  void (*deleter)(DlManagedTensor*);
};

constexpr std::uint8_t kFloat = 2;
constexpr std::int32_t kCuda = 2;

DlManagedTensor* unused(const py::object& capsule) {
  if (!PyCapsule_IsValid(capsule.ptr(), "dltensor"))
    throw py::type_error("expected an unused DLPack capsule named 'dltensor'");
  return static_cast<DlManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"));
}

// Takes the tensor out of the capsule, as an array that owns it. Its memory may be on a device: the
// host must not read it then.
py::array dlpack_array(const py::object& capsule) {
  auto* managed = unused(capsule);
  const DlTensor& t = managed->tensor;
  if (t.code != kFloat || (t.bits != 32 && t.bits != 64) || t.lanes != 1)
    throw py::type_error("expected dtype float64 or float32, got DLPack dtype (" +
                         std::to_string(t.code) + ", " + std::to_string(t.bits) + ", " +
                         std::to_string(t.lanes) + ")");
  PyCapsule_SetName(capsule.ptr(), "used_dltensor");
  const py::capsule owner(managed, [](void* p) {
    auto* tensor = static_cast<DlManagedTensor*>(p);
    if (tensor->deleter) tensor->deleter(tensor);
  });
  const py::dtype dtype("f" + std::to_string(t.bits / 8));
  std::vector<py::ssize_t> strides;
  for (int axis = 0; t.strides && axis < t.ndim; ++axis)
    strides.push_back(t.strides[axis] * dtype.itemsize());
  return {dtype, std::vector<py::ssize_t>(t.shape, t.shape + t.ndim), std::move(strides),
          static_cast<const char*>(t.data) + t.byte_offset, owner};
}

// NumPy's capsule of an array that lies on the first CUDA device.
py::object dlpack_on_cuda(const py::object& capsule) {
  DlTensor& tensor = unused(capsule)->tensor;
  tensor.device_type = kCuda, tensor.device_id = 0;
  return capsule;
}

}  // namespace

void register_dlpack(py::module_& module) {
  module.def("dlpack_array", &dlpack_array, "capsule"_a);
  module.def("dlpack_on_cuda", &dlpack_on_cuda, "capsule"_a);
}

}  // namespace asymfast::bindings
