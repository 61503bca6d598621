#include "asymfast/ntg_operator.hpp"

#include <mutex>

#include "arrays.hpp"
#include "register.hpp"

namespace asymfast::bindings {

using namespace py::literals;

namespace {

// Python's threads may share an operator, which is not for two at once.
template <class T>
struct LockedOperator {
  NtgOperator<T> products;
  std::mutex one_at_a_time;

  template <class... Arguments>
  explicit LockedOperator(const Arguments&... arguments) : products(arguments...) {}
};

template <class T>
void register_for(py::module_& module, const char* name) {
  using Locked = LockedOperator<T>;
  py::class_<Locked>(module, name)
      .def(py::init([](const py::array& W, const py::array& v, const std::string& activation,
                       const py::array& X, const std::string& backend, int threads,
                       double slopes_memory) {
             const auto net = hidden_layer<T>(W, activation);
             const auto x = matrix<T>(X, "X");
             const double* scales = vector<double>(v, "v", net.m());
             const Execution exec = execution(backend, threads, slopes_memory);
             std::unique_ptr<Locked> made;
             without_gil([&] { made = std::make_unique<Locked>(net, scales, x, exec); });
             return made;
           }),
           "W"_a, "v"_a, "activation"_a, "X"_a, "backend"_a, "threads"_a, "slopes_memory"_a)
      .def(
          "apply",
          [](Locked& self, const py::array& U, const std::string& backend, int threads) {
            const auto u = matrix<T>(U, "U");
            const Execution exec = execution(backend, threads);
            py::array_t<double> product({u.rows, u.cols});
            const auto out = mutable_matrix(product);
            without_gil([&] {
              const std::lock_guard<std::mutex> lock(self.one_at_a_time);
              self.products.apply(u, out, exec);
            });
            return product;
          },
          "U"_a, "backend"_a, "threads"_a);
}

}  // namespace

void register_ntg_operator(py::module_& module) {
  register_for<float>(module, "NtgOperatorFloat");
  register_for<double>(module, "NtgOperatorDouble");
}

}  // namespace asymfast::bindings
