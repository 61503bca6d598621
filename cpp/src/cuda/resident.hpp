// The training kernel of small problems: many steps of one member by a group of blocks, each of
// which keeps its nodes' weights and slopes, and all samples, in shared memory. One barrier of the
// group a gradient:
//
//   slopes * (c . residual)             dL/dZ, in place
//   product with X, and update          W
//   product with X, and activation      slopes, outputs of each unit of 16 nodes
//   --------------------------------- barrier
//   sum over all units, by every block  f, residual, loss
//
// Cost: 4 n m d flop and n m activations a gradient; 16 bytes of outputs a unit, sample and output.
// sweep.hpp is the kernel of larger problems and of batches.
#pragma once

#include "cuda/losses.hpp"
#include "cuda/problem.hpp"
#include "cuda/tile.hpp"
#include "math/activations.hpp"

namespace asymfast::cuda {

template <class T, int Threads>
struct Resident {
  static constexpr int kThreads = Threads;
  static constexpr int kBlocks = 1;  // that a multiprocessor has
  static constexpr bool kCooperative = true;

  static constexpr int kUnit = 16;               // nodes whose outputs are added before they leave
  static constexpr int kVec = 16 / sizeof(T);    // numbers that one access moves
  static constexpr int kNodes = 2 * kVec;        // of a thread's tile
  static constexpr int kSamples = 8;             // of a thread's tile
  static constexpr int kLanes = kUnit / kNodes;  // threads of a unit
  static constexpr int kSlices = 8;              // of the units, summed side by side
  static constexpr Index kMostOutputs = 1024;    // n k: every block sums them
  using Numbers = Strip<T, kVec>;

  // What lies where in global memory, transposed so that nodes are neighbours: (B, d, units *
  // kUnit).
  struct Args {
    Problem<T> problem;
    Plan<T> plan;
    Progress* progress;    // (B,)
    T* parts;              // (B, 2, units, k, rows): outputs of the units
    T *base, *lost, *sum;  // those of `problem` while the kernel runs; null where they are
  };

  ASYMFAST_INLINE static Index up(Index size, Index to) { return (size + to - 1) / to * to; }
  ASYMFAST_INLINE static Index units(Index m) { return (m + kUnit - 1) / kUnit; }
  ASYMFAST_INLINE static Index rows(Index n) { return up(n, kVec); }
  ASYMFAST_INLINE static Index parts(Index n, Index m, Index k) {
    return 2 * units(m) * k * rows(n);
  }

  // Shared memory of a block with so many units.
  static std::size_t shared(Index n, Index d, Index k, Index units) {
    const auto bytes = [](Index count, std::size_t each) {
      return Carver::rounded(static_cast<std::size_t>(count) * each);
    };
    const Index nodes = units * kUnit, outputs = n * k;
    return bytes(d * rows(n) + kSamples, sizeof(T)) + bytes(d * nodes, sizeof(T)) +
           bytes(rows(n) * nodes, sizeof(T)) + bytes(k * nodes, sizeof(T)) +
           2 * bytes(outputs, sizeof(T)) + bytes(outputs, sizeof(double)) +
           bytes(kSlices * k * rows(n), sizeof(double)) + bytes(n + kTotalLanes, sizeof(double)) +
           kSharedAlignment;
  }

  template <class Block>
  ASYMFAST_DEVICE static void run(Block& block, const Args& args) {
    Worker<Block>(block, args).run();
  }

