#include "train/requirements.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tuning.hpp"

namespace asymfast {

namespace {

template <class U>
void require(bool fits, const char* who, const std::string& what, U got) {
  if (!fits) refuse(who, what + ", got " + std::to_string(got));
}

template <class T>
void require_data(const char* who, const char* X, const char* y, const DataView<T>& data, Index d,
                  Index k) {
  if (!data.X.data || !data.y.data) refuse(who, std::string(X) + " and " + y + " must not be null");
  if (data.X.rows < 1 || data.X.cols != d)
    refuse(who, std::string(X) + " must have rows of " + std::to_string(d) + " inputs, got shape " +
                    shape(data.X.rows, data.X.cols));
  require_shape(who, y, data.y, data.X.rows, k);
}

template <class U>
void require_increasing(const char* who, const char* name, const std::vector<U>& values) {
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!(values[i] >= 0) || (i > 0 && !(values[i] > values[i - 1])))
      refuse(who, std::string(name) + " must be >= 0 and increase, got " +
                      std::to_string(values[i]) + " at " + std::to_string(i));
}

template <class T>
void require_recording(const char* who, const Training<T>& training) {
  const Recording& recording = training.recording;
  const Index n = training.train.X.rows;
  for (const Index row : recording.ntg_on)
    require(0 <= row && row < n, who, "ntg_on must be in [0, " + std::to_string(n) + ")", row);
  if (recording.needs_ntg() && recording.ntg_on.empty())
    refuse(who,
           "ntg_on must name at least one sample where the NTG is recorded (ntg_change and eigmin "
           "are, unless set to false), got none");
  const Index top = recording.top_nodes, m = training.nets.m;
  require(0 <= top && top <= m, who, "top_nodes must be in [0, " + std::to_string(m) + "]", top);
}

void require_schedule(const char* who, const Schedule& schedule, double last_step, double t_end) {
  require(schedule.every >= 0, who, "every must be >= 0", schedule.every);
  require_increasing(who, "steps", schedule.steps);
  require_increasing(who, "times", schedule.times);
  if (t_end == 0 && !schedule.times.empty()) refuse(who, "times are for gradient_flow only");
  if (!schedule.steps.empty())
    require(double(schedule.steps.back()) <= last_step, who,
            "record steps must end by step " + std::to_string(last_step), schedule.steps.back());
  if (!schedule.times.empty())
    require(schedule.times.back() <= t_end, who,
            "record times must end by " + std::to_string(t_end), schedule.times.back());
}

// Of a method that keeps Jacobians of the past.
std::string what_forbids(const RunProblem& p, std::string_view name, Index most,
                         const std::string& instead) {
  const auto because = [&](const std::string& reason) {
    return "method '" + std::string(name) + "' " + reason + "; use " + instead;
  };
  if (p.train_output) return because("is for W alone, not for train_output");
  if (!smooth(p.activation)) return because("needs an activation without kinks, got 'relu'");
  if (p.loss == Loss::cross_entropy)
    return because("needs a loss of constant curvature, 'half_sse' or 'mse', got 'cross_entropy'");
  if (p.outputs() > most)
    return because("takes at most n k = " + std::to_string(most) + " outputs, got " +
                   std::to_string(p.outputs()));
  return "";
}

// Steps and gradients of flows are those measured for gamma = 1 of the paper's simulated problem;
// smaller gamma and alpha need up to 2.3 times as many of either (docs/flows.md).

// Of the tangent method, in the time of a gradient.
double tangent_cost(const RunProblem& p, double stiffness, double rtol) {
  const double N = double(p.n) * double(p.k);
  const double ntgs = 2 * N * N * double(p.m);
  const double dense = 5 * 9 * N * N * N * 0.4 + 2 * 16 * N * N * 22;  // slower flop, now and then
  const double steps = 40 * (0.5 + std::log10(1 + stiffness)) * std::pow(1e-6 / rtol, 1.0 / 9);
  return steps * (3 + (ntgs + dense) / p.gradient_flop());
}

// Dormand-Prince: at its stability limit, or as short as the fifth order asks for.
double dopri5_cost(double stiffness, double rtol) {
  const double accurate = 150 * (0.5 + std::log10(1 + stiffness)) * std::pow(1e-6 / rtol, 1.0 / 5);
  return std::max(accurate, 2.5 * stiffness);
}

double tangent_bytes(const RunProblem& p, std::size_t element_size) {
  const double N = double(p.n) * double(p.k);
  return 10 * double(p.n) * double(p.m) * double(element_size) + 20 * N * N * sizeof(double);
}

constexpr double kMostBytes = 1e9;  // of a method that is chosen without being asked for

}  // namespace

