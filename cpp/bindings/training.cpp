#include <pybind11/stl.h>

#include <optional>
#include <utility>

#include "arrays.hpp"
#include "asymfast/train.hpp"
#include "register.hpp"

namespace asymfast::bindings {

using namespace py::literals;

namespace {

const char* name_of(Status status) {
  switch (status) {
    case Status::finished: return "finished";
    case Status::stopped: return "stopped";
    case Status::interrupted: return "interrupted";
    case Status::diverged: return "diverged";
  }
  return "";
}

// Python's callbacks. The first exception of one of them, or of a signal handler, ends the run and
// is kept, so that the caller gets both the exception and what was recorded.
class Callbacks {
 public:
  Callbacks(const py::dict& from, Index B)
      : pulse_(from["pulse"]),
        on_record_(from["on_record"]),
        take_rows_(from["take_rows"]),
        checkpoint_(from["checkpoint"]),
        sum_over_ranks_(from["sum_over_ranks"]),
        resume_from_(py::cast<py::bytes>(from["resume_from"])),
        B_(B) {
    hooks_.stop.loss = py::cast<double>(from["stop_loss"]);
    hooks_.stop.time = py::cast<double>(from["stop_time"]);
    hooks_.stop.wall_seconds = py::cast<double>(from["stop_wall_seconds"]);
    hooks_.rows_bytes = py::cast<std::size_t>(from["rows_bytes"]);
    hooks_.checkpoints.every = py::cast<double>(from["checkpoint_every"]);
    hooks_.checkpoints.resume_from = std::string_view(resume_from_);
    hooks_.pulse = [this](double fraction, double loss) {
      return guarded([&] {
        if (PyErr_CheckSignals() != 0) throw py::error_already_set();
        if (error_) return std::exchange(told_, true);
        if (!pulse_.is_none()) pulse_(fraction, loss);
        return true;
      });
    };
    if (!on_record_.is_none())
      hooks_.on_record = [this](const Snapshot& at) {
        return guarded([&] {
          const py::object test_loss = at.test_loss ? py::object(values(at.test_loss)) : py::none();
          const py::object answer = on_record_(at.step, at.time, values(at.loss), test_loss);
          return !answer.is(py::bool_(false));
        });
      };
    if (!take_rows_.is_none())
      hooks_.take_rows = [this](const std::vector<Column>& columns) {
        return guarded_file([&] {
          py::dict of;
          for (const Column& column : columns) of[column.name] = bytes(column.data, column.bytes);
          take_rows_(of);
        });
      };
    if (!checkpoint_.is_none())
      hooks_.checkpoints.write = [this](std::string_view state) {
        return guarded_file([&] { checkpoint_(bytes(state.data(), state.size())); });
      };
    // A compiled callable: in one of Python, Ctrl-C could strike before or after the sum, and the
    // other ranks would wait. So it strikes in `pulse` only.
    if (!sum_over_ranks_.is_none())
      hooks_.sum_over_ranks = [this](double* values, Index count) {
        return guarded([&] {
          sum_over_ranks_(py::array_t<double>(py::ssize_t(count), values, py::none()));
          return true;
        });
      };
  }

  const Hooks& hooks() const { return hooks_; }
  py::object exception() const { return error_ ? py::object(error_->value()) : py::none(); }

 private:
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

  py::array_t<double> values(const double* data) const { return py::array_t<double>(B_, data); }

  // Valid during the call only.
  static py::memoryview bytes(const void* data, std::size_t size) {
    return py::memoryview::from_memory(data, static_cast<py::ssize_t>(size));
  }