 private:
  template <class Block>
  class Worker {
   public:
    ASYMFAST_DEVICE Worker(Block& block, const Args& args)
        : block_(block),
          args_(args),
          p_(args.problem),
          plan_(args.plan),
          n_(int(p_.n)),
          d_(int(p_.d)),
          k_(int(p_.k)),
          rows_(int(rows(p_.n))),
          units_(units(p_.m)) {
      const Index b = block.group;
      first_unit_ = units_ * block.rank / block.ranks;
      const Index own = units_ * (block.rank + 1) / block.ranks - first_unit_;
      nodes_ = int(own * kUnit);
      first_node_ = first_unit_ * kUnit;
      const Index left = p_.m - first_node_;
      real_nodes_ = int(left < nodes_ ? left : nodes_);
      // As many units as the block with the most has: what lies where is the same for all.
      const Index most = (units_ + block.ranks - 1) / block.ranks * kUnit;
      Carver carver(block.shared);
      x_ = carver.take<T>(Index(d_) * rows_ + kSamples);
      w_ = carver.take<T>(Index(d_) * most);
      slopes_ = carver.take<T>(Index(rows_) * most);
      c_ = carver.take<T>(Index(k_) * most);
      y_ = carver.take<T>(Index(n_) * k_);
      residual_ = carver.take<T>(Index(n_) * k_);
      f_ = carver.take<double>(Index(n_) * k_);
      sums_ = carver.take<double>(Index(kSlices) * k_ * rows_);
      losses_ = carver.take<double>(n_ + kTotalLanes);
      parts_ = args.parts + b * parts(p_.n, p_.m, p_.k);
      weights_ = (b * p_.m + first_node_) * p_.d;
      const Index transposed = b * p_.d * units_ * kUnit + first_node_;
      base_ = args.base ? args.base + transposed : nullptr;
      lost_ = args.lost ? args.lost + transposed : nullptr;
      sum_ = args.sum ? args.sum + transposed : nullptr;
    }

    ASYMFAST_DEVICE void run() {
      Progress& progress = args_.progress[block_.group];
      if (!progress.runs) return;  // the same for the whole group
      load();
      const double loss = plan_.evaluate ? evaluate() : progress.loss;
      make_steps(
          block_, plan_, progress, loss, [&](const Step<T>& step, Index) { update(step); },
          [&] { return evaluate(); });
      store();
    }

   private:
    // ---- in and out

    template <class Each>
    ASYMFAST_DEVICE void each(int count, Each work) const {
      for (int e = block_.thread; e < count; e += kThreads) work(e);
    }

    // (nodes, d) of a member's array <-> (d, nodes); nodes beyond m are 0.
    ASYMFAST_DEVICE void transpose_in(const T* from, T* to, Index stride) const {
      each(nodes_ * d_, [&](int e) {
        const int j = e / d_, l = e % d_;
        to[l * stride + j] = j < real_nodes_ ? from[e] : T(0);
      });
    }
    ASYMFAST_DEVICE void transpose_out(const T* from, Index stride, T* to) const {
      each(real_nodes_ * d_, [&](int e) { to[e] = from[e % d_ * stride + e / d_]; });
    }

    ASYMFAST_DEVICE Index across() const { return units_ * kUnit; }

    ASYMFAST_DEVICE void load() {
      const Index b = block_.group;
      const T* X = p_.X + b * p_.X_stride;
      each(d_ * rows_, [&](int e) {
        const int l = e / rows_, i = e % rows_;
        x_[e] = i < n_ ? X[Index(i) * d_ + l] : T(0);
      });
      each(kSamples, [&](int e) { x_[d_ * rows_ + e] = T(0); });
      transpose_in(p_.eval + weights_, w_, nodes_);
      if (base_) transpose_in(p_.base + weights_, base_, across());
      if (lost_) transpose_in(p_.lost + weights_, lost_, across());
      if (sum_) transpose_in(p_.sum + weights_, sum_, across());
      const T *c = p_.c + (b * p_.m + first_node_) * k_, *y = p_.y + b * p_.y_stride;
      each(k_ * nodes_, [&](int e) {
        const int q = e / nodes_, j = e % nodes_;
        c_[e] = j < real_nodes_ ? c[j * k_ + q] : T(0);
      });
      each(n_ * k_, [&](int e) {
        y_[e] = y[e];
        residual_[e] = p_.residual[b * n_ * k_ + e];
        f_[e] = p_.f[b * n_ * k_ + e];
      });
      // What a product multiplies must be a number, beyond the samples too.
      const T* slopes = p_.slopes + b * n_ * p_.m + first_node_;
      each(rows_ * nodes_, [&](int e) {
        const int i = e / nodes_, j = e % nodes_;
        const bool inside = !plan_.evaluate && i < n_ && j < real_nodes_;
        slopes_[e] = inside ? slopes[Index(i) * p_.m + j] : T(0);
      });
      block_.sync();
    }

