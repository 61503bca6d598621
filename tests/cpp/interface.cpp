// What programs in C++ rely on beyond the numbers: types that own, exceptions and what they say,
// callbacks that throw, and many threads on one network.
#include <asymfast/asymfast.hpp>
#include <asymfast/cuda.hpp>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "check.hpp"

namespace {

using asymfast::Activation;
using asymfast::Index;
using asymfast::Loss;
using asymfast::Matrix;
using asymfast::Network;

void expect(bool holds, const std::string& what) {
  check::expect(holds, what.c_str());
}

// call() must throw an Error whose message contains `words`.
template <class Error, class Call>
void expect_throws(const std::string& words, Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    expect(std::string(error.what()).find(words) != std::string::npos,
           std::string("message with '") + words + "', got '" + error.what() + "'");
    return;
  }
  expect(false, "an exception about " + words);
}

struct Problem {
  Matrix<double> X{20, 5}, y{20, 1};
  Network<double> net = Network<double>::init(5, 64, 0.5, 0.7, Activation::swish, 1, 3);
  asymfast::DataView<double> data{X, y};

  Problem() {
    for (Index i = 0; i < X.size(); ++i) X.data()[i] = std::sin(0.9 * double(i));
    for (Index i = 0; i < y.size(); ++i) y.data()[i] = std::cos(double(i));
    data = {X, y};
  }
  asymfast::Training<double> training(const asymfast::Recording& recording,
                                      const asymfast::Hooks& hooks = {},
                                      const asymfast::Execution& exec = {}) const {
    return {net.ensemble(), data, {}, Loss::half_sse, recording, hooks, exec};
  }
  asymfast::RunResult<double> descend(double lr, Index steps, const asymfast::Recording& recording,
                                      const asymfast::Hooks& hooks = {}) const {
    return asymfast::gradient_descent(training(recording, hooks), {lr, steps});
  }
};

asymfast::Recording losses_only() {
  asymfast::Recording recording;
  recording.ntg_change = recording.eigmin = false;
  return recording;
}

// W is standard normal and a uniform on {-1, +1}: moments within five standard errors.
void check_draws() {
  const auto net = Network<float>::init(50, 2001, 1, 0, Activation::relu, 3, 11);
  double sum = 0, squares = 0, signs = 0;
  for (Index i = 0; i < net.W().size(); ++i) {
    const double w = net.W().data()[i];
    sum += w, squares += w * w;
  }
  for (Index i = 0; i < net.a().size(); ++i) {
    expect(std::abs(net.a().data()[i]) == 1, "a is +-1");
    signs += net.a().data()[i];
  }
  const double count = double(net.W().size());
  expect(std::abs(sum) <= 5 * std::sqrt(count), "mean of W");
  expect(std::abs(squares - count) <= 5 * std::sqrt(2 * count), "variance of W");
  expect(std::abs(signs) <= 5 * std::sqrt(double(net.a().size())), "mean of a");
  expect(net.lam()[7] == 1.0 / 2001, "gamma = 1 is the NTK scaling");
  const auto again = Network<float>::init(50, 2001, 1, 0, Activation::relu, 3, 11);
  const auto other = Network<float>::init(50, 2001, 1, 0, Activation::relu, 3, 12);
  expect(again.W()(5, 6) == net.W()(5, 6) && other.W()(5, 6) != net.W()(5, 6), "draws by the seed");
}

// L(W + h G) - L(W - h G) = 2 h |G|^2 + O(h^3).
void check_gradient() {
  const Problem at;
  const Matrix<double> G = at.net.node_gradients(at.X, at.y, Loss::mse);
  double norm2 = 0;
  for (Index i = 0; i < G.size(); ++i) norm2 += G.data()[i] * G.data()[i];
  const double h = 1e-4 / std::sqrt(norm2);
  const auto moved = [&](double step) {
    Matrix<double> W = at.net.W();
    for (Index i = 0; i < W.size(); ++i) W.data()[i] += step * G.data()[i];
    return Network<double>(W, at.net.a(), at.net.lam(), at.net.activation())
        .loss(at.X, at.y, Loss::mse);
  };
  const double slope = (moved(h) - moved(-h)) / (2 * h);
  // Third derivatives of order 1 times the squared length 1e-8 of the move; rounding is smaller.
  expect(std::abs(slope - norm2) <= 1e-6 * norm2, "the gradient is that of the loss");
}

