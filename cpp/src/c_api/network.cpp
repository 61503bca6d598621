// Networks, and calls on them and on data.
#include <algorithm>

#include "c_api/common.hpp"

using namespace asymfast::c_api;
using asymfast::Activation;
using asymfast::Index;
using asymfast::Network;

asymfast_status asymfast_node_scaling(int64_t m, double gamma, double alpha, double* lam) {
  return guarded([&] {
    const char* who = "node_scaling";
    required(who, "lam", lam);
    const std::vector<double> values = asymfast::node_scaling(count(who, "m", m), gamma, alpha);
    std::copy(values.begin(), values.end(), lam);
    return ASYMFAST_OK;
  });
}

asymfast_status asymfast_network_create(asymfast_dtype dtype, int64_t m_given, int64_t d_given,
                                        int64_t k_given, const void* W, const void* a,
                                        const double* lam, const char* activation,
                                        asymfast_network** network) {
  return guarded([&] {
    const char* who = "network_create";
    *required(who, "network", network) = nullptr;
    const Index m = count(who, "m", m_given), d = count(who, "d", d_given),
                k = count(who, "k", k_given);
    required(who, "lam", lam);
    const Activation sigma =
        asymfast::activation_from_name(required(who, "activation", activation));
    with_dtype(who, dtype, [&](auto zero) {
      using T = decltype(zero);
      const auto weights = input<T>(who, "W", W, m, d), outputs = input<T>(who, "a", a, m, k);
      *network = new asymfast_network{
          Network<T>(copied(weights), copied(outputs), std::vector<double>(lam, lam + m), sigma)};
    });
    return ASYMFAST_OK;
  });
}

asymfast_status asymfast_network_init(asymfast_dtype dtype, int64_t m_given, int64_t d_given,
                                      int64_t k_given, double gamma, double alpha,
                                      const char* activation, uint64_t seed,
                                      asymfast_network** network) {
  return guarded([&] {
    const char* who = "network_init";
    *required(who, "network", network) = nullptr;
    const Index m = count(who, "m", m_given), d = count(who, "d", d_given),
                k = count(who, "k", k_given);
    const Activation sigma =
        asymfast::activation_from_name(required(who, "activation", activation));
    with_dtype(who, dtype, [&](auto zero) {
      using T = decltype(zero);
      *network = new asymfast_network{Network<T>::init(d, m, gamma, alpha, sigma, k, seed)};
    });
    return ASYMFAST_OK;
  });
}

void asymfast_network_free(asymfast_network* network) {
  delete network;
}

asymfast_status asymfast_network_shape(const asymfast_network* network, int64_t* m, int64_t* d,
                                       int64_t* k, asymfast_dtype* dtype) {
  return with_network("network_shape", network, [&](const auto& net) {
    if (m) *m = net.m();
    if (d) *d = net.d();
    if (k) *k = net.k();
    if (dtype) *dtype = dtype_of<ElementOf<decltype(net)>>();
  });
}

asymfast_status asymfast_network_weights(const asymfast_network* network, void* W, void* a,
                                         double* lam) {
  return with_network("network_weights", network, [&](const auto& net) {
    using T = ElementOf<decltype(net)>;
    if (W) std::copy_n(net.W().data(), net.W().size(), static_cast<T*>(W));
    if (a) std::copy_n(net.a().data(), net.a().size(), static_cast<T*>(a));
    if (lam) std::copy(net.lam().begin(), net.lam().end(), lam);
  });
}

namespace {

// call(network, X (n, d), execution) in the network's element type.
template <class Call>
asymfast_status on_samples(const char* who, const asymfast_network* network, int64_t n,
                           const void* X, const asymfast_execution* exec, Call&& call) {
  return with_network(who, network, [&](const auto& net) {
    using T = ElementOf<decltype(net)>;
    call(net, input<T>(who, "X", X, count(who, "n", n), net.d()), execution(who, exec));
  });
}

}  // namespace

asymfast_status asymfast_forward(const asymfast_network* network, int64_t n, const void* X, void* f,
                                 const asymfast_execution* exec) {
  const char* who = "forward";
  return on_samples(who, network, n, X, exec, [&](const auto& net, auto x, const auto& how) {
    using T = ElementOf<decltype(net)>;
    asymfast::forward<T>(net.view(), x, output<T>(who, "f", f, x.rows, net.k()), how);
  });
}

asymfast_status asymfast_loss(const asymfast_network* network, int64_t n, const void* X,
                              const void* y, const char* loss, double* value,
                              const asymfast_execution* exec) {
  const char* who = "loss";
  return on_samples(who, network, n, X, exec, [&](const auto& net, auto x, const auto& how) {
    using T = ElementOf<decltype(net)>;
    *required(who, "value", value) =
        net.loss(x, input<T>(who, "y", y, x.rows, net.k()), loss_named(loss), how);
  });
}

asymfast_status asymfast_node_gradients(const asymfast_network* network, int64_t n, const void* X,
                                        const void* y, const char* loss, void* G,
                                        const asymfast_execution* exec) {
  const char* who = "node_gradients";
  return on_samples(who, network, n, X, exec, [&](const auto& net, auto x, const auto& how) {
    using T = ElementOf<decltype(net)>;
    asymfast::node_gradients<T>(net.view(), x, input<T>(who, "y", y, x.rows, net.k()),
                                loss_named(loss), output<T>(who, "G", G, net.m(), net.d()), how);
  });
}

asymfast_status asymfast_features(const asymfast_network* network, int64_t n, const void* X,
                                  void* H, const asymfast_execution* exec) {
  const char* who = "features";
  return on_samples(who, network, n, X, exec, [&](const auto& net, auto x, const auto& how) {
    using T = ElementOf<decltype(net)>;
    asymfast::features<T>(net.view(), x, output<T>(who, "H", H, x.rows, net.m()), how);
  });
}

asymfast_status asymfast_ntg(const asymfast_network* network, int64_t p, int64_t q, int64_t n,
                             const void* X, int64_t n2, const void* X2, double* K,
                             const asymfast_execution* exec) {
  const char* who = "ntg";
  return on_samples(who, network, n, X, exec, [&](const auto& net, auto x, const auto& how) {
    using T = ElementOf<decltype(net)>;
    if (!X2 && n2 != n)
      asymfast::refuse(
          who, "n2 must be n = " + std::to_string(n) + " without X2, got " + std::to_string(n2));
    const auto x2 = X2 ? input<T>(who, "X2", X2, count(who, "n2", n2), net.d()) : x;
    const std::vector<double> v = net.ntg_weights(static_cast<Index>(p), static_cast<Index>(q));
    asymfast::ntg<T>(net.view(), v.data(), x, x2, output<double>(who, "K", K, x.rows, x2.rows),
                     how);
  });
}

asymfast_status asymfast_min_eigenvalue(int64_t n, const double* K, double* value,
                                        const asymfast_execution* exec) {
  return guarded([&] {
    const char* who = "min_eigenvalue";
    const Index rows = count(who, "n", n);
    *required(who, "value", value) =
        asymfast::min_eigenvalue(input<double>(who, "K", K, rows, rows), execution(who, exec));
    return ASYMFAST_OK;
  });
}