    ASYMFAST_DEVICE void store() {
      const Index b = block_.group;
      transpose_out(w_, nodes_, p_.eval + weights_);
      if (base_) transpose_out(base_, across(), p_.base + weights_);
      if (lost_) transpose_out(lost_, across(), p_.lost + weights_);
      if (sum_) transpose_out(sum_, across(), p_.sum + weights_);
      T* slopes = p_.slopes + b * n_ * p_.m + first_node_;
      each(n_ * real_nodes_, [&](int e) {
        const int i = e / real_nodes_, j = e % real_nodes_;
        slopes[Index(i) * p_.m + j] = slopes_[i * nodes_ + j];
      });
      if (block_.rank != 0) return;
      each(n_ * k_, [&](int e) {
        p_.residual[b * n_ * k_ + e] = residual_[e];
        p_.f[b * n_ * k_ + e] = f_[e];
      });
    }

    // ---- tiles

    // A thread's nodes are two strips of a unit, 8 apart; every other pair of units begins with the
    // second one, so that neighbouring threads read from different banks.
    struct Place {
      int row;            // of the tile's first sample, or input
      int unit;           // of the block
      int first, second;  // nodes of the block
    };
    ASYMFAST_DEVICE Place place(int tile) const {
      const int tiles = nodes_ / kNodes, lane = tile % tiles;
      const int unit = lane / kLanes, node = unit * kUnit + lane % kLanes * kVec;
      const bool swapped = unit / (4 / kLanes) % 2 != 0;
      constexpr int half = kUnit / 2;
      return {tile / tiles, unit, node + (swapped ? half : 0), node + (swapped ? 0 : half)};
    }

    // work(tile, whether there is one): in the same rounds by all threads of a warp.
    template <class Work>
    ASYMFAST_DEVICE void by_tiles(int down, Work work) {
      const int tiles = down * (nodes_ / kNodes);
      for (int round = 0; round < tiles; round += kThreads) {
        const bool inside = round + block_.thread < tiles;
        if (block_.any_of_warp(inside)) work(inside ? round + block_.thread : tiles - 1, inside);
      }
    }

    ASYMFAST_DEVICE static const Numbers& at(const T* p) {
      return *reinterpret_cast<const Numbers*>(p);
    }
    ASYMFAST_DEVICE static Numbers& at(T* p) { return *reinterpret_cast<Numbers*>(p); }

    ASYMFAST_DEVICE static void add_product(T x, const Numbers& u, const Numbers& v,
                                            T (&sums)[kNodes]) {
      for (int s = 0; s < kVec; ++s) {
        sums[s] = fma(x, u.x[s], sums[s]);
        sums[kVec + s] = fma(x, v.x[s], sums[kVec + s]);
      }
    }

    // ---- forward

    ASYMFAST_DEVICE double evaluate() {
      T* parts = parts_ + parity_ * units_ * k_ * rows_;
      parity_ = 1 - parity_;
      by_tiles((n_ + kSamples - 1) / kSamples, [&](int tile, bool inside) {
        const Place own = place(tile);
        const int first = own.row * kSamples;
        pre_activations(own, first, inside);
        with_activation(p_.activation,
                        [&](auto sigma) { activate(sigma, own, first, inside, parts); });
      });
      block_.group_sync();
      return finish(parts);
    }

    // Z of a tile, where its slopes will be.
    ASYMFAST_DEVICE void pre_activations(const Place& own, int first, bool inside) {
      T z[kSamples][kNodes] = {};
      const T *x = x_ + first, *u = w_ + own.first, *v = w_ + own.second;
      ASYMFAST_UNROLL(2)
      for (int l = 0; l < d_; ++l) {
        const Numbers a = at(u + l * nodes_), b = at(v + l * nodes_);
        Numbers samples[kSamples / kVec];
        for (int r = 0; r < kSamples / kVec; ++r) samples[r] = at(x + l * rows_ + r * kVec);
        for (int r = 0; r < kSamples; ++r) add_product(samples[r / kVec].x[r % kVec], a, b, z[r]);
      }
      for (int r = 0; r < kSamples; ++r) {
        if (!inside || first + r >= n_) continue;
        T* to = slopes_ + (first + r) * nodes_;
        Numbers a, b;
        for (int s = 0; s < kVec; ++s) a.x[s] = z[r][s], b.x[s] = z[r][kVec + s];
        at(to + own.first) = a;
        at(to + own.second) = b;
      }
    }