void check_refusals() {
  using std::invalid_argument;
  const Problem at;
  expect_throws<invalid_argument>("gamma must be in [0, 1]",
                                  [] { asymfast::node_scaling(4, 2, 1); });
  expect_throws<invalid_argument>("alpha", [] { asymfast::node_scaling(4, 0.5, 0); });
  expect_throws<invalid_argument>("6 x 2", [] { Matrix<double>(6, 2, std::vector<double>(11)); });
  expect_throws<invalid_argument>("impossible shape",
                                  [] { Matrix<double>(Index(1) << 40, Index(1) << 40); });
  expect_throws<invalid_argument>("lam must be >= 0", [&] {
    Network<double>(at.net.W(), at.net.a(), std::vector<double>(64, -1.0), Activation::relu);
  });
  expect_throws<invalid_argument>("X must have shape (20, 5)",
                                  [&] { at.net.forward(Matrix<double>(20, 4)); });
  expect_throws<invalid_argument>("below 1", [&] { at.net.ntg_weights(0, 1); });
  expect_throws<invalid_argument>("lr must be in (0, inf)",
                                  [&] { at.descend(0, 5, losses_only()); });
  expect_throws<invalid_argument>("steps must be at least 1",
                                  [&] { at.descend(1, 0, losses_only()); });
  expect_throws<invalid_argument>("ntg_on must name at least one", [&] { at.descend(1, 5, {}); });
  asymfast::Recording recording = losses_only();
  recording.schedule.steps = {3, 2};
  expect_throws<invalid_argument>("increase, got 2", [&] { at.descend(1, 5, recording); });
  recording = losses_only();
  recording.schedule.times = {1};
  expect_throws<invalid_argument>("gradient_flow only", [&] { at.descend(1, 5, recording); });
  recording = losses_only();
  recording.ntg_on = {20};
  expect_throws<invalid_argument>("in [0, 20), got 20", [&] { at.descend(1, 5, recording); });
  const asymfast::Sgd sgd{{0.1, 0.2}, 3, 7, false, {1}};
  expect_throws<invalid_argument>("one for each of 3 epochs, got 2",
                                  [&] { asymfast::sgd(at.training(losses_only()), sgd); });
  asymfast::Flow flow;
  flow.t_end = 1, flow.rtol = 2;
  expect_throws<invalid_argument>(
      "rtol must be in (0, 1)", [&] { asymfast::gradient_flow(at.training(losses_only()), flow); });
}

// Nodes can be shared among processes by one network on the CPU; anything else is refused, not done
// with one part of the nodes.
void check_refused_ranks() {
  using std::invalid_argument;
  const Problem at;
  asymfast::Hooks hooks;
  hooks.sum_over_ranks = [](double*, Index) { return true; };
  const auto descend = [&](const asymfast::Hooks& how, asymfast::Backend backend) {
    asymfast::gradient_descent(at.training(losses_only(), how, {backend}), {0.1, 2});
  };
  asymfast::Flow flow;
  flow.t_end = 1;
  descend(hooks, asymfast::Backend::reference);
  expect_throws<invalid_argument>("sgd: sum_over_ranks", [&] {
    const asymfast::Sgd sgd{{0.1}, 3, 7, false, {1}};
    asymfast::sgd(at.training(losses_only(), hooks), sgd);
  });
  constexpr auto cuda = asymfast::Backend::cuda;
  expect_throws<invalid_argument>("needs backend 'cpu'", [&] { descend(hooks, cuda); });
  expect_throws<invalid_argument>("needs backend 'cpu'", [&] {
    asymfast::gradient_flow(at.training(losses_only(), hooks, {cuda}), flow);
  });
  const std::vector<double> W(2 * 64 * 5), a(2 * 64), lam(2 * 64, 1.0 / 64);
  const asymfast::EnsembleView<double> two{2,        64,       5,          1,
                                           W.data(), a.data(), lam.data(), Activation::swish};
  auto of_two = at.training(losses_only(), hooks);
  of_two.nets = two;
  expect_throws<invalid_argument>("got B = 2",
                                  [&] { asymfast::gradient_descent(of_two, {0.1, 2}); });
  expect_throws<invalid_argument>("got B = 2", [&] { asymfast::gradient_flow(of_two, flow); });
  asymfast::Hooks more = hooks;
  more.checkpoints.write = [](std::string_view) { return true; };
  expect_throws<invalid_argument>("checkpoints", [&] { descend(more, asymfast::Backend::cpu); });
  more = hooks;
  more.take_rows = [](const std::vector<asymfast::Column>&) { return true; };
  expect_throws<invalid_argument>("take_rows", [&] { descend(more, asymfast::Backend::cpu); });
  more = std::move(hooks);
  more.stop.wall_seconds = 1e9;
  expect_throws<invalid_argument>("wall_seconds", [&] { descend(more, asymfast::Backend::cpu); });
}

// A module that was compiled from other headers is not looked into.
void check_foreign_module() {
  const asymfast::cuda::Module foreign{0x123, nullptr};
  expect_throws<std::invalid_argument>("different builds",
                                       [&] { asymfast::cuda::use_module(foreign); });
}

