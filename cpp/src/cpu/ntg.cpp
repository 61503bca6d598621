// Neural tangent Gram matrix, Eq. (5), of weights (of slopes already kept: cpu/ntg_of_slopes.cpp):
//   K_il = (x_i.x2_l / d) sum_j v_j sigma'(Z_j(x_i)) sigma'(Z_j(x2_l)).
//
// Nodes come in groups whose slopes fit the budget; a tile of K (a block of samples against
// another) is summed over a group by one thread, in the order of the nodes, so K does not depend on
// the number of threads. Symmetric: the tiles of the lower triangle, mirrored.
//
// float: the smallest eigenvalue lives far below float's rounding, so no error may grow with m or
// be that of a node which outweighs the others. Nodes with more than 4 times their even share of v
// are multiplied and summed in double; the others in float over runs of 32 nodes, eight runs in
// float, and these in double. What that rounds (as much as runs of 64 nodes in double would) is
// less than what rounding the slopes themselves does to the eigenvalue.
//
// K is in double or rounded to float at its last group; only where there are several groups does
// that take a second matrix, for their sum.
//
// Cost: 2 n n2 m flop (half if symmetric); memory: `kBudget` and the heavy nodes beside K.
#include <algorithm>
#include <type_traits>

#include "backend.hpp"
#include "cpu/in_double.hpp"
#include "cpu/slope_panels.hpp"

namespace asymfast::cpu {

namespace {

constexpr double kBudget = tuning::kGatheredSlopes;  // unless the caller allows fewer

// Nodes whose products are summed one after the other, and those over which such sums are added in
// float.
using tuning::kRun, tuning::kSummed;

// How v_j is shared out between the two sides, and the order in which nodes are summed.
template <class T>
struct NodeWeights {
  // sqrt v_j on both sides where that serves them with one set of slopes, else 1 and v_j. Relative
  // to the largest, so that no scaling of lambda leaves T's range.
  std::vector<double> left, right;
  double largest = 0;
  bool alike;
  std::vector<Index> heavy, light;

  NodeWeights(const double* v, Index m, bool symmetric) : left(m, 1.0), right(m) {
    alike = symmetric && std::all_of(v, v + m, [](double x) { return x >= 0; });
    double sum = 0;
    for (Index j = 0; j < m; ++j) largest = std::max(largest, std::abs(v[j]));
    if (largest == 0) largest = 1;
    for (Index j = 0; j < m; ++j) {
      const double share = v[j] / largest;
      right[j] = alike ? std::sqrt(share) : share;
      sum += std::abs(share);
    }
    if (alike) left = right;
    for (Index j = 0; j < m; ++j) {
      const bool is_heavy =
          std::is_same_v<T, float> && std::abs(v[j]) / largest * double(m) > 4 * sum;
      (is_heavy ? heavy : light).push_back(j);
    }
  }
};

template <class T, class E>
class Ntg {
 public:
  Ntg(const NetworkView<T>& net, const double* v, MatrixView<const T> X, MatrixView<const T> X2,
      bool symmetric, MatrixView<E> K, const Context& context)
      : symmetric_(symmetric),
        d_(net.d()),
        weights_(v, net.m(), symmetric),
        group_(nodes_of_group(Index(weights_.light.size()), X.rows + (weights_.alike ? 0 : X2.rows),
                              budget(context))),
        inputs_(X, X2, 1 / std::sqrt(double(d_)), weights_.alike),
        light_(net, inputs_, X.rows, X2.rows, group_, weights_.alike),
        heavy_(net, inputs_, X.rows, X2.rows, Index(weights_.heavy.size()), weights_.alike),
        exact_inputs_(X, X2, 1, symmetric),
        K_(K),
        context_(context) {
    if (group_ == Index(weights_.light.size())) return;
    if constexpr (std::is_same_v<E, double>) {
      sums_ = K;
    } else {
      own_sums_ = Buffer<double>(K.size(), Buffer<double>::Contents::unset);
      sums_ = {own_sums_.data(), K.rows, K.cols};
    }
  }

