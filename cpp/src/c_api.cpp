// The C interface over the C++ one: checks what C cannot, turns names and pointers into types and
// views, and exceptions into codes. The promises are in the header.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <numeric>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "asymfast/asymfast.h"
#include "asymfast/asymfast.hpp"

using asymfast::Activation;
using asymfast::EnsembleView;
using asymfast::Execution;
using asymfast::Index;
using asymfast::Loss;
using asymfast::Matrix;
using asymfast::MatrixView;
using asymfast::Network;
using asymfast::RunResult;

struct asymfast_network {
  std::variant<Network<double>, Network<float>> of;
};

struct asymfast_run {
  struct Column {
    std::string name;
    asymfast_column at;
  };
  template <class T>
  struct Of {
    Network<T> network;  // the initial one
    RunResult<T> result;
  };

  std::variant<Of<double>, Of<float>> of;
  std::vector<Column> columns;  // that were recorded
};

namespace {

// ---- errors

// In memory of its own: to say that there is none left must not need any.
thread_local char last_error[1024] = "";

asymfast_status fail(asymfast_status status, const char* what) noexcept {
  std::snprintf(last_error, sizeof last_error, "%s", what);
  return status;
}

// call(), with every exception turned into its code.
template <class Call>
asymfast_status guarded(Call&& call) noexcept {
  try {
    return call();
  } catch (const std::invalid_argument& error) {
    return fail(ASYMFAST_INVALID_ARGUMENT, error.what());
  } catch (const asymfast::Interrupted& error) {
    return fail(ASYMFAST_INTERRUPTED, error.what());
  } catch (const std::bad_alloc&) {
    return fail(ASYMFAST_OUT_OF_MEMORY, "asymfast: not enough memory");
  } catch (const std::length_error&) {  // beyond what a vector can hold
    return fail(ASYMFAST_OUT_OF_MEMORY, "asymfast: not enough memory");
  } catch (const std::exception& error) {
    return fail(ASYMFAST_FAILED, error.what());
  } catch (...) {
    return fail(ASYMFAST_FAILED, "asymfast: unknown exception");
  }
}

[[noreturn]] void refuse(const std::string& what) {
  throw std::invalid_argument(what);
}

template <class U>
U* required(const char* who, const char* name, U* pointer) {
  if (!pointer) refuse(std::string(who) + ": " + name + " must not be null");
  return pointer;
}

// A count that is at least 1 and that Index can hold.
Index count(const char* who, const char* name, int64_t value) {
  if (value < 1 || value > std::numeric_limits<Index>::max())
    refuse(std::string(who) + ": " + name + " must be at least 1, got " + std::to_string(value));
  return static_cast<Index>(value);
}

// ---- structs of any version up to this one

template <class Struct>
Struct filled(const char* who, const char* name, const Struct* given) {
  Struct own{};
  if (!given) return own;
  if (given->struct_size != sizeof(Struct))  // there has been one version only
    refuse(std::string(who) + ": " + name + "->struct_size must be " +
           std::to_string(sizeof(Struct)) + ", got " + std::to_string(given->struct_size));
  return *given;
}

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

Execution execution_of(const char* who, const asymfast_execution& given) {
  Execution exec;
  if (given.backend) exec.backend = asymfast::backend_from_name(given.backend);
  constexpr int32_t kMostThreads = 1024;  // an OpenMP run time may crash on more
  if (given.threads < 0 || given.threads > kMostThreads)
    refuse(std::string(who) + ": threads must be in [0, " + std::to_string(kMostThreads) +
           "], got " + std::to_string(given.threads));
  exec.threads = given.threads;
  if (!(given.slopes_memory >= 0))
    refuse(std::string(who) + ": slopes_memory must be >= 0, got " +
           std::to_string(given.slopes_memory));
  exec.slopes_memory = given.slopes_memory;
  return exec;
}

Execution execution(const char* who, const asymfast_execution* given) {
  const asymfast_execution own = filled(who, "execution", given);
  Execution exec = execution_of(who, own);
  if (own.progress)
    exec.keep_going = [own] { return own.progress(kNan, kNan, own.progress_user) != 0; };
  return exec;
}

Loss loss_named(const char* name) {
  return name ? asymfast::loss_from_name(name) : Loss::half_sse;
}

// ---- views

template <class U>
MatrixView<U> matrix(const char* who, const char* name, U* data, Index rows, Index cols) {
  required(who, name, data);
  if (rows > std::numeric_limits<Index>::max() / Index(sizeof(double)) / cols)
    refuse(std::string(who) + ": " + name + " has too many elements");
  return {data, rows, cols};
}

template <class T>
MatrixView<const T> input(const char* who, const char* name, const void* data, Index rows,
                          Index cols) {
  return matrix(who, name, static_cast<const T*>(data), rows, cols);
}

template <class T>
MatrixView<T> output(const char* who, const char* name, void* data, Index rows, Index cols) {
  return matrix(who, name, static_cast<T*>(data), rows, cols);
}

template <class T>
Matrix<T> copied(MatrixView<const T> from) {
  return {from.rows, from.cols, std::vector<T>(from.data, from.data + from.size())};
}

template <class Net>
using ElementOf = std::decay_t<decltype(*std::declval<Net>().W().data())>;

// f(the network in its element type).
template <class F>
asymfast_status with_network(const char* who, const asymfast_network* network, F&& f) {
  return guarded([&] {
    required(who, "network", network);
    return std::visit(
        [&](const auto& net) -> asymfast_status {
          f(net);
          return ASYMFAST_OK;
        },
        network->of);
  });
}

// f(T{}) for a dtype of networks.
template <class F>
void with_dtype(const char* who, asymfast_dtype dtype, F&& f) {
  if (dtype == ASYMFAST_FLOAT64) return f(double{});
  if (dtype == ASYMFAST_FLOAT32) return f(float{});
  refuse(std::string(who) + ": dtype must be ASYMFAST_FLOAT64 or ASYMFAST_FLOAT32, got " +
         std::to_string(dtype));
}

// ---- runs

template <class U>
std::vector<U> list(const char* who, const char* name, const U* data, int64_t size) {
  if (size < 0)
    refuse(std::string(who) + ": n_" + name + " must be >= 0, got " + std::to_string(size));
  if (size > 0) required(who, name, data);
  return std::vector<U>(data, data + size);
}

std::vector<Index> indices(const char* who, const char* name, const int64_t* data, int64_t size) {
  const std::vector<int64_t> values = list(who, name, data, size);
  return std::vector<Index>(values.begin(), values.end());
}

asymfast::Recording recording(const char* who, const asymfast_run_options& options, Index n) {
  constexpr uint64_t kKnown = (ASYMFAST_RECORD_ACCURACY << 1) - 1;
  if (options.record & ~kKnown)
    refuse(std::string(who) + ": record has bits that are not ASYMFAST_RECORD_...");
  const auto wanted = [&](uint64_t flag) { return (options.record & flag) != 0; };
  asymfast::Recording r;
  r.schedule.every = static_cast<Index>(options.record_every);
  r.schedule.steps = indices(who, "record_steps", options.record_steps, options.n_record_steps);
  r.schedule.times = list(who, "record_times", options.record_times, options.n_record_times);
  const int ways = (r.schedule.every != 0) + !r.schedule.steps.empty() + !r.schedule.times.empty();
  if (ways > 1)
    refuse(std::string(who) + ": give one of record_every, record_steps and record_times");
  r.ntg_change = wanted(ASYMFAST_RECORD_NTG_CHANGE);
  r.ntg_change_2norm = wanted(ASYMFAST_RECORD_NTG_CHANGE_2NORM);
  r.eigmin = wanted(ASYMFAST_RECORD_NTG_EIGMIN);
  r.eigmax = wanted(ASYMFAST_RECORD_NTG_EIGMAX);
  r.alignment = wanted(ASYMFAST_RECORD_ALIGNMENT);
  r.effective_rank = wanted(ASYMFAST_RECORD_EFFECTIVE_RANK);
  r.ntg_matrix = wanted(ASYMFAST_RECORD_NTG_MATRIX);
  r.weights = wanted(ASYMFAST_RECORD_WEIGHTS);
  r.output_weights = wanted(ASYMFAST_RECORD_OUTPUT_WEIGHTS);
  r.accuracy = wanted(ASYMFAST_RECORD_ACCURACY);
  r.top_nodes = static_cast<Index>(options.top_nodes);
  if (options.ntg_on) {
    r.ntg_on = indices(who, "ntg_on", options.ntg_on, options.n_ntg_on);
  } else {
    r.ntg_on.resize(static_cast<std::size_t>(n));
    std::iota(r.ntg_on.begin(), r.ntg_on.end(), Index(0));
  }
  return r;
}

asymfast::Hooks hooks(const asymfast_run_options& options, const asymfast_execution& execution) {
  asymfast::Hooks h;
  if (execution.progress)
    h.pulse = [execution](double fraction, double loss) {
      return execution.progress(fraction, loss, execution.progress_user) != 0;
    };
  if (options.on_record)
    h.on_record = [options](const asymfast::Snapshot& at) {
      const double test_loss = at.test_loss ? at.test_loss[0] : kNan;
      return options.on_record(at.step, at.time, at.loss[0], test_loss, options.on_record_user) !=
             0;
    };
  if (options.checkpoint)
    h.checkpoints.write = [options](std::string_view state) {
      return options.checkpoint(state.data(), state.size(), options.checkpoint_user) != 0;
    };
  if (options.checkpoint_every != 0) h.checkpoints.every = options.checkpoint_every;
  if (options.resume_from)
    h.checkpoints.resume_from = {static_cast<const char*>(options.resume_from),
                                 options.resume_from_bytes};
  if (options.stop_loss != 0) h.stop.loss = options.stop_loss;
  if (options.stop_time != 0) h.stop.time = options.stop_time;
  if (options.stop_wall_seconds != 0) h.stop.wall_seconds = options.stop_wall_seconds;
  return h;
}

template <class U>
constexpr asymfast_dtype dtype_of() {
  if (std::is_same_v<U, double>) return ASYMFAST_FLOAT64;
  return std::is_same_v<U, float> ? ASYMFAST_FLOAT32 : ASYMFAST_INT64;
}

// The axes of a column behind that of the records.
template <class T>
std::vector<int64_t> axes(std::string_view name, const Network<T>& net, int64_t size, int64_t T_) {
  const int64_t m = net.m(), d = net.d(), k = net.k(), row = size / std::max<int64_t>(T_, 1);
  if (name == "weight_change") return {m};
  if (name == "weights") return {m, d};
  if (name == "output_weights") return {m, k};
  if (name == "top_nodes") return {row};
  if (name == "ntg_matrix") {
    const auto q = static_cast<int64_t>(std::llround(std::sqrt(double(row))));
    return {q, q};
  }
  return {};
}

template <class T>
std::vector<asymfast_run::Column> columns(const Network<T>& net, RunResult<T>& result) {
  std::vector<asymfast_run::Column> found;
  const auto records = static_cast<int64_t>(result.time.size());
  result.for_columns([&](const char* name, auto& column) {
    using U = typename std::decay_t<decltype(column)>::value_type;
    if (column.empty()) return;
    asymfast_column at{column.data(), dtype_of<U>(), 1, {records, 1, 1, 1}};
    const auto others = axes(name, net, static_cast<int64_t>(column.size()), records);
    std::copy_n(others.begin(), std::min<std::size_t>(others.size(), 3), at.shape + 1);
    at.ndim += static_cast<int32_t>(others.size());
    found.push_back({name, at});
  });
  return found;
}

asymfast_status status_of(const char* who, asymfast::Status status) {
  using asymfast::Status;
  const std::string name(who);
  if (status == Status::interrupted)
    return fail(ASYMFAST_INTERRUPTED, (name + ": interrupted by a callback").c_str());
  if (status == Status::diverged)
    return fail(
        ASYMFAST_DIVERGED,
        (name + ": the loss left all bounds; asymfast_run_divergence() says where").c_str());
  return ASYMFAST_OK;
}

// method(nets, train data, test data, loss, recording, hooks, execution) -> RunResult
template <class Method>
asymfast_status train(const char* who, const asymfast_network* network, int64_t n_given,
                      const void* X, const void* y, const asymfast_run_options* options_given,
                      const asymfast_execution* execution_given, asymfast_run** run,
                      Method&& method) {
  return guarded([&] {
    *required(who, "run", run) = nullptr;
    required(who, "network", network);
    const asymfast_run_options options = filled(who, "options", options_given);
    const asymfast_execution execution = filled(who, "execution", execution_given);
    const Execution exec = execution_of(who, execution);
    const Index n = count(who, "n", n_given);
    const Loss loss = loss_named(options.loss);
    const asymfast::Recording what = recording(who, options, n);
    const asymfast::Hooks h = hooks(options, execution);
    return std::visit(
        [&](const auto& net) {
          using T = ElementOf<decltype(net)>;
          const auto data = [&](const char* x_name, const char* y_name, const void* x,
                                const void* targets, Index rows) -> asymfast::DataView<T> {
            return {input<T>(who, x_name, x, rows, net.d()),
                    input<T>(who, y_name, targets, rows, net.k())};
          };
          const auto train_data = data("X", "y", X, y, n);
          asymfast::DataView<T> test_data;
          if (options.X_test || options.y_test)
            test_data = data("X_test", "y_test", options.X_test, options.y_test,
                             count(who, "n_test", options.n_test));
          auto made = std::make_unique<asymfast_run>(asymfast_run{
              asymfast_run::Of<T>{
                  net, method(net.ensemble(), train_data, test_data, loss, what, h, exec)},
              {}});
          auto& own = std::get<asymfast_run::Of<T>>(made->of);
          made->columns = columns(own.network, own.result);
          *run = made.release();
          return status_of(who, own.result.status);
        },
        network->of);
  });
}

}  // namespace

