// What an engine keeps from one call to the next: arrays of one size, which come into being in
// their order, or all those before with them.
#pragma once

#include <vector>

#include "archive.hpp"

namespace asymfast {

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
