// Gradient descent in leaps over many steps at a time, for long runs whose steps are short beside
// what changes the Jacobian.
//
// With h = lr s, s the curvature of the loss, r_k = f(W_k) - y and J_k the Jacobian of the outputs,
//   W_{k+1} = W_k - h J_k^T r_k,   r_{k+1} = (I - h A_k) r_k exactly,   A_k = J' J_k^T,
// where J' is the mean of J on the way from W_k to W_{k+1}. J and A change slowly even where r does
// not. So J and A, known at the last points, are continued in k by a polynomial; r then obeys a
// linear recurrence of size n k, solved to high accuracy (recurrence.hpp), and the weights move by
// h J_p^T sum_k l_p(k) r_k, exactly in the limit of constant J, however many steps that are. The
// discrete twin of tangent.hpp, whose history, orders and errors it shares.
//
// A leap ends where this foretells; f(W) - y there, beside r, is its error. Then J and A are
// computed there for the next one. It costs one gradient, one matrix, and a gradient more or two
// while steps are long. Where the matrix is most of that, each leap is corrected with J and A at
// its end, which allows longer ones. Where a leap would be of a few steps only, steps are made,
// with a look at J and A now and then that says whether leaps would be longer by now.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "train/leading_outputs.hpp"
#include "train/methods/method.hpp"
#include "train/next_step.hpp"
#include "train/requirements.hpp"
#include "train/tangent_history.hpp"
#include "train/vectors.hpp"

namespace asymfast {

template <class T>
class Leap : public Method<Member<T>> {
 public:
  Leap(const RunProblem& problem, const Descent& descent, const KernelTable& kernels)
      : N_(problem.outputs()),
        h_(loss_curvature(problem.loss, problem.n, problem.k) * descent.lr),
        descent_(descent),
        account_(problem),
        outputs_(N_, problem.m, problem.d, h_, kernels),
        shortest_(static_cast<Index>(
            std::ceil(4 + outputs_.flop_of_a_point() / problem.gradient_flop() / 2))) {}

  bool step(Member<T>& member, const Goal& goal, const Context& context) override {
    if (member.step >= goal.step) return true;
    if (goal.step > front_) {
      if (!leaps())
        step_plainly(member, context);
      else if (!leap(member, context))
        return false;
      stand_at(member, std::min(front_, goal.step));
      if (member.diverged) return true;
    }
    if (goal.step < front_ || (goal.step == front_ && moved_)) {
      interpolate(member, goal.step, context);
      stand_at(member, goal.step);
    }
    return member.step >= goal.step;
  }

  void resume(Member<T>& member, const Context& context) override {
    account_.free_of_charge(member, [&] {
      if (moved_) interpolate(member, member.step, context);
    });
  }

  void serialise(Archive& archive, const Member<T>& member) override {
    constexpr double kMost = std::numeric_limits<double>::max();
    archive(front_, Index(0), descent_.steps), archive(start_, Index(0), front_);
    outputs_.serialise(archive, double(front_), member.engine->kept().jacobians);
    archive(last_order_, Index(0), std::max<Index>(outputs_.past.known() - 1, 0));
    archive(length_, 0.0, kMost), next_step_.serialise(archive), account_.serialise(archive);
    archive(rounding_, 0.0, kMost), archive(moved_);
    archive(pause_, Index(1), kLongestPause * shortest_), archive(since_, Index(0), pause_);
    for (std::vector<double>* r : {&r_, &sum_r_, &start_r_}) {
      archive(*r);
      archive.require(r->empty() || static_cast<Index>(r->size()) == N_);
    }
    archive.require(!(r_.empty() && outputs_.past.known() > 0) && !(sum_r_.empty() && since_ > 0));
    const bool within = moved_ && !outputs_.past.empty() && !start_r_.empty();  // the last leap
    archive.require(member.diverged || member.step == front_ ||
                    (within && start_ <= member.step && member.step < front_));
  }

