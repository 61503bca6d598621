// Whole training runs of one network or of an ensemble, in one call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <string_view>
#include <vector>

#include "asymfast/columns.hpp"
#include "asymfast/export.h"
#include "asymfast/network.hpp"

namespace asymfast {

// B networks of one shape, member after member in memory.
template <class T>
struct EnsembleView {
  Index B, m, d, k;
  const T* W;         // (B, m, d)
  const T* a;         // (B, m, k)
  const double* lam;  // (B, m)
  Activation activation;

  NetworkView<T> member(Index b) const noexcept {
    return {{W + b * m * d, m, d}, {a + b * m * k, m, k}, lam + b * m, activation};
  }
};

// Inputs and targets; a stride of 0 shares them between the members.
template <class T>
struct DataView {
  MatrixView<const T> X;  // (n, d) of member 0; null data: there is none
  MatrixView<const T> y;  // (n, k)
  Index X_stride = 0;     // elements from one member to the next
  Index y_stride = 0;

  bool empty() const noexcept { return X.data == nullptr; }
  DataView member(Index b) const noexcept {
    return {{X.data + b * X_stride, X.rows, X.cols}, {y.data + b * y_stride, y.rows, y.cols}};
  }
};

// What a callback sees of a record, valid during the call: per-member values of length B.
struct Snapshot {
  Index step;
  double time;
  const double* loss;
  const double* test_loss;  // null without test data
  const void *W, *a;        // (B, m, d), (B, m, k), of the networks' element type
};

// When to end early. Loss and time are looked at when a record has been made, the clock all along.
struct Stop {
  double loss = -std::numeric_limits<double>::infinity();  // all members are at or below
  double time = std::numeric_limits<double>::infinity();
  double wall_seconds = std::numeric_limits<double>::infinity();  // of this call
};

// Keeping a run's state, so that it can be gone on with: the same call with `resume_from` ends with
// the bits of a run that was never interrupted.
struct Checkpoints {
  std::function<bool(std::string_view state)> write;  // false: end the run. Empty: no checkpoints
  double every = 60;                                  // seconds; there is one at each end, too
  std::string_view resume_from;                       // what `write` got; empty: from the start
};

struct Hooks {
  std::function<bool(const Snapshot&)> on_record;           // false: stop here. May be empty
  std::function<bool(double fraction, double loss)> pulse;  // about every 50 ms; false: interrupt
  // Takes complete rows away, which then leave the memory; false: end the run. Empty: all are kept.
  std::function<bool(const std::vector<Column>&)> take_rows;
  std::size_t rows_bytes = std::size_t(1) << 24;  // that are kept until then
  Checkpoints checkpoints;
  Stop stop;
  // Where several processes share the nodes of one network (B = 1), each with its own in `nets` and
  // all with the same data: adds up `values` over them in place, to the same bits in each; false:
  // it failed, and the run ends. Empty: there is one process. Not with sgd, a device, checkpoints,
  // take_rows and stop.wall_seconds (which would go by the clock of each): std::invalid_argument.
  std::function<bool(double* values, Index count)> sum_over_ranks;
};

// What a run works on and with, by whichever method.
template <class T>
struct Training {
  EnsembleView<T> nets;
  DataView<T> train = {}, test = {};  // test may be empty
  Loss loss = Loss::half_sse;
  Recording recording = {};
  Hooks hooks = {};
  Execution exec = {};  // its keep_going is not asked, but hooks.pulse
};

enum class FlowMethod {
  automatic,  // by stiffness, tolerance and cost: dopri5 or tangent
  rk4,        // classical, order 4
  dopri5,     // Dormand and Prince, orders 5 and 4
  tangent,    // multistep in the tangent spaces of past points; for a sum of squares only
};

ASYMFAST_API FlowMethod
flow_method_from_name(std::string_view name);  // throws std::invalid_argument
ASYMFAST_API std::string_view name_of(FlowMethod method);

enum class Status { finished, stopped, interrupted, diverged };
ASYMFAST_API std::string_view name_of(Status status);

// The rows that nobody took, and how it ended.
template <class T>
struct RunResult : Rows<T> {
  Status status = Status::finished;
  const char* stopped_by = "";            // "callback", "loss", "time", "wall_seconds"
  std::vector<T> W, a;                    // (B, m, d), (B, m, k) at the last record
  std::vector<char> diverged;             // (B,)
  std::int64_t diverged_step = -1;        // of the first member that diverged
  double last_loss = 0;                   // its last acceptable loss
  std::vector<std::string_view> methods;  // (B,) by name, that a flow or a descent took
  double step_bound = 0;  // diverged: the largest stable step at the start, see below
};

enum class DescentMethod {
  automatic,  // by sizes, steps and records: step or leap
  step,       // every step
  leap,       // over many steps at a time, for a sum of squares and activations without kinks
};

ASYMFAST_API DescentMethod
descent_method_from_name(std::string_view name);  // throws std::invalid_argument
ASYMFAST_API std::string_view name_of(DescentMethod method);

struct Descent {
  double lr = 0;
  Index steps = 0;
  DescentMethod method = DescentMethod::step;
  double rtol = 1e-6;         // of leaps: relative error of f - y
  bool train_output = false;  // a <- a - lr dL/da as well: by steps, not on a device
};

// Outputs n k of a run in leaps, at most.
inline constexpr Index kMostLeapOutputs = 10'000;

// W <- W - lr dL/dW, `steps` times. step_bound: 2 / eig_max of the loss' Gauss-Newton matrix. With
// the output weights trained, too, a step takes about twice as long.
template <class T>
ASYMFAST_API RunResult<T> gradient_descent(const Training<T>& training, const Descent& descent);

struct Flow {
  FlowMethod method = FlowMethod::automatic;
  double t_end = 0;
  double dt = 0;       // rk4 only, > 0: equal steps of at most dt between the times to be landed on
  double rtol = 1e-6;  // otherwise: relative error of f - y, held by choosing the steps
  bool train_output = false;  // da/dt = -dL/da as well: by rk4 or dopri5, not on a device
};

// Of the tangent method: its eigendecompositions, of that size, are not interruptible.
inline constexpr Index kMostTangentOutputs = 500;

// dW/dt = -dL/dW until t_end. step_bound: the stability limit of the explicit method (2.78 /
// eig_max for rk4, else 3.3 / eig_max).
template <class T>
ASYMFAST_API RunResult<T> gradient_flow(const Training<T>& training, const Flow& flow);

struct Sgd {
  std::vector<double> lr;  // of each epoch, or one for all of them
  Index epochs;
  Index batch_size;                 // the last batch of an epoch is smaller where it must
  bool train_output;                // a <- a - lr dL/da as well
  std::vector<std::uint64_t> keys;  // (B,) of the members' samplers

  Index steps_per_epoch(Index n) const { return (n - 1) / batch_size + 1; }
  // Of all epochs, or the largest Index where they are more.
  Index steps(Index n) const {
    const Index most = std::numeric_limits<Index>::max();
    return epochs > most / steps_per_epoch(n) ? most : epochs * steps_per_epoch(n);
  }
};

// Stochastic gradient descent on mini-batches drawn without replacement (train/sampler.hpp), each
// with the loss of its own samples. Time is the sum of the learning rates, `loss` that of all
// training samples. step_bound: 2 / eig_max of the Gauss-Newton matrix of the first batch.
template <class T>
ASYMFAST_API RunResult<T> sgd(const Training<T>& training, const Sgd& settings);

}  // namespace asymfast
