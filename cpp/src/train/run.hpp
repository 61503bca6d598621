// A whole run: members step from record to record, together or one after the other.
//
// As many members as there are threads train side by side, one thread each; what is left over is
// trained member by member with all threads inside. Neither choice changes a bit of the result.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "asymfast/train.hpp"
#include "ranks.hpp"
#include "rescue.hpp"
#include "train/goals.hpp"
#include "train/recorder.hpp"

namespace asymfast {

inline constexpr Index kNoStepLimit = std::numeric_limits<Index>::max();
inline constexpr double kNoTimeLimit = std::numeric_limits<double>::infinity();

template <class T, class Method, class MemberType = Member<T>>
class Run {
 public:
  Run(const EnsembleView<T>& nets, const DataView<T>& train, const DataView<T>& test, Loss loss,
      const Recording& recording, const Goals& goals, const Hooks& hooks, const Execution& exec)
      : Run(nets, train, test, recording, goals, hooks, exec, loss,
            fleet_of(kernel_table(exec.backend), nets, train, loss),
            [&nets, &train, loss, &exec](const KernelTable& kernels, Index b, Fleet<T>* fleet) {
              const NetworkView<T> net = nets.member(b);
              const DataView<T> data = train.member(b);
              return MemberType(
                  kernels,
                  fleet ? fleet->engine(b)
                        : kernels.of<T>().make_engine(net, data.X, data.y, loss,
                                                      exec.slopes_memory / double(nets.B)),
                  net, data, loss);
            }) {}

  // The fleet, if any, steps all members; make_member(kernels, b, fleet) makes one of its members,
  // or one by itself.
  Run(const EnsembleView<T>& nets, const DataView<T>& train, const DataView<T>& test,
      const Recording& recording, const Goals& goals, const Hooks& hooks, const Execution& exec,
      Loss loss, std::unique_ptr<Fleet<T>> fleet,
      std::function<MemberType(const KernelTable&, Index, Fleet<T>*)> make_member)
      : nets_(nets),
        train_(train),
        goals_(goals),
        hooks_(hooks),
        kernels_(kernel_table(exec.backend)),
        threads_(team_size(exec.threads)),
        slopes_memory_(exec.slopes_memory / double(nets.B)),
        fleet_(std::move(fleet)),
        make_member_(std::move(make_member)),
        watch_([this] { return poll(); }, bool(hooks.sum_over_ranks)),
        ranks_(hooks.sum_over_ranks, watch_),
        recorder_(nets, train, test, loss, recording, kernels_, result_) {
    for (Index b = 0; b < nets.B; ++b) members_.push_back(make_member_(kernels_, b, fleet_.get()));
  }

  // make_method(b) for each member, which stands at the start;
  // stability: the largest h eig_max of the method.
  template <class MakeMethod>
  RunResult<T> operator()(double stability, MakeMethod&& make_method) {
    for_members([&](Index b, const Context& context) {
      member(b).start(context);
      recorder_.keep_initial_ntg(b, context);
    });
    for (Index b = 0; b < nets_.B && !watch_.stopped(); ++b) methods_.push_back(make_method(b));
    if (!watch_.stopped() && resume()) loop();
    watch_.rethrow();
    finish(stability);
    return std::move(result_);
  }

  // Of the loss' Gauss-Newton matrix at the start of member b.
  double eig_max(Index b) { return member(b).curvature(context(threads_)); }

  // Of all ranks.
  Index nodes() {
    double m = double(nets_.m);
    ranks_.sum(&m, 1);
    return Index(m);
  }

 private:
  using Clock = Watch::Clock;
  static constexpr auto kSlice = std::chrono::milliseconds(50);

  // Asked by the watch; false: the kernels return at once. With checkpoints, an interrupted run
  // completes the steps in progress first, so that its state can be kept; a second interrupt does
  // not wait for them.
  bool poll() {
    if (!hooks_.pulse || hooks_.pulse(fraction_, current_loss_)) return true;
    const bool again = interrupted_.exchange(true);
    if (between_steps_) return false;
    if (hooks_.checkpoints.write && !again) return true;
    torn_ = true;
    return false;
  }

