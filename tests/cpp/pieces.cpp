// Parts of the library that whole runs only show indirectly: the archive of a run's state, and the
// sequence of points at which a run is recorded.
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "archive.hpp"
#include "check.hpp"
#include "train/stepping.hpp"

namespace {

using asymfast::Archive;
using asymfast::Index;
using check::expect;

struct State {
  Index step = 0;
  double time = 0;
  bool diverged = false;
  std::vector<float> losses;
  double weights[3] = {};

  void visit(Archive& archive) {
    archive(step), archive(time), archive(diverged), archive(losses);
    archive.array(weights, 3);
    archive.end();
  }
};

bool is_refused(std::string_view bytes) {
  State state;
  try {
    Archive archive(bytes);
    state.visit(archive);
  } catch (const std::invalid_argument&) {
    return true;
  }
  return false;
}

void check_archive() {
  State state;
  state.step = 7, state.time = 0.1, state.diverged = true;
  state.losses = {3, 1, 4};
  for (int i = 0; i < 3; ++i) state.weights[i] = i + 0.5;
  std::string bytes;
  Archive out(bytes);
  state.visit(out);

  State again;
  Archive in{std::string_view(bytes)};
  again.visit(in);
  expect(again.step == 7 && again.time == 0.1 && again.diverged, "numbers are read as written");
  check::expect_same_bits("a vector is read as written", again.losses, state.losses);
  expect(again.weights[2] == 2.5, "an array is read as written");

  for (std::size_t size = 0; size < bytes.size(); ++size)
    expect(is_refused(std::string_view(bytes).substr(0, size)), "a truncated state is refused");
  expect(is_refused(bytes + '\0'), "a state with more at its end is refused");
  std::string huge = bytes;
  const std::size_t count = sizeof(Index) + sizeof(double) + sizeof(bool);
  for (std::size_t i = 0; i < 8; ++i) huge[count + i] = '\xff';
  expect(is_refused(huge), "a vector longer than the state is refused before it is allocated");
}

std::vector<Index> steps_of(const asymfast::Schedule& schedule, Index last) {
  const asymfast::Goals goals(schedule, last, std::numeric_limits<double>::infinity());
  std::vector<Index> steps;
  Index step = 0;
  while (!goals.is_the_end(step, 0) && steps.size() < 20) {
    step = goals.after(step, 0).step;
    steps.push_back(step);
  }
  return steps;
}

void check_goals() {
  constexpr Index most = std::numeric_limits<Index>::max();
  asymfast::Schedule schedule;
  schedule.every = 3;
  expect(steps_of(schedule, 10) == std::vector<Index>{3, 6, 9, 10}, "every third step, the last");
  expect(steps_of(schedule, 9) == std::vector<Index>{3, 6, 9}, "the last step once");
  schedule.every = most / 2;
  expect(steps_of(schedule, most) == std::vector<Index>{most / 2, most - 1, most},
         "no overflow near the largest step");
  schedule.every = most;
  expect(steps_of(schedule, 5) == std::vector<Index>{5}, "steps beyond the end");

  schedule = {};
  schedule.steps = {0, 2, 5, 20};
  expect(steps_of(schedule, 7) == std::vector<Index>{2, 5, 7}, "explicit steps, the last");

  schedule = {};
  schedule.times = {0, 1, 2.5};
  const asymfast::Goals goals(schedule, most, 4);
  expect(goals.wants_the_start(), "time 0 is the start");
  expect(goals.after(0, 0).leg_end == 1 && goals.after(9, 1).leg_end == 2.5, "explicit times");
  expect(goals.after(9, 2.5).leg_end == 4 && goals.is_the_end(0, 4), "the end of a flow");
  expect(goals.fraction(3, 1) == 0.25, "the part of the time that has passed");
}

// Sums of 20 000 numbers lie within five standard deviations, those of squares too.
void check_draws() {
  constexpr Index m = 500, d = 40, k = 3, count = m * d;
  asymfast::Matrix<double> W(m, d), a(m, k);
  asymfast::draw_weights(7, W.view(), a.view());
  double sum = 0, squares = 0, products = 0, signs = 0;
  for (Index i = 0; i < count; ++i) {
    const double w = W.view().data[i];
    sum += w, squares += w * w;
    if (i % 2 == 1) products += w * W.view().data[i - 1];  // drawn together
  }
  bool is_a_sign = true;
  for (Index i = 0; i < m * k; ++i) {
    const double sign = a.view().data[i];
    is_a_sign = is_a_sign && (sign == 1 || sign == -1);
    signs += sign;
  }
  const double n = double(count);
  expect(std::abs(sum) < 5 * std::sqrt(n), "weights have mean 0");
  expect(std::abs(squares - n) < 5 * std::sqrt(2 * n), "weights have variance 1");
  expect(std::abs(products) < 5 * std::sqrt(n / 2), "weights are not correlated");
  expect(is_a_sign && std::abs(signs) < 5 * std::sqrt(double(m * k)), "signs have mean 0");
}

}  // namespace

int main() {
  check_archive();
  check_goals();
  check_draws();
  return check::summary("pieces");
}
