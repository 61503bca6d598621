// How nodes and samples are cut into pieces. It depends on the sizes and the instruction set alone,
// never on the number of threads: that is why results are the same for any number of them.
//
//   block   2 vectors of nodes, padded with nodes of scale 0; the unit of the inner loops
//   chunk   a few blocks whose weights and gradient stay in the second-level cache together
//   slot    consecutive chunks that add their outputs up one after the other; the unit of parallel
//           work. Outputs of different slots are added in the order of the slots.
//   tile    samples whose pre-activations stay in the first-level cache
#pragma once

#include <algorithm>

#include "asymfast/views.hpp"
#include "math/lanes.hpp"
#include "tuning.hpp"

namespace asymfast::cpu {

template <class T>
inline constexpr Index kBlock = 2 * kLanes<T>;

using tuning::kFewInputs, tuning::kLargestTile, tuning::kMostWeighedInputs;

// Samples whose pre-activations are in registers together where inputs are few; tiles, but the last
// one, hold full groups of them.
inline constexpr int kTogether = tuning::kTogether<kVectorBytes>;

inline Index ceil_div(Index a, Index b) {
  return (a + b - 1) / b;
}

// [first, last) of piece `index` when `total` is cut into `pieces` of nearly equal size.
struct Range {
  Index first, last;
  Index size() const noexcept { return last - first; }
};
inline Range piece(Index total, Index pieces, Index index) {
  return {total * index / pieces, total * (index + 1) / pieces};
}

// The same in full groups of kTogether, but for the last piece.
inline Range samples_of_piece(Index n, Index pieces, Index index) {
  const auto edge = [=](Index i) {
    return i == pieces ? n : n * i / pieces / kTogether * kTogether;
  };
  return {edge(index), edge(index + 1)};
}

// How many samples a call works on at once, with so many doubles for each: full tiles and full
// groups of kTogether.
inline Index samples_at_once(Index doubles) {
  static_assert(kLargestTile % kTogether == 0);
  const Index fitting = tuning::kPieceBytes / (doubles * Index(sizeof(double)));
  return std::clamp(fitting / kLargestTile * kLargestTile, kLargestTile, tuning::kMostSamples);
}

template <class T>
struct Layout {
  Index n, d, m, k;
  Index blocks, blocks_per_chunk, chunks, slots, tiles, largest_tile;

  Layout(Index n_, Index d_, Index m_, Index k_) : n(n_), d(d_), m(m_), k(k_) {
    blocks = ceil_div(m, kBlock<T>);
    const Index fitting = tuning::kChunkBytes / (d * kBlock<T> * Index(sizeof(T)));
    blocks_per_chunk = std::max<Index>(1, std::min({tuning::kMostBlocksOfChunk, fitting,
                                                    ceil_div(blocks, tuning::kWantedChunks)}));
    chunks = ceil_div(blocks, blocks_per_chunk);
    slots = std::min(chunks, tuning::kMostSlots);
    tiles = ceil_div(n, kLargestTile);
    largest_tile = std::min(n, ceil_div(n, tiles) + kTogether);
  }

  Range blocks_of_chunk(Index chunk) const noexcept {
    return {chunk * blocks_per_chunk, std::min(blocks, (chunk + 1) * blocks_per_chunk)};
  }
  Range chunks_of_slot(Index slot) const noexcept { return piece(chunks, slots, slot); }
  Range samples_of_tile(Index tile) const noexcept { return samples_of_piece(n, tiles, tile); }
  Index weights_per_block() const noexcept { return d * kBlock<T>; }
};

// A team costs some microseconds to start: small work is done by one thread.
template <class T>
Index useful_threads(const Layout<T>& layout, Index wanted, Index pieces) {
  const double work = double(layout.n) * double(layout.m) * double(layout.d + layout.k + 16);
  const double most = 1 + work / tuning::kWorkOfThread;
  return std::max<Index>(1, Index(std::min({double(wanted), double(pieces), most})));
}

}  // namespace asymfast::cpu