// ---- versions, errors, machine

int32_t asymfast_abi_version(void) {
  return ASYMFAST_ABI_VERSION;
}

int32_t asymfast_oldest_abi_version(void) {
  return 1;
}

const char* asymfast_version(void) {
  return ASYMFAST_VERSION;
}

const char* asymfast_last_error(void) {
  return last_error;
}

const char* asymfast_isa(void) {
  thread_local std::string isa;
  const asymfast_status status = guarded([] {
    isa = asymfast::build_config().isa;
    return ASYMFAST_OK;
  });
  return status == ASYMFAST_OK ? isa.c_str() : "";
}

asymfast_status asymfast_use_isa(const char* isa) {
  return guarded([&] {
    asymfast::use_isa(required("use_isa", "isa", isa));
    return ASYMFAST_OK;
  });
}

int32_t asymfast_max_threads(void) {
  int32_t threads = 1;
  guarded([&] {
    threads = asymfast::build_config().max_threads;
    return ASYMFAST_OK;
  });
  return threads;
}

void asymfast_use_one_thread_from_now_on(void) {
  asymfast::use_one_thread_from_now_on();
}

// ---- networks

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

asymfast_status asymfast_forward(const asymfast_network* network, int64_t n, const void* X, void* f,
                                 const asymfast_execution* exec) {
  const char* who = "forward";
  return with_network(who, network, [&](const auto& net) {
    using T = ElementOf<decltype(net)>;
    const Index rows = count(who, "n", n);
    asymfast::forward<T>(net.view(), input<T>(who, "X", X, rows, net.d()),
                         output<T>(who, "f", f, rows, net.k()), execution(who, exec));
  });
}

