// Kernels that go through elements, each by itself.
#pragma once

#include <algorithm>
#include <vector>

#include "cuda/block.hpp"
#include "cuda/memory.hpp"
#include "math/activations.hpp"

namespace asymfast::cuda {

// Blocks for a loop over elements.
inline int blocks_for(Index size) {
  return static_cast<int>(std::clamp<Index>((size + 255) / 256, 1, 1024));
}

// each(e) for e = 0, ..., size - 1, in any order.
template <class Each>
struct Elements {
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 1;
  static constexpr bool kCooperative = false;

  struct Args {
    Index size;
    Each each;
  };

  template <class Block>
  ASYMFAST_DEVICE static void run(Block& block, const Args& args) {
    for (Index e = Index(block.rank) * kThreads + block.thread; e < args.size;
         e += Index(block.ranks) * kThreads)
      args.each(e);
  }
};

template <class Device, class Each>
void for_elements(Index size, const Each& each) {
  Device::template launch<Elements<Each>>(0, 1, blocks_for(size), 0, {size, each});
}

// results[rank] = each.element(e), over the elements of a block, put together two at a time by
// each.both, in an order of its own; each.start() of none.
template <class Each>
struct Reduction {
  using Result = typename Each::Result;
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 1;
  static constexpr bool kCooperative = false;
  static constexpr std::size_t kShared = kThreads * sizeof(Result) + kSharedAlignment;

  struct Args {
    Index size;
    Each each;
    Result* results;  // (blocks,)
  };

  template <class Block>
  ASYMFAST_DEVICE static void run(Block& block, const Args& at) {
    Carver carver(block.shared);
    Result* of_threads = carver.take<Result>(kThreads);
    Result result = at.each.start();
    for (Index e = Index(block.rank) * kThreads + block.thread; e < at.size;
         e += Index(block.ranks) * kThreads)
      result = at.each.both(result, at.each.element(e));
    of_threads[block.thread] = result;
    block.sync();
    if (block.thread != 0) return;
    for (int t = 1; t < kThreads; ++t) result = at.each.both(result, of_threads[t]);
    at.results[block.rank] = result;
  }
};

// The results of all blocks.
template <class Device, class Each>
std::vector<typename Each::Result> reduce(Index size, const Each& each) {
  using Kernel = Reduction<Each>;
  const int blocks = blocks_for(size);
  const Memory<Device, typename Each::Result> results(blocks);
  Device::template launch<Kernel>(0, 1, blocks, Kernel::kShared, {size, each, results.data()});
  std::vector<typename Each::Result> of_blocks(blocks);
  results.copy_out(of_blocks.data());
  return of_blocks;
}

// Where x is NaN or infinite, and the first such place; `size`: there is none.
template <class T>
struct FirstBad {
  using Result = Index;
  const T* x;
  Index size;

  ASYMFAST_DEVICE Index start() const { return size; }
  ASYMFAST_DEVICE Index element(Index e) const { return x[e] - x[e] == T(0) ? size : e; }
  ASYMFAST_DEVICE Index both(Index a, Index b) const { return a < b ? a : b; }
};

// Of floats, or of doubles.
template <class Device>
Index first_bad(const void* x, Index size, std::size_t itemsize) {
  const DeviceLock lock(device_mutex());
  const std::vector<Index> firsts =
      itemsize == sizeof(float)
          ? reduce<Device>(size, FirstBad<float>{static_cast<const float*>(x), size})
          : reduce<Device>(size, FirstBad<double>{static_cast<const double*>(x), size});
  return *std::min_element(firsts.begin(), firsts.end());
}

// eval <- base + sum_s along[s] slots[s], with what rounding has kept out of base (float); base <-
// eval, if commit. base may be null: 0.
template <class T>
struct Combine {
  static constexpr int kMost = 16;

  int count;
  double along[kMost];
  const T* slots[kMost];
  T *base, *lost, *eval;
  bool commit;

  ASYMFAST_DEVICE void operator()(Index e) const {
    double change = lost ? double(lost[e]) : 0;
    for (int s = 0; s < count; ++s) change += along[s] * double(slots[s][e]);
    const double exact = (base ? double(base[e]) : 0) + change;
    eval[e] = T(exact);
    if (!commit) return;
    if (lost) lost[e] = T(exact - double(eval[e]));
    base[e] = eval[e];
  }
};

// sigma, sigma' or sigma'' of z.
template <class T>
struct ActivationValues {
  Activation activation;
  int order;
  const T* z;
  T* out;

  ASYMFAST_DEVICE void operator()(Index e) const {
    with_activation(activation, [&](auto sigma) {
      out[e] = order == 0   ? decltype(sigma)::value(z[e])
               : order == 1 ? decltype(sigma)::slope(z[e])
                            : decltype(sigma)::curvature(z[e]);
    });
  }
};

// to_e = factor from_e, times factors_(e mod columns) unless they are null; rounded once to U.
template <class T, class U>
struct Scale {
  const T* from;
  double factor;
  const U* factors;
  Index columns;
  U* to;  // may be `from`

  ASYMFAST_DEVICE void operator()(Index e) const {
    const U scaled = U(double(from[e]) * factor);
    to[e] = factors ? scaled * factors[e % columns] : scaled;
  }
};

}  // namespace asymfast::cuda
