// States of interrupted runs, altered and resumed: each is refused, or the run ends with finite
// numbers; never a crash, a hang or unbounded memory.
//
//   asymfast_fuzz_states [inputs [seed [anything: names each input before it is tried]]]
//
// The harness defines the functions of Archive itself, so that it knows where every field of a
// state lies: numbers, lengths and arrays are altered one by one, and no mutation is noise that the
// first check would find.
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <limits>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include "archive.hpp"
#include "check.hpp"

// ---- memory: no input may ask for more than a small problem needs

namespace {

constexpr std::size_t kMostBytes = std::size_t(1) << 26;
std::size_t largest_request = 0;

void* allocate(std::size_t size) {
  if (size > largest_request) largest_request = size;
  void* memory = size <= kMostBytes ? std::malloc(size > 0 ? size : 1) : nullptr;
  if (!memory) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(std::size_t size) {
  return allocate(size);
}
void* operator new[](std::size_t size) {
  return allocate(size);
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {  // std::stable_sort's
  try {
    return allocate(size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}

// ---- the fields of a state

namespace {

struct Field {
  enum Kind { number, length, array } kind;
  std::size_t offset, bytes;
};
std::vector<Field> fields;
Field::Kind next_kind = Field::number;

}  // namespace

namespace asymfast {

void Archive::bytes(void* data, std::size_t count) {
  if (out_) {
    const Field::Kind kind = next_kind == Field::number && count > 8 ? Field::array : next_kind;
    if (count > 0) fields.push_back({kind, out_->size(), count});
    out_->append(static_cast<const char*>(data), count);
    return;
  }
  if (count > in_.size()) refuse();
  if (count > 0) std::memcpy(data, in_.data(), count);
  in_.remove_prefix(count);
}

std::size_t Archive::counted(std::size_t count, std::size_t element_size) {
  auto stored = static_cast<std::uint64_t>(count);
  next_kind = Field::length;
  bytes(&stored, sizeof stored);
  next_kind = Field::number;
  if (reading() && stored > in_.size() / element_size) refuse();
  return static_cast<std::size_t>(stored);
}

void Archive::refuse() {
  throw std::invalid_argument("the state does not fit this run");
}

}  // namespace asymfast

namespace {

using namespace asymfast;

// ---- the trainers

struct State {
  std::string bytes;
  std::vector<Field> fields;
};

class Trainer {
 public:
  Trainer(std::string trainer_name) : name(std::move(trainer_name)) {}
  virtual ~Trainer() = default;

  // Keeps the state after each of the first records.
  virtual void collect() = 0;
  // False: the state was refused. Throws std::runtime_error if the run was not as it must be.
  virtual bool resume(std::string_view state) const = 0;

  std::string name;
  std::vector<State> states;
  std::int64_t accepted = 0, refused = 0;
};

template <class T>
class TrainerOf : public Trainer {
 public:
  using Train = std::function<RunResult<T>(const check::Problem<T>&, const Hooks&)>;

  TrainerOf(std::string trainer_name, Index members, Activation activation, Train train,
            Index n = 3, Index m = 4)
      : Trainer(std::move(trainer_name) + (sizeof(T) == 4 ? ", float" : ", double") +
                (members > 1 ? ", ensemble" : "")),
        problem_(members, n, 2, m, 1, activation),
        train_(std::move(train)) {}

  void collect() override {
    for (int stop = 1; stop <= 3; ++stop) {
      Hooks hooks;
      int records = 0;
      State state;
      hooks.on_record = [&](const Snapshot&) { return ++records < stop; };
      hooks.checkpoints.write = [&](std::string_view bytes) {
        state = {std::string(bytes), std::exchange(fields, {})};
        return true;
      };
      fields.clear();
      train_(problem_, hooks);
      states.push_back(std::move(state));
    }
  }

  bool resume(std::string_view state) const override {
    constexpr int kMostPulses = 400;  // about 20 s
    Hooks hooks;
    int pulses = 0;
    hooks.pulse = [&](double, double) { return ++pulses < kMostPulses; };
    hooks.checkpoints.resume_from = state;
    try {
      const RunResult<T> run = train_(problem_, hooks);
      if (run.status == Status::interrupted) throw std::runtime_error("the run does not end");
      for (const auto* weights : {&run.W, &run.a})
        for (const T weight : *weights)
          if (!std::isfinite(weight)) throw std::runtime_error("weights that are not finite");
      return true;
    } catch (const std::invalid_argument&) {
      return false;
    }
  }

 private:
  check::Problem<T> problem_;
  Train train_;
};

using Trainers = std::vector<std::unique_ptr<Trainer>>;

Recording recording_of(Index samples) {
  Recording recording;
  for (Index i = 0; i < samples; ++i) recording.ntg_on.push_back(i);
  recording.alignment = recording.weights = true;
  recording.top_nodes = 2;
  return recording;
}

template <class T>
void add_descents(Trainers& all, Index members, Execution exec) {
  for (const DescentMethod method : {DescentMethod::step, DescentMethod::leap})
    all.push_back(std::make_unique<TrainerOf<T>>(
        "descent by " + std::string(name_of(method)), members, Activation::tanh,
        [=](const auto& problem, const Hooks& hooks) {
          const bool leaps = method == DescentMethod::leap;
          Recording recording = recording_of(2);
          recording.schedule.every = leaps ? 400 : 3;
          return gradient_descent(problem.training(Loss::half_sse, recording, hooks, exec),
                                  {leaps ? 0.001 : 0.1, leaps ? 2000 : 12, method, 1e-4});
        }));
}

// Above 200 outputs only the leading directions of the small problem are kept.
void add_leading_outputs(Trainers& all, Execution exec) {
  all.push_back(std::make_unique<TrainerOf<double>>(
      "descent by leap, 230 outputs", 1, Activation::tanh,
      [=](const auto& problem, const Hooks& hooks) {
        Recording recording = recording_of(2);
        recording.schedule.every = 4000;
        return gradient_descent(problem.training(Loss::half_sse, recording, hooks, exec),
                                {2e-5, 20'000, DescentMethod::leap, 1e-4});
      },
      230, 8));
}

template <class T>
void add_flows(Trainers& all, Index members, Execution exec) {
  for (const FlowMethod method :
       {FlowMethod::automatic, FlowMethod::rk4, FlowMethod::dopri5, FlowMethod::tangent})
    for (const Activation activation : {Activation::swish, Activation::relu}) {
      const bool fixed = method == FlowMethod::automatic;
      if (activation == Activation::relu && method == FlowMethod::tangent) continue;
      all.push_back(std::make_unique<TrainerOf<T>>(
          std::string(fixed ? "equal steps" : name_of(method)) + " " +
              std::string(name_of(activation)),
          members, activation, [=](const auto& problem, const Hooks& hooks) {
            Recording recording = recording_of(2);
            recording.schedule.times = {0.0, 0.1, 0.3, 0.5};
            return gradient_flow(problem.training(Loss::half_sse, recording, hooks, exec),
                                 {method, 0.6, fixed ? 0.05 : 0, 1e-3});
          }));
    }
}

template <class T>
void add_sgd(Trainers& all, Index members, Execution exec) {
  for (const bool both : {false, true})
    all.push_back(std::make_unique<TrainerOf<T>>(
        both ? "sgd, both layers" : "sgd", members, Activation::swish,
        [=](const auto& problem, const Hooks& hooks) {
          Recording recording = recording_of(2);
          recording.schedule.every = 3;
          Sgd settings{{0.1}, 6, 2, both, {}};
          for (Index b = 0; b < problem.B; ++b) settings.keys.push_back(unsigned(b));
          return sgd(problem.training(Loss::mse, recording, hooks, exec), settings);
        }));
}

Trainers all_trainers() {
  Trainers all;
  const Execution plain{Backend::reference, 1}, fast{Backend::cpu, 1};
  add_descents<double>(all, 1, plain), add_descents<float>(all, 2, fast);
  add_flows<double>(all, 1, plain), add_flows<float>(all, 1, fast), add_flows<double>(all, 2, fast);
  add_sgd<double>(all, 1, plain), add_sgd<float>(all, 2, fast);
  add_leading_outputs(all, fast);
  for (const auto& trainer : all) trainer->collect();
  return all;
}

// ---- mutations

class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed) {}

  std::size_t below(std::size_t count) { return std::size_t(random_() % count); }

  // A state of the trainer with one to three fields altered, or cut, or joined to another one.
  std::string operator()(const Trainer& trainer) {
    const State& state = trainer.states[below(trainer.states.size())];
    std::string bytes = state.bytes;
    const std::size_t edits = 1 + below(3);
    for (std::size_t i = 0; i < edits; ++i) alter(bytes, state.fields[below(state.fields.size())]);
    if (below(20) == 0) return cut_or_join(bytes, state, trainer);
    if (below(10) == 0) resize(bytes, state);
    return bytes;
  }

 private:
  void alter(std::string& bytes, const Field& field) {
    if (field.offset + field.bytes > bytes.size()) return;
    char* at = &bytes[field.offset];
    if (field.kind != Field::array) return alter_number(at, field.bytes, field.kind);
    const std::size_t element = below(2) ? 8 : 4;
    const std::size_t count = field.bytes / element;
    if (count > 0) alter_number(at + below(count) * element, element, Field::number);
  }

  void alter_number(char* at, std::size_t size, Field::Kind kind) {
    if (size == 1) {
      *at = char(below(4) ? below(2) : below(256));
    } else if (size == 4) {
      const float value = float(real());
      std::memcpy(at, &value, 4);
    } else if (below(8) == 0) {  // a bit
      at[below(size)] ^= char(1u << below(8));
    } else if (kind == Field::length || looks_like_an_integer(at)) {
      const std::int64_t value = integer(at);
      std::memcpy(at, &value, 8);
    } else {
      const double value = real_near(at);
      std::memcpy(at, &value, 8);
    }
  }

  static bool looks_like_an_integer(const char* at) {
    std::int64_t value;
    std::memcpy(&value, at, 8);
    return value != 0 && value > -1'000'000 && value < 1'000'000;
  }

  std::int64_t integer(const char* at) {
    constexpr std::int64_t kValues[] = {-3,
                                        -1,
                                        0,
                                        1,
                                        2,
                                        3,
                                        5,
                                        7,
                                        8,
                                        9,
                                        10,
                                        11,
                                        50,
                                        1'000'000,
                                        std::int64_t(1) << 32,
                                        std::int64_t(1) << 61,
                                        std::numeric_limits<std::int64_t>::max(),
                                        std::numeric_limits<std::int64_t>::min()};
    std::int64_t value;
    std::memcpy(&value, at, 8);
    if (below(3) == 0) return std::int64_t(std::uint64_t(value) + (below(2) ? 1u : ~0ull));
    return kValues[below(sizeof kValues / sizeof *kValues)];
  }

  double real() {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    constexpr double kValues[] = {std::numeric_limits<double>::quiet_NaN(),
                                  kInfinity,
                                  -kInfinity,
                                  0.0,
                                  -1.0,
                                  1e-320,
                                  1e-300,
                                  1e-100,
                                  1e-14,
                                  1e-3,
                                  0.1,
                                  0.3,
                                  0.5,
                                  0.6,
                                  1.0,
                                  7.0,
                                  1e14,
                                  1e38,
                                  1e100,
                                  1e300,
                                  -1e300};
    return kValues[below(sizeof kValues / sizeof *kValues)];
  }

  double real_near(const char* at) {
    double value;
    std::memcpy(&value, at, 8);
    switch (below(4)) {
      case 0: return value * (0.5 + double(below(1000)) / 1000);
      case 1: return value * (1 + 1e-15 * double(below(9)));
      case 2: return double(below(1000)) / 1000;
      default: return real();
    }
  }

  // An array with more or fewer elements, and its length with them.
  void resize(std::string& bytes, const State& state) {
    const std::size_t i = below(state.fields.size());
    const Field& length = state.fields[i];
    if (length.kind != Field::length || i + 1 == state.fields.size()) return;
    const Field& array = state.fields[i + 1];
    if (array.offset + array.bytes > bytes.size()) return;
    std::uint64_t count;
    std::memcpy(&count, &bytes[length.offset], 8);
    const std::uint64_t removed = below(4);
    if (count <= removed || array.bytes % count != 0) return;
    const std::size_t element = array.bytes / count;
    if (below(2)) {
      bytes.erase(array.offset, removed * element), count -= removed;
    } else {
      bytes.insert(array.offset, bytes.substr(array.offset, removed * element)), count += removed;
    }
    std::memcpy(&bytes[length.offset], &count, 8);
  }

  std::string cut_or_join(const std::string& bytes, const State& state, const Trainer& trainer) {
    const std::size_t at = state.fields[below(state.fields.size())].offset;
    switch (below(3)) {
      case 0: return bytes.substr(0, std::min(at, bytes.size()));
      case 1: return bytes + bytes.substr(std::min(at, bytes.size()));
      default: {
        const State& other = trainer.states[below(trainer.states.size())];
        const std::size_t from = other.fields[below(other.fields.size())].offset;
        return bytes.substr(0, std::min(at, bytes.size())) + other.bytes.substr(from);
      }
    }
  }

  std::mt19937_64 random_;
};

// Ends the program with what is needed to try the input again.
[[noreturn]] void fail(const Trainer& trainer, std::uint64_t seed, std::int64_t input,
                       const char* what) {
  std::printf("%s, seed %llu, input %lld: %s\n", trainer.name.c_str(),
              static_cast<unsigned long long>(seed), static_cast<long long>(input), what);
  std::fflush(stdout);
  std::_Exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  const std::int64_t inputs = argc > 1 ? std::strtoll(argv[1], nullptr, 10) : 20'000;
  const std::uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  Trainers all = all_trainers();
  for (const auto& trainer : all)
    for (const State& state : trainer->states)
      check::expect(trainer->resume(state.bytes), (trainer->name + ": its own state").c_str());
  const bool verbose = argc > 3;
  for (std::int64_t i = 0; i < inputs; ++i) {
    Mutator mutate(seed * 1'000'003 + std::uint64_t(i));  // each input by itself
    Trainer& trainer = *all[std::size_t(i) % all.size()];
    if (verbose) std::printf("%lld %s\n", static_cast<long long>(i), trainer.name.c_str());
    if (verbose) std::fflush(stdout);
    const std::string state = mutate(trainer);
    try {
      trainer.resume(state) ? ++trainer.accepted : ++trainer.refused;
    } catch (const std::exception& error) {
      fail(trainer, seed, i, error.what());
    }
  }
  std::int64_t accepted = 0, refused = 0;
  for (const auto& trainer : all) {
    std::printf("%-32s accepted %8lld, refused %8lld\n", trainer->name.c_str(),
                static_cast<long long>(trainer->accepted),
                static_cast<long long>(trainer->refused));
    accepted += trainer->accepted, refused += trainer->refused;
    if (inputs >= 100 * std::int64_t(all.size()))
      check::expect(trainer->accepted >= (trainer->accepted + trainer->refused) / 20 &&
                        trainer->refused >= (trainer->accepted + trainer->refused) / 20,
                    (trainer->name + ": a twentieth accepted, a twentieth refused").c_str());
  }
  std::printf("%lld accepted, %lld refused; largest request of memory %zu bytes\n",
              static_cast<long long>(accepted), static_cast<long long>(refused), largest_request);
  return check::summary("states");
}