  py::object pulse_, on_record_, take_rows_, checkpoint_, sum_over_ranks_;
  py::bytes resume_from_;
  Index B_;
  Hooks hooks_;
  std::optional<py::error_already_set> error_;
  bool told_ = false;  // the run knows of the error
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

// X (1 or B, n, d) and y (1 or B, n, k); None: no data.
template <class T>
DataView<T> data(const py::object& X, const py::object& y, const EnsembleView<T>& nets) {
  if (X.is_none()) return {};
  const auto x_array = py::cast<py::array>(X), y_array = py::cast<py::array>(y);
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

// The columns of the record, each flat and taken from it.
template <class T>
py::dict columns(Rows<T>& rows) {
  py::dict of;
  rows.for_columns([&](const char* name, auto& column) {
    const auto size = static_cast<py::ssize_t>(column.size());
    of[name] = take(std::move(column), {size});
  });
  return of;
}

template <class T>
py::dict to_dict(RunResult<T>&& run, const EnsembleView<T>& nets, const py::object& exception) {
  const std::vector<bool> diverged(run.diverged.begin(), run.diverged.end());
  py::list methods;
  for (const FlowMethod method : run.methods) methods.append(std::string(name_of(method)));
  return py::dict(
      "status"_a = name_of(run.status), "stopped_by"_a = run.stopped_by, "rows"_a = columns<T>(run),
      "W"_a = take(std::move(run.W), {nets.B, nets.m, nets.d}),
      "a"_a = take(std::move(run.a), {nets.B, nets.m, nets.k}), "diverged"_a = diverged,
      "diverged_step"_a = run.diverged_step, "last_loss"_a = run.last_loss, "methods"_a = methods,
      "step_bound"_a = run.step_bound, "exception"_a = exception);
}

// What both methods take: networks, data, loss, recording, callbacks, execution.
struct Arguments {
  py::array W, a, lam;
  std::string activation;
  py::object X, y, X_test, y_test;
  std::string loss;
  Recording recording;
  std::string backend;
  int threads;
  double slopes_memory;
};

Arguments arguments(const py::dict& from) {
  const auto array = [&](const char* key) { return py::cast<py::array>(from[key]); };
  Arguments a{array("W"),
              array("a"),
              array("lam"),
              py::cast<std::string>(from["activation"]),
              from["X"],
              from["y"],
              from["X_test"],
              from["y_test"],
              py::cast<std::string>(from["loss"]),
              {},
              py::cast<std::string>(from["backend"]),
              py::cast<int>(from["threads"]),
              py::cast<double>(from["slopes_memory"])};
  a.recording.schedule.steps = py::cast<std::vector<Index>>(from["record_steps"]);
  a.recording.schedule.times = py::cast<std::vector<double>>(from["record_times"]);
  a.recording.schedule.every = py::cast<Index>(from["record_every"]);
  Recording& r = a.recording;
  const auto wanted = [&](const char* key) { return py::cast<bool>(from[key]); };
  r.ntg_on = py::cast<std::vector<Index>>(from["ntg_on"]);
  r.ntg_change = wanted("record_ntg_change");
  r.ntg_change_2norm = wanted("record_ntg_change_2norm");
  r.eigmin = wanted("record_ntg_eigmin");
  r.eigmax = wanted("record_ntg_eigmax");
  r.alignment = wanted("record_alignment");
  r.effective_rank = wanted("record_effective_rank");
  r.ntg_matrix = wanted("record_ntg_matrix");
  r.weights = wanted("record_weights");
  r.output_weights = wanted("record_output_weights");
  r.accuracy = wanted("record_accuracy");
  r.top_nodes = py::cast<Index>(from["record_top_nodes"]);
  return a;
}

// method(nets, train data, test data, loss, hooks, execution) on the arguments' element type.
template <class Method>
py::dict train(const py::dict& from, Method&& method) {
  const Arguments given = arguments(from);
  return with_dtype(given.W, "W", [&](auto zero) {
    using T = decltype(zero);
    const auto nets = ensemble<T>(given.W, given.a, given.lam, given.activation);
    const auto train_data = data<T>(given.X, given.y, nets);
    const auto test_data = data<T>(given.X_test, given.y_test, nets);
    const Loss loss = loss_from_name(given.loss);
    const Execution exec{backend_from_name(given.backend), given.threads, {}, given.slopes_memory};
    Callbacks callbacks(from, nets.B);
    const Hooks& hooks = callbacks.hooks();
    RunResult<T> run;
    {
      const WithoutGil released;
      run = method(nets, train_data, test_data, loss, given.recording, hooks, exec);
    }
    return to_dict(std::move(run), nets, callbacks.exception());
  });
}

}  // namespace

void register_training(py::module_& module) {
  module.def(
      "gradient_descent",
      [](const py::dict& arguments, double lr, Index steps) {
        return train(
            arguments, [&](const auto& nets, const auto& data, const auto& test, Loss loss,
                           const Recording& recording, const Hooks& hooks, const Execution& exec) {
              return gradient_descent(nets, data, test, loss, lr, steps, recording, hooks, exec);
            });
      },
      "arguments"_a, "lr"_a, "steps"_a);
  module.def(
      "gradient_flow",
      [](const py::dict& arguments, const std::string& method, double t_end, double dt,
         double rtol) {
        const Flow flow{flow_method_from_name(method), t_end, dt, rtol};
        return train(arguments,
                     [&](const auto& nets, const auto& data, const auto& test, Loss loss,
                         const Recording& recording, const Hooks& hooks, const Execution& exec) {
                       return gradient_flow(nets, data, test, loss, flow, recording, hooks, exec);
                     });
      },
      "arguments"_a, "method"_a, "t_end"_a, "dt"_a, "rtol"_a);
  module.def(
      "sgd",
      [](const py::dict& arguments, const std::vector<double>& lr, Index epochs, Index batch_size,
         bool train_output, const std::vector<std::uint64_t>& keys) {
        const Sgd settings{lr, epochs, batch_size, train_output, keys};
        return train(arguments,
                     [&](const auto& nets, const auto& data, const auto& test, Loss loss,
                         const Recording& recording, const Hooks& hooks, const Execution& exec) {
                       return sgd(nets, data, test, loss, settings, recording, hooks, exec);
                     });
      },
      "arguments"_a, "lr"_a, "epochs"_a, "batch_size"_a, "train_output"_a, "keys"_a);
}

}  // namespace asymfast::bindings
