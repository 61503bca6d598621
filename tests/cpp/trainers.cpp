// All trainers, as they are called from C++: the fast backend against the plain one, any number of
// threads and a member alone to the bit, a run that is gone on with, a run that is interrupted.
#include "trainers.hpp"

#include <string>

namespace {

using namespace asymfast;
using check::expect;
using check::expect_close;
using check::expect_same_bits;

template <class T>
void expect_same_run(const std::string& what, RunResult<T>& one, RunResult<T>& other) {
  expect(one.status == other.status, (what + ": status").c_str());
  expect_same_bits((what + ": W").c_str(), one.W, other.W);
  expect_same_bits((what + ": a").c_str(), one.a, other.a);
  std::vector<std::vector<double>> columns;
  one.for_columns(
      [&](const char*, auto& column) { columns.emplace_back(column.begin(), column.end()); });
  std::size_t next = 0;
  other.for_columns([&](const char* name, auto& column) {
    const std::vector<double> values(column.begin(), column.end());
    expect_same_bits((what + ": " + name).c_str(), columns[next++], values);
  });
}

template <class T>
void check_trainers(const check::Problem<T>& problem,
                    const std::vector<std::pair<std::string, check::Train<T>>>& trainers) {
  for (const auto& [name, train] : trainers) {
    RunResult<T> one = train(problem, {}, {Backend::cpu, 1});
    expect(one.status == Status::finished, (name + ": finished").c_str());
    RunResult<T> three = train(problem, {}, {Backend::cpu, 3});
    expect_same_run(name + ", 1 and 3 threads", one, three);

    // Rounding of sums of m terms, times the steps; the flows choose their steps by an error that
    // has been rounded, and agree within their tolerance only.
    const double eps = double(std::numeric_limits<T>::epsilon());
    const bool chooses = (name.find("flow") == 0 && name.find("fixed") == std::string::npos) ||
                         name.find("dopri5") != std::string::npos;
    const double tolerance = chooses ? (sizeof(T) == 4 ? 1e-2 : 1e-5) : 200 * 161 * eps;
    const RunResult<T> plain = train(problem, {}, {Backend::reference, 1});
    expect_close((name + ": W against the reference").c_str(), one.W, plain.W, tolerance);
    expect_close((name + ": loss against the reference").c_str(), one.loss, plain.loss, tolerance);
  }
}

template <class T>
void check_resumption() {
  const check::Problem<T> problem(2, 11, 5, 37, 2, Activation::tanh);
  for (const auto& [name, train] : check::trainers<T>(2)) {
    RunResult<T> whole = train(problem, {}, {Backend::cpu, 2});
    std::string state;
    Hooks first;
    int records = 0;
    first.on_record = [&](const Snapshot&) { return ++records < 2; };
    first.checkpoints.write = [&](std::string_view bytes) {
      state = bytes;
      return true;
    };
    const RunResult<T> part = train(problem, first, {Backend::cpu, 2});
    expect(part.status == Status::stopped, (name + ": stopped by its callback").c_str());
    Hooks second;
    second.checkpoints.resume_from = state;
    RunResult<T> rest = train(problem, second, {Backend::cpu, 2});
    expect_same_run(name + ", gone on with", rest, whole);

    std::string shorter = state.substr(0, state.size() - 1);
    second.checkpoints.resume_from = shorter;
    bool refused = false;
    try {
      train(problem, second, {Backend::cpu, 2});
    } catch (const std::invalid_argument&) {
      refused = true;
    }
    expect(refused, (name + ": a state that is too short is refused").c_str());
  }
}

// Rows leave the memory as they are made, and a pulse can end the run.
void check_hooks() {
  const check::Problem<double> problem(3, 23, 9, 161, 1, Activation::softplus);
  for (const auto& [name, train] : check::trainers<double>(2)) {
    RunResult<double> kept = train(problem, {}, {Backend::cpu, 2});
    Hooks hooks;
    hooks.rows_bytes = 1;
    std::size_t bytes = 0;
    hooks.take_rows = [&](const std::vector<Column>& columns) {
      for (const Column& column : columns)
        if (column.name == std::string("loss")) bytes += column.bytes;
      return true;
    };
    const RunResult<double> left = train(problem, hooks, {Backend::cpu, 2});
    expect(left.loss.empty() && bytes == kept.loss.size() * sizeof(double),
           (name + ": all rows are taken").c_str());
  }
  const check::Problem<double> large(1, 100, 50, 2000, 1, Activation::swish);
  const check::Problem<double> many(1, 2000, 5, 3000, 1, Activation::swish);
  for (const auto& [sizes, backend] :
       {std::pair(&large, Backend::cpu), std::pair(&many, Backend::cpu),
        std::pair(&large, Backend::reference)}) {
    Hooks hooks;
    int pulses = 0;
    hooks.pulse = [&](double, double) { return ++pulses < 2; };
    Recording recording;
    recording.schedule.every = 1'000'000;
    recording.ntg_change = recording.eigmin = false;
    const auto run = gradient_descent(sizes->training(Loss::mse, recording, hooks, {backend, 3}),
                                      {1e-3, 1'000'000'000});
    expect(run.status == Status::interrupted, "a run that its pulse interrupts");
  }
}

void check_divergence() {
  const check::Problem<float> problem(2, 23, 9, 161, 1, Activation::identity);
  Recording recording;
  recording.schedule.every = 1;
  recording.ntg_change = recording.eigmin = false;
  const auto run = gradient_descent(
      problem.training(Loss::half_sse, recording, {}, {Backend::cpu, 2}), {1e6, 100});
  expect(run.status == Status::diverged && run.diverged_step > 0 && run.step_bound > 0,
         "a run that diverges says when, and which step would have done");
}

}  // namespace

int main() {
  // Sizes with remainders everywhere, and work enough for a team.
  check_trainers<double>({1, 23, 9, 161, 1, Activation::swish}, check::trainers<double>(2));
  check_trainers<float>({3, 23, 9, 161, 2, Activation::swish}, check::trainers<float>(2));
  check_trainers<double>({2, 811, 5, 161, 2, Activation::swish},
                         check::trainers_on_many_samples<double>());
  check_trainers<float>({3, 811, 16, 161, 1, Activation::swish},
                        check::trainers_on_many_samples<float>());
  check_resumption<double>();
  check_resumption<float>();
  check_hooks();
  check_divergence();
  return check::summary("trainers");
}
