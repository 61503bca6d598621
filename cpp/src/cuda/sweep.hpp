// The training kernel: many steps of one member by a group of blocks, each of which owns some
// tiles of its nodes. Two barriers of the group a gradient:
//
//   gradient of the block's nodes and update            slopes, residual -> W
//   forward pass of the block's nodes, tile by tile     W -> slopes, partial outputs of each tile
//   ------------------------------------------------ barrier
//   sum over all tiles for some slices of the samples   partial outputs -> f, residual, loss parts
//   ------------------------------------------------ barrier
//
// Cost: 4 n m d flop and n m activations a gradient; 16 n k bytes of partial outputs a tile.
#pragma once

#include "cuda/losses.hpp"
#include "cuda/problem.hpp"
#include "cuda/tile.hpp"
#include "math/activations.hpp"

namespace asymfast::cuda {

inline constexpr Index kSlice = 16;  // samples whose losses are summed by one block

template <class Shape, class T>
struct Sweep {
  static constexpr int kThreads = Shape::threads;
  static constexpr int kBlocks = sizeof(T) == sizeof(float) ? 2 : 1;  // that a multiprocessor has
  static constexpr bool kCooperative = true;  // blocks of a group wait for each other

  struct Args {
    Problem<T> problem;
    Plan<T> plan;
    Progress* progress;   // (B,)
    bool weights_shared;  // eval of the block's nodes is kept in shared memory
  };

  // Of the block, but for its weights.
  static constexpr std::size_t kShared =
      Panels<Shape, T>::bytes + Carver::rounded(Shape::tile * Shape::side * sizeof(double)) +
      Carver::rounded(kSlice * sizeof(double)) + kSharedAlignment;

  ASYMFAST_INLINE static Index node_tiles(Index m) { return (m + Shape::tile - 1) / Shape::tile; }
  ASYMFAST_INLINE static Index slices(Index n) { return (n + kSlice - 1) / kSlice; }

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
          carver_(block.shared),
          panels_(carver_),
          columns_(carver_.take<double>(Shape::tile * Shape::side)),
          losses_(carver_.take<double>(kSlice)) {
      const Index b = block.group, tiles = node_tiles(p_.m);
      first_tile_ = tiles * block.rank / block.ranks;
      last_tile_ = tiles * (block.rank + 1) / block.ranks;
      first_node_ = first_tile_ * Shape::tile;
      last_node_ = last_tile_ * Shape::tile < p_.m ? last_tile_ * Shape::tile : p_.m;
      if (first_node_ > last_node_) first_node_ = last_node_;
      X_ = p_.X + b * p_.X_stride;
      y_ = p_.y ? p_.y + b * p_.y_stride : nullptr;
      size_ = plan_.sizes ? plan_.sizes[0] : p_.n;
      rows_ = plan_.rows ? plan_.rows + b * (plan_.steps + 1) * p_.n : nullptr;
      weights_ = (b * p_.m + first_node_) * p_.d;
      c_ = p_.c ? p_.c + b * p_.m * p_.k : nullptr;
      slopes_ = p_.slopes + b * p_.n * p_.m;
      values_ = p_.values ? p_.values + b * p_.n * p_.m : nullptr;
      partial_ = p_.partial + b * tiles * p_.n * p_.k;
      f_ = p_.f + b * p_.n * p_.k;
      residual_ = p_.residual + b * p_.n * p_.k;
      loss_parts_ = p_.loss_parts + b * slices(p_.n);
      W_ = p_.eval + weights_;
    }

