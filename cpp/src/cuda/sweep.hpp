// The training kernel of any size: many steps of one member by a group of blocks, which share tiles
// of nodes x samples and of nodes x inputs out among them. Four barriers of the group a gradient:
//
//   slopes * (c . residual)                        pulled, dL/dZ
//   ------------------------------------------- barrier
//   product with X, tile by tile, and update       W
//   ------------------------------------------- barrier
//   product with X, tile by tile, and activation   slopes, outputs of each tile's nodes
//   ------------------------------------------- barrier
//   sum over the tiles for slices of the samples   f, residual, loss parts
//   ------------------------------------------- barrier
//
// Cost: 4 n m d flop and n m activations a gradient. resident.hpp is the kernel of small problems.
#pragma once

#include "cuda/problem.hpp"
#include "cuda/tile.hpp"
#include "math/activations.hpp"
#include "math/losses.hpp"

namespace asymfast::cuda {

template <class Shape, class T>
struct Sweep {
  static constexpr int kThreads = Shape::threads;
  static constexpr int kBlocks = sizeof(T) == sizeof(float) ? 2 : 1;  // that a multiprocessor has
  static constexpr bool kCooperative = true;  // blocks of a group wait for each other

  struct Args {
    Problem<T> problem;
    Plan<T> plan;
    MemberSteps* progress;  // (B,)
  };

  static constexpr std::size_t kShared = Panels<Shape, T>::bytes +
                                         Carver::rounded((kSlice + kTotalLanes) * sizeof(double)) +
                                         kSharedAlignment;

  ASYMFAST_INLINE static Index tiles(Index size) { return Shape::tiles(size); }

  template <class Block>
  ASYMFAST_DEVICE static void run(Block& block, const Args& args) {
    Worker<Block>(block, args).run();
  }

 private:
  static constexpr int reg = Shape::reg;

  template <class Block>
  class Worker {
   public:
    ASYMFAST_DEVICE Worker(Block& block, const Args& args)
        : block_(block),
          args_(args),
          p_(args.problem.of_member(block.group)),
          plan_(args.plan),
          carver_(block.shared),
          panels_(carver_),
          losses_(carver_.take<double>(kSlice + kTotalLanes)) {
      size_ = p_.n;
      if (plan_.rows) next_batch(0);
    }

    ASYMFAST_DEVICE void run() {
      MemberSteps& progress = args_.progress[block_.group];
      if (!progress.runs) return;  // the same for the whole group
      const double loss = plan_.evaluate ? evaluate() : progress.loss;
      if (plan_.gradient) {
        T* G = plan_.gradient;
        if (!plan_.is_pulled) pull();
        gradient([&](Index e, T g) { G[e] = g; });
        block_.group_sync();
      }
      if (plan_.push) {
        push();
        sum_tiles([](Index, Index, Index) {});
      }
      const auto take = [&](const Step<T>& step, Index number) {
        update(step);
        if (rows_) next_batch(number + 1);
      };
      make_steps(block_, plan_, progress, loss, take, [&] { return evaluate(); });
    }

   private:
    // ---- what is where

    ASYMFAST_DEVICE const T* sample(Index i) const {
      return p_.X + (rows_ ? Index(rows_[i]) : i) * p_.d;
    }
    ASYMFAST_DEVICE int row(int r) const {
      return Shape::template place<T>(block_.thread / Shape::side, r);
    }
    ASYMFAST_DEVICE int column(int s) const {
      return Shape::template place<T>(block_.thread % Shape::side, s);
    }

    ASYMFAST_DEVICE void next_batch(Index step) {
      rows_ = plan_.rows + (block_.group * (plan_.steps + 1) + step) * p_.n;
      size_ = plan_.sizes[step];
    }

    // work(element) for the block's share of so many.
    template <class Work>
    ASYMFAST_DEVICE void each(Index size, Work work) {
      const Index all = Index(block_.ranks) * Shape::threads;
      for (Index e = Index(block_.rank) * Shape::threads + block_.thread; e < size; e += all)
        work(e);
    }

    // ---- forward