  void operator()() {
    const Index light = Index(weights_.light.size());
    heavy_.fill(weights_.heavy.data(), Index(weights_.heavy.size()), weights_, context_);
    Index first = 0;
    do {
      const Index count = std::min(group_, light - first);
      light_.fill(weights_.light.data() + first, count, weights_, context_);
      add_group(count, first == 0, first + count == light);
      first += count;
    } while (first < light && !context_.watch.stopped());
  }

 private:
  static constexpr Index B = kBlock<T>;

  // A tile of K: a block of samples against another.
  struct Tile {
    Index row, col, i, l, height, width;
    bool diagonal;  // of a symmetric K: what lies above the diagonal is not needed

    Tile(Index row_, Index col_, MatrixView<E> K, bool symmetric)
        : row(row_),
          col(col_),
          i(row * B),
          l(col * B),
          height(std::min(B, K.rows - i)),
          width(std::min(B, K.cols - l)),
          diagonal(symmetric && row == col) {}

    Index needed_width(Index r) const { return diagonal ? r + 1 : width; }

    // C (B, B) += a^T b.
    template <class P>
    void add(const P* a, const P* b, Index depth, P* C) const {
      const Index split = diagonal ? std::min(height, B / 2) : 0;
      if (diagonal) add_products<B>(a, b, depth, Range{0, split}, split, C);
      if (split < height) add_products<B>(a, b, depth, Range{split, height}, width, C);
    }
  };

  // The panels of the inputs on both sides; one set where the sides are alike.
  template <class P>
  struct Inputs {
    Buffer<P> left, right;
    bool alike;

    Inputs(MatrixView<const T> X, MatrixView<const T> X2, double scale, bool sides_alike)
        : left(input_panels<P>(X, scale)),
          right(sides_alike ? Buffer<P>() : input_panels<P>(X2, scale)),
          alike(sides_alike) {}

    const P* of_row(Index row, Index d) const { return left.data() + row * d * B; }
    const P* of_col(Index col, Index d) const {
      return (alike ? left : right).data() + col * d * B;
    }
  };

  // The slopes of some nodes on both sides, in the element type their products are summed in.
  template <class P>
  struct Sides {
    SlopePanels<T, P> left, right;
    bool alike;

    Sides(const NetworkView<T>& net, const Inputs<T>& inputs, Index n, Index n2, Index capacity,
          bool sides_alike)
        : left(net, inputs.left, n, capacity),
          right(net, inputs.right, n2, sides_alike ? 0 : capacity),
          alike(sides_alike) {}

    void fill(const Index* nodes, Index count, const NodeWeights<T>& weights,
              const Context& context) {
      if (count == 0) return;
      left.fill(nodes, count, weights.left, context);
      if (!alike) right.fill(nodes, count, weights.right, context);
    }

    void add_to(double* C, const Tile& at, Index count) const {
      const P* a = left.of(at.row);
      const P* b = alike ? left.of(at.col) : right.of(at.col);
      if constexpr (std::is_same_v<P, double>) {
        add_runs(a, b, {0, count}, at, C);
      } else {
        for (Index first = 0; first < count; first += kSummed) {
          alignas(kVectorBytes) P sums[B * B];
          std::fill_n(sums, at.height * B, P(0));
          add_runs(a, b, {first, std::min(count, first + kSummed)}, at, sums);
          for (Index i = 0; i < at.height * B; i += kLanes<P>)
            add_in_double(C + i, *as_vectors(sums + i));
        }
      }
    }

   private:
    static void add_runs(const P* a, const P* b, Range nodes, const Tile& at, P* sums) {
      for (Index first = nodes.first; first < nodes.last; first += kRun)
        at.add(a + first * B, b + first * B, std::min(kRun, nodes.last - first), sums);
    }
  };

  static double budget(const Context& context) {
    return context.slopes_memory > 0 ? std::min(kBudget, context.slopes_memory) : kBudget;
  }

