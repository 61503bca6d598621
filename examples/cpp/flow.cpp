// How far do features move before the loss has halved? Trains three networks that differ in gamma
// by gradient flow, stops each by a callback, and prints what became of its kernel.
#include <asymfast/asymfast.hpp>
#include <cmath>
#include <cstdio>
#include <exception>

namespace {

// y = sin(3 x_1) on a spiral: three inputs of norm 1.
void fill(asymfast::Matrix<double>& X, asymfast::Matrix<double>& y) {
  for (asymfast::Index i = 0; i < X.rows(); ++i) {
    const double t = 2.0 * double(i) / double(X.rows()) - 1.0;
    X(i, 0) = t;
    X(i, 1) = std::sqrt(1 - t * t) * std::cos(9 * t);
    X(i, 2) = std::sqrt(1 - t * t) * std::sin(9 * t);
    y(i, 0) = std::sin(3 * t);
  }
}

void run(double gamma) {
  using asymfast::Activation;
  using asymfast::Network;
  asymfast::Matrix<double> X(40, 3), y(40, 1);
  fill(X, y);
  const auto net = Network<double>::init(3, 1000, gamma, 0.5, Activation::swish, 1, 7);
  const double start = net.loss(X, y, asymfast::Loss::half_sse);

  asymfast::Recording recording;
  recording.schedule.times = {0, 1, 2, 5, 10, 20, 50, 100, 200, 500};
  for (asymfast::Index i = 0; i < X.rows(); ++i) recording.ntg_on.push_back(i);
  asymfast::Hooks hooks;
  hooks.on_record = [start](const asymfast::Snapshot& at) { return at.loss[0] > start / 2; };
  asymfast::Flow flow;
  flow.t_end = 500;
  const auto result = asymfast::gradient_flow<double>(
      {net.ensemble(), {X, y}, {}, asymfast::Loss::half_sse, recording, hooks}, flow);

  const auto after = net.after(result);
  std::printf("gamma %.1f: t = %5.1f, loss %.4f -> %.4f, |dNTG| %.5f, smallest eigenvalue %.3e\n",
              gamma, result.time.back(), start, after.loss(X, y, asymfast::Loss::half_sse),
              result.ntg_change.back(), asymfast::min_eigenvalue(after.ntg(X)));
}

}  // namespace

int main() try {
  const asymfast::BuildConfig config = asymfast::build_config();
  std::printf("asymfast %s, %s kernels\n", config.version.c_str(), config.isa.c_str());
  for (const double gamma : {1.0, 0.5, 0.0}) run(gamma);
  try {
    run(1.5);
  } catch (const std::invalid_argument& error) {
    std::printf("refused: %s\n", error.what());
  }
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