    // Outputs, residual and loss, which all blocks return.
    ASYMFAST_DEVICE double evaluate() {
      for_tiles<Shape>(block_, size_, p_.m, [&](Index first, int samples, Index node, int nodes) {
        T z[reg][reg] = {};
        product_with_samples(p_.eval, first, samples, node, nodes, z);
        with_activation(p_.activation,
                        [&](auto sigma) { activate(sigma, first, samples, node, nodes, z); });
        add_outputs(first, samples, node, nodes, z);
      });
      block_.group_sync();
      return finish();
    }

    // z_ij += x_i . w_j, w being the rows of an (m, d) matrix.
    ASYMFAST_DEVICE void product_with_samples(const T* w, Index first, int samples, Index node,
                                              int nodes, T (&z)[reg][reg]) {
      const auto x = operand<Runs::inner, T>(samples, [&](int i) { return sample(first + i); });
      const auto rows =
          operand<Runs::inner, T>(nodes, [&](int j) { return w + (node + j) * p_.d; });
      tile_product<Shape>(block_, x, rows, p_.d, panels_, z);
    }

    // z <- sigma(z), and sigma'(z) to memory. Row by row in a loop that is not written out: the
    // code of ten activations would not fit into the instruction cache.
    template <class Sigma>
    ASYMFAST_DEVICE void activate(Sigma, Index first, int samples, Index node, int nodes,
                                  T (&z)[reg][reg]) {
      T held[reg][reg];
      ASYMFAST_UNROLL(8)
      for (int r = 0; r < reg; ++r)
        for (int s = 0; s < reg; ++s) held[r][s] = z[r][s];
      ASYMFAST_UNROLL(1)
      for (int r = 0; r < reg; ++r) {
        const bool real = row(r) < samples;
        const Index at = (first + row(r)) * p_.m + node;
        ASYMFAST_UNROLL(8)
        for (int s = 0; s < reg; ++s) {
          const auto both = derivatives(Sigma{}, held[r][s]);
          held[r][s] = both.value;
          if (!real || column(s) >= nodes) continue;
          p_.slopes[at + column(s)] = both.slope;
          if (p_.values) p_.values[at + column(s)] = both.value;
        }
      }
      ASYMFAST_UNROLL(8)
      for (int r = 0; r < reg; ++r)
        for (int s = 0; s < reg; ++s) z[r][s] = held[r][s];
    }

    // partial[tile of nodes][i][q] = sum_j c_jq z_ij over the nodes of the tile: of a thread, then
    // of the threads of a row.
    ASYMFAST_DEVICE void add_outputs(Index first, int samples, Index node, int nodes,
                                     const T (&z)[reg][reg]) {
      double* partial = p_.partial + (node / Shape::tile * p_.n + first) * p_.k;
      ASYMFAST_UNROLL(1)
      for (Index q = 0; q < p_.k; ++q) {
        T c[reg];
        for (int s = 0; s < reg; ++s)
          c[s] = column(s) < nodes ? p_.c[(node + column(s)) * p_.k + q] : T(0);
        ASYMFAST_UNROLL(8)
        for (int r = 0; r < reg; ++r) {
          T sum = 0;
          for (int s = 0; s < reg; ++s)
            if (column(s) < nodes) sum = fma(c[s], z[r][s], sum);  // z may be infinite beyond
          for (int apart = Shape::side / 2; apart > 0; apart /= 2)
            sum += block_.of_later(sum, apart);
          if (block_.thread % Shape::side == 0 && row(r) < samples)
            partial[row(r) * p_.k + q] = double(sum);
        }
      }
    }

    // The outputs' derivative along plan.push, with the slopes at hand.
    ASYMFAST_DEVICE void push() {
      for_tiles<Shape>(block_, size_, p_.m, [&](Index first, int samples, Index node, int nodes) {
        T z[reg][reg] = {};
        product_with_samples(plan_.push, first, samples, node, nodes, z);
        for (int r = 0; r < reg; ++r)
          for (int s = 0; s < reg; ++s)
            if (row(r) < samples && column(s) < nodes)
              z[r][s] *= p_.slopes[(first + row(r)) * p_.m + node + column(s)];
        add_outputs(first, samples, node, nodes, z);
      });
      block_.group_sync();
    }

