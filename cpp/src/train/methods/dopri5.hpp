// Dormand and Prince's pair of orders 5 and 4 with Shampine's dense output of order 4 (Hairer,
// Norsett, Wanner: Solving Ordinary Differential Equations I, II.4 to II.6).
//
// The error estimate e is a vector of weights. Its effect J e on the outputs is held below rtol /
// 10 of the residual |f - y| times the share of the step in the time so far, by a PI controller.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "train/methods/error_control.hpp"

namespace asymfast {

template <class T>
class Dopri5 : public Dense<T> {
  using Dense<T>::control_, Dense<T>::h_;

 public:
  static constexpr double kStability = 3.3;  // the largest h eig_max

  using Dense<T>::Dense;

  bool attempt(Member<T>& member, double h, const Context& context) override {
    Engine<T>& engine = *member.engine;
    begin(member, context);
    engine.save();
    for (std::size_t i = 0; i < kStages; ++i) {
      engine.stage({i == 0 ? -1 : slots_[i], along(-h, kA[i]), i + 1 == kStages}, context);
      member.evaluations += i > 0;
    }
    keep_gradient(member, kStages, context);
    const std::vector<double> estimate = along(h, kError);
    double error, reach;
    {
      std::vector<double> output_error(member.y.size());
      engine.push(estimate, output_error.data(), context);
      std::vector<T> weight_error = member.weights();
      engine.combine(estimate, weight_error.data());
      error = norm(output_error);
      reach = member.reach(weight_error.data(), context);
    }
    const double allowed = 0.5 * control_.share(h, this->front_) * residual_ + control_.rounding();
    const double ratio = std::max(error, reach / kReach) / allowed;
    if (!control_.keeps(member, h, ratio, error)) {
      rejected_ = true;
      h_ =
          control_.shorter(h, ratio > 1 ? std::clamp(0.9 * std::pow(ratio, -0.25), 0.2, 0.9) : 0.2);
      engine.restore();
      control_.reject(member, error, context);
      return false;
    }
    control_.accept(member, allowed, context);
    // A step's error is of order h^5 and its allowance of order h.
    const double factor =
        0.9 * std::pow(std::max(ratio, 1e-6), -0.7 / 4) * std::pow(last_ratio_, 0.4 / 4);
    this->go_on(h, std::clamp(factor, 0.2, rejected_ ? 1.0 : 5.0),
                control_.rounding() > 0.5 * allowed);
    last_ratio_ = std::max(ratio, 1e-4);
    rejected_ = false;
    residual_ = norm(member.residual());
    return true;
  }

  void interpolate(Member<T>& member, double time, const Context& context) override {
    const double theta = time == this->front_ ? 1 : (time - this->start_) / this->last_h_;
    std::array<double, kStages + 1> back{};  // b_j - b_j(theta)
    for (std::size_t j = 0; j <= kStages; ++j) {
      double power = 1;
      for (const double p : kDense[j]) back[j] += p * (1 - (power *= theta));
    }
    member.engine->stage({-1, along(this->last_h_, back), false}, context);
  }

  void serialise(Archive& archive, const Member<T>& member) override {
    constexpr double kMost = std::numeric_limits<double>::max();
    Dense<T>::serialise(archive, member);
    archive(last_ratio_, 1e-4, 1.0), archive(rejected_), archive(began_);
    archive(residual_, 0.0, kMost);
    for (Index& slot : slots_) archive(slot, Index(0), static_cast<Index>(kStages));
    std::array<bool, kStages + 1> taken{};
    for (const Index slot : slots_) taken[slot] = true;
    archive.require(std::all_of(taken.begin(), taken.end(), [](bool is) { return is; }));
    const Index used = this->last_h_ > 0 ? static_cast<Index>(kStages) + 1
                       : began_          ? slots_[0] + 1
                                         : 0;
    archive.require((began_ || this->front_ == 0) && used <= member.engine->kept().gradients);
  }

 private:
  static constexpr std::size_t kStages = 6;
  using Row = std::array<double, kStages + 1>;

  // Row i: from the gradients so far to the point of gradient i + 1; the last one is the step.
  static constexpr Row kA[kStages] = {
      {1.0 / 5},
      {3.0 / 40, 9.0 / 40},
      {44.0 / 45, -56.0 / 15, 32.0 / 9},
      {19372.0 / 6561, -25360.0 / 2187, 64448.0 / 6561, -212.0 / 729},
      {9017.0 / 3168, -355.0 / 33, 46732.0 / 5247, 49.0 / 176, -5103.0 / 18656},
      {35.0 / 384, 0, 500.0 / 1113, 125.0 / 192, -2187.0 / 6784, 11.0 / 84}};
  static constexpr Row kError = {71.0 / 57600,      0,          -71.0 / 16695, 71.0 / 1920,
                                 -17253.0 / 339200, 22.0 / 525, -1.0 / 40};
  // b_j(theta) = sum_i kDense[j][i] theta^(i + 1)
  static constexpr std::array<double, 4> kDense[kStages + 1] = {
      {1, -8048581381.0 / 2820520608, 8663915743.0 / 2820520608, -12715105075.0 / 11282082432},
      {0, 0, 0, 0},
      {0, 131558114200.0 / 32700410799, -68118460800.0 / 10900136933, 87487479700.0 / 32700410799},
      {0, -1754552775.0 / 470086768, 14199869525.0 / 1410260304, -10690763975.0 / 1880347072},
      {0, 127303824393.0 / 49829197408, -318862633887.0 / 49829197408,
       701980252875.0 / 199316789632},
      {0, -282668133.0 / 205662961, 2019193451.0 / 616988883, -1453857185.0 / 822651844},
      {0, 40617522.0 / 29380423, -110615467.0 / 29380423, 69997945.0 / 29380423}};

  // The gradient at the front: computed at the start, later the last one of the step before.
  void begin(Member<T>& member, const Context& context) {
    if (!began_) {
      control_.begin(member, context);
      residual_ = norm(member.residual());
      keep_gradient(member, 0, context);
      began_ = true;
    } else if (this->last_h_ > 0) {
      std::swap(slots_[0], slots_[kStages]);
      this->last_h_ = 0;
    }
  }

  void keep_gradient(Member<T>& member, std::size_t which, const Context& context) {
    member.engine->stage({slots_[which], {}, false}, context);
    ++member.evaluations;
  }

  // h weights by the slots they stand for.
  std::vector<double> along(double h, const Row& weights) const {
    std::vector<double> by_slot(weights.size());
    for (std::size_t j = 0; j < weights.size(); ++j) by_slot[slots_[j]] = h * weights[j];
    return by_slot;
  }

  double last_ratio_ = 1;
  bool rejected_ = false, began_ = false;
  double residual_ = 0;  // at the front
  Index slots_[kStages + 1] = {0, 1, 2, 3, 4, 5, 6};
};

}  // namespace asymfast
