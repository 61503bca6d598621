#include "asymfast/network.hpp"

#include <pybind11/stl.h>

#include <optional>

#include "arrays.hpp"
#include "register.hpp"

namespace asymfast::bindings {

using namespace py::literals;

namespace {

// module.name(W, a, lam, activation, X, more..., backend, threads): call(network, X, execution,
// more...) on the element type of W.
template <class... More, class Call, class... Named>
void define(py::module_& module, const char* name, Call call, const Named&... named) {
  module.def(
      name,
      [call](const py::array& W, const py::array& a, const py::array& lam,
             const std::string& activation, const py::array& X, const More&... more,
             const std::string& backend, int threads) {
        return with_dtype(W, "W", [&](auto zero) {
          using T = decltype(zero);
          return call(network<T>(W, a, lam, activation), matrix<T>(X, "X"),
                      execution(backend, threads), more...);
        });
      },
      "W"_a, "a"_a, "lam"_a, "activation"_a, "X"_a, named..., "backend"_a, "threads"_a);
}

using MaybeArray = std::optional<py::array>;

// The matrix that fill(matrix) writes to without the GIL: `out`, or a new one.
template <class T, class Fill>
py::array filled(Index rows, Index cols, Fill&& fill, const MaybeArray& out = {}) {
  py::array array = out ? *out : py::array_t<T>({rows, cols});
  data_of<T>(array, "out", 2);
  const MatrixView<T> view{static_cast<T*>(array.mutable_data()), array.shape(0), array.shape(1)};
  without_gil([&] { fill(view); });
  return array;
}

template <class Compute>
double computed(Compute&& compute) {
  double value = 0;
  without_gil([&] { value = compute(); });
  return value;
}

py::array ntg_py(const py::array& W, const py::array& v, const std::string& activation,
                 const py::array& X, const py::array& X2, const std::string& backend, int threads,
                 double slopes_memory, const MaybeArray& out) {
  return with_dtype(W, "W", [&](auto zero) {
    using T = decltype(zero);
    const auto net = hidden_layer<T>(W, activation);
    const double* scales = vector<double>(v, "v", net.m());
    const auto x = matrix<T>(X, "X"), x2 = matrix<T>(X2, "X2");
    const Execution exec = execution(backend, threads, slopes_memory);
    return filled<T>(x.rows, x2.rows, [&](auto K) { ntg(net, scales, x, x2, K, exec); }, out);
  });
}

py::array activation_py(const std::string& name, const py::array& z, int order,
                        const std::string& backend) {
  return with_dtype(z, "z", [&](auto zero) -> py::array {
    using T = decltype(zero);
    const Index count = z.ndim() == 1 ? z.shape(0) : -1;
    const T* values = vector<T>(z, "z", count);
    const Activation activation = activation_from_name(name);
    const Execution exec = execution(backend, 1);
    py::array_t<T> out(count);
    T* result = out.mutable_data();
    without_gil([&] { activation_values(activation, order, values, count, result, exec); });
    return out;
  });
}

}  // namespace

void register_network(py::module_& module) {
  define(module, "forward", [](const auto& net, const auto& X, const Execution& exec) {
    using T = ElementOf<decltype(net)>;
    return filled<T>(X.rows, net.k(), [&](auto f) { forward<T>(net, X, f, exec); });
  });
  define<MaybeArray>(
      module, "features",
      [](const auto& net, const auto& X, const Execution& exec, const MaybeArray& out) {
        using T = ElementOf<decltype(net)>;
        return filled<T>(X.rows, net.m(), [&](auto H) { features<T>(net, X, H, exec); }, out);
      },
      "out"_a);
  define<py::array, std::string>(
      module, "loss",
      [](const auto& net, const auto& X, const Execution& exec, const py::array& y,
         const std::string& name) {
        using T = ElementOf<decltype(net)>;
        const auto targets = matrix<T>(y, "y");
        const Loss kind = loss_from_name(name);
        return computed([&] { return loss<T>(net, X, targets, kind, exec); });
      },
      "y"_a, "loss"_a);
  define<py::array, std::string>(
      module, "node_gradients",
      [](const auto& net, const auto& X, const Execution& exec, const py::array& y,
         const std::string& name) {
        using T = ElementOf<decltype(net)>;
        const auto targets = matrix<T>(y, "y");
        const Loss kind = loss_from_name(name);
        return filled<T>(net.m(), net.d(),
                         [&](auto G) { node_gradients<T>(net, X, targets, kind, G, exec); });
      },
      "y"_a, "loss"_a);
  define<py::array>(
      module, "pullback",
      [](const auto& net, const auto& X, const Execution& exec, const py::array& u) {
        using T = ElementOf<decltype(net)>;
        const auto cotangent = matrix<T>(u, "u");
        return filled<T>(net.m(), net.d(),
                         [&](auto G) { pullback<T>(net, X, cotangent, G, exec); });
      },
      "u"_a);
  define<std::string, bool>(
      module, "curvature",
      [](const auto& net, const auto& X, const Execution& exec, const std::string& name,
         bool both_layers) {
        const Loss kind = loss_from_name(name);
        return computed([&] { return curvature(net, X, kind, both_layers, exec); });
      },
      "loss"_a, "both_layers"_a);
  module.def("ntg", &ntg_py, "W"_a, "v"_a, "activation"_a, "X"_a, "X2"_a, "backend"_a, "threads"_a,
             "slopes_memory"_a, "out"_a);
  module.def("activation", &activation_py, "name"_a, "z"_a, "order"_a, "backend"_a = "cpu");
}

}  // namespace asymfast::bindings
