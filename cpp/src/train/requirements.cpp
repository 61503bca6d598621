#include "train/requirements.hpp"

#include <cmath>
#include <limits>
#include <string>

namespace asymfast {

namespace {

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
    if (row < 0 || row >= n)
      refuse(who, "ntg_on must be in [0, " + std::to_string(n) + "), got " + std::to_string(row));
  if (recording.needs_ntg() && recording.ntg_on.empty())
    refuse(who,
           "ntg_on must name at least one sample where the NTG is recorded (ntg_change and eigmin "
           "are, unless set to false), got none");
  if (recording.top_nodes < 0 || recording.top_nodes > training.nets.m)
    refuse(who, "top_nodes must be in [0, " + std::to_string(training.nets.m) + "], got " +
                    std::to_string(recording.top_nodes));
}

void require_schedule(const char* who, const Schedule& schedule, double last_step, double t_end) {
  if (schedule.every < 0) refuse(who, "every must be >= 0, got " + std::to_string(schedule.every));
  require_increasing(who, "steps", schedule.steps);
  require_increasing(who, "times", schedule.times);
  if (t_end == 0 && !schedule.times.empty()) refuse(who, "times are for gradient_flow only");
  if (!schedule.steps.empty() && !(double(schedule.steps.back()) <= last_step))
    refuse(who, "record steps must end by step " + std::to_string(last_step) + ", got " +
                    std::to_string(schedule.steps.back()));
  if (!schedule.times.empty() && !(schedule.times.back() <= t_end))
    refuse(who, "record times must end by " + std::to_string(t_end) + ", got " +
                    std::to_string(schedule.times.back()));
}

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
    refuse(who,
           "sum_over_ranks is for a single network, got B = " + std::to_string(training.nets.B));
  const Backend backend = training.exec.backend;
  if (backend != Backend::cpu && backend != Backend::reference)
    refuse(who, "sum_over_ranks needs backend 'cpu' or 'reference', got '" +
                    std::string(name_of(backend)) + "'");
  without(hooks.checkpoints.write || !hooks.checkpoints.resume_from.empty(), "checkpoints");
  without(bool(hooks.take_rows), "take_rows");
  without(hooks.stop.wall_seconds < std::numeric_limits<double>::infinity(), "stop.wall_seconds");
}

void require_positive(const char* who, const char* name, double value) {
  if (!(value > 0) || std::isinf(value))
    refuse(who, std::string(name) + " must be in (0, inf), got " + std::to_string(value));
}

void require_share(const char* who, const char* name, double value) {
  if (!(value > 0 && value < 1))
    refuse(who, std::string(name) + " must be in (0, 1), got " + std::to_string(value));
}

void require_count(const char* who, const char* name, Index value) {
  if (value < 1)
    refuse(who, std::string(name) + " must be at least 1, got " + std::to_string(value));
}

template void require_run(const char*, const Training<float>&, double, double);
template void require_run(const char*, const Training<double>&, double, double);
template void require_ranks_possible(const char*, const Training<float>&);
template void require_ranks_possible(const char*, const Training<double>&);

}  // namespace asymfast
