// The state of a run as a string of bytes. The same visit of the same variables writes it and reads
// it back, so the two cannot drift apart:
//   archive(step); archive(losses); archive.array(W, size);
// Numbers are stored as they lie in memory; every read is bounded by what is there, and a string
// that does not fit throws std::invalid_argument.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "asymfast/views.hpp"

namespace asymfast {

class Archive {
 public:
  explicit Archive(std::string& out) : out_(&out) {}
  explicit Archive(std::string_view in) : in_(in) {}

  bool reading() const noexcept { return out_ == nullptr; }

  template <class U, class = std::enable_if_t<std::is_arithmetic_v<U>>>
  void operator()(U& value) {
    bytes(&value, sizeof value);
  }

  template <class U, class = std::enable_if_t<std::is_arithmetic_v<U>>>
  void operator()(std::vector<U>& values) {
    const std::size_t count = counted(values.size(), sizeof(U));
    if (reading()) values.resize(count);
    bytes(values.data(), count * sizeof(U));
  }

  // An array whose size the writer and the reader both know.
  template <class U>
  void array(U* data, Index size) {
    if (counted(static_cast<std::size_t>(size), sizeof(U)) != static_cast<std::size_t>(size))
      refuse();
    bytes(data, static_cast<std::size_t>(size) * sizeof(U));
  }

  // To be called when everything has been read.
  void end() const { require(in_.empty()); }

  // When reading: refuses the state unless what was read fits the run.
  void require(bool fits) const {
    if (reading() && !fits) refuse();
  }

 private:
  void bytes(void* data, std::size_t count);
  // The number of elements to come: written, or read and checked against what is left.
  std::size_t counted(std::size_t count, std::size_t element_size);
  [[noreturn]] static void refuse();

  std::string* out_ = nullptr;
  std::string_view in_;
};

}  // namespace asymfast
