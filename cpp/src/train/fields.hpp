// The fields of a run's state, each with the range it must lie in. A checkpoint has a checksum but
// no key, so what is read back may be anything; what is not in its range is refused before it is
// used as an index, a count or a step.
#pragma once

#include <vector>

#include "archive.hpp"

namespace asymfast {

class Fields {
 public:
  explicit Fields(Archive& its_archive) : archive(its_archive) {}

  // A number in [low, high], so not NaN.
  template <class U>
  void operator()(U& value, U low, U high) {
    archive(value);
    archive.require(low <= value && value <= high);
  }

  void operator()(bool& value) {
    unsigned char byte = value;
    (*this)(byte, static_cast<unsigned char>(0), static_cast<unsigned char>(1));
    value = byte != 0;
  }

  // Any number.
  void operator()(double& value) { archive(value); }

  void operator()(std::vector<double>& values, std::size_t size) {
    archive(values);
    archive.require(values.size() == size);
  }

  void require(bool fits) const { archive.require(fits); }

  Archive& archive;
};

}  // namespace asymfast
