// Neural tangent Gram matrix, Eq. (5), of weights (of slopes already kept: cpu/ntg_of_slopes.cpp):
//   K_il = (x_i.x2_l / d) sum_j v_j sigma'(Z_j(x_i)) sigma'(Z_j(x2_l)).
//
// Nodes come in groups whose slopes fit the budget; a tile of K (a block of samples against
// another) is summed over a group by one thread, in the order of the nodes, so K does not depend on
// the number of threads. Symmetric: the tiles of the lower triangle, mirrored.
//
// float: the smallest eigenvalue lies far below float's rounding, so no error may grow with m or
// be that of a node which outweighs the others. Nodes with more than 4 times their even share of v
// are multiplied and summed in double; the others in float over runs of 32 nodes, eight runs in
// float, and these in double. What that rounds (as much as runs of 64 nodes in double would) is
// less than what rounding the slopes themselves does to the eigenvalue.
//
// K is in double or rounded to float at its last group; only where there are several groups does
// that take a second matrix, for their sum.
//
// Cost: 2 n n2 m flop (half if symmetric); memory: tuning::kGatheredSlopes, unless the caller
// allows less, and the heavy nodes beside K.
#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "backend.hpp"
#include "cpu/in_double.hpp"
#include "cpu/panels.hpp"

namespace asymfast::cpu {

namespace {

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

// A tile of K: a block of samples against another.
template <class T>
struct Tile {
  static constexpr Index B = kBlock<T>;

  Index row, col, i, l, height, width;
  bool diagonal;  // of a symmetric K: what lies above the diagonal is not needed

  Tile(Index row_, Index col_, Index rows, Index cols, bool symmetric)
      : row(row_),
        col(col_),
        i(row * B),
        l(col * B),
        height(std::min(B, rows - i)),
        width(std::min(B, cols - l)),
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

// Inputs, or slopes of some nodes, on both sides; one set where the sides are alike.
template <class T, class P>
struct Sides {
  static constexpr Index B = kBlock<T>;

  bool alike;
  Panels<P, T> left, right;

  Sides(MatrixView<const T> X, MatrixView<const T> X2, double scale, bool one_set)
      : alike(one_set), left(input_panels<P>(X, scale)) {
    if (!alike) right = input_panels<P>(X2, scale);
  }
  Sides(Index n, Index n2, Index nodes, bool one_set)
      : alike(one_set),
        left(n, nodes, Contents::unset),
        right(n2, alike ? 0 : nodes, Contents::unset) {}

  const P* of_row(const Tile<T>& at) const { return left[at.row]; }
  const P* of_col(const Tile<T>& at) const { return (alike ? left : right)[at.col]; }

  // C += the products of the first rows.
  void add_to(double* C, const Tile<T>& at, Index count) const {
    if constexpr (std::is_same_v<P, double>) {
      add_runs({0, count}, at, C);
    } else {
      for (Index first = 0; first < count; first += kSummed) {
        alignas(kVectorBytes) P sums[B * B];
        std::fill_n(sums, at.height * B, P(0));
        add_runs({first, std::min(count, first + kSummed)}, at, sums);
        for (Index i = 0; i < at.height * B; i += kLanes<P>)
          add_in_double(C + i, *as_vectors(sums + i));
      }
    }
  }

  void add_runs(Range rows, const Tile<T>& at, P* sums) const {
    const P *a = of_row(at), *b = of_col(at);
    for (Index first = rows.first; first < rows.last; first += kRun)
      at.add(a + first * B, b + first * B, std::min(kRun, rows.last - first), sums);
  }
};

constexpr Index kPiece = tuning::kNodesAtOnce;

// out = sigma' of some nodes, times their scales, for V vectors of samples with inputs x. The
// product is formed in P: exact in double for slopes in float.
template <int V, class T, class P>
void fill_piece(const NetworkView<T>& net, const T* x, const Index* nodes, Index count,
                const std::vector<double>& scale, P* out) {
  constexpr Index B = kBlock<T>;
  const Index d = net.d();
  alignas(kVectorBytes) T Z[kPiece * B];
  if (nodes[count - 1] - nodes[0] == count - 1)
    preactivations<V>(Samples<T>{net.W.row(nodes[0]), count, d, d}, x, Z);
  else
    for (Index j = 0; j < count; ++j)
      preactivations<V>(Samples<T>{net.W.row(nodes[j]), 1, d, d}, x, Z + j * B);

  with_activation(net.activation, [&](auto sigma) {
    for (Index j = 0; j < count; ++j, out += B) {
      const Vec<T>* z = as_vectors(Z + j * B);
      const P weight = P(scale[nodes[j]]);
      Vec<T> slope[V];
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) slope[v] = derivatives(sigma, z[v]).slope;
      if constexpr (std::is_same_v<P, T>) {
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) as_vectors(out)[v] = slope[v] * weight;
      } else {
        const T* values = reinterpret_cast<const T*>(slope);
        for (Index i = 0; i < V * kLanes<T>; ++i) out[i] = P(values[i]) * weight;
      }
    }
  });
}

// sigma' of the nodes, which rise, times their scales, for all samples. Half a block suffices for
// few samples: the rest of it stays unset then.
template <class T, class P>
void fill(Panels<P, T>& slopes, const NetworkView<T>& net, const Panels<T, T>& inputs,
          const Index* nodes, Index count, const std::vector<double>& scale,
          const Context& context) {
  constexpr Index B = kBlock<T>;
  const Index parts = ceil_div(count, tuning::kNodesOfTask);
  const auto fill_part = [&](Index task, Index) {
    const Index block = task / parts;
    const Range part = piece(count, parts, task % parts);
    for (Index first = part.first; first < part.last; first += kPiece) {
      const Index some = std::min(kPiece, part.last - first);
      P* out = slopes[block] + first * B;
      if (inputs.samples - block * B > kLanes<T>)
        fill_piece<2>(net, inputs[block], nodes + first, some, scale, out);
      else
        fill_piece<1>(net, inputs[block], nodes + first, some, scale, out);
    }
  };
  parallel_for(context, ceil_div(inputs.samples, B) * parts, Share::in_turn, context.threads,
               fill_part);
}

template <class T, class E>
class Ntg {
 public:
  Ntg(const NetworkView<T>& net, const double* v, MatrixView<const T> X, MatrixView<const T> X2,
      bool symmetric, MatrixView<E> K, const Context& context)
      : net_(net),
        symmetric_(symmetric),
        weights_(v, net.m(), symmetric),
        group_(nodes_of_group(Index(weights_.light.size()), X.rows + (weights_.alike ? 0 : X2.rows),
                              context)),
        inputs_(X, X2, 1 / std::sqrt(double(net.d())), weights_.alike),
        light_(X.rows, X2.rows, group_, weights_.alike),
        heavy_(X.rows, X2.rows, Index(weights_.heavy.size()), weights_.alike),
        exact_inputs_(X, X2, 1, symmetric),
        K_(K),
        context_(context) {
    if (group_ == Index(weights_.light.size())) return;
    if constexpr (std::is_same_v<E, double>) {
      sums_ = K;
    } else {
      own_sums_ = Buffer<double>(K.size(), Contents::unset);
      sums_ = {own_sums_.data(), K.rows, K.cols};
    }
  }

