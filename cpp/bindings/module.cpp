#include "register.hpp"

PYBIND11_MODULE(_core, module) {
  using namespace asymfast::bindings;
  module.doc() = "Compiled core of asymfast; see the package for documented functions.";
  register_config(module);
  register_network(module);
  register_ntg_operator(module);
  register_spectrum(module);
  register_training(module);
}