template <class T>
void require_run(const char* who, const Training<T>& training, double last_step, double t_end) {
  const EnsembleView<T>& nets = training.nets;
  if (nets.B < 1 || nets.m < 1 || nets.d < 1 || nets.k < 1)
    refuse(who, "networks must have B, m, d, k >= 1, got " + std::to_string(nets.B) + ", " +
                    std::to_string(nets.m) + ", " + std::to_string(nets.d) + ", " +
                    std::to_string(nets.k));
  if (!nets.W || !nets.a || !nets.lam) refuse(who, "W, a and lam must not be null");
  require_data(who, "X", "y", training.train, nets.d, nets.k);
  if (!training.test.empty()) require_data(who, "X_test", "y_test", training.test, nets.d, nets.k);
  require_recording(who, training);
  require_schedule(who, training.recording.schedule, last_step, t_end);
}

template <class T>
void require_ranks_possible(const char* who, const Training<T>& training) {
  const Hooks& hooks = training.hooks;
  if (!hooks.sum_over_ranks) return;
  const auto without = [&](bool asked, const std::string& what) {
    if (asked) refuse(who, "sum_over_ranks is for runs without " + what);
  };
  if (training.nets.B != 1)
    refuse(who, "sum_over_ranks is for one network, got B = " + std::to_string(training.nets.B));
  const Backend backend = training.exec.backend;
  if (backend != Backend::cpu && backend != Backend::reference)
    refuse(who, "sum_over_ranks needs backend 'cpu' or 'reference', got '" +
                    std::string(name_of(backend)) + "'");
  without(hooks.checkpoints.write || !hooks.checkpoints.resume_from.empty(), "checkpoints");
  without(bool(hooks.take_rows), "take_rows");
  without(hooks.stop.wall_seconds < std::numeric_limits<double>::infinity(), "stop.wall_seconds");
}

void require_positive(const char* who, const char* name, double value) {
  require(value > 0 && std::isfinite(value), who, std::string(name) + " must be in (0, inf)",
          value);
}

void require_share(const char* who, const char* name, double value) {
  require(value > 0 && value < 1, who, std::string(name) + " must be in (0, 1)", value);
}

void require_count(const char* who, const char* name, Index value) {
  require(value >= 1, who, std::string(name) + " must be at least 1", value);
}

template void require_run(const char*, const Training<float>&, double, double);
template void require_run(const char*, const Training<double>&, double, double);
template void require_ranks_possible(const char*, const Training<float>&);
template void require_ranks_possible(const char*, const Training<double>&);

double RunProblem::gradient_flop() const {
  return 4 * double(n) * double(m) * double(d + k + 8);
}

std::string what_forbids_leaps(const RunProblem& problem) {
  return what_forbids(problem, "leap", kMostLeapOutputs, "'step'");
}

std::string what_forbids_tangent(const RunProblem& problem) {
  return what_forbids(problem, "tangent", kMostTangentOutputs, "'dopri5' or 'rk4'");
}

FlowMethod cheapest_flow(const RunProblem& p, std::size_t element_size, double stiffness,
                         double rtol) {
  if (!smooth(p.activation)) return FlowMethod::rk4;  // more accurate there, for the same work
  const bool possible =
      what_forbids_tangent(p).empty() && tangent_bytes(p, element_size) <= kMostBytes;
  return possible && tangent_cost(p, stiffness, rtol) < dopri5_cost(stiffness, rtol)
             ? FlowMethod::tangent
             : FlowMethod::dopri5;
}

// Counted in gradients of one step. After some hundred steps, which are made, a decade of steps
// takes 120 leaps at most in the paper's settings, on its tables 80 of three rounds; 100 directions
// are fast where there are many outputs. A flop of a matrix takes 2.4 times as long as one of a
// gradient (bench/leaps.py on simulated data and concrete).
bool leaps_pay(const RunProblem& at, std::size_t element_size, Index steps, Index records) {
  const double N = double(at.n) * double(at.k), nodes = double(at.n) * double(at.m);
  const double d = double(at.d), gradient = at.gradient_flop();
  const bool all_fast = N <= double(tuning::kAllOutputs);
  const double p = all_fast ? N : std::min(N, 100.0);
  const double matrix = std::min(2 * N, all_fast ? 2 * N : 4 * d * p) * N * double(at.m);
  const double recurrence = 600 * p * p / gradient, basis = 9 * p * p * p / gradient;
  const double start = all_fast ? 200 : 400, leaps_of_decade = all_fast ? 120 : 80;
  const double leap =
      (all_fast ? 5 : 10) + 2.4 * matrix / gradient + (all_fast ? 1 : 3) * recurrence + 0.3 * basis;
  const double bytes = 13 * nodes * double(element_size) + 8 * (30 * p * p + 2 * N * N);
  const double all = std::min(start, double(steps)) +
                     leaps_of_decade * std::max(0.0, std::log10(double(steps) / start)) * leap +
                     double(records) * (1 + 2 * recurrence);
  return bytes <= kMostBytes && all < 0.8 * double(steps);
}

}  // namespace asymfast