 private:
  using Node = TangentHistory::Node;
  using Nodes = TangentHistory::Nodes;

  static constexpr Index kLongestPause = 16;   // between two looks, in leaps as short as may be
  static constexpr double kSafety = 0.2;       // of a leap's share of rtol
  static constexpr double kOfCorrected = 0.3;  // a corrected leap's error beside that foretold
  static constexpr double kAccuracy = 0.03;    // of the recurrence, beside a leap's
  static constexpr int kPatience = 4;          // Picard iterations before the eigenbasis is renewed
  // The defect is a difference of outputs at two points and of r by way of the eigenbasis: more
  // roundings than those of one evaluation.
  static constexpr double kNoise = 16;
  // h times the largest eigenvalue. Beyond it r swings from step to step for long, on a way that
  // errors change and that the end of a leap of an even number of steps hardly shows.
  static constexpr double kMostCurvature = 1.95;
  static constexpr Index kScratchSlot = TangentHistory::kSlots;  // and the next two

  bool leaps() const {
    return length_ >= double(shortest_) && !outputs_.past.empty() &&
           h_ * outputs_.largest_eigenvalue() < kMostCurvature;
  }

  Index shortest_pause() const { return std::max<Index>(2, shortest_ / 2); }

  void stand_at(Member<T>& member, Index step) const {
    member.step = step;
    member.time = descent_.lr * double(step);
  }

  // What rounding alone makes of a defect.
  static double rounding_of(const Member<T>& member) {
    double sum = 0;
    for (Index i = 0; i < member.y.size(); ++i)
      sum += std::pow(member.engine->outputs()[i], 2) + std::pow(double(member.y.data[i]), 2);
    return kNoise * double(std::numeric_limits<T>::epsilon()) * std::sqrt(sum);
  }

  // A leap's share of rtol: transients decay over every scale of time, so equal shares of log k.
  double share(Index steps) const {
    return kSafety * descent_.rtol * double(steps) / double(front_ + steps);
  }
  double allowed(Index steps) const {
    const double weights = double(std::numeric_limits<T>::epsilon()) *
                           std::sqrt(double(steps) * h_ * outputs_.largest_eigenvalue());
    return (share(steps) + weights) * norm(r_) + rounding_;
  }

  // ---- steps

  void step_plainly(Member<T>& member, const Context& context) {
    if (r_.empty()) {
      r_ = member.residual();
      look(member, context);
    }
    if (moved_) member.engine->restart(context);
    moved_ = false;
    if (since_ == 0) sum_r_.assign(r_.size(), 0);
    for (std::size_t i = 0; i < r_.size(); ++i) sum_r_[i] += r_[i];
    Update plain;
    plain.along_gradient = -descent_.lr, plain.commit = true;
    member.engine->advance(plain, context);
    ++member.evaluations;
    ++front_, ++since_;
    r_ = member.residual();
    member.check();
    if (member.diverged) return;
    if (since_ >= pause_) look(member, context);
  }

  // Takes J and A at the front into the history, and from them the length of the next leap.
  void look(Member<T>& member, const Context& context) {
    const Node here{double(front_), outputs_.past.free_slot()};
    rounding_ = rounding_of(member);
    member.engine->move({{}, {}, here.slot, false}, context);
    const bool known = keep_matrix(member, Nodes(1, here), r_, share(shortest_), context);
    member.engine->restart(context);
    account_.charge(member, 2 * account_.unit());
    if (!known) {
      outputs_.past.forget_free_slot();
    } else {
      if (!outputs_.past.empty()) {
        auto errors = outputs_.extrapolation_errors(here, sum_r_, TangentHistory::kMostOrder);
        for (double& error : errors) error *= (corrects_ ? kOfCorrected : 1) * h_;
        const Index steps = std::max<Index>(since_, 1);
        length_ = double(steps) *
                  std::clamp(outputs_.past.first_order(errors, share(steps) * norm(r_) + rounding_),
                             0.2, 4.0);
      }
      outputs_.past.push(here);
      outputs_.use_what_all_know();
      renew_basis(member, context);
    }
    if (leaps())
      pause_ = shortest_pause();
    else if (2 * length_ < double(shortest_))
      pause_ = std::min(2 * pause_, kLongestPause * shortest_);
    since_ = 0;
  }

