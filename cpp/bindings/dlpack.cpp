// DLPack: the tensor in a capsule.
#include "dlpack.hpp"

#include "arrays.hpp"
#include "register.hpp"

namespace asymfast::bindings {

using namespace py::literals;

namespace {

py::object as_tuple(const std::int64_t* values, std::int32_t count) {
  if (!values) return py::none();
  py::tuple tuple(count);
  for (std::int32_t i = 0; i < count; ++i) tuple[i] = values[i];
  return std::move(tuple);
}

// Takes the tensor out of the capsule: it lives as long as "owner".
py::dict dlpack_tensor(const py::object& capsule) {
  if (!PyCapsule_IsValid(capsule.ptr(), "dltensor"))
    throw py::type_error("expected an unused DLPack capsule named 'dltensor'");
  auto* managed = static_cast<DlManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"));
  PyCapsule_SetName(capsule.ptr(), "used_dltensor");
  const py::capsule owner(managed, [](void* p) {
    auto* tensor = static_cast<DlManagedTensor*>(p);
    if (tensor->deleter) tensor->deleter(tensor);
  });
  const DlTensor& t = managed->tensor;
  return py::dict("pointer"_a = reinterpret_cast<std::uintptr_t>(t.data) + t.byte_offset,
                  "shape"_a = as_tuple(t.shape, t.ndim), "strides"_a = as_tuple(t.strides, t.ndim),
                  "dtype"_a = py::make_tuple(int(t.code), int(t.bits), int(t.lanes)),
                  "device"_a = py::make_tuple(t.device_type, t.device_id), "owner"_a = owner);
}

}  // namespace

void register_dlpack(py::module_& module) {
  module.def("dlpack_tensor", &dlpack_tensor, "capsule"_a);
}

}  // namespace asymfast::bindings