    // f of the slices that are this block's.
    template <class Each>
    ASYMFAST_DEVICE void sum_tiles(Each each) {
      const Index count = tiles(p_.m);
      for (Index slice = block_.rank; slice < slices_of(size_); slice += block_.ranks) {
        const Index first = slice * kSlice;
        const Index last = first + kSlice < size_ ? first + kSlice : size_;
        for (Index e = first * p_.k + block_.thread; e < last * p_.k; e += Shape::threads) {
          double sum = 0;
          for (Index tile = 0; tile < count; ++tile) sum += p_.partial[tile * p_.n * p_.k + e];
          p_.f[e] = sum;
        }
        block_.sync();
        each(slice, first, last);
      }
      block_.group_sync();
    }

    ASYMFAST_DEVICE double finish() {
      if (!p_.y) {
        sum_tiles([](Index, Index, Index) {});
        return 0;
      }
      const double scale = loss_scale(p_.loss, size_, p_.k);
      sum_tiles([&](Index slice, Index first, Index last) {
        const Index i = first + block_.thread;
        for (Index at = i; at < last; at += Shape::threads) {
          const Index row = rows_ ? Index(rows_[at]) : at;
          double loss = 0;
          add_sample_loss(p_.loss, scale, size_, p_.f + at * p_.k, p_.y + row * p_.k, p_.k,
                          p_.residual + at * p_.k, loss);
          losses_[at - first] = loss;
        }
        block_.sync();
        if (block_.thread == 0) {
          double sum = 0;
          for (Index at = first; at < last; ++at) sum += losses_[at - first];
          p_.loss_parts[slice] = sum;
        }
        block_.sync();
      });
      return scale * total(block_, p_.loss_parts, slices_of(size_), losses_ + kSlice);
    }

    // ---- gradient

    // pulled_ij = dL/dZ_ij
    ASYMFAST_DEVICE void pull() {
      each(size_ * p_.m, [&](Index e) {
        const Index i = e / p_.m, j = e % p_.m;
        T sum = 0;
        for (Index q = 0; q < p_.k; ++q)
          sum = fma(p_.residual[i * p_.k + q], p_.c[j * p_.k + q], sum);
        p_.pulled[e] = sum * p_.slopes[e];
      });
      block_.group_sync();
    }

    // work(element, dL/dW) for the weights of the block's tiles.
    template <class Work>
    ASYMFAST_DEVICE void gradient(Work work) {
      for_tiles<Shape>(block_, p_.m, p_.d, [&](Index node, int nodes, Index input, int inputs) {
        T g[reg][reg] = {};
        tile_product<Shape>(
            block_,
            operand<Runs::outer, T>(nodes, [&](Index i) { return p_.pulled + i * p_.m + node; }),
            operand<Runs::outer, T>(inputs, [&](Index i) { return sample(i) + input; }), size_,
            panels_, g);
        for_results<Shape>(block_, nodes, inputs, g, [&](int j, int l, T result) {
          work((node + j) * p_.d + input + l, result);
        });
      });
    }

    ASYMFAST_DEVICE void update(const Step<T>& step) {
      pull();
      T *W = p_.eval, *base = p_.base ? p_.base : W;
      gradient([&](Index e, T g) {
        T none = 0;
        W[e] = step(g, base[e], step.uses_sum ? p_.sum[e] : none, p_.lost ? p_.lost + e : nullptr);
        if (step.commit && p_.base) base[e] = W[e];
      });
      if (plan_.train_output) train_outputs(step.along_gradient);
      block_.group_sync();
    }

    // a_jq += step dL/da_jq, by a thread each.
    ASYMFAST_DEVICE void train_outputs(T step) {
      each(p_.m * p_.k, [&](Index e) {
        const Index j = e / p_.k, q = e % p_.k;
        T sum = 0;
        for (Index i = 0; i < size_; ++i)
          sum = fma(p_.residual[i * p_.k + q], p_.values[i * p_.m + j], sum);
        const T root = p_.root_lam[j];
        p_.a[e] = Step<T>::shifted(p_.a[e], step * (root * sum),
                                   p_.lost_a ? p_.lost_a + e : nullptr, true);
        p_.c[e] = root * p_.a[e];
      });
    }

    Block& block_;
    const Args& args_;
    const Problem<T> p_;  // of the member
    const Plan<T>& plan_;
    Carver carver_;
    Panels<Shape, T> panels_;
    double* losses_;
    Index size_;  // samples at hand
    const std::int32_t* rows_ = nullptr;
  };
};

}  // namespace asymfast::cuda