  void loop() {
    between_steps_ = false;
    run_to_the_end();
    if (!interrupted_ || torn_ || lost_) return;
    drop_incomplete_row();  // a resumed run makes this record again
    keep_state();
  }

  void run_to_the_end() {
    if (!started_) {
      if (goals_.wants_the_start() && !record()) return;
      started_ = true;
      if (!keep_state()) return;
    }
    while (under_way_ || !(at_the_end() || stops())) {
      if (!under_way_) goal_ = goals_.after(first_running()->step, first_running()->time);
      under_way_ = true;
      const bool all_there = advance_to(goal_);
      if (watch_.stopped() || lost_ || interrupted_) return;
      if (!all_there) return end_here();
      if (!record()) return;
      under_way_ = false;
      if (time_is_up() && !at_the_end()) return end_here();
      if (Clock::now() >= checkpoint_due_ && !keep_state()) return;
    }
    keep_state();
  }

  // Short slices, so that the owner of the watch is never long away from it. False: interrupted, or
  // the time is up before all members have reached the goal.
  bool advance_to(const Goal& goal) {
    if (marches()) return march_to(goal);
    const auto slice = std::min<Clock::duration>(kSlice, checkpoint_interval());
    std::atomic<bool> all_there{false};
    while (!all_there && !watch_.stopped()) {
      all_there = true;
      const auto deadline = Clock::now() + slice;
      for_members([&](Index b, const Context& context) {
        while (!member(b).diverged && !methods_[std::size_t(b)].step(member(b), goal, context)) {
          if (watch_.stopped()) return;
          if (b == 0) publish(member(b));
          if (interrupted_ || Clock::now() > deadline) {
            all_there = false;
            return;
          }
        }
      });
      if (watch_.stopped()) return false;
      if (all_there) return true;
      if (interrupted_ || time_is_up()) return false;
      if (Clock::now() >= checkpoint_due_ && !keep_state()) return false;
    }
    return all_there;
  }

  // The same with all members at once, in marches of about a slice.
  bool march_to(const Goal& goal) {
    std::vector<Marcher> marchers(members_.size());
    while (const MemberType* front = first_running()) {
      const auto of_front = static_cast<Index>(front - members_.data());
      const Index left = methods_[std::size_t(of_front)].steps_to(member(of_front), goal);
      if (left == 0) return true;
      March march;
      march.steps = std::min(left, march_steps_);
      for (Index b = 0; b < nets_.B; ++b) {
        MemberType& one = member(b);
        marchers[std::size_t(b)] = {!one.diverged, one.loss_limit, one.last_loss, 0, 0};
        if (one.diverged) continue;
        methods_[std::size_t(b)].plan(one, b, goal, march);
      }
      const auto start = Clock::now();
      fleet_->march(march, marchers, [this] { settle(); });
      const auto took = Clock::now() - start;
      if (took < kSlice / 2 && march.steps == march_steps_) march_steps_ *= 2;
      if (took > kSlice) march_steps_ = std::max<Index>(1, march_steps_ / 2);
      for (Index b = 0; b < nets_.B; ++b)
        if (!member(b).diverged)
          methods_[std::size_t(b)].marched(member(b), marchers[std::size_t(b)]);
      publish(member(0));
      watch_.tick();
      if (watch_.stopped()) return false;
      if (methods_[std::size_t(of_front)].steps_to(member(of_front), goal) == 0 &&
          !member(of_front).diverged)
        return true;
      if (interrupted_ || time_is_up()) return false;
      if (Clock::now() >= checkpoint_due_ && !keep_state()) return false;
    }
    return true;
  }

  // Members on the way to the last record get a little more: one of them may be far behind.
  bool time_is_up() const {
    const double limit = hooks_.stop.wall_seconds;
    return Clock::now() - start_ > seconds(closing_ ? 1.1 * limit + 5 : limit);
  }

