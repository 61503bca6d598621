// The batches of stochastic gradient descent: each epoch a new order of the samples, cut into
// consecutive batches. Counter-based: a batch depends on the key, the number of samples, the batch
// size and the step alone.
//
// The stream of a 64-bit key is SplitMix64 (Steele, Lea and Flood, OOPSLA 2014):
//   u_i(key) = mix(key + (i + 1) 0x9E3779B97F4A7C15),   i = 0, 1, ..., all modulo 2^64.
// Epoch e has the key u_e(key). Its order is the Fisher-Yates shuffle of 0 .. n-1: for
// i = n-1, ..., 1 swap entries i and floor((i + 1) u / 2^64), u the next number of the epoch's
// stream.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "engine.hpp"

namespace asymfast {

inline std::uint64_t split_mix(std::uint64_t key, std::uint64_t i) {
  std::uint64_t z = key + (i + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

class Sampler {
 public:
  Sampler(std::uint64_t key, Index n, Index batch_size)
      : key_(key), batch_size_(batch_size), order_(n) {}

  // The rows belong to the sampler and last until the next call.
  Batch batch(Index step) {
    const auto n = static_cast<Index>(order_.size());
    const Index batches = (n + batch_size_ - 1) / batch_size_;
    shuffle(step / batches);
    const Index first = step % batches * batch_size_;
    return {order_.data() + first, std::min(batch_size_, n - first)};
  }

 private:
  void shuffle(Index epoch) {
    if (epoch == epoch_) return;
    epoch_ = epoch;
    std::iota(order_.begin(), order_.end(), Index(0));
    const std::uint64_t key = split_mix(key_, static_cast<std::uint64_t>(epoch));
    std::uint64_t drawn = 0;
    for (std::size_t i = order_.size(); i-- > 1;)
      std::swap(order_[i], order_[below(i + 1, split_mix(key, drawn++))]);
  }

  // floor(count u / 2^64), by halves of 32 bits; count < 2^32 need not hold.
  static std::size_t below(std::uint64_t count, std::uint64_t u) {
    const std::uint64_t low = 0xFFFFFFFFu;
    const std::uint64_t c0 = count & low, c1 = count >> 32, u0 = u & low, u1 = u >> 32;
    const std::uint64_t middle = c1 * u0 + (c0 * u0 >> 32);
    const std::uint64_t carry = c0 * u1 + (middle & low);
    return static_cast<std::size_t>(c1 * u1 + (middle >> 32) + (carry >> 32));
  }

  std::uint64_t key_;
  Index batch_size_, epoch_ = -1;
  std::vector<Index> order_;
};

}  // namespace asymfast