  void operator()() {
    const Index light = Index(weights_.light.size());
    fill_sides(heavy_, weights_.heavy.data(), Index(weights_.heavy.size()));
    Index first = 0;
    do {
      const Index count = std::min(group_, light - first);
      fill_sides(light_, weights_.light.data() + first, count);
      add_group(count, first == 0, first + count == light);
      first += count;
    } while (first < light);
  }

 private:
  static constexpr Index B = kBlock<T>;

  static Index nodes_of_group(Index nodes, Index samples, const Context& context) {
    double budget = tuning::kGatheredSlopes;
    if (context.slopes_memory > 0) budget = std::min(budget, context.slopes_memory);
    const double fitting = budget / (double(samples + 2 * B) * sizeof(T));
    return std::min(nodes, std::max(kSummed, Index(fitting) / kSummed * kSummed));
  }

  template <class P>
  void fill_sides(Sides<T, P>& slopes, const Index* nodes, Index count) {
    if (count == 0) return;
    fill(slopes.left, net_, inputs_.left, nodes, count, weights_.left, context_);
    if (slopes.alike) return;
    fill(slopes.right, net_, inputs_.right, nodes, count, weights_.right, context_);
  }

  void add_group(Index count, bool is_first, bool is_last) {
    const Index rows = ceil_div(K_.rows, B), cols = ceil_div(K_.cols, B);
    const auto one_tile = [&](Index task, Index) {
      const Index row = task / cols, col = task % cols;
      if (symmetric_ && col > row) return;
      compute({row, col, K_.rows, K_.cols, symmetric_}, count, is_first, is_last);
    };
    parallel_for(context_, rows * cols, Share::in_turn, context_.threads, one_tile);
  }

  void compute(const Tile<T>& at, Index count, bool is_first, bool is_last) {
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

  void finish(const Tile<T>& at, const double* C) {
    alignas(kVectorBytes) double gram[B * B];
    std::fill_n(gram, at.height * B, 0.0);
    at.add(exact_inputs_.of_row(at), exact_inputs_.of_col(at), net_.d(), gram);
    alignas(kVectorBytes) E done[B * B];
    const double scale = weights_.largest / double(net_.d());
    for (Index i = 0; i < at.height * B; ++i) done[i] = E(C[i] * (gram[i] * scale));
    for (Index r = 0; r < at.height; ++r)
      put_row(done + r * B, at.needed_width(r), &K_(at.i + r, at.l));
    if (!symmetric_) return;
    // Transposed in cache first: rows of K lie far apart, and take whole lines at once.
    alignas(kVectorBytes) E mirrored[B * B];
    for (Index r = 0; r < at.height; ++r)
      for (Index c = 0; c < at.width; ++c) mirrored[c * B + r] = done[r * B + c];
    for (Index c = 0; c < at.width; ++c) {
      const Index first = at.diagonal ? c : 0;
      put_row(mirrored + c * B + first, at.height - first, &K_(at.l + c, at.i + first));
    }
  }

  // Mostly whole rows, which need no call.
  static void put_row(const E* from, Index count, E* to) {
    if (count == B)
      std::copy_n(from, B, to);
    else
      std::copy_n(from, count, to);
  }

  const NetworkView<T>& net_;
  bool symmetric_;
  NodeWeights<T> weights_;
  Index group_;
  Sides<T, T> inputs_;  // divided by sqrt d
  Sides<T, T> light_;
  Sides<T, double> heavy_, exact_inputs_;
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

void add_ntg(KernelTable& table) {
  table.of_float.ntg = &ntg<float, double>;
  table.of_float.rounded_ntg = &ntg<float, float>;
  table.of_double.ntg = table.of_double.rounded_ntg = &ntg<double, double>;
}

}  // namespace asymfast::cpu
