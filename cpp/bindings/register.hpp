// The parts of the extension module, one file each.
#pragma once

#include <pybind11/pybind11.h>

namespace asymfast::bindings {

void register_config(pybind11::module_& module);
void register_dlpack(pybind11::module_& module);
void register_network(pybind11::module_& module);
void register_ntg_operator(pybind11::module_& module);
void register_spectrum(pybind11::module_& module);
void register_training(pybind11::module_& module);

}  // namespace asymfast::bindings
