// NumPy arrays as views, without copies, and vectors as NumPy arrays.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <string>
#include <utility>
#include <vector>

#include "asymfast/network.hpp"
#include "gil.hpp"

namespace asymfast::bindings {

// Refuses what would have to be cast or copied; the Python layer has said so in its own words
// before.
template <class T>
const T* data_of(const py::array& array, const char* name, py::ssize_t ndim) {
  if (!py::dtype::of<T>().is(array.dtype()) && !array.dtype().equal(py::dtype::of<T>()))
    throw py::type_error(std::string(name) + ": expected dtype " +
                         std::string(py::str(py::dtype::of<T>())) + ", got " +
                         std::string(py::str(array.dtype())));
  if (array.ndim() != ndim || !(array.flags() & py::array::c_style))
    throw py::value_error(std::string(name) + ": expected a C-contiguous array with " +
                          std::to_string(ndim) + " axes");
  return static_cast<const T*>(array.data());
}

template <class T>
MatrixView<const T> matrix(const py::array& array, const char* name) {
  const T* data = data_of<T>(array, name, 2);
  return {data, Index(array.shape(0)), Index(array.shape(1))};
}

template <class T>
const T* vector(const py::array& array, const char* name, Index size) {
  const T* data = data_of<T>(array, name, 1);
  if (array.shape(0) != size)
    throw py::value_error(std::string(name) + ": expected " + std::to_string(size) +
                          " elements, got " + std::to_string(array.shape(0)));
  return data;
}

// The array owns the vector's memory from now on.
template <class T>
py::array_t<T> take(std::vector<T>&& values, std::vector<py::ssize_t> shape) {
  auto* owner = new std::vector<T>(std::move(values));
  py::capsule release(owner, [](void* p) { delete static_cast<std::vector<T>*>(p); });
  return py::array_t<T>(std::move(shape), owner->data(), release);
}

// Calls f(T{}) with the element type of the array, float or double.
template <class F>
decltype(auto) with_dtype(const py::array& array, const char* name, F&& f) {
  if (array.dtype().equal(py::dtype::of<double>())) return f(double{});
  if (array.dtype().equal(py::dtype::of<float>())) return f(float{});
  throw py::type_error(std::string(name) + ": expected dtype float64 or float32, got " +
                       std::string(py::str(array.dtype())));
}

// Runs Python's signal handlers (Ctrl-C) now and then during a long call.
inline Execution execution(const std::string& backend, int threads, double slopes_memory = 0) {
  return {backend_from_name(backend), threads,
          [] {
            const WithGil gil;
            return PyErr_CheckSignals() == 0;
          },
          slopes_memory};
}

// f() without the GIL; a call that a signal handler abandoned raises the handler's exception.
template <class F>
void without_gil(F&& f) {
  try {
    const WithoutGil released;
    f();
  } catch (const Interrupted&) {
    throw py::error_already_set();
  }
}

}  // namespace asymfast::bindings
