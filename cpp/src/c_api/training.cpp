// Training runs: the options and callbacks of C as those of C++, and what a run leaves behind.
#include <cmath>
#include <memory>
#include <numeric>
#include <string_view>
#include <utility>

#include "c_api/common.hpp"

namespace asymfast::c_api {

namespace {

// The caller's list, of its elements or of what they convert to.
template <class To, class From>
std::vector<To> list(const char* who, const char* name, const From* data, int64_t size) {
  if (size < 0)
    refuse(who, std::string("n_") + name + " must be >= 0, got " + std::to_string(size));
  if (size > 0) required(who, name, data);
  return std::vector<To>(data, data + size);
}

constexpr std::pair<uint64_t, bool Recording::*> kFlags[] = {
    {ASYMFAST_RECORD_NTG_CHANGE, &Recording::ntg_change},
    {ASYMFAST_RECORD_NTG_CHANGE_2NORM, &Recording::ntg_change_2norm},
    {ASYMFAST_RECORD_NTG_EIGMIN, &Recording::eigmin},
    {ASYMFAST_RECORD_NTG_EIGMAX, &Recording::eigmax},
    {ASYMFAST_RECORD_ALIGNMENT, &Recording::alignment},
    {ASYMFAST_RECORD_EFFECTIVE_RANK, &Recording::effective_rank},
    {ASYMFAST_RECORD_NTG_MATRIX, &Recording::ntg_matrix},
    {ASYMFAST_RECORD_WEIGHTS, &Recording::weights},
    {ASYMFAST_RECORD_OUTPUT_WEIGHTS, &Recording::output_weights},
    {ASYMFAST_RECORD_ACCURACY, &Recording::accuracy}};

void require_limits(const char* who, const asymfast_run_options& options) {
  const auto require = [who](bool holds, const char* what) {
    if (!holds) refuse(who, what);
  };
  require(!std::isnan(options.stop_loss), "stop_loss must be a number, got nan");
  require(options.stop_time >= 0, "stop_time must be >= 0");
  require(options.stop_wall_seconds >= 0, "stop_wall_seconds must be >= 0");
  require(options.checkpoint_every >= 0, "checkpoint_every must be >= 0");
  require(!options.resume_from == (options.resume_from_bytes == 0),
          "resume_from and resume_from_bytes must be given together; an empty state is none");
  require(options.ntg_on || options.n_ntg_on == 0, "n_ntg_on must be 0 without ntg_on");
}

Recording recording(const char* who, const asymfast_run_options& options, Index n) {
  constexpr uint64_t kKnown = (ASYMFAST_RECORD_ACCURACY << 1) - 1;
  if (options.record & ~kKnown) refuse(who, "record has bits that are not ASYMFAST_RECORD_...");
  Recording r;
  r.schedule.every = static_cast<Index>(options.record_every);
  r.schedule.steps = list<Index>(who, "record_steps", options.record_steps, options.n_record_steps);
  r.schedule.times =
      list<double>(who, "record_times", options.record_times, options.n_record_times);
  const int ways = (r.schedule.every != 0) + !r.schedule.steps.empty() + !r.schedule.times.empty();
  if (ways > 1) refuse(who, "give one of record_every, record_steps and record_times");
  for (const auto& [bit, flag] : kFlags) r.*flag = (options.record & bit) != 0;
  r.top_nodes = static_cast<Index>(options.top_nodes);
  if (options.ntg_on) {
    r.ntg_on = list<Index>(who, "ntg_on", options.ntg_on, options.n_ntg_on);
  } else {
    r.ntg_on.resize(n);
    std::iota(r.ntg_on.begin(), r.ntg_on.end(), Index(0));
  }
  return r;
}

Hooks hooks(const asymfast_run_options& options, const asymfast_execution& execution) {
  Hooks h;
  if (execution.progress)
    h.pulse = [execution](double fraction, double loss) {
      return execution.progress(fraction, loss, execution.progress_user) != 0;
    };
  if (options.on_record)
    h.on_record = [options](const Snapshot& at) {
      const double test_loss =
          at.test_loss ? at.test_loss[0] : std::numeric_limits<double>::quiet_NaN();
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

template <class T>
std::vector<asymfast_run::Column> columns(const Network<T>& net, const Recording& what,
                                          RunResult<T>& result) {
  const ColumnSizes sizes{
      1, net.m(), net.d(), net.k(), static_cast<Index>(what.ntg_on.size()), what.top_nodes};
  std::vector<asymfast_run::Column> found;
  Rows<T>::table(static_cast<Rows<T>&>(result), [&](const ColumnInfo& info, auto& column) {
    using U = typename std::decay_t<decltype(column)>::value_type;
    if (column.empty()) return;
    asymfast_column at{sizeof at, column.data(), dtype_of<U>(), 1, {1, 1, 1, 1}};
    at.shape[0] = static_cast<int64_t>(result.time.size());
    for (int i = 0; i < info.axes.count; ++i) {
      const Axis axis = info.axes.axes[i];
      if (axis != Axis::member) at.shape[at.ndim++] = sizes.of(axis);
    }
    found.push_back({info.name, at});
  });
  return found;
}

asymfast_status status_of(const char* who, Status status) {
  const std::string name(who);
  if (status == Status::interrupted)
    return fail(ASYMFAST_INTERRUPTED, (name + ": interrupted by a callback").c_str());
  if (status == Status::diverged)
    return fail(
        ASYMFAST_DIVERGED,
        (name + ": the loss left all bounds; asymfast_run_divergence() says where").c_str());
  return ASYMFAST_OK;
}

// method(training) -> RunResult
template <class Method>
asymfast_status train(const char* who, const asymfast_network* network, int64_t n_given,
                      const void* X, const void* y, const asymfast_run_options* options_given,
                      const asymfast_execution* execution_given, asymfast_run** run,
                      Method&& method) {
  if (run) *run = nullptr;
  return with_network(who, network, [&](const auto& net, auto arrays) {
    required(who, "run", run);
    using T = typename decltype(arrays)::Element;
    const asymfast_run_options options = filled(who, "options", options_given);
    const asymfast_execution execution = filled(who, "execution", execution_given);
    const Execution exec = execution_of(who, execution);
    const Index n = count(who, "n", n_given);
    const Loss loss = loss_named(options.loss);
    require_limits(who, options);
    const auto data = [&](const char* x_name, const char* y_name, const void* x,
                          const void* targets, Index rows) -> DataView<T> {
      return {arrays.in(x_name, x, rows, net.d()), arrays.in(y_name, targets, rows, net.k())};
    };
    Training<T> training{net.ensemble(), data("X", "y", X, y, n), {}, loss};
    training.recording = recording(who, options, n);
    training.hooks = hooks(options, execution), training.exec = exec;
    if (options.X_test || options.y_test)
      training.test = data("X_test", "y_test", options.X_test, options.y_test,
                           count(who, "n_test", options.n_test));
    auto made = std::make_unique<asymfast_run>(
        asymfast_run{asymfast_run::Of<T>{net, method(training)}, {}});
    auto& own = std::get<asymfast_run::Of<T>>(made->of);
    made->columns = columns(own.network, training.recording, own.result);
    *run = made.release();
    return status_of(who, own.result.status);
  });
}

}  // namespace

}  // namespace asymfast::c_api

using namespace asymfast::c_api;
using asymfast::Index;
using asymfast::refuse;

asymfast_status asymfast_gradient_descent(const asymfast_network* network, int64_t n, const void* X,
                                          const void* y, double lr, int64_t steps,
                                          const asymfast_run_options* options,
                                          const asymfast_execution* exec, asymfast_run** run) {
  return train("gradient_descent", network, n, X, y, options, exec, run, [&](const auto& training) {
    return asymfast::gradient_descent(training, {lr, static_cast<Index>(steps)});
  });
}

asymfast_status asymfast_gradient_flow(const asymfast_network* network, int64_t n, const void* X,
                                       const void* y, const char* method, double t_end, double dt,
                                       double rtol, const asymfast_run_options* options,
                                       const asymfast_execution* exec, asymfast_run** run) {
  return train("gradient_flow", network, n, X, y, options, exec, run, [&](const auto& training) {
    asymfast::Flow flow;
    if (method) flow.method = asymfast::flow_method_from_name(method);
    flow.t_end = t_end, flow.dt = dt;
    if (rtol != 0) flow.rtol = rtol;
    return asymfast::gradient_flow(training, flow);
  });
}

asymfast_status asymfast_sgd(const asymfast_network* network, int64_t n, const void* X,
                             const void* y, const double* lr, int64_t n_lr, int64_t epochs,
                             int64_t batch_size, int32_t train_output, uint64_t seed,
                             const asymfast_run_options* options, const asymfast_execution* exec,
                             asymfast_run** run) {
  return train("sgd", network, n, X, y, options, exec, run, [&](const auto& training) {
    return asymfast::sgd(training, {list<double>("sgd", "lr", lr, n_lr),
                                    static_cast<Index>(epochs),
                                    static_cast<Index>(batch_size),
                                    train_output != 0,
                                    {seed}});
  });
}

void asymfast_run_free(asymfast_run* run) {
  delete run;
}

const char* asymfast_run_outcome(const asymfast_run* run) {
  if (!run) return "";
  return std::visit([](const auto& of) { return name_of(of.result.status).data(); }, run->of);
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
    check_version(who, "column", *column);
    for (const asymfast_run::Column& one : run->columns)
      if (one.name == name) {
        *column = one.at;
        return;
      }
    std::string known;
    for (const asymfast_run::Column& one : run->columns)
      known += (known.empty() ? "" : ", ") + one.name;
    refuse(who, "name must be one of what was recorded (" + known + "), got '" + name + "'");
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
  });
}

asymfast_status asymfast_run_divergence(const asymfast_run* run, int64_t* step, double* last_loss,
                                        double* step_bound) {
  return guarded([&] {
    required("run_divergence", "run", run);
    std::visit(
        [&](const auto& of) {
          if (of.result.status != asymfast::Status::diverged)
            refuse("run_divergence", "the run has not diverged");
          if (step) *step = of.result.diverged_step;
          if (last_loss) *last_loss = of.result.last_loss;
          if (step_bound) *step_bound = of.result.step_bound;
        },
        run->of);
  });
}
