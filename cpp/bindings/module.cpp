#include "register.hpp"

// Nothing here is shared between calls but what guards itself: no GIL is needed.
PYBIND11_MODULE(_core, module, pybind11::mod_gil_not_used()) {
  using namespace asymfast::bindings;
  module.doc() = "Compiled core of asymfast; see the package for documented functions.";
  register_config(module);
  register_dlpack(module);
  register_network(module);
  register_ntg_operator(module);
  register_spectrum(module);
  register_training(module);
}