  static Index nodes_of_group(Index nodes, Index samples, double budget) {
    const double fitting = budget / (double(samples + 2 * B) * sizeof(T));
    return std::min(nodes, std::max(kSummed, Index(fitting) / kSummed * kSummed));
  }

  void add_group(Index count, bool is_first, bool is_last) {
    const Index rows = ceil_div(K_.rows, B), cols = ceil_div(K_.cols, B);
    const auto one_tile = [&](Index task, Index) {
      const Index row = task / cols, col = task % cols;
      if (symmetric_ && col > row) return;
      compute({row, col, K_, symmetric_}, count, is_first, is_last);
    };
    parallel_for(context_, rows * cols, Share::in_turn, context_.threads, one_tile);
  }

  void compute(const Tile& at, Index count, bool is_first, bool is_last) {
    alignas(kVectorBytes) double C[B * B];
    std::fill_n(C, at.height * B, 0.0);
    if (is_first)
      heavy_.add_to(C, at, Index(weights_.heavy.size()));
    else
      for (Index r = 0; r < at.height; ++r)
        std::copy_n(&sums_(at.i + r, at.l), at.needed_width(r), C + r * B);
    light_.add_to(C, at, count);
    if (is_last)
      finish(at, C);
    else
      for (Index r = 0; r < at.height; ++r)
        std::copy_n(C + r * B, at.needed_width(r), &sums_(at.i + r, at.l));
  }

  void finish(const Tile& at, const double* C) {
    alignas(kVectorBytes) double gram[B * B];
    std::fill_n(gram, at.height * B, 0.0);
    at.add(exact_inputs_.of_row(at.row, d_), exact_inputs_.of_col(at.col, d_), d_, gram);
    alignas(kVectorBytes) E done[B * B];
    const double scale = weights_.largest / double(d_);
    for (Index i = 0; i < at.height * B; ++i) done[i] = E(C[i] * (gram[i] * scale));
    for (Index r = 0; r < at.height; ++r)
      put(done + r * B, at.needed_width(r), &K_(at.i + r, at.l));
    if (!symmetric_) return;
    // Transposed in cache first: rows of K lie far apart, and take whole lines at once.
    alignas(kVectorBytes) E mirrored[B * B];
    for (Index r = 0; r < at.height; ++r)
      for (Index c = 0; c < at.width; ++c) mirrored[c * B + r] = done[r * B + c];
    for (Index c = 0; c < at.width; ++c) {
      const Index first = at.diagonal ? c : 0;
      put(mirrored + c * B + first, at.height - first, &K_(at.l + c, at.i + first));
    }
  }

  // Mostly whole rows, which need no call.
  static void put(const E* from, Index count, E* to) {
    if (count == B)
      std::copy_n(from, B, to);
    else
      std::copy_n(from, count, to);
  }

  bool symmetric_;
  Index d_;
  NodeWeights<T> weights_;
  Index group_;
  Inputs<T> inputs_;  // divided by sqrt d
  Sides<T> light_;
  Sides<double> heavy_;
  Inputs<double> exact_inputs_;
  MatrixView<E> K_;
  Buffer<double> own_sums_;
  MatrixView<double> sums_{nullptr, 0, 0};  // over the groups so far, where there are several
  const Context& context_;
};

template <class T, class E>
void ntg(const NetworkView<T>& net, const double* v, MatrixView<const T> X, MatrixView<const T> X2,
         bool symmetric, MatrixView<E> K, const Context& context) {
  Ntg<T, E>(net, v, X, X2, symmetric, K, context)();
}

}  // namespace

template <class T>
void add_ntg(Kernels<T>& kernels) {
  kernels.ntg = &ntg<T, double>;
  kernels.rounded_ntg = &ntg<T, T>;
}

template void add_ntg(Kernels<float>&);
template void add_ntg(Kernels<double>&);

}  // namespace asymfast::cpu