    ASYMFAST_DEVICE void run() {
      Progress& progress = args_.progress[block_.group];
      if (!progress.runs) return;  // the same for the whole group
      if (args_.weights_shared) load_weights();
      double loss = progress.loss, last_loss = progress.last_loss;
      if (plan_.evaluate) {
        forward();
        loss = finish();
      }
      if (plan_.gradient) {
        T* G = plan_.gradient + weights_;
        gradient([&](Index e, T g) { G[e] = g; });
        block_.group_sync();
      }
      if (plan_.push) {
        push();
        finish_outputs();
      }
      Index steps = 0;
      while (steps < plan_.steps) {
        for (int stage = 0; stage < plan_.stages; ++stage) {
          update(plan_.stage[stage], plan_.scales ? plan_.scales[steps] : 1);
          if (rows_) next_batch(steps + 1);
          forward();
          loss = finish();
        }
        ++steps;
        if (!(loss <= progress.loss_limit)) break;
        last_loss = loss;
      }
      if (args_.weights_shared) store_weights();
      if (block_.rank == 0 && block_.thread == 0) {
        progress.steps = steps;
        progress.loss = loss;
        progress.last_loss = last_loss;
      }
    }

   private:
    // ---- what is where

    ASYMFAST_DEVICE T x(Index i, Index l) const {
      return X_[(rows_ ? Index(rows_[i]) : i) * p_.d + l];
    }
    ASYMFAST_DEVICE int count(Index first, Index last) const {
      return static_cast<int>(last - first < Shape::tile ? last - first : Shape::tile);
    }
    ASYMFAST_DEVICE int own_row() const { return block_.thread / Shape::side * Shape::reg; }
    ASYMFAST_DEVICE int own_col() const { return block_.thread % Shape::side * Shape::reg; }

    ASYMFAST_DEVICE void next_batch(Index step) {
      rows_ = plan_.rows + (block_.group * (plan_.steps + 1) + step) * p_.n;
      size_ = plan_.sizes[step];
    }

    ASYMFAST_DEVICE void load_weights() {
      T* shared = carver_.template take<T>((last_node_ - first_node_) * p_.d);
      for (Index e = block_.thread; e < (last_node_ - first_node_) * p_.d; e += Shape::threads)
        shared[e] = W_[e];
      W_ = shared;
      block_.sync();
    }
    ASYMFAST_DEVICE void store_weights() {
      block_.sync();
      T* eval = p_.eval + weights_;
      for (Index e = block_.thread; e < (last_node_ - first_node_) * p_.d; e += Shape::threads)
        eval[e] = W_[e];
    }

    // ---- forward

    // Of the block's nodes: sigma' and the outputs of each tile.
    ASYMFAST_DEVICE void forward() {
      by_tiles([&](Index tile, Index first, int samples, Index node, int nodes) {
        T z[Shape::reg][Shape::reg] = {};
        tile_product<Shape, Runs::inner, Runs::inner>(
            block_, samples, nodes, p_.d, [&](int i, Index l) { return x(first + i, l); },
            [&](int j, Index l) { return W_[(node - first_node_ + j) * p_.d + l]; }, panels_, z);
        with_activation(p_.activation, [&](auto sigma) {
          for (int r = 0; r < Shape::reg; ++r)
            for (int s = 0; s < Shape::reg; ++s) {
              const int i = own_row() + r, j = own_col() + s;
              const auto at = decltype(sigma)::value_and_slope(z[r][s]);
              z[r][s] = at.value;
              if (i >= samples || j >= nodes) continue;
              slopes_[(first + i) * p_.m + node + j] = at.slope;
              if (values_) values_[(first + i) * p_.m + node + j] = at.value;
            }
        });
        add_outputs(tile, first, samples, node, nodes, z);
      });
    }

    // The outputs' derivative along plan.push, with the slopes at hand.
    ASYMFAST_DEVICE void push() {
      const T* G = plan_.push + weights_;
      by_tiles([&](Index tile, Index first, int samples, Index node, int nodes) {
        T z[Shape::reg][Shape::reg] = {};
        tile_product<Shape, Runs::inner, Runs::inner>(
            block_, samples, nodes, p_.d, [&](int i, Index l) { return x(first + i, l); },
            [&](int j, Index l) { return G[(node - first_node_ + j) * p_.d + l]; }, panels_, z);
        for (int r = 0; r < Shape::reg; ++r)
          for (int s = 0; s < Shape::reg; ++s) {
            const int i = own_row() + r, j = own_col() + s;
            if (i < samples && j < nodes) z[r][s] *= slopes_[(first + i) * p_.m + node + j];
          }
        add_outputs(tile, first, samples, node, nodes, z);
      });
      block_.group_sync();
    }

