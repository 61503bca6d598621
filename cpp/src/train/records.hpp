// The rows of a run's record: measured at a goal, completed, shown to the caller, handed over.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "asymfast/snapshot.hpp"
#include "asymfast/train.hpp"
#include "train/recorder.hpp"
#include "train/stepping.hpp"

namespace asymfast {

template <class T, class Member>
class Records {
 public:
  Records(const Training<T>& training, Watch& watch, Ranks& ranks, RunResult<T>& result)
      : B_(training.nets.B),
        hooks_(training.hooks),
        watch_(watch),
        ranks_(ranks),
        result_(result),
        recorder_(training, result) {}

  bool any() const { return any_; }  // has been recorded, in this call or before it was resumed
  double last_time() const { return last_time_; }
  bool lost() const { return lost_; }  // rows could not be handed over

  // NTG_0, from which its change is measured.
  void keep_initial_ntg(Index b, const Context& context) { recorder_.keep_initial_ntg(b, context); }

  // Measures all members; those whose weights are not finite have diverged. False: interrupted, and
  // the row is incomplete.
  bool measure(Stepping<T, Member>& stepping) {
    stepping.for_members([&](Index b, const Context& context) {
      Member& member = stepping.member(b);
      member.evaluate_for_record(context);
      if (!member.diverged) member.diverged = !recorder_.take_weights(b, member);
    });
    if (watch_.stopped()) return false;
    if (!stepping.first_running()) return true;
    recorder_.open_row(stepping.members(), rows());
    stepping.for_members([&](Index b, const Context& context) {
      if (stepping.member(b).diverged) return;
      recorder_.measure(b, stepping.member(b), context);
      if (!stepping.side_by_side()) recorder_.measure_spectrum(b, context);
    });
    if (watch_.stopped()) return false;
    row_is_open_ = true;
    if (!stepping.side_by_side() && !finish_row(stepping)) return false;
    any_ = true;
    last_time_ = rows().time.back();
    last_loss_.assign(rows().loss.end() - B_, rows().loss.end());
    return true;
  }

  // Completes the last row. What the CPU has to do for it may wait until a device is busy with the
  // steps that follow. False: interrupted.
  bool finish_row(Stepping<T, Member>& stepping) {
    if (!row_is_open_) return true;
    if (stepping.side_by_side())
      stepping.for_members(
          [&](Index b, const Context& context) { recorder_.measure_spectrum(b, context); });
    if (watch_.stopped()) return false;
    row_is_open_ = false;
    ++complete_rows_;
    recorder_.close_row();
    return true;
  }

  // Shows the last row to the callback. False: the run is to end here.
  bool show_last() {
    const Snapshot numbers{Index(*(rows().steps.end() - B_)), last_time_, last_loss_.data(),
                           rows().test_loss.empty() ? nullptr : &*(rows().test_loss.end() - B_)};
    const WeightsSnapshot<T> snapshot{numbers, recorder_.taken_W(), recorder_.taken_a()};
    if (!ranks_.any(hooks_.on_record && !hooks_.on_record(snapshot))) return true;
    result_.stopped_by = "callback";
    return false;
  }

  // Whether `stop` ends the run at the last record.
  bool stops() {
    if (!any_) return false;
    const auto low = [this](double loss) { return !(loss > hooks_.stop.loss); };  // NaN: diverged
    if (std::all_of(last_loss_.begin(), last_loss_.end(), low))
      result_.stopped_by = "loss";
    else if (last_time_ >= hooks_.stop.time)
      result_.stopped_by = "time";
    return *result_.stopped_by != '\0';
  }

  // Whether so many rows are in memory that they are to be handed over.
  bool are_many() {
    std::size_t bytes = 0;
    rows().for_columns(
        [&](const char*, auto& column) { bytes += column.size() * sizeof(column[0]); });
    return bytes > hooks_.rows_bytes;
  }

  // Complete rows leave the memory, if anybody takes them. False: they could not be taken.
  bool hand_over() {
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

  // An interrupted measurement leaves a row half filled; a resumed run makes this record again.
  void drop_incomplete_row() {
    const std::size_t count = rows().time.size();
    if (count == 0) return;
    rows().for_columns(
        [&](const char*, auto& column) { column.resize(column.size() / count * complete_rows_); });
  }

  // The rows in memory, and the weights and losses of the last one. Of a run until t_end.
  void serialise(Archive& archive, const std::vector<Member>& members, double t_end) {
    Rows<T> one;  // for the lengths of a row's columns
    recorder_.open_row(members, one);
    std::vector<std::size_t> widths;
    one.for_columns([&](const char*, auto& column) { widths.push_back(column.size()); });
    archive(complete_rows_);
    auto width = widths.begin();
    rows().for_columns([&](const char*, auto& column) {
      archive(column);
      archive.require(column.size() == *width++ * complete_rows_);
    });
    const auto finite = [](T weight) { return std::isfinite(weight); };
    for (std::vector<T>* weights : {&result_.W, &result_.a}) {
      archive.array(weights->data(), static_cast<Index>(weights->size()));
      archive.require(std::all_of(weights->begin(), weights->end(), finite));
    }
    archive(any_), archive(last_time_, 0.0, t_end);
    last_loss_.resize(B_);
    archive.array(last_loss_.data(), B_);
    if (archive.reading()) recorder_.resume();
  }

 private:
  Rows<T>& rows() { return result_; }

  Index B_;
  const Hooks& hooks_;
  Watch& watch_;
  Ranks& ranks_;
  RunResult<T>& result_;
  Recorder<T> recorder_;
  std::size_t complete_rows_ = 0;  // that are in memory
  bool row_is_open_ = false;       // there is one more
  bool any_ = false, lost_ = false;
  double last_time_ = 0;  // of the last row, if there is any
  std::vector<double> last_loss_;
};

}  // namespace asymfast