  // The clock has run out on the way to the goal. A run that is taken up again goes on from here,
  // where it would have been without the closing record, for which members must meet.
  void end_here() {
    if (!keep_state()) return;
    result_.stopped_by = "wall_seconds";
    closing_ = true;
    if (!first_running()) return;
    if (!advance_to({goal_.leg_end, farthest([](const MemberType& m) { return m.step; })})) return;
    if (!first_running()) return;
    // Members that choose their own steps stand at different times even so.
    const double time = farthest([](const MemberType& m) { return m.time; });
    const auto behind = [=](const MemberType& m) { return !m.diverged && m.time < time; };
    if (std::any_of(members_.begin(), members_.end(), behind) && !advance_to({time, kNoStepLimit}))
      return;
    if (!(recorded_ && time == last_time_)) record();
  }

  bool marches() const { return fleet_ && methods_.front().marches(); }

  // Makes a record. False: the run is to end here.
  bool record() {
    if (!settle()) return false;
    between_steps_ = true;
    const bool measured = measure_row();
    between_steps_ = false;
    if (!measured) return false;
    if (!first_running()) return true;
    unsettled_ = true;
    if (!marches() && !settle()) return false;
    started_ = recorded_ = true;
    under_way_ = false;
    return publish_row();
  }

  // False: interrupted; the row is then incomplete.
  bool measure_row() {
    for_members([&](Index b, const Context& context) {
      member(b).look(context);
      if (!member(b).diverged) member(b).diverged = !recorder_.take_weights(b, member(b));
    });
    if (watch_.stopped()) return false;
    if (!first_running()) return true;
    recorder_.open_row(members_, rows());
    for_members([&](Index b, const Context& context) {
      if (member(b).diverged) return;
      recorder_.measure(b, member(b), train_.member(b), context);
      if (!marches()) recorder_.judge_ntg(b, context);
    });
    return !watch_.stopped();
  }

  // Shows the last row to the callback. False: the run is to end here.
  bool publish_row() {
    last_time_ = rows().time.back();
    last_loss_.assign(rows().loss.end() - nets_.B, rows().loss.end());
    const Snapshot snapshot{
        Index(*(rows().steps.end() - nets_.B)), last_time_, last_loss_.data(),
        rows().test_loss.empty() ? nullptr : &*(rows().test_loss.end() - nets_.B)};
    if (ranks_.any(hooks_.on_record && !hooks_.on_record(snapshot))) {
      result_.stopped_by = "callback";
      if (!watch_.stopped()) keep_state();
      return false;
    }
    if (watch_.stopped()) return false;
    return bytes_in_rows() <= hooks_.rows_bytes || (settle() && hand_rows_over());
  }

  // Completes the last row. What the CPU has to say of it may wait until a device is busy with the
  // steps that follow. False: interrupted.
  bool settle() {
    if (!unsettled_) return true;
    if (marches())
      for_members([&](Index b, const Context& context) { recorder_.judge_ntg(b, context); });
    if (watch_.stopped()) return false;
    unsettled_ = false;
    ++complete_rows_;
    recorder_.close_row();
    return true;
  }

  // What `stop` says of the last record.
  bool stops() {
    if (!recorded_) return false;
    const auto low = [this](double loss) { return !(loss > hooks_.stop.loss); };  // NaN: diverged
    if (std::all_of(last_loss_.begin(), last_loss_.end(), low))
      result_.stopped_by = "loss";
    else if (last_time_ >= hooks_.stop.time)
      result_.stopped_by = "time";
    return *result_.stopped_by != '\0';
  }

  bool at_the_end() const {
    const MemberType* front = first_running();
    return !front || goals_.is_the_end(front->step, front->time);
  }

  // ---- what is kept