    // work(tile, first sample, samples, first node, nodes)
    template <class Work>
    ASYMFAST_DEVICE void by_tiles(Work work) {
      for (Index tile = first_tile_; tile < last_tile_; ++tile)
        for (Index first = 0; first < size_; first += Shape::tile) {
          const Index node = tile * Shape::tile;
          work(tile, first, count(first, size_), node, count(node, p_.m));
        }
    }

    // partial[tile][i][q] = sum_j c_jq z_ij over the nodes of the tile, for the samples of a tile.
    ASYMFAST_DEVICE void add_outputs(Index tile, Index first, int samples, Index node, int nodes,
                                     const T (&z)[Shape::reg][Shape::reg]) {
      for (Index q = 0; q < p_.k; ++q) {
        T c[Shape::reg];
        for (int s = 0; s < Shape::reg; ++s)
          c[s] = own_col() + s < nodes ? c_[(node + own_col() + s) * p_.k + q] : T(0);
        block_.sync();
        for (int r = 0; r < Shape::reg; ++r) {
          T sum = 0;
          for (int s = 0; s < Shape::reg; ++s)
            if (own_col() + s < nodes) sum = fma(c[s], z[r][s], sum);
          columns_[(own_row() + r) * Shape::side + block_.thread % Shape::side] = double(sum);
        }
        block_.sync();
        for (int i = block_.thread; i < samples; i += Shape::threads) {
          double sum = 0;
          for (int column = 0; column < Shape::side; ++column)
            sum += columns_[i * Shape::side + column];
          partial_[(tile * p_.n + first + i) * p_.k + q] = sum;
        }
      }
    }

    // f of the slices that are this block's.
    template <class Each>
    ASYMFAST_DEVICE void sum_tiles(Each each) {
      const Index tiles = node_tiles(p_.m);
      for (Index slice = block_.rank; slice < slices(size_); slice += block_.ranks) {
        const Index first = slice * kSlice;
        const Index last = first + kSlice < size_ ? first + kSlice : size_;
        for (Index e = first * p_.k + block_.thread; e < last * p_.k; e += Shape::threads) {
          double sum = 0;
          for (Index tile = 0; tile < tiles; ++tile) sum += partial_[tile * p_.n * p_.k + e];
          f_[e] = sum;
        }
        block_.sync();
        each(slice, first, last);
      }
      block_.group_sync();
    }

    ASYMFAST_DEVICE void finish_outputs() {
      sum_tiles([](Index, Index, Index) {});
    }

    // Outputs, residual and loss, which all blocks return.
    ASYMFAST_DEVICE double finish() {
      block_.group_sync();
      if (!y_) {
        finish_outputs();
        return 0;
      }
      const double scale = loss_scale(p_.loss, size_, p_.k);
      sum_tiles([&](Index slice, Index first, Index last) {
        const Index i = first + block_.thread;
        for (Index at = i; at < last; at += Shape::threads) {
          const Index row = rows_ ? Index(rows_[at]) : at;
          losses_[at - first] = sample_loss(p_.loss, scale, f_ + at * p_.k, y_ + row * p_.k, p_.k,
                                            residual_ + at * p_.k);
        }
        block_.sync();
        if (block_.thread == 0) {
          double sum = 0;
          for (Index at = first; at < last; ++at) sum += losses_[at - first];
          loss_parts_[slice] = sum;
        }
        block_.sync();
      });
      double sum = 0;
      for (Index slice = 0; slice < slices(size_); ++slice) sum += loss_parts_[slice];
      return scale * sum;
    }

    // ---- gradient

