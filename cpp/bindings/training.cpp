#include <pybind11/stl.h>

#include <optional>

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
  Callbacks(py::object pulse, py::object on_record, Index B)
      : pulse_(std::move(pulse)), on_record_(std::move(on_record)), B_(B) {}

  Hooks hooks() {
    Hooks hooks;
    hooks.pulse = [this](double fraction, double loss) {
      return guarded([&] {
        if (PyErr_CheckSignals() != 0) throw py::error_already_set();
        if (!pulse_.is_none()) pulse_(fraction, loss);
        return true;
      });
    };
    if (!on_record_.is_none())
      hooks.on_record = [this](const Snapshot& at) {
        return guarded([&] {
          const py::object test_loss = at.test_loss ? py::object(values(at.test_loss)) : py::none();
          const py::object answer = on_record_(at.step, at.time, values(at.loss), test_loss);
          return !answer.is(py::bool_(false));
        });
      };
    return hooks;
  }

  py::object exception() const { return error_ ? py::object(error_->value()) : py::none(); }

 private:
  template <class F>
  bool guarded(F&& f) {
    py::gil_scoped_acquire gil;
    try {
      return f();
    } catch (py::error_already_set& error) {
      error_.emplace(std::move(error));
      return false;
    }
  }

  py::array_t<double> values(const double* data) const { return py::array_t<double>(B_, data); }

  py::object pulse_, on_record_;
  Index B_;
  std::optional<py::error_already_set> error_;
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

template <class T>
py::dict to_dict(RunResult<T>&& run, const EnsembleView<T>& nets, const py::object& exception) {
  const auto T_ = static_cast<py::ssize_t>(run.time.size());
  const py::ssize_t B = nets.B, m = nets.m, d = nets.d;
  const auto optional = [&](auto&& column, std::vector<py::ssize_t> shape) -> py::object {
    if (column.empty() && T_ > 0) return py::none();
    return take(std::move(column), std::move(shape));
  };
  const std::vector<bool> diverged(run.diverged.begin(), run.diverged.end());
  return py::dict("status"_a = name_of(run.status), "steps"_a = take(std::move(run.steps), {T_, B}),
                  "time"_a = take(std::move(run.time), {T_}),
                  "loss"_a = take(std::move(run.loss), {T_, B}),
                  "test_loss"_a = optional(std::move(run.test_loss), {T_, B}),
                  "weight_change"_a = take(std::move(run.weight_change), {T_, B, m}),
                  "ntg_change"_a = optional(std::move(run.ntg_change), {T_, B}),
                  "ntg_eigmin"_a = optional(std::move(run.ntg_eigmin), {T_, B}),
                  "weights"_a = optional(std::move(run.weights), {T_, B, m, d}),
                  "evaluations"_a = take(std::move(run.evaluations), {T_, B}),
                  "W"_a = take(std::move(run.W), {B, m, d}), "diverged"_a = diverged,
                  "diverged_step"_a = run.diverged_step, "last_loss"_a = run.last_loss,
                  "step_bound"_a = run.step_bound, "exception"_a = exception);
}

// What both methods take: networks, data, loss, recording, callbacks, execution.
struct Arguments {
  py::array W, a, lam;
  std::string activation;
  py::object X, y, X_test, y_test;
  std::string loss;
  Recording recording;
  py::object pulse, on_record;
  std::string backend;
  int threads;
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
              from["pulse"],
              from["on_record"],
              py::cast<std::string>(from["backend"]),
              py::cast<int>(from["threads"])};
  a.recording.schedule.steps = py::cast<std::vector<Index>>(from["record_steps"]);
  a.recording.schedule.times = py::cast<std::vector<double>>(from["record_times"]);
  a.recording.schedule.every = py::cast<Index>(from["record_every"]);
  a.recording.ntg_change = py::cast<bool>(from["record_ntg"]);
  a.recording.eigmin = py::cast<bool>(from["record_eigmin"]);
  a.recording.weights = py::cast<bool>(from["record_weights"]);
  a.recording.ntg_on = py::cast<std::vector<Index>>(from["ntg_on"]);
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
    const Execution exec{backend_from_name(given.backend), given.threads, {}};
    Callbacks callbacks(given.pulse, given.on_record, nets.B);
    const Hooks hooks = callbacks.hooks();
    RunResult<T> run;
    {
      py::gil_scoped_release release;
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
      "gradient_flow_rk4",
      [](const py::dict& arguments, double t_end, double dt, double rtol) {
        return train(arguments, [&](const auto& nets, const auto& data, const auto& test, Loss loss,
                                    const Recording& recording, const Hooks& hooks,
                                    const Execution& exec) {
          return gradient_flow_rk4(nets, data, test, loss, t_end, dt, rtol, recording, hooks, exec);
        });
      },
      "arguments"_a, "t_end"_a, "dt"_a, "rtol"_a);
}

}  // namespace asymfast::bindings
