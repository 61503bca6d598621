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

#include "cuda/resident_block.hpp"
#include "math/activations.hpp"

namespace asymfast::cuda {

template <class T, int Threads>
struct Resident : ResidentSizes<T> {
  static constexpr int kThreads = Threads;
  static constexpr int kBlocks = 1;  // that a multiprocessor has
  static constexpr bool kCooperative = true;

  using Args = ResidentArgs<T>;

  template <class Block>
  ASYMFAST_DEVICE static void run(Block& block, const Args& args) {
    MemberSteps& progress = args.progress[block.group];
    if (!progress.runs) return;  // the same for the whole group
    Worker<Block> worker(block, args);
    worker.own.load();
    const double loss = args.plan.evaluate ? worker.evaluate() : progress.loss;
    make_steps(
        block, args.plan, progress, loss, [&](const Step<T>& step, Index) { worker.update(step); },
        [&] { return worker.evaluate(); });
    worker.own.store();
  }

 private:
  using Sizes = ResidentSizes<T>;
  using Numbers = Strip<T, Sizes::kVec>;
  static constexpr int kVec = Sizes::kVec, kNodes = Sizes::kNodes, kSamples = Sizes::kSamples;

  ASYMFAST_DEVICE static void add_product(T x, const Numbers& u, const Numbers& v,
                                          T (&sums)[kNodes]) {
    for (int s = 0; s < kVec; ++s) {
      sums[s] = fma(x, u.x[s], sums[s]);
      sums[kVec + s] = fma(x, v.x[s], sums[kVec + s]);
    }
  }

  template <class Block>
  struct Worker {
    using Own = ResidentBlock<T, Threads, Block>;
    using Place = typename Own::Place;

    ASYMFAST_DEVICE Worker(Block& block, const Args& args) : own(block, args) {}

    // ---- forward

    ASYMFAST_DEVICE double evaluate() {
      T* parts = own.parts + parity * own.units * own.k * own.rows;
      parity = 1 - parity;
      own.by_tiles((own.n + kSamples - 1) / kSamples, [&](int tile, bool inside) {
        const Place place = own.place(tile);
        const int first = place.row * kSamples;
        pre_activations(place, first, inside);
        with_activation(own.p.activation,
                        [&](auto sigma) { activate(sigma, place, first, inside, parts); });
      });
      own.block.group_sync();
      return finish(parts);
    }

    // Z of a tile, where its slopes will be.
    ASYMFAST_DEVICE void pre_activations(const Place& place, int first, bool inside) {
      T z[kSamples][kNodes] = {};
      const T *x = own.x + first, *u = own.w + place.first, *v = own.w + place.second;
      ASYMFAST_UNROLL(2)
      for (int l = 0; l < own.d; ++l) {
        const Numbers a = Own::at(u + l * own.nodes), b = Own::at(v + l * own.nodes);
        Numbers samples[kSamples / kVec];
        for (int r = 0; r < kSamples / kVec; ++r) samples[r] = Own::at(x + l * own.rows + r * kVec);
        for (int r = 0; r < kSamples; ++r) add_product(samples[r / kVec].x[r % kVec], a, b, z[r]);
      }
      for (int r = 0; r < kSamples; ++r) {
        if (!inside || first + r >= own.n) continue;
        T* to = own.slopes + (first + r) * own.nodes;
        Numbers a, b;
        for (int s = 0; s < kVec; ++s) a.x[s] = z[r][s], b.x[s] = z[r][kVec + s];
        Own::at(to + place.first) = a;
        Own::at(to + place.second) = b;
      }
    }

    // Slopes of a tile, and its unit's outputs: sums over the nodes of a thread, then over threads.
    template <class Sigma>
    ASYMFAST_DEVICE void activate(Sigma, const Place& place, int first, bool inside, T* parts) {
      ASYMFAST_UNROLL(1)
      for (int r = 0; r < kSamples; ++r) {
        const bool real = inside && first + r < own.n;
        T* row = own.slopes + (first + r) * own.nodes;
        Numbers a{}, b{};
        if (real) a = Own::at(row + place.first), b = Own::at(row + place.second);
        T values[kNodes];
        for (int s = 0; s < kVec; ++s) {
          const auto first_at = derivatives(Sigma{}, a.x[s]);
          const auto second_at = derivatives(Sigma{}, b.x[s]);
          values[s] = first_at.value, values[kVec + s] = second_at.value;
          a.x[s] = first_at.slope, b.x[s] = second_at.slope;
        }
        if (real) Own::at(row + place.first) = a, Own::at(row + place.second) = b;
        ASYMFAST_UNROLL(1)
        for (int q = 0; q < own.k; ++q) {
          const Numbers ca = Own::at(own.c + q * own.nodes + place.first);
          const Numbers cb = Own::at(own.c + q * own.nodes + place.second);
          T sum_a = 0, sum_b = 0;
          for (int s = 0; s < kVec; ++s) {
            sum_a = fma(ca.x[s], values[s], sum_a);
            sum_b = fma(cb.x[s], values[kVec + s], sum_b);
          }
          T sum = sum_a + sum_b;
          for (int apart = Sizes::kLanes / 2; apart > 0; apart /= 2)
            sum += own.block.of_later(sum, apart);
          if (real && own.block.thread % Sizes::kLanes == 0)
            parts[((own.first_unit + place.unit) * own.k + q) * own.rows + first + r] = sum;
        }
      }
    }

