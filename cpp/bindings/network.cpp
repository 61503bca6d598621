#include "asymfast/network.hpp"

#include "arrays.hpp"
#include "asymfast/both_layers.hpp"
#include "register.hpp"

namespace asymfast::bindings {

using namespace py::literals;

namespace {

template <class T>
NetworkView<T> network(const py::array& W, const py::array& a, const py::array& lam,
                       const std::string& activation) {
  const auto weights = matrix<T>(W, "W");
  return {weights, matrix<T>(a, "a"), vector<double>(lam, "lam", weights.rows),
          activation_from_name(activation)};
}

py::array forward_py(const py::array& W, const py::array& a, const py::array& lam,
                     const std::string& activation, const py::array& X, const std::string& backend,
                     int threads) {
  return with_dtype(W, "W", [&](auto zero) -> py::array {
    using T = decltype(zero);
    const auto net = network<T>(W, a, lam, activation);
    const auto x = matrix<T>(X, "X");
    const Execution exec = execution(backend, threads);
    py::array_t<T> f({x.rows, net.k()});
    const auto out = mutable_matrix(f);
    without_gil([&] { forward(net, x, out, exec); });
    return f;
  });
}

double loss_py(const py::array& W, const py::array& a, const py::array& lam,
               const std::string& activation, const py::array& X, const py::array& y,
               const std::string& loss_name, const std::string& backend, int threads) {
  return with_dtype(W, "W", [&](auto zero) {
    using T = decltype(zero);
    const auto net = network<T>(W, a, lam, activation);
    const auto x = matrix<T>(X, "X"), target = matrix<T>(y, "y");
    const Loss kind = loss_from_name(loss_name);
    const Execution exec = execution(backend, threads);
    double value = 0;
    without_gil([&] { value = loss(net, x, target, kind, exec); });
    return value;
  });
}

py::array node_gradients_py(const py::array& W, const py::array& a, const py::array& lam,
                            const std::string& activation, const py::array& X, const py::array& y,
                            const std::string& loss_name, const std::string& backend, int threads) {
  return with_dtype(W, "W", [&](auto zero) -> py::array {
    using T = decltype(zero);
    const auto net = network<T>(W, a, lam, activation);
    const auto x = matrix<T>(X, "X"), target = matrix<T>(y, "y");
    const Loss kind = loss_from_name(loss_name);
    const Execution exec = execution(backend, threads);
    py::array_t<T> G({net.m(), net.d()});
    const auto out = mutable_matrix(G);
    without_gil([&] { node_gradients(net, x, target, kind, out, exec); });
    return G;
  });
}

py::array pullback_py(const py::array& W, const py::array& a, const py::array& lam,
                      const std::string& activation, const py::array& X, const py::array& u,
                      const std::string& backend, int threads) {
  return with_dtype(W, "W", [&](auto zero) -> py::array {
    using T = decltype(zero);
    const auto net = network<T>(W, a, lam, activation);
    const auto x = matrix<T>(X, "X"), cotangent = matrix<T>(u, "u");
    const Execution exec = execution(backend, threads);
    py::array_t<T> G({net.m(), net.d()});
    const auto out = mutable_matrix(G);
    without_gil([&] { pullback(net, x, cotangent, out, exec); });
    return G;
  });
}

double curvature_py(const py::array& W, const py::array& a, const py::array& lam,
                    const std::string& activation, const py::array& X, const std::string& loss_name,
                    bool both_layers, const std::string& backend, int threads) {
  return with_dtype(W, "W", [&](auto zero) {
    using T = decltype(zero);
    const auto net = network<T>(W, a, lam, activation);
    const auto x = matrix<T>(X, "X");
    const Loss kind = loss_from_name(loss_name);
    const Execution exec = execution(backend, threads);
    double value = 0;
    without_gil([&] {
      value =
          both_layers ? curvature_both_layers(net, x, kind, exec) : curvature(net, x, kind, exec);
    });
    return value;
  });
}

py::array features_py(const py::array& W, const py::array& a, const py::array& lam,
                      const std::string& activation, const py::array& X, const std::string& backend,
                      int threads) {
  return with_dtype(W, "W", [&](auto zero) -> py::array {
    using T = decltype(zero);
    const auto net = network<T>(W, a, lam, activation);
    const auto x = matrix<T>(X, "X");
    const Execution exec = execution(backend, threads);
    py::array_t<T> H({x.rows, net.m()});
    const auto out = mutable_matrix(H);
    without_gil([&] { features(net, x, out, exec); });
    return H;
  });
}

py::array ntg_py(const py::array& W, const py::array& v, const std::string& activation,
                 const py::array& X, const py::array& X2, const std::string& backend, int threads,
                 double slopes_memory) {
  return with_dtype(W, "W", [&](auto zero) -> py::array {
    using T = decltype(zero);
    const auto weights = matrix<T>(W, "W");
    const NetworkView<T> net{
        weights, {nullptr, weights.rows, 0}, nullptr, activation_from_name(activation)};
    const double* scales = vector<double>(v, "v", weights.rows);
    const auto x = matrix<T>(X, "X"), x2 = matrix<T>(X2, "X2");
    const Execution exec = execution(backend, threads, slopes_memory);
    py::array_t<T> K({x.rows, x2.rows});
    const auto out = mutable_matrix(K);
    without_gil([&] { ntg(net, scales, x, x2, out, exec); });
    return K;
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
  module.def("forward", &forward_py, "W"_a, "a"_a, "lam"_a, "activation"_a, "X"_a, "backend"_a,
             "threads"_a);
  module.def("loss", &loss_py, "W"_a, "a"_a, "lam"_a, "activation"_a, "X"_a, "y"_a, "loss"_a,
             "backend"_a, "threads"_a);
  module.def("node_gradients", &node_gradients_py, "W"_a, "a"_a, "lam"_a, "activation"_a, "X"_a,
             "y"_a, "loss"_a, "backend"_a, "threads"_a);
  module.def("pullback", &pullback_py, "W"_a, "a"_a, "lam"_a, "activation"_a, "X"_a, "u"_a,
             "backend"_a, "threads"_a);
  module.def("curvature", &curvature_py, "W"_a, "a"_a, "lam"_a, "activation"_a, "X"_a, "loss"_a,
             "both_layers"_a, "backend"_a, "threads"_a);
  module.def("features", &features_py, "W"_a, "a"_a, "lam"_a, "activation"_a, "X"_a, "backend"_a,
             "threads"_a);
  module.def("ntg", &ntg_py, "W"_a, "v"_a, "activation"_a, "X"_a, "X2"_a, "backend"_a, "threads"_a,
             "slopes_memory"_a);
  module.def("activation", &activation_py, "name"_a, "z"_a, "order"_a, "backend"_a = "cpu");
}

}  // namespace asymfast::bindings
