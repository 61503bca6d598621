// Networks, products with their NTG, and the least eigenvalue of a matrix.
#include "asymfast/network.hpp"

#include <pybind11/stl.h>

#include <mutex>
#include <optional>

#include "arrays.hpp"
#include "asymfast/ntg_operator.hpp"

namespace asymfast::bindings {

using namespace py::literals;

namespace {

using MaybeArray = std::optional<py::array>;

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
          const auto weights = matrix<T>(W, "W");
          const NetworkView<T> net{weights, matrix<T>(a, "a"),
                                   vector<double>(lam, "lam", weights.rows),
                                   activation_from_name(activation)};
          return call(net, matrix<T>(X, "X"), execution(backend, threads), more...);
        });
      },
      "W"_a, "a"_a, "lam"_a, "activation"_a, "X"_a, named..., "backend"_a, "threads"_a);
}

// One whose output weights and scalings are not read: NTGs have scales v of their own.
template <class T>
NetworkView<T> hidden_layer(const py::array& W, const std::string& activation) {
  const auto weights = matrix<T>(W, "W");
  return {weights, {nullptr, weights.rows, 0}, nullptr, activation_from_name(activation)};
}

// The matrix that fill(matrix) writes to without the GIL: `out`, or a new one.
template <class T, class Fill>
py::array filled(Index rows, Index cols, Fill&& fill, const MaybeArray& out = {}) {
  py::array array = out ? *out : py::array_t<T>({rows, cols});
  data_of<T>(array, "out", 2);
  const MatrixView<T> view{static_cast<T*>(array.mutable_data()), array.shape(0), array.shape(1)};
  without_gil([&] { fill(view); });
  return array;
}

// The same, and a view of another array, with the elements of X.
template <class T, class... More>
py::array filled_like(MatrixView<const T>, const More&... more) {
  return filled<T>(more...);
}
template <class T>
MatrixView<const T> matrix_like(MatrixView<const T>, const py::array& array, const char* name) {
  return matrix<T>(array, name);
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
    const T* values = data_of<T>(z, "z", 1);
    const Activation activation = activation_from_name(name);
    const Execution exec = execution(backend, 1);
    py::array_t<T> out(z.size());
    T* result = out.mutable_data();
    without_gil([&] { activation_values(activation, order, values, z.size(), result, exec); });
    return out;
  });
}

double min_eigenvalue_py(const py::array& K, const std::string& backend, int threads) {
  const auto view = matrix<double>(K, "K");
  const Execution exec = execution(backend, threads);
  return computed([&] { return min_eigenvalue(view, exec); });
}

// Python's threads may share an operator, which is not for two at once.
template <class T>
struct LockedOperator {
  NtgOperator<T> products;
  std::mutex one_at_a_time;

  template <class... Arguments>
  explicit LockedOperator(const Arguments&... arguments) : products(arguments...) {}
};

template <class T>
void register_operator(py::module_& module, const char* name) {
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
            return filled<double>(u.rows, u.cols, [&](auto product) {
              const std::lock_guard<std::mutex> lock(self.one_at_a_time);
              self.products.apply(u, product, exec);
            });
          },
          "U"_a, "backend"_a, "threads"_a);
}

}  // namespace

void register_network(py::module_& module) {
  define(module, "forward", [](auto net, auto X, const Execution& exec) {
    return filled_like(X, X.rows, net.k(), [&](auto f) { forward(net, X, f, exec); });
  });
  define<MaybeArray>(
      module, "features",
      [](auto net, auto X, const Execution& exec, const MaybeArray& out) {
        return filled_like(X, X.rows, net.m(), [&](auto H) { features(net, X, H, exec); }, out);
      },
      "out"_a);
  define<py::array, std::string>(
      module, "loss",
      [](auto net, auto X, const Execution& exec, const py::array& y, const std::string& name) {
        const auto targets = matrix_like(X, y, "y");
        const Loss kind = loss_from_name(name);
        return computed([&] { return loss(net, X, targets, kind, exec); });
      },
      "y"_a, "loss"_a);
  define<py::array, std::string>(
      module, "node_gradients",
      [](auto net, auto X, const Execution& exec, const py::array& y, const std::string& name) {
        const auto targets = matrix_like(X, y, "y");
        const Loss kind = loss_from_name(name);
        return filled_like(X, net.m(), net.d(),
                           [&](auto G) { node_gradients(net, X, targets, kind, G, exec); });
      },
      "y"_a, "loss"_a);
  define<py::array>(
      module, "pullback",
      [](auto net, auto X, const Execution& exec, const py::array& u) {
        const auto cotangent = matrix_like(X, u, "u");
        return filled_like(X, net.m(), net.d(),
                           [&](auto G) { pullback(net, X, cotangent, G, exec); });
      },
      "u"_a);
  define<std::string, bool>(
      module, "curvature",
      [](auto net, auto X, const Execution& exec, const std::string& name, bool both_layers) {
        const Loss kind = loss_from_name(name);
        return computed([&] { return curvature(net, X, kind, both_layers, exec); });
      },
      "loss"_a, "both_layers"_a);
  module.def("ntg", &ntg_py, "W"_a, "v"_a, "activation"_a, "X"_a, "X2"_a, "backend"_a, "threads"_a,
             "slopes_memory"_a, "out"_a);
  module.def("activation", &activation_py, "name"_a, "z"_a, "order"_a, "backend"_a = "cpu");
  module.def("min_eigenvalue", &min_eigenvalue_py, "K"_a, "backend"_a, "threads"_a);
  register_operator<float>(module, "NtgOperatorFloat");
  register_operator<double>(module, "NtgOperatorDouble");
}

}  // namespace asymfast::bindings
