#include <pybind11/stl.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "arrays.hpp"
#include "asymfast/train.hpp"

namespace asymfast::bindings {

using namespace py::literals;

namespace {

// What Python gives to a run: when to stop, where its state goes, and its callbacks. The first
// exception of a callback or of a signal handler ends the run and is kept, so that the caller gets
// both the exception and what was recorded.
class RunHooks {
 public:
  using Callback = std::optional<py::function>;

  RunHooks(Callback pulse, Callback on_record, Callback take_rows, Callback checkpoint,
           Callback sum_over_ranks, double stop_loss, double stop_time, double stop_wall_seconds,
           std::size_t rows_bytes, double checkpoint_every, py::bytes resume_from)
      : pulse_(std::move(pulse)),
        on_record_(std::move(on_record)),
        take_rows_(std::move(take_rows)),
        checkpoint_(std::move(checkpoint)),
        sum_over_ranks_(std::move(sum_over_ranks)),
        resume_from_(std::move(resume_from)) {
    hooks_.stop = {stop_loss, stop_time, stop_wall_seconds};
    hooks_.rows_bytes = rows_bytes;
    hooks_.checkpoints.every = checkpoint_every;
    hooks_.checkpoints.resume_from = std::string_view(resume_from_);
  }
  RunHooks(const RunHooks&) = delete;
  RunHooks& operator=(const RunHooks&) = delete;

  // For a run of those networks; valid as long as this object.
  template <class T>
  const Hooks& hooks(const EnsembleView<T>& nets) {
    hooks_.pulse = [this](double fraction, double loss) { return pulse(fraction, loss); };
    if (on_record_)
      hooks_.on_record = [this, &nets](const Snapshot& at) { return on_record(at, nets); };
    if (take_rows_)
      hooks_.take_rows = [this](const std::vector<Column>& columns) { return take(columns); };
    if (checkpoint_)
      hooks_.checkpoints.write = [this](std::string_view state) {
        return guarded_file([&] { (*checkpoint_)(bytes(state.data(), state.size())); });
      };
    if (sum_over_ranks_)
      hooks_.sum_over_ranks = [this](double* values, Index count) { return sum(values, count); };
    return hooks_;
  }

  py::object exception() const { return error_ ? py::object(error_->value()) : py::none(); }

 private:
  bool pulse(double fraction, double loss) {
    return guarded([&] {
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
      if (error_) return std::exchange(told_, true);
      if (pulse_) (*pulse_)(fraction, loss);
      return true;
    });
  }

  template <class T>
  bool on_record(const Snapshot& at, const EnsembleView<T>& nets) {
    return guarded([&] {
      const Index B = nets.B, m = nets.m;
      const auto values = [B](const double* data) { return py::array_t<double>(B, data); };
      const py::object test_loss = at.test_loss ? py::object(values(at.test_loss)) : py::none();
      const py::array_t<T> W({B, m, nets.d}, static_cast<const T*>(at.W));
      const py::array_t<T> a({B, m, nets.k}, static_cast<const T*>(at.a));
      const py::object answer = (*on_record_)(at.step, at.time, values(at.loss), test_loss, W, a);
      return !answer.is(py::bool_(false));
    });
  }

  bool take(const std::vector<Column>& columns) {
    return guarded_file([&] {
      py::dict named;
      for (const Column& column : columns) named[column.name] = bytes(column.data, column.bytes);
      (*take_rows_)(named);
    });
  }

  // A compiled callable: in one of Python, Ctrl-C could strike before or after the sum, and the
  // other ranks would wait. So it strikes in `pulse` only.
  bool sum(double* values, Index count) {
    return guarded([&] {
      (*sum_over_ranks_)(py::array_t<double>(py::ssize_t(count), values, py::none()));
      return true;
    });
  }

  template <class F>
  bool guarded(F&& f) {
    const WithGil gil;
    try {
      return f();
    } catch (py::error_already_set& error) {
      error_.emplace(std::move(error));
      told_ = true;
      return false;
    }
  }

  // write() puts a file on the disk, whole or not at all. A Ctrl-C that strikes while it does must
  // not cost the file: it is written again, and the run ends at the next pulse.
  template <class F>
  bool guarded_file(F&& write) {
    return guarded([&] {
      try {
        write();
      } catch (py::error_already_set& error) {
        if (error_ || !error.matches(PyExc_KeyboardInterrupt)) throw;
        error_.emplace(std::move(error));
        write();
      }
      return true;
    });
  }

