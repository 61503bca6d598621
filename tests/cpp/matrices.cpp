// Forward passes, gradients, neural tangent Gram matrices, operators and spectra, as they are
// called from C++: against the plain backend, and to the bit for any number of threads.
#include <array>
#include <string>

#include "check.hpp"

namespace {

using namespace asymfast;
using check::expect;
using check::expect_close;
using check::expect_near;
using check::expect_same_bits;

template <class T>
struct Results {
  std::vector<T> f, G, H;
  std::vector<double> K, cross, product, loss;
};

template <class T>
Results<T> results(const check::Problem<T>& problem, const Execution& exec) {
  const auto size = check::Problem<T>::size;
  const Index n = problem.n, d = problem.d, m = problem.m, k = problem.k, some = (n + 1) / 2;
  const NetworkView<T> net = problem.nets().member(0);
  const auto [X, y, X_stride, y_stride] = problem.train();
  const auto X2 = problem.test().X;
  Results<T> of;
  of.f.resize(size(n * k));
  forward(net, X, {of.f.data(), n, k}, exec);
  of.G.resize(size(m * d));
  node_gradients(net, X, y, Loss::mse, {of.G.data(), m, d}, exec);
  of.H.resize(size(n * m));
  features(net, X, {of.H.data(), n, m}, exec);
  for (const Loss kind : {Loss::half_sse, Loss::mse})
    of.loss.push_back(loss(net, X, y, kind, exec));

  std::vector<double> v(problem.lam.begin(), problem.lam.begin() + m);
  of.K.resize(size(n * n));
  ntg(net, v.data(), X, X, MatrixView<double>{of.K.data(), n, n}, exec);
  of.cross.resize(size(n * some));
  std::vector<T> apart(X2.data, X2.data + X2.size());  // not the symmetric case
  ntg(net, v.data(), X, MatrixView<const T>{apart.data(), some, d},
      MatrixView<double>{of.cross.data(), n, some}, exec);

  NtgOperator<T> theta(net, v.data(), X, exec);
  of.product.resize(size(2 * n));
  const std::vector<T> u(problem.x.begin(), problem.x.begin() + 2 * n);
  theta.apply({u.data(), 2, n}, {of.product.data(), 2, n}, exec);
  return of;
}

template <class T>
void check_network(Index n, Index d, Index m, Index k, Activation activation) {
  const check::Problem<T> problem(1, n, d, m, k, activation);
  const Results<T> one = results(problem, {Backend::cpu, 1});
  for (const int threads : {2, 5}) {
    const Results<T> other = results(problem, {Backend::cpu, threads});
    expect_same_bits("forward, threads", one.f, other.f);
    expect_same_bits("node_gradients, threads", one.G, other.G);
    expect_same_bits("features, threads", one.H, other.H);
    expect_same_bits("ntg, threads", one.K, other.K);
    expect_same_bits("cross ntg, threads", one.cross, other.cross);
    expect_same_bits("NtgOperator, threads", one.product, other.product);
  }
  const Results<T> pieces = results(problem, {Backend::cpu, 2, {}, 1.0});
  expect_same_bits("ntg, in pieces", one.K, pieces.K);
  expect_same_bits("NtgOperator, without slopes", one.product, pieces.product);

  // Sums of at most n m k terms, in whatever order.
  const double eps = double(std::numeric_limits<T>::epsilon());
  const double tolerance = 8.0 * double(n + m + d + k) * eps;
  const Results<T> plain = results(problem, {Backend::reference, 1});
  expect_close("forward", one.f, plain.f, tolerance);
  expect_close("node_gradients", one.G, plain.G, tolerance);
  expect_close("features", one.H, plain.H, tolerance);
  expect_close("loss", one.loss, plain.loss, tolerance);
  expect_close("ntg", one.K, plain.K, tolerance);
  expect_close("cross ntg", one.cross, plain.cross, tolerance);
  expect_close("NtgOperator", one.product, plain.product, tolerance);
}

template <class T>
void check_activations() {
  std::vector<T> z;
  for (int i = -40; i <= 40; ++i) z.push_back(T(0.25 * i));
  const double eps = double(std::numeric_limits<T>::epsilon());
  for (int which = 0; which <= int(Activation::identity); ++which)
    for (int order = 0; order < 3; ++order) {
      std::vector<T> fast(z.size()), plain(z.size());
      const auto kind = static_cast<Activation>(which);
      const auto count = Index(z.size());
      activation_values(kind, order, z.data(), count, fast.data(), {Backend::cpu});
      activation_values(kind, order, z.data(), count, plain.data(), {Backend::reference});
      expect_close(std::string(name_of(kind)).c_str(), fast, plain, 40 * eps);
    }
}

// The second difference matrix, whose spectrum is known: 2 - 2 cos(pi j / (n + 1)).
void check_spectrum() {
  for (const Index n : {1, 2, 17, 96, 97, 300, 700}) {
    std::vector<double> K(std::size_t(n * n), 0.0);
    for (Index i = 0; i < n; ++i) {
      K[std::size_t(i * n + i)] = 2;
      if (i > 0) K[std::size_t(i * n + i - 1)] = K[std::size_t((i - 1) * n + i)] = -1;
    }
    const double exact = 2 - 2 * std::cos(3.14159265358979323846 / double(n + 1));
    std::array<double, 3> found{};
    for (std::size_t t = 0; t < 3; ++t)
      found[t] = min_eigenvalue({K.data(), n, n}, {Backend::cpu, int(t) + 1});
    expect(found[0] == found[1] && found[1] == found[2], "min_eigenvalue, threads");
    expect_near("min_eigenvalue", found[0], exact, 1e-6);
    for (double& value : K) value = -value;  // an indefinite one: the largest becomes the smallest
    const double largest = min_eigenvalue({K.data(), n, n}, {Backend::cpu, 2});
    expect_near("min_eigenvalue of -K", largest, exact - 4, 1e-6);
  }
}

template <class F>
void expect_refusal(const char* what, F&& call) {
  try {
    call();
  } catch (const std::invalid_argument&) {
    return;
  }
  expect(false, what);
}

void check_refusals() {
  const check::Problem<double> problem(1, 5, 3, 7, 1, Activation::tanh);
  const NetworkView<double> net = problem.nets().member(0);
  const auto X = problem.train().X, y = problem.train().y;
  std::vector<double> out(64);
  expect_refusal("X of other columns", [&] { forward(net, {X.data, 5, 2}, {out.data(), 5, 1}); });
  expect_refusal("f of other rows", [&] { forward(net, X, {out.data(), 4, 1}); });
  expect_refusal("no samples", [&] { forward(net, {X.data, 0, 3}, {out.data(), 0, 1}); });
  expect_refusal("y of other rows", [&] { loss(net, X, {y.data, 4, 1}, Loss::mse); });
  expect_refusal("K of another shape",
                 [&] { ntg(net, problem.lam.data(), X, X, MatrixView<double>{out.data(), 5, 4}); });
  expect_refusal("K that is not square", [&] { min_eigenvalue({out.data(), 3, 4}); });
  expect_refusal("order 3",
                 [&] { activation_values(Activation::sin, 3, out.data(), 2, out.data() + 2); });
  expect_refusal("an unknown activation", [] { activation_from_name("abacus"); });
  expect_refusal("an unknown loss", [] { loss_from_name("abacus"); });
  expect_refusal("an unknown backend", [] { backend_from_name("abacus"); });
  expect_refusal("an unknown method", [] { flow_method_from_name("abacus"); });
}

}  // namespace

int main() {
  check_network<double>(23, 9, 161, 1, Activation::swish);
  check_network<float>(23, 9, 161, 3, Activation::gelu);
  check_network<double>(70, 3, 45, 2, Activation::relu);
  check_network<float>(1, 2, 1, 1, Activation::sin);
  check_network<float>(40, 70, 301, 1, Activation::erf);
  check_activations<float>();
  check_activations<double>();
  check_spectrum();
  check_refusals();
  return check::summary("matrices");
}
