// What one block of the kernel of small problems (resident.hpp) works on: all samples and its own
// nodes, in shared memory from the launch's start to its end, and how its threads share out tiles.
#pragma once

#include "cuda/problem.hpp"
#include "cuda/tile.hpp"
#include "math/losses.hpp"

namespace asymfast::cuda {

template <class T>
struct ResidentSizes {
  static constexpr int kUnit = 16;               // nodes whose outputs are added before they leave
  static constexpr int kVec = 16 / sizeof(T);    // numbers that one access moves
  static constexpr int kNodes = 2 * kVec;        // of a thread's tile
  static constexpr int kSamples = 8;             // of a thread's tile
  static constexpr int kLanes = kUnit / kNodes;  // threads of a unit
  static constexpr int kSlices = 8;              // of the units, summed side by side
  static constexpr Index kMostOutputs = 1024;    // n k: every block sums them

  ASYMFAST_INLINE static Index up(Index size, Index to) { return (size + to - 1) / to * to; }
  ASYMFAST_INLINE static Index units_of(Index m) { return (m + kUnit - 1) / kUnit; }
  ASYMFAST_INLINE static Index rows_of(Index n) { return up(n, kVec); }
  ASYMFAST_INLINE static Index parts_of(Index n, Index m, Index k) {
    return 2 * units_of(m) * k * rows_of(n);
  }
  // Inputs of a thread's tile in the gradient: 8, or 10 where they leave fewer over.
  ASYMFAST_INLINE static bool by_tens(Index d) { return up(d, 10) < up(d, 8); }
  ASYMFAST_INLINE static Index inputs_of(Index d) { return by_tens(d) ? up(d, 10) : up(d, 8); }
  // Of X, transposed: with the samples that the last tile of a forward pass looks beyond it.
  ASYMFAST_INLINE static Index samples_of(Index n, Index d) {
    return inputs_of(d) * rows_of(n) + kSamples;
  }

  // Shared memory of a block with so many units.
  static std::size_t shared(Index n, Index d, Index k, Index units) {
    const auto bytes = [](Index count, std::size_t each) {
      return Carver::rounded(static_cast<std::size_t>(count) * each);
    };
    const Index nodes = units * kUnit, outputs = n * k;
    return bytes(samples_of(n, d), sizeof(T)) + bytes(d * nodes, sizeof(T)) +
           bytes(rows_of(n) * nodes, sizeof(T)) + bytes(k * nodes, sizeof(T)) +
           2 * bytes(outputs, sizeof(T)) + bytes(outputs, sizeof(double)) +
           bytes(kSlices * k * rows_of(n), sizeof(double)) +
           bytes(n + kTotalLanes, sizeof(double)) + kSharedAlignment;
  }
};

// What lies where in global memory; copies are transposed so that nodes are neighbours: (B, d,
// units * kUnit).
template <class T>
struct ResidentArgs {
  Problem<T> problem;
  Plan<T> plan;
  MemberSteps* progress;  // (B,)
  T* parts;               // (B, 2, units, k, rows): outputs of the units
  T *base, *lost, *sum;   // those of `problem` while the kernel runs; null where they are
};

template <class T, int Threads, class Block>
class ResidentBlock : public ResidentSizes<T> {
  using Sizes = ResidentSizes<T>;

 public:
  using Sizes::kNodes, Sizes::kUnit, Sizes::kVec, Sizes::kLanes;
  using Numbers = Strip<T, Sizes::kVec>;

  ASYMFAST_DEVICE ResidentBlock(Block& its_block, const ResidentArgs<T>& args)
      : block(its_block),
        p(args.problem.of_member(its_block.group)),
        plan(args.plan),
        n(int(p.n)),
        d(int(p.d)),
        k(int(p.k)),
        rows(int(Sizes::rows_of(p.n))),
        units(Sizes::units_of(p.m)) {
    const Index b = block.group;
    first_unit = units * block.rank / block.ranks;
    const Index own = units * (block.rank + 1) / block.ranks - first_unit;
    nodes = int(own * kUnit);
    first_node_ = first_unit * kUnit;
    const Index left = p.m - first_node_;
    real_nodes_ = int(left < nodes ? left : nodes);
    // As many units as the block with the most has: what lies where is the same for all.
    const Index most = (units + block.ranks - 1) / block.ranks * kUnit;
    Carver carver(block.shared);
    x = carver.take<T>(Sizes::samples_of(p.n, p.d));
    w = carver.take<T>(Index(d) * most);
    slopes = carver.take<T>(Index(rows) * most);
    c = carver.take<T>(Index(k) * most);
    y = carver.take<T>(Index(n) * k);
    residual = carver.take<T>(Index(n) * k);
    f = carver.take<double>(Index(n) * k);
    sums = carver.take<double>(Index(Sizes::kSlices) * k * rows);
    losses = carver.take<double>(n + kTotalLanes);
    parts = args.parts + b * Sizes::parts_of(p.n, p.m, p.k);
    weights_ = first_node_ * p.d;
    const Index transposed = b * p.d * across() + first_node_;
    base = args.base ? args.base + transposed : nullptr;
    lost = args.lost ? args.lost + transposed : nullptr;
    sum = args.sum ? args.sum + transposed : nullptr;
  }

  // ---- in and out