asymfast_status asymfast_loss(const asymfast_network* network, int64_t n, const void* X,
                              const void* y, const char* loss, double* value,
                              const asymfast_execution* exec) {
  const char* who = "loss";
  return with_network(who, network, [&](const auto& net) {
    using T = ElementOf<decltype(net)>;
    const Index rows = count(who, "n", n);
    *required(who, "value", value) =
        net.loss(input<T>(who, "X", X, rows, net.d()), input<T>(who, "y", y, rows, net.k()),
                 loss_named(loss), execution(who, exec));
  });
}

asymfast_status asymfast_node_gradients(const asymfast_network* network, int64_t n, const void* X,
                                        const void* y, const char* loss, void* G,
                                        const asymfast_execution* exec) {
  const char* who = "node_gradients";
  return with_network(who, network, [&](const auto& net) {
    using T = ElementOf<decltype(net)>;
    const Index rows = count(who, "n", n);
    asymfast::node_gradients<T>(net.view(), input<T>(who, "X", X, rows, net.d()),
                                input<T>(who, "y", y, rows, net.k()), loss_named(loss),
                                output<T>(who, "G", G, net.m(), net.d()), execution(who, exec));
  });
}

asymfast_status asymfast_features(const asymfast_network* network, int64_t n, const void* X,
                                  void* H, const asymfast_execution* exec) {
  const char* who = "features";
  return with_network(who, network, [&](const auto& net) {
    using T = ElementOf<decltype(net)>;
    const Index rows = count(who, "n", n);
    asymfast::features<T>(net.view(), input<T>(who, "X", X, rows, net.d()),
                          output<T>(who, "H", H, rows, net.m()), execution(who, exec));
  });
}