  void serialise(Archive& archive) {
    Fields fields(archive);
    const std::vector<std::size_t> widths = column_widths();
    for (Index b = 0; b < nets_.B; ++b) {
      member(b).serialise(fields, goals_.last_step(), goals_.t_end());
      methods_[std::size_t(b)].serialise(fields, member(b));
    }
    archive(complete_rows_);
    auto width = widths.begin();
    rows().for_columns([&](const char*, auto& column) {
      archive(column);
      archive.require(column.size() == *width++ * complete_rows_);
    });
    archive.array(result_.W.data(), static_cast<Index>(result_.W.size()));
    archive.array(result_.a.data(), static_cast<Index>(result_.a.size()));
    const auto finite = [](T weight) { return std::isfinite(weight); };
    archive.require(std::all_of(result_.W.begin(), result_.W.end(), finite));
    archive.require(std::all_of(result_.a.begin(), result_.a.end(), finite));
    fields(started_), fields(recorded_), fields(last_time_, 0.0, goals_.t_end());
    last_loss_.resize(static_cast<std::size_t>(nets_.B));
    archive.array(last_loss_.data(), nets_.B);
    fields(under_way_), fields(goal_.leg_end, 0.0, goals_.t_end());
    fields(goal_.step, Index(0), goals_.last_step());
    archive.end();
  }

  // Elements of a row of each column.
  std::vector<std::size_t> column_widths() {
    Rows<T> one;
    recorder_.open_row(members_, one);
    std::vector<std::size_t> widths;
    one.for_columns([&](const char*, auto& column) { widths.push_back(column.size()); });
    return widths;
  }

  // Takes up where a checkpoint was made. False: interrupted.
  bool resume() {
    if (hooks_.checkpoints.resume_from.empty()) return true;
    Archive archive(hooks_.checkpoints.resume_from);
    serialise(archive);
    recorder_.resume();
    for_members([&](Index b, const Context& context) {
      if (member(b).diverged) return;
      member(b).resume(context);
      methods_[std::size_t(b)].resume(member(b), context);
    });
    publish(member(0));
    return !watch_.stopped();
  }

  // Between two steps: a checkpoint, if anybody wants one. False: the run is to end here.
  bool keep_state() {
    if (!hooks_.checkpoints.write || closing_) return true;
    if (!settle() || !hand_rows_over()) return false;
    std::string text;
    Archive archive(text);
    serialise(archive);
    const bool kept = hooks_.checkpoints.write(text);
    checkpoint_due_ = Clock::now() + checkpoint_interval();
    if (!kept) lost_ = true;
    return kept;
  }

  std::size_t bytes_in_rows() {
    std::size_t sum = 0;
    rows().for_columns(
        [&](const char*, auto& column) { sum += column.size() * sizeof(column[0]); });
    return sum;
  }

  // False: they could not be taken.
  bool hand_rows_over() {
    if (!hooks_.take_rows || complete_rows_ == 0) return true;
    std::vector<Column> columns;
    rows().for_columns([&](const char* name, auto& column) {
      columns.push_back({name, column.data(), column.size() * sizeof(column[0])});
    });
    if (!hooks_.take_rows(columns)) {
      lost_ = true;
      return false;
    }
    rows().for_columns([](const char*, auto& column) { column.clear(); });
    complete_rows_ = 0;
    return true;
  }

  // ---- members

  static std::unique_ptr<Fleet<T>> fleet_of(const KernelTable& kernels, const EnsembleView<T>& nets,
                                            const DataView<T>& train, Loss loss) {
    const auto make_fleet = kernels.of<T>().make_fleet;
    return make_fleet ? make_fleet(nets, train, loss) : nullptr;
  }

  template <class Work>
  void for_members(Work&& work) {
    const Index together = threads_ > 1 ? nets_.B / threads_ * threads_ : 0;
    Rescue rescue;
#pragma omp parallel for schedule(dynamic) num_threads(threads_) if (together > 0)
    for (Index b = 0; b < together; ++b) {
      watch_.tick();
      rescue([&] { work(b, context(1)); });
    }
    rescue.rethrow();
    for (Index b = together; b < nets_.B; ++b) {
      watch_.tick();
      work(b, context(threads_));
    }
  }

  Context context(int threads) { return {threads, watch_, slopes_memory_, &ranks_}; }

