// What an engine keeps from one call to the next: arrays of one size, which come into being in
// their order, or all those before with them.
#pragma once

#include <vector>

#include "archive.hpp"

namespace asymfast {

// Array(size): zeros, at data().
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
    for (Index l = 0; l < all; ++l) archive.array(make(l), size_);
  }

 private:
  Index size_;
  std::vector<Array> arrays_;
};

}  // namespace asymfast
