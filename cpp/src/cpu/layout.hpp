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
#include <cmath>

#include "asymfast/network.hpp"
#include "cpu/buffer.hpp"
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

// ---- the caller's arrays as the inner loops read them: nodes side by side in blocks, samples as
// rows

// Rows of nodes (m, columns), as W and a, to [block][column][node].
template <class T>
Buffer<T> packed(MatrixView<const T> rows) {
  const Index columns = rows.cols;
  Buffer<T> blocks(ceil_div(rows.rows, kBlock<T>) * columns * kBlock<T>);
  for (Index j = 0; j < rows.rows; ++j) {
    T* column = blocks.data() + j / kBlock<T> * columns * kBlock<T> + j % kBlock<T>;
    for (Index l = 0; l < columns; ++l) column[l * kBlock<T>] = rows(j, l);
  }
  return blocks;
}

// Some blocks, which lie at `packed`, back to their rows.
template <class T>
void unpack(const T* packed, Range blocks, MatrixView<T> rows) {
  const Index last = std::min(rows.rows, blocks.last * kBlock<T>);
  for (Index j = blocks.first * kBlock<T>; j < last; ++j) {
    const T* column =
        packed + (j / kBlock<T> - blocks.first) * rows.cols * kBlock<T> + j % kBlock<T>;
    for (Index l = 0; l < rows.cols; ++l) rows(j, l) = column[l * kBlock<T>];
  }
}

// c = sqrt(lambda) a, packed.
template <class T>
Buffer<T> packed_scales(const NetworkView<T>& net) {
  Buffer<T> c = packed(net.a);
  for (Index j = 0; j < net.m(); ++j)
    for (Index q = 0; q < net.k(); ++q)
      c.data()[(j / kBlock<T> * net.k() + q) * kBlock<T> + j % kBlock<T>] =
          T(std::sqrt(net.lam[j]) * double(net.a(j, q)));
  return c;
}

// sqrt(lambda), packed.
template <class T>
Buffer<T> packed_root_lam(const NetworkView<T>& net) {
  Buffer<T> root(ceil_div(net.m(), kBlock<T>) * kBlock<T>);
  for (Index j = 0; j < net.m(); ++j) root.data()[j] = T(std::sqrt(net.lam[j]));
  return root;
}

template <class T>
struct Samples {
  const T* data;
  Index rows, d, stride;  // elements from one row to the next

  const T* row(Index i) const noexcept { return data + i * stride; }
  Samples some(Range range) const noexcept { return {row(range.first), range.size(), d, stride}; }
};

// Rows a multiple of 512 bytes apart share a few sets of the first-level cache and drive each other
// out; such are put one line further apart.
template <class T>
Index row_stride(Index d) {
  constexpr Index line = 64 / Index(sizeof(T));
  return d % (8 * line) == 0 ? d + line : d;
}

// Room for samples, whose rows are divided by sqrt(d) on their way in.
template <class T>
class SampleBuffer {
 public:
  SampleBuffer(Index rows, Index d)
      : rows_(rows), d_(d), stride_(row_stride<T>(d)), values_(rows * stride_) {}

  void put(Index i, const T* x) {
    const double scale = 1 / std::sqrt(double(d_));
    T* to = values_.data() + i * stride_;
    for (Index l = 0; l < d_; ++l) to[l] = T(double(x[l]) * scale);
  }
  // As many as there is room for.
  void put(MatrixView<const T> X) {
    for (Index i = 0; i < X.rows; ++i) put(i, X.row(i));
  }

  Samples<T> all() const noexcept { return {values_.data(), rows_, d_, stride_}; }

 private:
  Index rows_, d_, stride_;
  Buffer<T> values_;
};

}  // namespace asymfast::cpu
