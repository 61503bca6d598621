// Networks, and calls on them and on data.
#include <algorithm>

#include "c_api/common.hpp"

using namespace asymfast::c_api;
using asymfast::Activation;
using asymfast::Index;
using asymfast::Matrix;
using asymfast::Network;

namespace {

asymfast::Execution execution(const char* who, const asymfast_execution* given) {
  const asymfast_execution own = filled(who, "execution", given);
  asymfast::Execution exec = execution_of(who, own);
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  if (own.progress)
    exec.keep_going = [own] { return own.progress(kNan, kNan, own.progress_user) != 0; };
  return exec;
}

// make(m, d, k, activation, arrays) -> Network in the element type of the arrays.
template <class Make>
asymfast_status make_network(const char* who, asymfast_dtype dtype, int64_t m_given,
                             int64_t d_given, int64_t k_given, const char* activation,
                             asymfast_network** network, Make&& make) {
  return guarded([&] {
    *required(who, "network", network) = nullptr;
    const Index m = count(who, "m", m_given), d = count(who, "d", d_given),
                k = count(who, "k", k_given);
    const Activation sigma =
        asymfast::activation_from_name(required(who, "activation", activation));
    if (dtype == ASYMFAST_FLOAT64)
      *network = new asymfast_network{make(m, d, k, sigma, Arrays<double>{who})};
    else if (dtype == ASYMFAST_FLOAT32)
      *network = new asymfast_network{make(m, d, k, sigma, Arrays<float>{who})};
    else
      asymfast::refuse(
          who, "dtype must be ASYMFAST_FLOAT64 or ASYMFAST_FLOAT32, got " + std::to_string(dtype));
  });
}

// What a call on samples works with, in the network's element type.
template <class T>
struct OnSamples : Arrays<T> {
  const Network<T>& net;
  asymfast::MatrixView<const T> X;  // (n, d)
  asymfast::Execution exec;
};

// call(OnSamples).
template <class Call>
asymfast_status on_samples(const char* who, const asymfast_network* network, int64_t n,
                           const void* X, const asymfast_execution* exec, Call&& call) {
  return with_network(who, network, [&](const auto& net, auto arrays) {
    call(OnSamples<typename decltype(arrays)::Element>{
        arrays, net, arrays.in("X", X, count(who, "n", n), net.d()), execution(who, exec)});
  });
}

template <class T>
Matrix<T> copied(asymfast::MatrixView<const T> from) {
  return {from.rows, from.cols, std::vector<T>(from.data, from.data + from.size())};
}

}  // namespace

asymfast_status asymfast_node_scaling(int64_t m, double gamma, double alpha, double* lam) {
  return guarded([&] {
    const char* who = "node_scaling";
    required(who, "lam", lam);
    const std::vector<double> values = asymfast::node_scaling(count(who, "m", m), gamma, alpha);
    std::copy(values.begin(), values.end(), lam);
  });
}

asymfast_status asymfast_network_create(asymfast_dtype dtype, int64_t m_given, int64_t d_given,
                                        int64_t k_given, const void* W, const void* a,
                                        const double* lam, const char* activation,
                                        asymfast_network** network) {
  const char* who = "network_create";
  return make_network(
      who, dtype, m_given, d_given, k_given, activation, network,
      [&](Index m, Index d, Index k, Activation sigma, const auto& arrays) {
        required(who, "lam", lam);
        const auto weights = arrays.in("W", W, m, d), outputs = arrays.in("a", a, m, k);
        return Network(copied(weights), copied(outputs), std::vector<double>(lam, lam + m), sigma);
      });
}

asymfast_status asymfast_network_init(asymfast_dtype dtype, int64_t m_given, int64_t d_given,
                                      int64_t k_given, double gamma, double alpha,
                                      const char* activation, uint64_t seed,
                                      asymfast_network** network) {
  return make_network("network_init", dtype, m_given, d_given, k_given, activation, network,
                      [&](Index m, Index d, Index k, Activation sigma, auto arrays) {
                        using T = typename decltype(arrays)::Element;
                        return Network<T>::init(d, m, gamma, alpha, sigma, k, seed);
                      });
}

