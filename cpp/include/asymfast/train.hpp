// Whole training runs of one network or of an ensemble, in one call.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

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

// When to record. Step 0 and the final step are recorded when asked for, the final one always.
struct Schedule {
  std::vector<Index> steps;   // explicit steps, increasing; or
  std::vector<double> times;  // explicit times, increasing (flows only, landed on exactly); or
  Index every = 0;            // step 0 and every so many steps
};

struct Recording {
  Schedule schedule;
  bool ntg_change = true;     // |NTG_t - NTG_0|_F
  bool eigmin = true;         // smallest eigenvalue of NTG_t
  bool weights = false;       // W_t itself
  std::vector<Index> ntg_on;  // rows of X the NTG is taken on, that of output 0
};

// What a callback sees of a record: per-member values of length B.
struct Snapshot {
  Index step;
  double time;
  const double* loss;
  const double* test_loss;  // null without test data
};

struct Hooks {
  std::function<bool(const Snapshot&)> on_record;           // false: stop here. May be empty
  std::function<bool(double fraction, double loss)> pulse;  // about every 50 ms; false: interrupt
};

enum class Status { finished, stopped, interrupted, diverged };

// One row a record (T of them), B members a row. A member that diverged has NaN from there on.
template <class T>
struct RunResult {
  Status status = Status::finished;
  std::vector<std::int64_t> steps;        // (T, B)
  std::vector<double> time;               // (T,)
  std::vector<double> loss, test_loss;    // (T, B)
  std::vector<double> weight_change;      // (T, B, m)
  std::vector<double> ntg_change;         // (T, B)
  std::vector<double> ntg_eigmin;         // (T, B)
  std::vector<T> weights;                 // (T, B, m, d)
  std::vector<std::int64_t> evaluations;  // (T, B) gradients computed so far
  std::vector<T> W;                       // (B, m, d) at the last record
  std::vector<char> diverged;             // (B,)
  std::int64_t diverged_step = -1;        // of the first member that diverged
  double last_loss = 0;                   // its last acceptable loss
  double step_bound = 0;  // diverged: 2 / eig_max (descent) or 2.78 / eig_max (RK4) at the start
};

// W <- W - lr dL/dW, `steps` times.
template <class T>
RunResult<T> gradient_descent(const EnsembleView<T>& nets, const DataView<T>& train,
                              const DataView<T>& test, Loss loss, double lr, Index steps,
                              const Recording& recording, const Hooks& hooks,
                              const Execution& exec = {});

// dW/dt = -dL/dW by the classical fourth-order Runge-Kutta method until t_end.
// dt > 0: equal steps of at most dt between the times to be landed on. dt == 0: step doubling keeps
// the residual's relative error near rtol, starting from 2.78 / eig_max of the Gauss-Newton matrix.
template <class T>
RunResult<T> gradient_flow_rk4(const EnsembleView<T>& nets, const DataView<T>& train,
                               const DataView<T>& test, Loss loss, double t_end, double dt,
                               double rtol, const Recording& recording, const Hooks& hooks,
                               const Execution& exec = {});

}  // namespace asymfast