    // f, residual and loss from the outputs of all units; the same in every block.
    ASYMFAST_DEVICE double finish(const T* parts) {
      constexpr int kSlices = Sizes::kSlices;
      const int k = own.k, outputs = k * own.rows, strips = outputs / kVec;
      own.each(kSlices * strips, [&](int e) {
        const int slice = e / strips, strip = e % strips;
        double sum[kVec] = {};
        ASYMFAST_UNROLL(16)
        for (Index unit = slice; unit < own.units; unit += kSlices) {
          const Numbers part = Own::at(parts + unit * outputs + strip * kVec);
          for (int s = 0; s < kVec; ++s) sum[s] += double(part.x[s]);
        }
        for (int s = 0; s < kVec; ++s) own.sums[slice * outputs + strip * kVec + s] = sum[s];
      });
      own.block.sync();
      const double scale = loss_scale(own.p.loss, own.n, k);
      own.each(own.n, [&](int i) {
        ASYMFAST_UNROLL(1)
        for (int q = 0; q < k; ++q) {
          double sum = 0;
          ASYMFAST_UNROLL(32)
          for (int slice = 0; slice < kSlices; ++slice)
            sum += own.sums[slice * outputs + q * own.rows + i];
          own.f[i * k + q] = sum;
        }
        double loss = 0;
        add_sample_loss(own.p.loss, scale, own.n, own.f + i * k, own.y + i * k, k,
                        own.residual + i * k, loss);
        own.losses[i] = loss;
      });
      own.block.sync();
      return scale * total(own.block, own.losses, own.n, own.losses + own.n);
    }

    // ---- gradient and update

    ASYMFAST_DEVICE void update(const Step<T>& step) {
      pull();
      own.block.sync();
      const bool plain = !own.base && !own.sum;
      if (Sizes::by_tens(own.d))
        plain ? descend<10, true>(step) : descend<10, false>(step);
      else
        plain ? descend<8, true>(step) : descend<8, false>(step);
      own.block.sync();
    }

    // slopes <- dL/dZ
    ASYMFAST_DEVICE void pull() {
      constexpr int warps = Threads / 32;
      const int warp = own.block.thread / 32, lane = own.block.thread % 32;
      for (int i = warp; i < own.n; i += warps)
        for (int j = lane * kVec; j < own.nodes; j += 32 * kVec) {
          Numbers pulled{};
          ASYMFAST_UNROLL(1)
          for (int q = 0; q < own.k; ++q) {
            const T r = own.residual[i * own.k + q];
            const Numbers c = Own::at(own.c + q * own.nodes + j);
            for (int s = 0; s < kVec; ++s) pulled.x[s] = fma(r, c.x[s], pulled.x[s]);
          }
          Numbers& slopes = Own::at(own.slopes + i * own.nodes + j);
          for (int s = 0; s < kVec; ++s) slopes.x[s] *= pulled.x[s];
        }
    }

    template <int inputs, bool plain>
    ASYMFAST_DEVICE void descend(const Step<T>& step) {
      own.by_tiles((own.d + inputs - 1) / inputs, [&](int tile, bool inside) {
        const Place place = own.place(tile);
        const int first = place.row * inputs;
        T g[inputs][kNodes] = {};
        const T* x = own.x + first * own.rows;
        const T *u = own.slopes + place.first, *v = own.slopes + place.second;
        ASYMFAST_UNROLL(1)
        for (int i = 0; i < own.rows; i += kVec) {
          Numbers samples[inputs];
          ASYMFAST_UNROLL(32)
          for (int r = 0; r < inputs; ++r) samples[r] = Own::at(x + r * own.rows + i);
          ASYMFAST_UNROLL(32)
          for (int s = 0; s < kVec; ++s) {
            const Numbers a = Own::at(u + (i + s) * own.nodes);
            const Numbers b = Own::at(v + (i + s) * own.nodes);
            ASYMFAST_UNROLL(32)
            for (int r = 0; r < inputs; ++r) add_product(samples[r].x[s], a, b, g[r]);
          }
        }
        ASYMFAST_UNROLL(32)
        for (int r = 0; r < inputs; ++r) {
          if (!inside || first + r >= own.d) break;
          apply<plain>(step, first + r, place.first, g[r]);
          apply<plain>(step, first + r, place.second, g[r] + kVec);
        }
      });
    }

    // The update of input l's weights to the nodes j, j + 1, ...; plain: each step begins where the
    // last one ended, and no sum of gradients is kept.
    template <bool plain>
    ASYMFAST_DEVICE void apply(const Step<T>& step, int l, int j, const T* g) {
      const Index e = l * own.across() + j;
      Numbers& w = Own::at(own.w + l * own.nodes + j);
      Numbers base = w, lost{}, sum{};
      if (!plain && own.base) base = Own::at(own.base + e);
      if (!plain && own.sum) sum = Own::at(own.sum + e);
      if (kCompensated<T>) lost = Own::at(own.lost + e);
      ASYMFAST_UNROLL(32)
      for (int s = 0; s < kVec; ++s) {
        T* rest = kCompensated<T> ? &lost.x[s] : nullptr;
        w.x[s] = plain ? Step<T>::shifted(base.x[s], step.along_gradient * g[s], rest, true)
                       : step(g[s], base.x[s], sum.x[s], rest);
      }
      if (!plain && own.sum) Own::at(own.sum + e) = sum;
      if (!plain && !step.commit) return;
      if (kCompensated<T>) Own::at(own.lost + e) = lost;
      if (!plain && own.base) Own::at(own.base + e) = w;
    }

    Own own;
    int parity = 0;  // which half of own.parts the next evaluation writes
  };
};

}  // namespace asymfast::cuda