  MemberType& member(Index b) { return members_[std::size_t(b)]; }
  Rows<T>& rows() { return result_; }

  const MemberType* first_running() const {
    for (const MemberType& member : members_)
      if (!member.diverged) return &member;
    return nullptr;
  }

  // The largest value among the running members.
  template <class Of>
  auto farthest(Of of) const {
    auto most = of(*first_running());
    for (const MemberType& member : members_)
      if (!member.diverged) most = std::max(most, of(member));
    return most;
  }

  void publish(const MemberType& member) {
    fraction_ = goals_.fraction(member.step, member.time);
    current_loss_ = member.engine->loss();
  }

  static Clock::duration seconds(double count) {
    constexpr double kLongest = 1e9;  // 30 years; beyond 290 the clock's own count overflows
    return std::chrono::duration_cast<Clock::duration>(
        std::chrono::duration<double>(std::min(count, kLongest)));
  }

  Clock::duration checkpoint_interval() const {
    return hooks_.checkpoints.write ? std::max<Clock::duration>(seconds(hooks_.checkpoints.every),
                                                                std::chrono::milliseconds(1))
                                    : seconds(kNoTimeLimit);
  }

  // ---- the end

  void finish(double stability) {
    if (!watch_.stopped()) settle();
    drop_incomplete_row();
    if (!lost_) hand_rows_over();
    for (Index b = 0; b < nets_.B; ++b) {
      result_.diverged.push_back(member(b).diverged);
      if (!member(b).diverged || result_.diverged_step >= 0) continue;
      result_.diverged_step = member(b).step;
      result_.last_loss = member(b).last_loss;
      if (!watch_.stopped() && !interrupted_) result_.step_bound = bound_of(b, stability);
    }
    const bool interrupted = watch_.stopped() || interrupted_ || lost_;
    result_.status = interrupted                   ? Status::interrupted
                     : result_.diverged_step >= 0  ? Status::diverged
                     : *result_.stopped_by != '\0' ? Status::stopped
                                                   : Status::finished;
  }

  // A fresh engine at the initial weights: the member's own has left them.
  double bound_of(Index b, double stability) {
    return stability / (1.01 * make_member_(kernels_, b, nullptr).curvature(context(threads_)));
  }

  // An interrupted measurement leaves a row half filled.
  void drop_incomplete_row() {
    const std::size_t count = rows().time.size();
    if (count == 0) return;
    rows().for_columns(
        [&](const char*, auto& column) { column.resize(column.size() / count * complete_rows_); });
  }

  const EnsembleView<T>& nets_;
  const DataView<T>& train_;
  const Goals& goals_;
  const Hooks& hooks_;
  const KernelTable& kernels_;
  int threads_;
  double slopes_memory_;  // of one member
  std::unique_ptr<Fleet<T>> fleet_;
  std::function<MemberType(const KernelTable&, Index, Fleet<T>*)> make_member_;
  std::atomic<double> fraction_{0}, current_loss_{0};
  Watch watch_;
  Ranks ranks_;
  RunResult<T> result_;
  Recorder<T> recorder_;
  std::vector<MemberType> members_;
  std::vector<Method> methods_;

  std::size_t complete_rows_ = 0;  // that are in memory
  bool unsettled_ = false;         // there is one more
  bool started_ = false;           // the record of the start is made, if it was wanted
  Goal goal_{0, 0};                // the next record, if it is
  bool under_way_ = false;
  bool recorded_ = false;  // there is a last record, with
  double last_time_ = 0;
  std::vector<double> last_loss_;

  const Clock::time_point start_ = Clock::now();
  Clock::time_point checkpoint_due_ = start_ + checkpoint_interval();
  std::atomic<bool> interrupted_{false};  // by `pulse`
  bool between_steps_ = true;             // the state is that after whole steps
  bool torn_ = false;                     // a step was abandoned: the state is lost
  bool closing_ = false;    // on the way to the last record of a run that the clock ended
  bool lost_ = false;       // rows or state could not be kept
  Index march_steps_ = 16;  // that took about a slice
};

}  // namespace asymfast
