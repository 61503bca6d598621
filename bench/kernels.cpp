// Microbenchmarks of the public kernels, one thread each, with Google Benchmark.
//
//   cmake -S . -B build/bench -DASYMFAST_BUILD_BENCH=ON && cmake --build build/bench
//   build/bench/asymfast_bench --benchmark_filter=descent
//
// The counter "flops" is the rate of floating-point operations of the matrix products alone.
#include <benchmark/benchmark.h>

#include <cmath>
#include <random>
#include <vector>

#include "asymfast/asymfast.hpp"

namespace {

using asymfast::Index;
using asymfast::MatrixView;

const asymfast::Execution kOneThread{asymfast::Backend::cpu, 1};

template <class T>
std::vector<T> normal(Index count, unsigned seed, double scale = 1.0) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> distribution(0.0, scale);
  std::vector<T> values(static_cast<std::size_t>(count));
  for (T& value : values) value = T(distribution(generator));
  return values;
}

// A network and data of sizes n, d, m, k; rows of X are of about unit length.
template <class T>
struct Problem {
  Index n, d, m, k;
  std::vector<T> W, a, X, y;
  std::vector<double> lam;

  explicit Problem(const benchmark::State& state)
      : n(state.range(0)),
        d(state.range(1)),
        m(state.range(2)),
        k(state.range(3)),
        W(normal<T>(m * d, 1)),
        a(normal<T>(m * k, 2)),
        X(normal<T>(n * d, 3, 1 / std::sqrt(double(d)))),
        y(normal<T>(n * k, 4)),
        lam(static_cast<std::size_t>(m), 1.0 / double(m)) {}

  asymfast::NetworkView<T> net() const {
    return {{W.data(), m, d}, {a.data(), m, k}, lam.data(), asymfast::Activation::swish};
  }
  MatrixView<const T> inputs() const { return {X.data(), n, d}; }
  MatrixView<const T> targets() const { return {y.data(), n, k}; }
};

void rate(benchmark::State& state, double flops) {
  state.counters["flops"] =
      benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
}

template <class T>
void forward(benchmark::State& state) {
  const Problem<T> p(state);
  std::vector<T> f(static_cast<std::size_t>(p.n * p.k));
  for (auto _ : state)
    asymfast::forward(p.net(), p.inputs(), MatrixView<T>{f.data(), p.n, p.k}, kOneThread);
  rate(state, double(2 * p.n * p.m * (p.d + p.k)));
}

template <class T>
void node_gradients(benchmark::State& state) {
  const Problem<T> p(state);
  std::vector<T> G(static_cast<std::size_t>(p.m * p.d));
  for (auto _ : state)
    asymfast::node_gradients(p.net(), p.inputs(), p.targets(), asymfast::Loss::half_sse,
                             MatrixView<T>{G.data(), p.m, p.d}, kOneThread);
  rate(state, double(4 * p.n * p.m * (p.d + p.k)));
}

template <class T>
void ntg(benchmark::State& state) {
  const Problem<T> p(state);
  const std::vector<double> v(static_cast<std::size_t>(p.m), 1.0 / double(p.m));
  std::vector<double> K(static_cast<std::size_t>(p.n * p.n));
  for (auto _ : state)
    asymfast::ntg(p.net(), v.data(), p.inputs(), p.inputs(), MatrixView<double>{K.data(), p.n, p.n},
                  kOneThread);
  rate(state, double(2 * p.n * p.m * p.d + p.n * (p.n + 1) * p.m));
}

// One step of a run of a hundred: what training costs.
template <class T>
void descent_step(benchmark::State& state) {
  const Problem<T> p(state);
  constexpr Index steps = 100;
  const asymfast::EnsembleView<T> nets{
      1, p.m, p.d, p.k, p.W.data(), p.a.data(), p.lam.data(), asymfast::Activation::swish};
  const asymfast::DataView<T> data{p.inputs(), p.targets()};
  asymfast::Recording recording;
  recording.schedule.steps = {0};
  recording.ntg_change = recording.eigmin = false;
  while (state.KeepRunningBatch(steps))
    benchmark::DoNotOptimize(asymfast::gradient_descent<T>(
        {nets, data, {}, asymfast::Loss::half_sse, recording, {}, kOneThread},
        {1.0 / double(p.n), steps}));
  rate(state, double(4 * p.n * p.m * (p.d + p.k)));
}

// Elements a second, in the first-level cache.
template <class T>
void activation(benchmark::State& state) {
  constexpr Index count = 2048;
  const auto z = normal<T>(count, 5);
  std::vector<T> out(count);
  const auto which = static_cast<asymfast::Activation>(state.range(0));
  const int order = int(state.range(1));
  for (auto _ : state)
    asymfast::activation_values(which, order, z.data(), count, out.data(), kOneThread);
  state.SetLabel(std::string(asymfast::name_of(which)) + " derivative " + std::to_string(order));
  state.SetItemsProcessed(state.iterations() * count);
}

// Of a Gram matrix of n samples in n + 50 dimensions: positive definite.
void min_eigenvalue(benchmark::State& state) {
  const Index n = state.range(0), d = n + 50;
  const auto X = normal<double>(n * d, 6, 1 / std::sqrt(double(d)));
  std::vector<double> K(static_cast<std::size_t>(n * n));
  for (Index i = 0; i < n; ++i)
    for (Index l = 0; l < n; ++l) {
      double sum = 0;
      for (Index j = 0; j < d; ++j) sum += X[i * d + j] * X[l * d + j];
      K[i * n + l] = sum;
    }
  for (auto _ : state)
    benchmark::DoNotOptimize(
        asymfast::min_eigenvalue(MatrixView<const double>{K.data(), n, n}, kOneThread));
  rate(state, double(n * n * n) / 3);
}

// n, d, m, k of W1, W2, W2b, W9.
void sizes(benchmark::internal::Benchmark* bench) {
  for (const auto& size : {std::vector<int64_t>{100, 50, 2000, 1},
                           {412, 8, 2000, 1},
                           {3827, 4, 2000, 1},
                           {20, 5, 50, 1}})
    bench->Args(size);
  bench->ArgNames({"n", "d", "m", "k"});
}

}  // namespace

BENCHMARK_TEMPLATE(forward, float)->Apply(sizes);
BENCHMARK_TEMPLATE(forward, double)->Apply(sizes);
BENCHMARK_TEMPLATE(node_gradients, float)->Apply(sizes);
BENCHMARK_TEMPLATE(node_gradients, double)->Apply(sizes);
BENCHMARK_TEMPLATE(descent_step, float)->Apply(sizes);
BENCHMARK_TEMPLATE(descent_step, double)->Apply(sizes);
BENCHMARK_TEMPLATE(ntg, float)->Args({100, 50, 2000, 1})->Args({1000, 8, 2000, 1});
BENCHMARK_TEMPLATE(ntg, double)->Args({100, 50, 2000, 1})->Args({1000, 8, 2000, 1});
BENCHMARK_TEMPLATE(activation, float)
    ->ArgsProduct({benchmark::CreateDenseRange(0, 9, 1), benchmark::CreateDenseRange(0, 2, 1)});
BENCHMARK_TEMPLATE(activation, double)
    ->ArgsProduct({benchmark::CreateDenseRange(0, 9, 1), benchmark::CreateDenseRange(0, 2, 1)});
BENCHMARK(min_eigenvalue)->Arg(100)->Arg(400)->Arg(1000);

BENCHMARK_MAIN();
