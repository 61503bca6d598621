#include "asymfast/spectrum.hpp"

#include "arrays.hpp"
#include "register.hpp"

namespace asymfast::bindings {

using namespace py::literals;

void register_spectrum(py::module_& module) {
  module.def(
      "min_eigenvalue",
      [](const py::array& K, const std::string& backend, int threads) {
        const auto view = matrix<double>(K, "K");
        const Execution exec = execution(backend, threads);
        double smallest = 0;
        without_gil([&] { smallest = min_eigenvalue(view, exec); });
        return smallest;
      },
      "K"_a, "backend"_a, "threads"_a);
}

}  // namespace asymfast::bindings
