// Outputs, residual and gradient in one go, sample by sample, where samples are many and inputs
// few: the slopes of a few samples, for all nodes, stay in the second-level cache from the forward
// pass to the gradient, while those of all samples would not fit, or cost as much to fetch as to
// compute.
//
//   part    consecutive tiles that add their gradients up one after the other; the unit of parallel
//           work. Gradients of different parts are added in the order of the parts.
#pragma once

#include <vector>

#include "cpu/in_double.hpp"
#include "cpu/network.hpp"
#include "cpu/tiles.hpp"
#include "math/losses.hpp"

namespace asymfast::cpu {

// How samples are cut, by the sizes and the instruction set alone, as in Layout.
template <class T>
struct SampleParts {
  Index n, parts = 0, tiles = 0, largest_tile = 0;

  explicit SampleParts(const Layout<T>& layout) : n(layout.n) {
    using namespace tuning;
    const Index fitting = kSlopeBytes / (layout.blocks * kBlock<T> * Index(sizeof(T)));
    const Index most = std::min(fitting, kLargestTile) / kTogether * kTogether;
    if (layout.d > kFewInputs || most < kSmallestTile || n < kFewestParts * kSmallestPart) return;
    parts = std::min(kMostParts, n / kSmallestPart);
    tiles = parts * ceil_div(ceil_div(n, parts), most);
    largest_tile = ceil_div(n, tiles) + kTogether;
  }

  explicit operator bool() const noexcept { return parts > 0; }

  Range tiles_of_part(Index part) const noexcept { return piece(tiles, parts, part); }
  Range samples_of_tile(Index tile) const noexcept { return samples_of_piece(n, tiles, tile); }
};

template <class T>
class SamplePass {
 public:
  SamplePass(const Sweep<T>& sweep, MatrixView<const T> y, Loss loss)
      : sweep_(sweep), y_(y), kind_(loss), layout_(sweep.layout), cut_(sweep.layout) {
    if (cut_) losses_.resize(cut_.tiles);
  }

  // Whether the sizes are right for it.
  explicit operator bool() const noexcept { return bool(cut_); }

  // f and dL/df (n, k) at W; the gradient there is kept. Returns L.
  double operator()(const T* W, double* f, T* residual, const Context& context) {
    const Index threads = useful_threads(layout_, context.threads, cut_.parts);
    if (gradients_.size() == 0) gradients_ = Buffer<T>(cut_.parts * size());
    while (static_cast<Index>(memory_.size()) < threads) memory_.emplace_back(layout_, cut_);
    parallel_for(context, cut_.parts, Share::evenly, threads, [&](Index part, Index thread) {
      T* G = gradients_.data() + part * size();
      std::fill_n(G, size(), T(0));
      const Range tiles = cut_.tiles_of_part(part);
      for (Index tile = tiles.first; tile < tiles.last; ++tile) {
        context.watch.tick();
        const Range rows = cut_.samples_of_tile(tile);
        TileMemory& memory = memory_[thread];
        evaluate(rows, W, f + rows.first * layout_.k, memory);
        losses_[tile] = differentiate(rows, f, residual);
        add_gradient(rows, residual + rows.first * layout_.k, G, memory);
      }
    });
    double loss = 0;
    for (const double share : losses_) loss += share;
    return loss;
  }

  // G = dL/dW of a chunk of nodes at the last W.
  void gradient(Index chunk, T* G) const {
    const Range blocks = layout_.blocks_of_chunk(chunk);
    const Index first = blocks.first * layout_.weights_per_block();
    const Index vectors = blocks.size() * layout_.weights_per_block() / kLanes<T>;
    Vec<T>* sum = as_vectors(G);
    std::copy_n(as_vectors(gradients_.data() + first), vectors, sum);
    for (Index part = 1; part < cut_.parts; ++part) {
      const Vec<T>* g = as_vectors(gradients_.data() + part * size() + first);
      for (Index i = 0; i < vectors; ++i) sum[i] += g[i];
    }
    if (layout_.k > 1) return;
    for (Index block = blocks.first; block < blocks.last; ++block, G += layout_.weights_per_block())
      scale_nodes(G, layout_.d, sweep_.c(block));
  }

 private:
  struct TileMemory {
    Buffer<T> slopes;        // [block][sample of the tile], two vectors each
    Buffer<T> D;             // (tile, block), or (tile, d) of weighed inputs
    Buffer<Vec<T>> outputs;  // (tile, k) vectors, one lane a node of the block

    TileMemory(const Layout<T>& layout, const SampleParts<T>& cut)
        : slopes(cut.largest_tile * layout.blocks * kBlock<T>),
          D(cut.largest_tile * std::max<Index>(kBlock<T>, row_stride<T>(layout.d))),
          outputs(cut.largest_tile * layout.k) {}
  };

  Index size() const noexcept { return layout_.blocks * layout_.weights_per_block(); }

  // f of the tile, chunk after chunk; memory.slopes.
  void evaluate(Range rows, const T* W, double* f, TileMemory& memory) const {
    const Index count = rows.size() * layout_.k;
    std::fill_n(f, count, 0.0);
    with_activation(sweep_.activation(), [&](auto sigma) {
      for (Index chunk = 0; chunk < layout_.chunks; ++chunk) {
        const Range blocks = layout_.blocks_of_chunk(chunk);
        std::fill_n(memory.outputs.data(), count, Vec<T>{});
        for (Index block = blocks.first; block < blocks.last; ++block)
          activate<decltype(sigma)>(
              InRegisters<decltype(sigma), T>{sweep_.x(rows), sweep_.weights(W, block)},
              sweep_.c(block), layout_.k, memory.slopes.data() + block * rows.size() * kBlock<T>,
              memory.outputs.data());
        add_sums_of_lanes<T>(memory.outputs.data(), count, f);
      }
    });
  }

  // dL/df of the tile; its share of L.
  double differentiate(Range rows, const double* f, T* residual) const {
    const Index first = rows.first * layout_.k;
    return loss_and_residual<T>(kind_, f + first, {y_.data + first, rows.size(), layout_.k},
                                residual + first, layout_.n);
  }

  void add_gradient(Range rows, const T* r, T* G, TileMemory& memory) const {
    Samples<T> X = sweep_.x(rows);
    if (layout_.k == 1) X = weighed_inputs(X, r, memory.D.data());
    for (Index block = 0; block < layout_.blocks; ++block, G += layout_.weights_per_block()) {
      const T* D = memory.slopes.data() + block * rows.size() * kBlock<T>;
      if (layout_.k > 1) {
        pull_slopes(D, r, rows.size(), sweep_.c(block), layout_.k, memory.D.data());
        D = memory.D.data();
      }
      accumulate_gradient(X, D, G);
    }
  }

  const Sweep<T>& sweep_;
  MatrixView<const T> y_;
  Loss kind_;
  const Layout<T>& layout_;
  SampleParts<T> cut_;
  Buffer<T> gradients_;  // [part][packed weights]
  std::vector<double> losses_;
  std::vector<TileMemory> memory_;
};

}  // namespace asymfast::cpu
