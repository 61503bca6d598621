// The weights at a record, beside the numbers that `Hooks::on_record` is given.
#pragma once

#include "asymfast/train.hpp"

namespace asymfast {

// What every run passes to on_record. Valid during the call.
template <class T>
struct WeightsSnapshot : Snapshot {
  const T *W, *a;  // (B, m, d), (B, m, k)
};

// Of a run on networks of type T.
template <class T>
const WeightsSnapshot<T>& with_weights(const Snapshot& at) {
  return static_cast<const WeightsSnapshot<T>&>(at);
}

}  // namespace asymfast