    // Slopes of a tile, and its unit's outputs: sums over the nodes of a thread, then over threads.
    template <class Sigma>
    ASYMFAST_DEVICE void activate(Sigma, const Place& own, int first, bool inside, T* parts) {
      ASYMFAST_UNROLL(1)
      for (int r = 0; r < kSamples; ++r) {
        const bool real = inside && first + r < n_;
        T* row = slopes_ + (real ? first + r : 0) * nodes_;
        Numbers a = at(row + own.first), b = at(row + own.second);
        T values[kNodes];
        for (int s = 0; s < kVec; ++s) {
          const auto first_at = Sigma::value_and_slope(a.x[s]);
          const auto second_at = Sigma::value_and_slope(b.x[s]);
          values[s] = first_at.value, values[kVec + s] = second_at.value;
          a.x[s] = first_at.slope, b.x[s] = second_at.slope;
        }
        if (real) at(row + own.first) = a, at(row + own.second) = b;
        ASYMFAST_UNROLL(1)
        for (int q = 0; q < k_; ++q) {
          const Numbers ca = at(c_ + q * nodes_ + own.first);
          const Numbers cb = at(c_ + q * nodes_ + own.second);
          T sum_a = 0, sum_b = 0;
          for (int s = 0; s < kVec; ++s) {
            sum_a = fma(ca.x[s], values[s], sum_a);
            sum_b = fma(cb.x[s], values[kVec + s], sum_b);
          }
          T sum = sum_a + sum_b;
          for (int apart = kLanes / 2; apart > 0; apart /= 2) sum += block_.of_later(sum, apart);
          if (real && block_.thread % kLanes == 0)
            parts[((first_unit_ + own.unit) * k_ + q) * rows_ + first + r] = sum;
        }
      }
    }

    // f, residual and loss from the outputs of all units; the same in every block.
    ASYMFAST_DEVICE double finish(const T* parts) {
      const int strips = k_ * rows_ / kVec;
      each(kSlices * strips, [&](int e) {
        const int slice = e / strips, strip = e % strips;
        double sum[kVec] = {};
        ASYMFAST_UNROLL(16)
        for (Index unit = slice; unit < units_; unit += kSlices) {
          const Numbers part = at(parts + unit * k_ * rows_ + strip * kVec);
          for (int s = 0; s < kVec; ++s) sum[s] += double(part.x[s]);
        }
        for (int s = 0; s < kVec; ++s) sums_[slice * k_ * rows_ + strip * kVec + s] = sum[s];
      });
      block_.sync();
      const double scale = loss_scale(p_.loss, n_, k_);
      each(n_, [&](int i) {
        ASYMFAST_UNROLL(1)
        for (int q = 0; q < k_; ++q) {
          double sum = 0;
          ASYMFAST_UNROLL(32)
          for (int slice = 0; slice < kSlices; ++slice) sum += sums_[(slice * k_ + q) * rows_ + i];
          f_[i * k_ + q] = sum;
        }
        losses_[i] = sample_loss(p_.loss, scale, f_ + i * k_, y_ + i * k_, k_, residual_ + i * k_);
      });
      block_.sync();
      return scale * total(block_, losses_, n_, losses_ + n_);
    }

    // ---- gradient and update

