// Every trainer with every recording, by name.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "check.hpp"

namespace check {

template <class T>
using Train = std::function<asymfast::RunResult<T>(const Problem<T>&, const asymfast::Hooks&,
                                                   const asymfast::Execution&)>;

// Descent and flows on samples that are so many that they are gone through one after the other.
template <class T>
std::vector<std::pair<std::string, Train<T>>> trainers_on_many_samples() {
  using namespace asymfast;
  std::vector<std::pair<std::string, Train<T>>> all;
  all.emplace_back(
      "many samples, descent", [](const auto& problem, const Hooks& hooks, const Execution& exec) {
        Recording recording = everything(6, false);
        recording.schedule.every = 3;
        return gradient_descent(problem.training(Loss::mse, recording, hooks, exec), {0.5, 7});
      });
  for (const FlowMethod method : {FlowMethod::rk4, FlowMethod::dopri5})
    all.emplace_back("many samples, " + std::string(name_of(method)),
                     [=](const auto& problem, const Hooks& hooks, const Execution& exec) {
                       Recording recording = everything(6, false);
                       recording.schedule.times = {0.0, 0.4};
                       Flow flow;
                       flow.method = method;
                       flow.t_end = 0.4;
                       if (method == FlowMethod::rk4) flow.dt = 0.1;
                       return gradient_flow(problem.training(Loss::mse, recording, hooks, exec),
                                            flow);
                     });
  return all;
}

// `length`: how far they go; 1 is a handful of steps.
template <class T>
std::vector<std::pair<std::string, Train<T>>> trainers(double length) {
  using namespace asymfast;
  std::vector<std::pair<std::string, Train<T>>> all;
  for (const Loss loss : {Loss::half_sse, Loss::mse})
    all.emplace_back("descent, " + std::string(name_of(loss)),
                     [=](const auto& problem, const Hooks& hooks, const Execution& exec) {
                       Recording recording = everything(std::min<Index>(problem.n, 6), false);
                       recording.schedule.every = 3;
                       return gradient_descent(problem.training(loss, recording, hooks, exec),
                                               {0.02, Index(8 * length)});
                     });
  for (const FlowMethod method : {FlowMethod::rk4, FlowMethod::dopri5, FlowMethod::tangent})
    all.emplace_back("flow, " + std::string(name_of(method)),
                     [=](const auto& problem, const Hooks& hooks, const Execution& exec) {
                       Recording recording = everything(std::min<Index>(problem.n, 6), false);
                       recording.schedule.times = {0.0, 0.3 * length, length};
                       Flow flow;
                       flow.method = method;
                       flow.t_end = length;
                       flow.rtol = sizeof(T) == 4 ? 1e-3 : 1e-6;
                       return gradient_flow(
                           problem.training(Loss::half_sse, recording, hooks, exec), flow);
                     });
  all.emplace_back(
      "flow, fixed steps", [=](const auto& problem, const Hooks& hooks, const Execution& exec) {
        Recording recording = everything(std::min<Index>(problem.n, 6), false);
        recording.schedule.every = 2;
        Flow flow;
        flow.method = FlowMethod::rk4;
        flow.t_end = 0.1 * length;
        flow.dt = 0.02;
        return gradient_flow(problem.training(Loss::mse, recording, hooks, exec), flow);
      });
  for (const bool outputs : {false, true})
    all.emplace_back(outputs ? "sgd, both layers" : "sgd, hidden layer",
                     [=](const auto& problem, const Hooks& hooks, const Execution& exec) {
                       Recording recording = everything(std::min<Index>(problem.n, 6), outputs);
                       recording.schedule.every = 3;
                       recording.accuracy = problem.k > 1;
                       Sgd sgd;
                       sgd.lr = {0.05};
                       sgd.epochs = Index(2 * length);
                       sgd.batch_size = std::max<Index>(1, problem.n / 3);
                       sgd.train_output = outputs;
                       for (Index b = 0; b < problem.B; ++b) sgd.keys.push_back(11u + unsigned(b));
                       const std::vector<T> hot = problem.classes();
                       auto training = problem.training(
                           problem.k > 1 ? Loss::cross_entropy : Loss::mse, recording, hooks, exec);
                       if (problem.k > 1) training.train.y.data = hot.data();
                       training.test = {};
                       return asymfast::sgd(training, sgd);
                     });
  return all;
}

}  // namespace check