  // ---- leaps

  // False: nothing has changed but the length of the next try.
  bool leap(Member<T>& member, const Context& context) {
    Engine<T>& engine = *member.engine;
    if (outputs_.use_what_all_know()) renew_basis(member, context);
    const Index steps = fitted();
    const double tolerated = allowed(steps);
    const Node ahead{double(front_ + steps), outputs_.past.free_slot()};
    const Nodes past = outputs_.past.newest(outputs_.past.order());
    const Nodes all = outputs_.past.newest(outputs_.past.order(), ahead);
    Solution found = solve(member, past, front_, steps, r_, tolerated, context);
    engine.save();
    engine.move(move_along<T>(past, found.moments, -h_, ahead.slot, true), context);
    moved_ = true;
    ++member.evaluations;
    std::vector<double> r = member.residual();
    if (!(engine.loss() <= member.loss_limit)) return reject(member, steps, 0.2);
    if (corrects_ && !go_again(member, all, steps, tolerated, r, found, context))
      return reject(member, steps, 0.2);

    const double ratio = outputs_.lasting_ratio(
        difference(r, found.r), r, descent_.steps - front_ - steps,
        tolerated > rounding_ ? (tolerated - rounding_) / norm(r_) : 0, rounding_);
    const double loss = engine.loss(), rounding = rounding_of(member);
    if (!(ratio <= 1) || !(loss <= member.loss_limit)) {
      const double factor = outputs_.past.step_factor(ratio, outputs_.past.order());
      return reject(member, steps, ratio > 1 ? std::clamp(factor, 0.2, 0.9) : 0.2);
    }
    if (!corrects_ && !keep_matrix(member, all, r, tolerated / norm(r), context))
      return reject(member, steps, 0.2);
    start_r_ = std::move(r_), r_ = std::move(r);
    start_ = front_, last_order_ = outputs_.past.order();
    front_ += steps, since_ = 0;
    rounding_ = rounding;
    member.check(loss);
    go_on_from(member, ahead, found, ratio, context);
    return true;
  }

  // The leap once more with J and A at its end, where the residual was r, among the points, and
  // again with those of the strong nodes at the end of that: r and `found` become those of its new
  // end. False: the next step is too long.
  bool go_again(Member<T>& member, const Nodes& all, Index steps, double tolerated,
                std::vector<double>& r, Solution& found, const Context& context) {
    Engine<T>& engine = *member.engine;
    for (const Part part : {Part::all, Part::strong}) {
      if (!keep_matrix(member, all, r, tolerated / norm(r), context, part)) return false;
      found = solve(member, all, front_, steps, r_, tolerated, context);
      const Index into = part == Part::all ? all[0].slot : -1;
      engine.restore();
      engine.move(move_along<T>(all, found.moments, -h_, into, true), context);
      ++member.evaluations;
      r = member.residual();
    }
    outputs_.correct(all[0].slot, r);
    return true;
  }

  // Order and length of the leap after one that was accepted.
  void go_on_from(Member<T>& member, const Node& ahead, const Solution& foretold, double ratio,
                  const Context& context) {
    const auto errors = outputs_.extrapolation_errors(ahead, sum_of_nodes(foretold.moments, N_), 1);
    const auto steps = double(front_ - start_);
    outputs_.past.push(ahead);
    if (foretold.iterations > kPatience) renew_basis(member, context);
    length_ = steps * std::clamp(outputs_.past.choose_order(ratio, errors), 0.2, 2.0);
  }