    // each(element, dL/dW) for the weights of the block's nodes, counted from the first one's.
    template <class Each>
    ASYMFAST_DEVICE void gradient(Each each) {
      for (Index tile = first_tile_; tile < last_tile_; ++tile) {
        const Index node = tile * Shape::tile;
        const int nodes = count(node, p_.m);
        for (Index column = 0; column < p_.d; column += Shape::tile) {
          const int columns = count(column, p_.d);
          T g[Shape::reg][Shape::reg] = {};
          tile_product<Shape, Runs::outer, Runs::outer>(
              block_, nodes, columns, size_, [&](int j, Index i) { return pulled(i, node + j); },
              [&](int l, Index i) { return x(i, column + l); }, panels_, g);
          for (int r = 0; r < Shape::reg; ++r)
            for (int s = 0; s < Shape::reg; ++s) {
              const int j = own_row() + r, l = own_col() + s;
              if (j < nodes && l < columns)
                each((node - first_node_ + j) * p_.d + column + l, g[r][s]);
            }
        }
      }
    }

    // dL/dZ_ij
    ASYMFAST_DEVICE T pulled(Index i, Index j) const {
      T sum = 0;
      for (Index q = 0; q < p_.k; ++q) sum = fma(residual_[i * p_.k + q], c_[j * p_.k + q], sum);
      return sum * slopes_[i * p_.m + j];
    }

    ASYMFAST_DEVICE void update(const Update& u, double scale) {
      const T along_gradient = T(u.along_gradient * scale), along_sum = T(u.along_sum);
      const T keep_sum = T(u.keep_sum), gain = T(u.gain);
      T* W = W_;
      T* base = p_.base ? p_.base + weights_ : W;
      T* lost = p_.lost ? p_.lost + weights_ : nullptr;
      T* sums = p_.sum ? p_.sum + weights_ : nullptr;
      const bool uses_sum = u.gain != 0 || u.along_sum != 0;
      gradient([&](Index e, T g) {
        T change = along_gradient * g;
        if (uses_sum) {
          const T kept = keep_sum == T(0) ? T(0) : keep_sum * sums[e];  // it may be NaN
          sums[e] = fma(gain, g, kept);
          change = fma(along_sum, sums[e], change);
        }
        W[e] = shifted(base[e], change, lost ? lost + e : nullptr, u.commit);
        if (u.commit && p_.base) base[e] = W[e];
      });
      if (plan_.train_output) train_outputs(along_gradient);
      block_.sync();
    }

    // a_jq += step dL/da_jq for the block's nodes, by a thread each.
    ASYMFAST_DEVICE void train_outputs(T step) {
      block_.sync();  // all have read c
      const Index outputs = block_.group * p_.m * p_.k;
      for (Index e = first_node_ * p_.k + block_.thread; e < last_node_ * p_.k;
           e += Shape::threads) {
        const Index j = e / p_.k, q = e % p_.k;
        T sum = 0;
        for (Index i = 0; i < size_; ++i)
          sum = fma(residual_[i * p_.k + q], values_[i * p_.m + j], sum);
        const T root = p_.root_lam[block_.group * p_.m + j];
        T* lost = p_.lost_a ? p_.lost_a + outputs + e : nullptr;
        const T a = shifted(p_.a[outputs + e], step * (root * sum), lost, true);
        p_.a[outputs + e] = a;
        c_[e] = root * a;
      }
    }

    // base + change, with what rounding has kept out of base so far.
    ASYMFAST_DEVICE static T shifted(T base, T change, T* lost, bool commit) {
      if (!lost) return base + change;
      const T whole = change + *lost;
      const T next = base + whole;
      if (commit) {  // exact, by Knuth's two-sum
        const T taken = next - base;
        *lost = (base - (next - taken)) + (whole - taken);
      }
      return next;
    }

    Block& block_;
    const Args& args_;
    const Problem<T>& p_;
    const Plan<T>& plan_;
    Carver carver_;
    Panels<Shape, T> panels_;
    double *columns_, *losses_;
    Index first_tile_, last_tile_, first_node_, last_node_;
    Index weights_;  // where those of the block's nodes begin in arrays (B, m, d)
    Index size_;     // samples at hand
    const T *X_, *y_;
    const std::int32_t* rows_;
    T *W_, *c_, *slopes_, *values_, *residual_;
    double *partial_, *f_, *loss_parts_;
  };
};

}  // namespace asymfast::cuda
