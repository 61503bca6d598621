// The state of a run as a string of bytes. The same visit of the same variables writes it and reads
// it back, so the two cannot drift apart:
//   archive(step, Index(0), last_step); archive(losses); archive.array(W, size);
// Numbers are stored as they lie in memory. A checkpoint has a checksum but no key, so what is read
// back may be anything: every read is bounded by what is there, and a number that is not in its
// range is refused before it is used as an index, a count or a step. A string that does not fit
// throws std::invalid_argument.
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

  // A number in [low, high], so not NaN.
  template <class U>
  void operator()(U& value, U low, U high) {
    (*this)(value);
    require(low <= value && value <= high);
  }

  void operator()(bool& value) {
    unsigned char byte = value;
    (*this)(byte, static_cast<unsigned char>(0), static_cast<unsigned char>(1));
    value = byte != 0;
  }

  template <class U, class = std::enable_if_t<std::is_arithmetic_v<U>>>
  void operator()(std::vector<U>& values) {
    const std::size_t count = counted(values.size(), sizeof(U));
    if (reading()) values.resize(count);
    bytes(values.data(), count * sizeof(U));
  }

  void operator()(std::vector<double>& values, Index size) {
    (*this)(values);
    require(static_cast<Index>(values.size()) == size);
  }

  // An array whose size the writer and the reader both know.
  template <class U>
  void array(U* data, Index size) {
    const auto count = static_cast<std::size_t>(size);
    if (counted(count, sizeof(U)) != count) refuse();
    bytes(data, count * sizeof(U));
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

// What an engine keeps from one call to the next: arrays of one size, which come into being in
// their order, or all those before with them.

template <class Array>
void serialise_array(Archive& archive, Array& array, Index size) {
  archive.array(array.data(), size);
}

// Array(size): zeros, at data(); cuda/memory.hpp has one of a device, and its serialise_array.
template <class Array>
class Slots {
 public:
  explicit Slots(Index size) : size_(size) {}

  auto* make(Index index) {
    while (count() <= index) arrays_.emplace_back(size_);
    return arrays_[index].data();
  }
  const auto* operator[](Index index) const { return arrays_.at(index).data(); }
  Index count() const { return static_cast<Index>(arrays_.size()); }
  Index size() const { return size_; }  // of each

  void serialise(Archive& archive) {
    Index all = count();
    archive(all);
    for (Index l = 0; l < all; ++l) make(l), serialise_array(archive, arrays_[l], size_);
  }

 private:
  Index size_;
  std::vector<Array> arrays_;
};

}  // namespace asymfast