asymfast_status asymfast_ntg(const asymfast_network* network, int64_t p, int64_t q, int64_t n,
                             const void* X, int64_t n2, const void* X2, double* K,
                             const asymfast_execution* exec) {
  const char* who = "ntg";
  return with_network(who, network, [&](const auto& net) {
    using T = ElementOf<decltype(net)>;
    const Index rows = count(who, "n", n), cols = count(who, "n2", X2 ? n2 : n);
    if (!X2 && n2 != n)
      refuse("ntg: n2 must be n = " + std::to_string(n) + " without X2, got " + std::to_string(n2));
    const std::vector<double> v = net.ntg_weights(static_cast<Index>(p), static_cast<Index>(q));
    asymfast::ntg<T>(net.view(), v.data(), input<T>(who, "X", X, rows, net.d()),
                     input<T>(who, "X2", X2 ? X2 : X, cols, net.d()),
                     output<double>(who, "K", K, rows, cols), execution(who, exec));
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

// ---- training

asymfast_status asymfast_gradient_descent(const asymfast_network* network, int64_t n, const void* X,
                                          const void* y, double lr, int64_t steps,
                                          const asymfast_run_options* options,
                                          const asymfast_execution* exec, asymfast_run** run) {
  return train("gradient_descent", network, n, X, y, options, exec, run,
               [&](const auto& nets, const auto& data, const auto& test, Loss loss,
                   const auto& recording, const auto& hooks, const Execution& execution) {
                 return asymfast::gradient_descent(nets, data, test, loss, lr,
                                                   static_cast<Index>(steps), recording, hooks,
                                                   execution);
               });
}

asymfast_status asymfast_gradient_flow(const asymfast_network* network, int64_t n, const void* X,
                                       const void* y, const char* method, double t_end, double dt,
                                       double rtol, const asymfast_run_options* options,
                                       const asymfast_execution* exec, asymfast_run** run) {
  return train("gradient_flow", network, n, X, y, options, exec, run,
               [&](const auto& nets, const auto& data, const auto& test, Loss loss,
                   const auto& recording, const auto& hooks, const Execution& execution) {
                 asymfast::Flow flow;
                 if (method) flow.method = asymfast::flow_method_from_name(method);
                 flow.t_end = t_end;
                 flow.dt = dt;
                 if (rtol != 0) flow.rtol = rtol;
                 return asymfast::gradient_flow(nets, data, test, loss, flow, recording, hooks,
                                                execution);
               });
}

asymfast_status asymfast_sgd(const asymfast_network* network, int64_t n, const void* X,
                             const void* y, const double* lr, int64_t n_lr, int64_t epochs,
                             int64_t batch_size, int32_t train_output, uint64_t seed,
                             const asymfast_run_options* options, const asymfast_execution* exec,
                             asymfast_run** run) {
  return train("sgd", network, n, X, y, options, exec, run,
               [&](const auto& nets, const auto& data, const auto& test, Loss loss,
                   const auto& recording, const auto& hooks, const Execution& execution) {
                 const asymfast::Sgd settings{list("sgd", "lr", lr, n_lr),
                                              static_cast<Index>(epochs),
                                              static_cast<Index>(batch_size),
                                              train_output != 0,
                                              {seed}};
                 return asymfast::sgd(nets, data, test, loss, settings, recording, hooks,
                                      execution);
               });
}

void asymfast_run_free(asymfast_run* run) {
  delete run;
}

const char* asymfast_run_outcome(const asymfast_run* run) {
  if (!run) return "";
  switch (std::visit([](const auto& of) { return of.result.status; }, run->of)) {
    case asymfast::Status::finished: return "finished";
    case asymfast::Status::stopped: return "stopped";
    case asymfast::Status::interrupted: return "interrupted";
    case asymfast::Status::diverged: return "diverged";
  }
  return "";
}

const char* asymfast_run_stopped_by(const asymfast_run* run) {
  if (!run) return "";
  return std::visit([](const auto& of) { return of.result.stopped_by; }, run->of);
}

int64_t asymfast_run_records(const asymfast_run* run) {
  if (!run) return 0;
  return std::visit([](const auto& of) { return static_cast<int64_t>(of.result.time.size()); },
                    run->of);
}

asymfast_status asymfast_run_column(const asymfast_run* run, const char* name,
                                    asymfast_column* column) {
  return guarded([&] {
    const char* who = "run_column";
    required(who, "run", run), required(who, "name", name), required(who, "column", column);
    for (const asymfast_run::Column& one : run->columns)
      if (one.name == name) {
        *column = one.at;
        return ASYMFAST_OK;
      }
    std::string known;
    for (const asymfast_run::Column& one : run->columns)
      known += (known.empty() ? "" : ", ") + one.name;
    refuse(std::string(who) + ": name must be one of what was recorded (" + known + "), got '" +
           name + "'");
  });
}

asymfast_status asymfast_run_network(const asymfast_run* run, asymfast_network** network) {
  return guarded([&] {
    const char* who = "run_network";
    *required(who, "network", network) = nullptr;
    required(who, "run", run);
    std::visit(
        [&](const auto& of) { *network = new asymfast_network{of.network.after(of.result)}; },
        run->of);
    return ASYMFAST_OK;
  });
}

asymfast_status asymfast_run_divergence(const asymfast_run* run, int64_t* step, double* last_loss,
                                        double* step_bound) {
  return guarded([&] {
    required("run_divergence", "run", run);
    std::visit(
        [&](const auto& of) {
          if (of.result.status != asymfast::Status::diverged)
            refuse("run_divergence: the run has not diverged");
          if (step) *step = of.result.diverged_step;
          if (last_loss) *last_loss = of.result.last_loss;
          if (step_bound) *step_bound = of.result.step_bound;
        },
        run->of);
    return ASYMFAST_OK;
  });
}