void asymfast_network_free(asymfast_network* network) {
  delete network;
}

asymfast_status asymfast_network_shape(const asymfast_network* network, int64_t* m, int64_t* d,
                                       int64_t* k, asymfast_dtype* dtype) {
  return with_network("network_shape", network, [&](const auto& net, auto arrays) {
    if (m) *m = net.m();
    if (d) *d = net.d();
    if (k) *k = net.k();
    if (dtype) *dtype = dtype_of<typename decltype(arrays)::Element>();
  });
}

asymfast_status asymfast_network_weights(const asymfast_network* network, void* W, void* a,
                                         double* lam) {
  return with_network("network_weights", network, [&](const auto& net, const auto& arrays) {
    if (W) std::copy_n(net.W().data(), net.W().size(), arrays.out("W", W, net.m(), net.d()).data);
    if (a) std::copy_n(net.a().data(), net.a().size(), arrays.out("a", a, net.m(), net.k()).data);
    if (lam) std::copy(net.lam().begin(), net.lam().end(), lam);
  });
}

asymfast_status asymfast_forward(const asymfast_network* network, int64_t n, const void* X, void* f,
                                 const asymfast_execution* exec) {
  return on_samples("forward", network, n, X, exec, [&](const auto& at) {
    asymfast::forward(at.net.view(), at.X, at.out("f", f, n, at.net.k()), at.exec);
  });
}

asymfast_status asymfast_loss(const asymfast_network* network, int64_t n, const void* X,
                              const void* y, const char* loss, double* value,
                              const asymfast_execution* exec) {
  return on_samples("loss", network, n, X, exec, [&](const auto& at) {
    double* to = required("loss", "value", value);
    *to = at.net.loss(at.X, at.in("y", y, n, at.net.k()), loss_named(loss), at.exec);
  });
}

asymfast_status asymfast_node_gradients(const asymfast_network* network, int64_t n, const void* X,
                                        const void* y, const char* loss, void* G,
                                        const asymfast_execution* exec) {
  return on_samples("node_gradients", network, n, X, exec, [&](const auto& at) {
    const auto& net = at.net;
    asymfast::node_gradients(net.view(), at.X, at.in("y", y, n, net.k()), loss_named(loss),
                             at.out("G", G, net.m(), net.d()), at.exec);
  });
}

asymfast_status asymfast_features(const asymfast_network* network, int64_t n, const void* X,
                                  void* H, const asymfast_execution* exec) {
  return on_samples("features", network, n, X, exec, [&](const auto& at) {
    asymfast::features(at.net.view(), at.X, at.out("H", H, n, at.net.m()), at.exec);
  });
}

asymfast_status asymfast_ntg(const asymfast_network* network, int64_t p, int64_t q, int64_t n,
                             const void* X, int64_t n2, const void* X2, double* K,
                             const asymfast_execution* exec) {
  const char* who = "ntg";
  return on_samples(who, network, n, X, exec, [&](const auto& at) {
    if (!X2 && n2 != n)
      asymfast::refuse(
          who, "n2 must be n = " + std::to_string(n) + " without X2, got " + std::to_string(n2));
    const auto x2 = X2 ? at.in("X2", X2, count(who, "n2", n2), at.net.d()) : at.X;
    const std::vector<double> v = at.net.ntg_weights(static_cast<Index>(p), static_cast<Index>(q));
    asymfast::ntg(at.net.view(), v.data(), at.X, x2, Arrays<double>{who}.out("K", K, n, n2),
                  at.exec);
  });
}

asymfast_status asymfast_min_eigenvalue(int64_t n, const double* K, double* value,
                                        const asymfast_execution* exec) {
  return guarded([&] {
    const char* who = "min_eigenvalue";
    const Index rows = count(who, "n", n);
    double* to = required(who, "value", value);
    *to =
        asymfast::min_eigenvalue(Arrays<double>{who}.in("K", K, rows, rows), execution(who, exec));
  });
}
