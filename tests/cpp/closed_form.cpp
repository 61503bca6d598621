// One run through the public C++ interface, against a closed form.
//
// With sigma(z) = z the network is linear in W: f = X V / d^(1/2), V = W' c, c_j = sqrt(lam_j) a_j.
// Gradient descent on half the sum of squares then multiplies the residual by I - lr K each step,
// K = (sum_j c_j^2) X X' / d being the NTG. With one sample x that is a number, so after t steps
//   L_t = L_0 (1 - lr kappa)^(2 t),   kappa = (sum_j lam_j a_j^2) |x|^2 / d.
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>
#include <vector>

#include "check.hpp"

namespace {

using check::expect;
using check::expect_near;

template <class T>
void check_descent(asymfast::Backend backend) {
  using asymfast::Index;
  constexpr Index d = 7, m = 45, steps = 30;
  // Every step rounds the output, a sum of m terms, and W; the residual falls to a fifth.
  const double tolerance = 4.0 * steps * m * double(std::numeric_limits<T>::epsilon());

  std::mt19937 generator(1);
  std::normal_distribution<double> normal;
  std::vector<T> W(m * d), a(m), x(d), y(1, T(0.5));
  std::vector<double> lam(m);
  for (T& w : W) w = T(normal(generator));
  for (T& value : x) value = T(normal(generator));
  double total = 0, norm2 = 0, f = 0;
  for (Index j = 0; j < m; ++j) total += lam[j] = 1.0 / double(j + 1);
  for (double& value : lam) value /= total;
  for (T value : x) norm2 += double(value) * double(value);
  double kappa = 0;
  for (Index j = 0; j < m; ++j) {
    a[j] = T(j % 2 ? 1 : -1);
    double z = 0;
    for (Index i = 0; i < d; ++i) z += double(W[j * d + i]) * double(x[i]);
    f += std::sqrt(lam[j]) * double(a[j]) * z / std::sqrt(double(d));
    kappa += lam[j] * norm2 / d;
  }
  const double lr = 0.05 / kappa;

  const asymfast::EnsembleView<T> nets{
      1, m, d, 1, W.data(), a.data(), lam.data(), asymfast::Activation::identity};
  const asymfast::DataView<T> data{{x.data(), 1, d}, {y.data(), 1, 1}};
  asymfast::Recording recording;
  recording.schedule.every = 10;
  recording.ntg_on = {0};
  const asymfast::RunResult<T> run = asymfast::gradient_descent<T>(
      {nets, data, {}, asymfast::Loss::half_sse, recording, {}, {backend, 2}}, {lr, steps});

  const bool finished = run.status == asymfast::Status::finished && run.loss.size() == 4;
  expect(finished, "the run finishes with its four records");
  if (!finished) return;
  const double start = 0.5 * (f - double(y[0])) * (f - double(y[0]));
  for (std::size_t record = 0; record < 4; ++record)
    expect_near("loss", run.loss[record],
                start * std::pow(1 - lr * kappa, 2.0 * double(run.steps[record])), tolerance);
  expect_near("smallest eigenvalue", run.ntg_eigmin.back(), kappa, tolerance);
}

void check_refusal() {
  try {
    asymfast::activation_from_name("abacus");
  } catch (const std::invalid_argument&) {
    return;
  }
  expect(false, "an unknown activation is refused");
}

}  // namespace

int main() {
  for (const auto backend : {asymfast::Backend::reference, asymfast::Backend::cpu}) {
    check_descent<float>(backend);
    check_descent<double>(backend);
  }
  check_refusal();
  return check::summary("closed form");
}