// More threads than any system gives are as many as C and Python allow.
void check_many_threads() {
  const Problem at;
  const Matrix<double> X(300, 5, std::vector<double>(1500, 0.25));
  asymfast::Execution exec;
  const Matrix<double> K = at.net.ntg(X, exec);
  for (const int threads : {100000, 1 << 30}) {
    exec.threads = threads;
    expect(at.net.ntg(X, exec)(7, 3) == K(7, 3), "an NTG with very many threads");
  }
}

// A rank that is interrupted tells the others in its last sum; else they would wait for ever.
void check_interrupted_rank() {
  const Problem at;
  for (const int last : {20, 34}) {  // the sums before a leap ends with the eigenvectors of its NTG
    asymfast::Hooks hooks;
    int sums = 0;
    bool told = false;
    hooks.sum_over_ranks = [&](double* values, Index count) {
      if (++sums == last) std::this_thread::sleep_for(std::chrono::milliseconds(51));
      told = values[count - 1] > 0;
      return true;
    };
    hooks.pulse = [&](double, double) { return sums < last; };
    const asymfast::Descent leaps{0.5, 1000, asymfast::DescentMethod::leap};
    const auto run = asymfast::gradient_descent(at.training(losses_only(), hooks), leaps);
    expect(run.status == asymfast::Status::interrupted && told, "all ranks know of the interrupt");
  }
}

struct OwnError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Exceptions of a callback end the call and come out of it, those of the watch included, which is
// asked inside the kernels' parallel regions.
void check_callbacks() {
  const Problem at;
  asymfast::Hooks hooks;
  hooks.on_record = [](const asymfast::Snapshot&) -> bool { throw OwnError("from on_record"); };
  expect_throws<OwnError>("from on_record", [&] { at.descend(0.1, 5, losses_only(), hooks); });
  // A call within the callback may be interrupted, which is not the run's end.
  hooks.on_record = [](const asymfast::Snapshot&) -> bool { throw asymfast::Interrupted(); };
  expect_throws<asymfast::Interrupted>("interrupted",
                                       [&] { at.descend(0.1, 5, losses_only(), hooks); });
  hooks = {};
  hooks.pulse = [](double, double) -> bool { throw OwnError("from pulse"); };
  expect_throws<OwnError>("from pulse", [&] { at.descend(1e-9, 1 << 30, losses_only(), hooks); });

  const Index many = 3000;
  const Matrix<double> X(many, 5);
  asymfast::Execution exec;
  exec.backend = asymfast::Backend::reference;  // slow enough to be asked
  exec.keep_going = [] { return false; };
  expect_throws<asymfast::Interrupted>("interrupted", [&] { at.net.ntg(X, exec); });
  exec.keep_going = []() -> bool { throw OwnError("from keep_going"); };
  expect_throws<OwnError>("from keep_going", [&] { at.net.ntg(X, exec); });

  hooks = {};
  hooks.pulse = [](double, double) { return false; };
  const auto run = at.descend(1e-9, 1 << 30, losses_only(), hooks);
  expect(run.status == asymfast::Status::interrupted, "a pulse interrupts");
}

void check_runs() {
  const Problem at;
  asymfast::Recording recording = losses_only();
  recording.schedule.every = 10;
  const auto run = at.descend(0.1, 30, recording);
  expect(run.status == asymfast::Status::finished && run.loss.size() == 4, "four records");
  const auto after = at.net.after(run);
  // The run's own outputs are sums in another order: m roundings of values of order 1.
  expect(std::abs(after.loss(at.X, at.y, Loss::half_sse) - run.loss.back()) <=
             1e-12 * run.loss.front(),
         "the network after a run has its loss");
  expect_throws<std::invalid_argument>("no member 1", [&] { at.net.after(run, 1); });
}

// Same bits from every thread, all on one network.
void check_threads() {
  const Problem at;
  const auto alone = at.descend(0.1, 50, losses_only());
  std::vector<asymfast::RunResult<double>> results(4);
  std::vector<std::thread> threads;
  threads.reserve(results.size());
  for (auto& result : results)
    threads.emplace_back([&at, &result] { result = at.descend(0.1, 50, losses_only()); });
  for (auto& thread : threads) thread.join();
  for (const auto& result : results) expect(result.W == alone.W, "the same bits from every thread");
}

static_assert(std::is_nothrow_move_constructible_v<Matrix<double>>);
static_assert(std::is_base_of_v<std::exception, asymfast::Interrupted>);

}  // namespace

int main() {
  check_draws();
  check_gradient();
  check_refusals();
  check_refused_ranks();
  check_interrupted_rank();
  check_foreign_module();
  check_callbacks();
  check_runs();
  check_threads();
  check_many_threads();
  return check::summary("interface");
}