  ASYMFAST_DEVICE void load() const {
    each(int(Sizes::samples_of(p.n, p.d)), [&](int e) {
      const int l = e / rows, i = e % rows;
      x[e] = i < n && l < d ? p.X[Index(i) * d + l] : T(0);
    });
    transpose_in(p.eval + weights_, w, nodes);
    if (base) transpose_in(p.base + weights_, base, across());
    if (lost) transpose_in(p.lost + weights_, lost, across());
    if (sum) transpose_in(p.sum + weights_, sum, across());
    const T* c_of_nodes = p.c + first_node_ * k;
    each(k * nodes, [&](int e) {
      const int q = e / nodes, j = e % nodes;
      c[e] = j < real_nodes_ ? c_of_nodes[j * k + q] : T(0);
    });
    const bool known = !plan.evaluate;  // what an evaluation writes
    each(n * k, [&](int e) {
      y[e] = p.y[e];
      residual[e] = known ? p.residual[e] : T(0);
      f[e] = known ? p.f[e] : 0;
    });
    // What a product multiplies must be a number, beyond the samples too.
    const T* slopes_of_nodes = p.slopes + first_node_;
    each(rows * nodes, [&](int e) {
      const int i = e / nodes, j = e % nodes;
      const bool inside = known && i < n && j < real_nodes_;
      slopes[e] = inside ? slopes_of_nodes[Index(i) * p.m + j] : T(0);
    });
    block.sync();
  }

  ASYMFAST_DEVICE void store() const {
    transpose_out(w, nodes, p.eval + weights_);
    if (base) transpose_out(base, across(), p.base + weights_);
    if (lost) transpose_out(lost, across(), p.lost + weights_);
    if (sum) transpose_out(sum, across(), p.sum + weights_);
    T* slopes_of_nodes = p.slopes + first_node_;
    each(n * real_nodes_, [&](int e) {
      const int i = e / real_nodes_, j = e % real_nodes_;
      slopes_of_nodes[Index(i) * p.m + j] = slopes[i * nodes + j];
    });
    if (block.rank != 0) return;
    each(n * k, [&](int e) {
      p.residual[e] = residual[e];
      p.f[e] = f[e];
    });
  }

  // ---- how threads share out what there is

  // work(element) for the elements 0, ..., count - 1.
  template <class Work>
  ASYMFAST_DEVICE void each(int count, Work work) const {
    for (int e = block.thread; e < count; e += Threads) work(e);
  }

  // A thread's nodes are two strips of a unit, 8 apart; every other pair of units begins with the
  // second one, so that neighbouring threads read from different banks.
  struct Place {
    int row;            // of the tile's first sample, or input
    int unit;           // of the block
    int first, second;  // nodes of the block
  };
  ASYMFAST_DEVICE Place place(int tile) const {
    const int tiles = nodes / kNodes, lane = tile % tiles;
    const int unit = lane / kLanes, node = unit * kUnit + lane % kLanes * kVec;
    const bool swapped = unit / (4 / kLanes) % 2 != 0;
    constexpr int half = kUnit / 2;
    return {tile / tiles, unit, node + (swapped ? half : 0), node + (swapped ? 0 : half)};
  }

  // work(tile, whether there is one): in the same rounds by all threads of a warp.
  template <class Work>
  ASYMFAST_DEVICE void by_tiles(int down, Work work) const {
    const int tiles = down * (nodes / kNodes);
    for (int round = 0; round < tiles; round += Threads) {
      const bool inside = round + block.thread < tiles;
      if (block.any_of_warp(inside)) work(inside ? round + block.thread : tiles - 1, inside);
    }
  }

  ASYMFAST_DEVICE static const Numbers& at(const T* from) {
    return *reinterpret_cast<const Numbers*>(from);
  }
  ASYMFAST_DEVICE static Numbers& at(T* from) { return *reinterpret_cast<Numbers*>(from); }

  // From one input to the next in the transposed arrays of a member.
  ASYMFAST_DEVICE Index across() const { return units * kUnit; }

  Block& block;
  const Problem<T> p;  // of the member
  const Plan<T>& plan;
  const int n, d, k, rows;  // rows: n, rounded up
  const Index units;        // of the member
  Index first_unit;         // of the block
  int nodes;                // of the block: whole units
  T *x, *w, *slopes;        // (d, rows), (d, nodes), (rows, nodes)
  T *c, *y, *residual;      // (k, nodes), (n, k), (n, k)
  double *f, *sums;         // (n, k), (kSlices, k, rows)
  double* losses;           // (n,), and kTotalLanes more
  T* parts;
  T *base, *lost, *sum;  // (d, nodes), from `across` to `across`

 private:
  // (nodes, d) of a member's array <-> (d, nodes); nodes beyond m are 0.
  ASYMFAST_DEVICE void transpose_in(const T* from, T* to, Index stride) const {
    each(nodes * d, [&](int e) {
      const int j = e / d, l = e % d;
      to[l * stride + j] = j < real_nodes_ ? from[e] : T(0);
    });
  }
  ASYMFAST_DEVICE void transpose_out(const T* from, Index stride, T* to) const {
    each(real_nodes_ * d, [&](int e) { to[e] = from[e % d * stride + e / d]; });
  }

  Index first_node_, weights_;  // where those of the block's nodes begin in arrays (m, d)
  int real_nodes_;              // of the block, below m
};

}  // namespace asymfast::cuda
