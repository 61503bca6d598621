// Outputs, residual and gradient in one go, sample by sample, where samples are many and inputs
// few: the slopes of a few samples, for all nodes, stay in the second-level cache from the forward
// pass to the gradient, while those of all samples would not fit, or cost as much to fetch as to
// compute.
//
//   part    consecutive tiles that add their gradients up one after the other; the unit of parallel
//           work. Gradients of different parts are added in the order of the parts.
#pragma once

#include <vector>

#include "cpu/sweep.hpp"
#include "losses.hpp"

namespace asymfast::cpu {

// How samples are cut, by the sizes and the instruction set alone, as in Layout.
template <class T>
struct SampleParts {
  Index n, parts = 0, tiles = 0, largest_tile = 0;

  explicit SampleParts(const Layout<T>& at) : n(at.n) {
    constexpr Index kSlopeBytes = 512 * 1024, kSmallestTile = 12, kSmallestPart = 48,
                    kFewestParts = 16, kMostParts = 32;
    const Index fitting = kSlopeBytes / (at.blocks * kBlock<T> * Index(sizeof(T)));
    const Index most = std::min(fitting, kLargestTile) / kTogether * kTogether;
    if (at.d > kFewInputs || most < kSmallestTile || n < kFewestParts * kSmallestPart) return;
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
      : sweep_(sweep), y_(y), kind_(loss), at_(sweep.at), cut_(sweep.at) {
    if (cut_) losses_.resize(std::size_t(cut_.tiles));
  }

  // Whether the sizes are right for it.
  explicit operator bool() const noexcept { return bool(cut_); }

  // f and dL/df (n, k) at W; the gradient there is kept. Returns L.
  double operator()(const T* W, double* f, T* residual, const Context& context) {
    const int threads = useful_threads(at_, context.threads, cut_.parts);
    if (gradients_.size() == 0) gradients_ = Buffer<T>(cut_.parts * size());
    while (static_cast<int>(scratch_.size()) < threads) scratch_.emplace_back(at_, cut_);
    Rescue rescue;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (Index part = 0; part < cut_.parts; ++part) {
      T* G = gradients_.data() + part * size();
      std::fill_n(G, size(), T(0));
      const Range tiles = cut_.tiles_of_part(part);
      for (Index tile = tiles.first; tile < tiles.last; ++tile) {
        context.watch.tick();
        if (context.watch.stopped()) continue;
        const Range rows = cut_.samples_of_tile(tile);
        rescue([&] {
          Scratch& scratch = scratch_[thread_number()];
          evaluate(rows, W, f + rows.first * at_.k, scratch);
          losses_[std::size_t(tile)] = differentiate(rows, f, residual);
          add_gradient(rows, residual + rows.first * at_.k, G, scratch);
        });
      }
    }
    rescue.rethrow();
    double loss = 0;
    for (const double share : losses_) loss += share;
    return loss;
  }

  // G = dL/dW of a chunk of nodes at the last W.
  void gradient(Index chunk, T* G) const {
    const Range blocks = at_.blocks_of_chunk(chunk);
    const Index first = blocks.first * at_.weights_per_block();
    const Index vectors = blocks.size() * at_.weights_per_block() / kLanes<T>;
    Vec<T>* sum = as_vectors(G);
    std::copy_n(as_vectors(gradients_.data() + first), vectors, sum);
    for (Index part = 1; part < cut_.parts; ++part) {
      const Vec<T>* g = as_vectors(gradients_.data() + part * size() + first);
      for (Index i = 0; i < vectors; ++i) sum[i] += g[i];
    }
    if (at_.k > 1) return;
    for (Index block = blocks.first; block < blocks.last; ++block, G += at_.weights_per_block())
      scale_nodes(G, at_.d, sweep_.c(block));
  }

 private:
  struct Scratch {
    Buffer<T> slopes;        // [block][sample of the tile], two vectors each
    Buffer<T> D;             // (tile, block), or (tile, d) of weighed inputs
    Buffer<Vec<T>> outputs;  // (tile, k) vectors, one lane a node of the block

    Scratch(const Layout<T>& at, const SampleParts<T>& cut)
        : slopes(cut.largest_tile * at.blocks * kBlock<T>),
          D(cut.largest_tile * std::max<Index>(kBlock<T>, row_stride<T>(at.d))),
          outputs(cut.largest_tile * at.k) {}
  };

  Index size() const noexcept { return at_.blocks * at_.weights_per_block(); }

  // f of the tile, chunk after chunk; scratch.slopes.
  void evaluate(Range rows, const T* W, double* f, Scratch& scratch) const {
    const Index count = rows.size() * at_.k;
    std::fill_n(f, count, 0.0);
    with_activation(sweep_.activation(), [&](auto sigma) {
      for (Index chunk = 0; chunk < at_.chunks; ++chunk) {
        const Range blocks = at_.blocks_of_chunk(chunk);
        std::fill_n(scratch.outputs.data(), count, Vec<T>{});
        for (Index block = blocks.first; block < blocks.last; ++block)
          activate<decltype(sigma)>(sweep_.x(rows), sweep_.weights(W, block), sweep_.c(block),
                                    at_.k, scratch.slopes.data() + block * rows.size() * kBlock<T>,
                                    scratch.outputs.data());
        add_sums_of_lanes<T>(scratch.outputs.data(), count, f);
      }
    });
  }

  // dL/df of the tile; its share of L.
  double differentiate(Range rows, const double* f, T* residual) const {
    const Index first = rows.first * at_.k;
    return loss_of_rows<T>(kind_, at_.n, {f + first, rows.size(), at_.k},
                           {y_.data + first, rows.size(), at_.k}, residual + first);
  }

  void add_gradient(Range rows, const T* r, T* G, Scratch& scratch) const {
    Samples<T> X = sweep_.x(rows);
    if (at_.k == 1) X = weighed_inputs(X, r, scratch.D.data());
    for (Index block = 0; block < at_.blocks; ++block, G += at_.weights_per_block()) {
      const T* D = scratch.slopes.data() + block * rows.size() * kBlock<T>;
      if (at_.k > 1) {
        pull(D, r, rows.size(), sweep_.c(block), at_.k, scratch.D.data());
        D = scratch.D.data();
      }
      accumulate_gradient(X, D, G);
    }
  }

  const Sweep<T>& sweep_;
  MatrixView<const T> y_;
  Loss kind_;
  const Layout<T>& at_;
  SampleParts<T> cut_;
  Buffer<T> gradients_;  // [part][packed weights]
  std::vector<double> losses_;
  std::vector<Scratch> scratch_;
};

}  // namespace asymfast::cpu