    ASYMFAST_DEVICE void update(const Step<T>& step) {
      constexpr int warps = kThreads / 32;
      for (int i = block_.thread / 32; i < n_; i += warps)
        for (int j = block_.thread % 32 * kVec; j < nodes_; j += 32 * kVec) {
          Numbers pulled{};
          ASYMFAST_UNROLL(1)
          for (int q = 0; q < k_; ++q) {
            const T r = residual_[i * k_ + q];
            const Numbers c = at(c_ + q * nodes_ + j);
            for (int s = 0; s < kVec; ++s) pulled.x[s] = fma(r, c.x[s], pulled.x[s]);
          }
          Numbers& slopes = at(slopes_ + i * nodes_ + j);
          for (int s = 0; s < kVec; ++s) slopes.x[s] *= pulled.x[s];
        }
      block_.sync();
      // Tiles of 8 inputs, or of 10 where they leave fewer over.
      const bool plain = !base_ && !sum_;
      if ((d_ + 9) / 10 * 10 < (d_ + 7) / 8 * 8)
        plain ? descend<10, true>(step) : descend<10, false>(step);
      else
        plain ? descend<8, true>(step) : descend<8, false>(step);
      block_.sync();
    }

    template <int inputs, bool plain>
    ASYMFAST_DEVICE void descend(const Step<T>& step) {
      by_tiles((d_ + inputs - 1) / inputs, [&](int tile, bool inside) {
        const Place own = place(tile);
        const int first = own.row * inputs;
        T g[inputs][kNodes] = {};
        // Of inputs beyond d, what lies there is multiplied and not used.
        const T *x = x_ + first * rows_, *u = slopes_ + own.first, *v = slopes_ + own.second;
        ASYMFAST_UNROLL(1)
        for (int i = 0; i < rows_; i += kVec) {
          Numbers samples[inputs];
          ASYMFAST_UNROLL(32)
          for (int r = 0; r < inputs; ++r) samples[r] = at(x + r * rows_ + i);
          ASYMFAST_UNROLL(32)
          for (int s = 0; s < kVec; ++s) {
            const Numbers a = at(u + (i + s) * nodes_), b = at(v + (i + s) * nodes_);
            ASYMFAST_UNROLL(32)
            for (int r = 0; r < inputs; ++r) add_product(samples[r].x[s], a, b, g[r]);
          }
        }
        ASYMFAST_UNROLL(32)
        for (int r = 0; r < inputs; ++r) {
          if (!inside || first + r >= d_) break;
          apply<plain>(step, first + r, own.first, g[r]);
          apply<plain>(step, first + r, own.second, g[r] + kVec);
        }
      });
    }

    // The update of input l's weights to the nodes j, j + 1, ...; plain: each step begins where the
    // last one ended, and no sum of gradients is kept.
    template <bool plain>
    ASYMFAST_DEVICE void apply(const Step<T>& step, int l, int j, const T* g) {
      const Index e = l * across() + j;
      Numbers& w = at(w_ + l * nodes_ + j);
      Numbers base = w, lost{}, sum{};
      if (!plain && base_) base = at(base_ + e);
      if (!plain && sum_) sum = at(sum_ + e);
      if (kCompensated<T>) lost = at(lost_ + e);
      ASYMFAST_UNROLL(32)
      for (int s = 0; s < kVec; ++s) {
        T* rest = kCompensated<T> ? &lost.x[s] : nullptr;
        w.x[s] = plain ? Step<T>::shifted(base.x[s], step.along_gradient * g[s], rest, true)
                       : step(g[s], base.x[s], sum.x[s], rest);
      }
      if (!plain && sum_) at(sum_ + e) = sum;
      if (!plain && !step.commit) return;
      if (kCompensated<T>) at(lost_ + e) = lost;
      if (!plain && base_) at(base_ + e) = w;
    }

    Block& block_;
    const Args& args_;
    const Problem<T>& p_;
    const Plan<T>& plan_;
    const int n_, d_, k_, rows_;
    const Index units_;  // of the member
    Index first_unit_, first_node_;
    int nodes_, real_nodes_;  // of the block: whole units, and below m
    Index weights_;           // where those of the block's nodes begin in arrays (B, m, d)
    int parity_ = 0;          // which half of parts the next evaluation writes
    T *x_, *w_, *slopes_, *c_, *y_, *residual_;
    double *f_, *sums_, *losses_;
    T *parts_, *base_, *lost_, *sum_;
  };
};

}  // namespace asymfast::cuda