  // Valid during the call only.
  static py::memoryview bytes(const void* data, std::size_t size) {
    return py::memoryview::from_memory(data, static_cast<py::ssize_t>(size));
  }

  Callback pulse_, on_record_, take_rows_, checkpoint_, sum_over_ranks_;
  py::bytes resume_from_;
  Hooks hooks_;
  std::optional<py::error_already_set> error_;
  bool told_ = false;  // the run knows of the error
};

// Networks and data, as Python's arrays, and how to run them.
struct Problem {
  py::array W, a, lam;
  std::string activation;
  py::array X, y;
  std::optional<py::array> X_test, y_test;
  std::string loss, backend;
  int threads;
  double slopes_memory;
};

template <class T>
EnsembleView<T> ensemble(const py::array& W, const py::array& a, const py::array& lam,
                         const std::string& activation) {
  const T* weights = data_of<T>(W, "W", 3);
  const T* outputs = data_of<T>(a, "a", 3);
  const double* scales = data_of<double>(lam, "lam", 2);
  const EnsembleView<T> nets{W.shape(0), W.shape(1), W.shape(2), a.shape(2),
                             weights,    outputs,    scales,     activation_from_name(activation)};
  if (a.shape(0) != nets.B || a.shape(1) != nets.m || lam.shape(0) != nets.B ||
      lam.shape(1) != nets.m)
    throw py::value_error("W, a and lam: shapes do not fit together");
  return nets;
}

// X (1 or B, n, d) and y (1 or B, n, k).
template <class T>
DataView<T> data(const py::array& x_array, const py::array& y_array, const EnsembleView<T>& nets) {
  const T* x = data_of<T>(x_array, "X", 3);
  const T* target = data_of<T>(y_array, "y", 3);
  const Index n = x_array.shape(1);
  const auto fits = [&](Index members) { return members == 1 || members == nets.B; };
  if (x_array.shape(2) != nets.d || y_array.shape(1) != n || y_array.shape(2) != nets.k ||
      !fits(x_array.shape(0)) || !fits(y_array.shape(0)))
    throw py::value_error("X and y: shapes do not fit the networks");
  return {{x, n, nets.d},
          {target, n, nets.k},
          x_array.shape(0) == 1 ? 0 : n * nets.d,
          y_array.shape(0) == 1 ? 0 : n * nets.k};
}

// The columns of the record, each flat and moved out of it.
template <class T>
py::dict columns(Rows<T>& rows) {
  py::dict named;
  rows.for_columns([&](const char* name, auto& column) {
    const auto size = static_cast<py::ssize_t>(column.size());
    named[name] = take(std::move(column), {size});
  });
  return named;
}

// How a run ended, and what is left in memory of its record.
template <class T>
py::dict result(RunResult<T>&& run, const EnsembleView<T>& nets, const py::object& exception) {
  py::list methods;
  for (const std::string_view method : run.methods) methods.append(method);
  return py::dict(
      "status"_a = name_of(run.status), "stopped_by"_a = run.stopped_by, "rows"_a = columns<T>(run),
      "W"_a = take(std::move(run.W), {nets.B, nets.m, nets.d}),
      "a"_a = take(std::move(run.a), {nets.B, nets.m, nets.k}),
      "diverged"_a = std::vector<bool>(run.diverged.begin(), run.diverged.end()),
      "diverged_step"_a = run.diverged_step, "last_loss"_a = run.last_loss,
      "step_bound"_a = run.step_bound, "methods"_a = methods, "exception"_a = exception);
}

// method(training) on the element type of W.
template <class Method>
py::dict train(const Problem& problem, const Recording& recording, RunHooks& callbacks,
               Method&& method) {
  return with_dtype(problem.W, "W", [&](auto zero) {
    using T = decltype(zero);
    Training<T> training{ensemble<T>(problem.W, problem.a, problem.lam, problem.activation)};
    const EnsembleView<T>& nets = training.nets;
    training.train = data<T>(problem.X, problem.y, nets);
    if (problem.X_test && problem.y_test)
      training.test = data<T>(*problem.X_test, *problem.y_test, nets);
    training.loss = loss_from_name(problem.loss);
    training.recording = recording;
    training.exec = {
        backend_from_name(problem.backend), problem.threads, {}, problem.slopes_memory};
    training.hooks = callbacks.hooks(nets);
    RunResult<T> run;
    {
      const WithoutGil released;
      run = method(training);
    }
    return result(std::move(run), nets, callbacks.exception());
  });
}

// ---- recording

// The columns that may be asked for by name, and when to record them.
Recording recording(Index every, std::vector<Index> steps, std::vector<double> times,
                    std::vector<Index> ntg_on, const std::vector<std::string>& columns,
                    Index top_nodes) {
  Recording r;
  r.schedule = {std::move(steps), std::move(times), every};
  r.ntg_on = std::move(ntg_on);
  r.top_nodes = top_nodes;
  Rows<double> rows;
  Rows<double>::table(rows, [&](const ColumnInfo& info, const auto&) {
    if (info.flag && !info.needs_test)  // accuracy on test data comes with accuracy
      r.*info.flag = std::find(columns.begin(), columns.end(), info.name) != columns.end();
  });
  return r;
}

// (name, dtype, axes) of every column; the dtype "network" is that of the weights.
py::list recorded_columns() {
  py::list all;
  Rows<float> rows;
  Rows<float>::table(rows, [&](const ColumnInfo& info, const auto& column) {
    using U = typename std::decay_t<decltype(column)>::value_type;
    py::list axes;
    for (int i = 0; i < info.axes.count; ++i) axes.append(name_of(info.axes.axes[i]));
    const char* dtype = std::is_integral_v<U>      ? "int64"
                        : std::is_same_v<U, float> ? "network"
                                                   : "float64";
    all.append(py::make_tuple(info.name, dtype, py::tuple(axes)));
  });
  return all;
}

void register_arguments(py::module_& module) {
  py::class_<Problem>(module, "Problem")
      .def(py::init<py::array, py::array, py::array, std::string, py::array, py::array,
                    std::optional<py::array>, std::optional<py::array>, std::string, std::string,
                    int, double>(),
           "W"_a, "a"_a, "lam"_a, "activation"_a, "X"_a, "y"_a, "X_test"_a, "y_test"_a, "loss"_a,
           "backend"_a, "threads"_a, "slopes_memory"_a);
  py::class_<Recording>(module, "Recording")
      .def(py::init(&recording), "every"_a, "steps"_a, "times"_a, "ntg_on"_a, "columns"_a,
           "top_nodes"_a);
  using Callback = RunHooks::Callback;
  py::class_<RunHooks>(module, "Hooks")
      .def(py::init<Callback, Callback, Callback, Callback, Callback, double, double, double,
                    std::size_t, double, py::bytes>(),
           "pulse"_a, "on_record"_a, "take_rows"_a, "checkpoint"_a, "sum_over_ranks"_a,
           "stop_loss"_a, "stop_time"_a, "stop_wall_seconds"_a, "rows_bytes"_a,
           "checkpoint_every"_a, "resume_from"_a);
}

}  // namespace

void register_training(py::module_& module) {
  register_arguments(module);
  module.def("recorded_columns", &recorded_columns);
  module.def(
      "gradient_descent",
      [](const Problem& problem, const Recording& recording, RunHooks& hooks, double lr,
         Index steps, const std::string& method, double rtol, bool train_output) {
        const Descent how{lr, steps, descent_method_from_name(method), rtol, train_output};
        return train(problem, recording, hooks,
                     [&](const auto& training) { return gradient_descent(training, how); });
      },
      "problem"_a, "recording"_a, "hooks"_a, "lr"_a, "steps"_a, "method"_a, "rtol"_a,
      "train_output"_a);
  module.def(
      "gradient_flow",
      [](const Problem& problem, const Recording& recording, RunHooks& hooks,
         const std::string& method, double t_end, double dt, double rtol, bool train_output) {
        const Flow how{flow_method_from_name(method), t_end, dt, rtol, train_output};
        return train(problem, recording, hooks,
                     [&](const auto& training) { return gradient_flow(training, how); });
      },
      "problem"_a, "recording"_a, "hooks"_a, "method"_a, "t_end"_a, "dt"_a, "rtol"_a,
      "train_output"_a);
  module.def(
      "sgd",
      [](const Problem& problem, const Recording& recording, RunHooks& hooks,
         std::vector<double> lr, Index epochs, Index batch_size, bool train_output,
         std::vector<std::uint64_t> keys) {
        const Sgd how{std::move(lr), epochs, batch_size, train_output, std::move(keys)};
        return train(problem, recording, hooks,
                     [&](const auto& training) { return sgd(training, how); });
      },
      "problem"_a, "recording"_a, "hooks"_a, "lr"_a, "epochs"_a, "batch_size"_a, "train_output"_a,
      "keys"_a);
}

}  // namespace asymfast::bindings
