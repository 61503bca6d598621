// What a run leaves behind.
#include "c_api/common.hpp"

using asymfast::refuse;
using asymfast::c_api::guarded;
using asymfast::c_api::of_this_version;
using asymfast::c_api::required;

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
    of_this_version(who, "column", *column);
    for (const asymfast_run::Column& one : run->columns)
      if (one.name == name) {
        *column = one.at;
        return ASYMFAST_OK;
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
            refuse("run_divergence", "the run has not diverged");
          if (step) *step = of.result.diverged_step;
          if (last_loss) *last_loss = of.result.last_loss;
          if (step_bound) *step_bound = of.result.step_bound;
        },
        run->of);
    return ASYMFAST_OK;
  });
}