  bool reject(Member<T>& member, Index steps, double factor) {
    member.engine->restore();
    length_ = double(steps) * factor;
    outputs_.past.forget_free_slot();
    since_ = 0;
    return false;
  }

  // A leap that does not leave a crumb before the end of the run.
  Index fitted() const {
    const Index left = descent_.steps - front_;
    if (length_ >= double(left)) return left;
    const auto steps = static_cast<Index>(length_);
    return steps > left / 2 ? (left + 1) / 2 : steps;
  }

  // Back from the front by the polynomials through all points of the last leap, its end among them;
  // where those do not foretell the outputs there, by the leap's own, which its end agreed with.
  void interpolate(Member<T>& member, Index step, const Context& context) {
    moved_ = true;
    if (step >= front_) {
      member.engine->move({}, context);
      ++member.evaluations;
      return;
    }
    const Nodes all = outputs_.past.newest(last_order_ + 1);
    const double error = move_back(member, step, all, context);
    if (error <= 1 || corrects_) return;
    const double other = move_back(member, step, {all.begin() + 1, all.end()}, context);
    if (error < other) move_back(member, step, all, context);
  }

  // The error of the outputs there, beside what is allowed.
  double move_back(Member<T>& member, Index step, const Nodes& nodes, const Context& context) {
    const double tolerated =
        kSafety * descent_.rtol * double(front_ - start_) / double(front_) * norm(r_) + rounding_;
    const Solution there =
        solve(member, nodes, start_, step - start_, start_r_, tolerated, context);
    const Solution rest = solve(member, nodes, step, front_ - step, there.r, tolerated, context);
    member.engine->move(move_along<T>(nodes, rest.moments, h_, -1, false), context);
    ++member.evaluations;
    return norm(difference(member.residual(), there.r)) /
           (kSafety * descent_.rtol * norm(there.r) + rounding_);
  }

  Solution solve(Member<T>& member, const Nodes& nodes, Index from, Index steps,
                 const std::vector<double>& r, double tolerated, const Context& context) {
    Solution solution = outputs_.solve(nodes, from, steps, r, kAccuracy * tolerated, context);
    account_.charge(member, solution.flop);
    return solution;
  }

  void renew_basis(Member<T>& member, const Context& context) {
    account_.charge(member, outputs_.renew_basis(context));
  }

  // A at nodes[0], where the engine's base is, with residual r. False: the next step is too long.
  bool keep_matrix(Member<T>& member, const Nodes& nodes, const std::vector<double>& r,
                   double relative, const Context& context, Part part = Part::all) {
    const auto mean = next_step_.mean(member, nodes, r, h_, relative, kScratchSlot, context);
    if (!mean) return false;
    const double steps = std::max(length_, double(shortest_));
    account_.charge(member,
                    part == Part::all
                        ? outputs_.keep(*member.engine, *mean, nodes[0], r, steps, context)
                        : outputs_.renew_strong(*member.engine, *mean, nodes[0], r, context));
    return true;
  }

  Index N_;  // outputs
  double h_;
  Descent descent_;
  Account account_;
  LeadingOutputs<T> outputs_;
  Index shortest_;  // leap: in shorter ones, steps are made
  // Every leap is made twice, the second time with its end among the points.
  bool corrects_ = outputs_.few_are_fast();
  Index front_ = 0;                  // steps done so far, in leaps or one by one
  Index start_ = 0;                  // of the last leap
  Index last_order_ = 0;             // the same's
  double length_ = 1;                // of the next leap
  double rounding_ = 0;              // of the outputs at the front
  bool moved_ = false;               // the last evaluation was by a move
  Index since_ = 0;                  // steps since the last look
  Index pause_ = shortest_pause();   // steps until the next one
  std::vector<double> r_, start_r_;  // at the front and at the start of the last leap
  std::vector<double> sum_r_;        // over the steps since the last look
  NextStep<T> next_step_;
};

}  // namespace asymfast
