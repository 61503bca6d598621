// Neural tangent Gram matrix, Eq. (5):
//   K_il = (x_i.x2_l / d) sum_j v_j sigma'(Z_j(x_i)) sigma'(Z_j(x2_l)).
//
// Nodes come in groups whose slopes fit the budget; a tile of K (a block of samples against
// another) is summed over a group by one thread, in the order of the nodes, so K does not depend on
// the number of threads. Symmetric: the tiles of the lower triangle, mirrored.
//
// float: the smallest eigenvalue lives far below float's rounding, so no error may grow with m or
// be that of a node which outweighs the others. Nodes with more than 4 times their even share of v
// are multiplied and summed in double; the others in float over runs of 64 nodes, the runs in
// double. What that rounds is less than what rounding the slopes themselves does to the eigenvalue.
//
// K is in double or rounded to float at its last group; only where there are several groups does
// that take a second matrix, for their sum.
//
// Cost: 2 n n2 m flop (half if symmetric); memory: `kBudget` and the heavy nodes beside K.
#include <algorithm>
#include <type_traits>

#include "cpu/kernels.hpp"
#include "cpu/slope_panels.hpp"

namespace asymfast::cpu {

namespace {

constexpr double kBudget = 32e6;  // bytes of slopes, unless the caller allows fewer

constexpr Index kRun = 64;  // nodes; two runs of a block and their products fit the first cache

// How v_j is shared out between the two sides, and the order in which nodes are summed.
template <class T>
struct NodeWeights {
  // sqrt v_j on both sides where that serves them with one set of slopes, else 1 and v_j. Relative
  // to the largest, so that no scaling of lambda leaves T's range.
  std::vector<double> left, right;
  double largest = 0;
  bool alike;
  std::vector<Index> heavy, light;

  NodeWeights(const double* v, Index m, bool symmetric)
      : left(std::size_t(m), 1.0), right(std::size_t(m)) {
    alike = symmetric && std::all_of(v, v + m, [](double x) { return x >= 0; });
    double sum = 0;
    for (Index j = 0; j < m; ++j) largest = std::max(largest, std::abs(v[j]));
    if (largest == 0) largest = 1;
    for (Index j = 0; j < m; ++j) {
      const double share = v[j] / largest;
      right[std::size_t(j)] = alike ? std::sqrt(share) : share;
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
        light_(net, X, X2, group_, weights_),
        heavy_(net, X, X2, Index(weights_.heavy.size()), weights_),
        inputs_(input_panels<double>(X, weights_.largest / double(d_))),
        inputs2_(input_panels<double>(X2, 1)),
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

  // The slopes of some nodes on both sides, in the element type their products are summed in.
  template <class P>
  struct Sides {
    SlopePanels<T, P> left, right;
    bool alike;

    Sides(const NetworkView<T>& net, MatrixView<const T> X, MatrixView<const T> X2, Index capacity,
          const NodeWeights<T>& weights)
        : left(net, X, capacity),
          right(net, X2, weights.alike ? 0 : capacity),
          alike(weights.alike) {}

    void fill(const Index* nodes, Index count, const NodeWeights<T>& weights,
              const Context& context) {
      if (count == 0) return;
      left.fill(nodes, count, weights.left, context);
      if (!alike) right.fill(nodes, count, weights.right, context);
    }

    void add_to(double* C, Index row, Index col, Index height, Index count) const {
      const P* a = left.of(row);
      const P* b = alike ? left.of(col) : right.of(col);
      for (Index first = 0; first < count; first += kRun)
        add_products<B>(a + first * B, b + first * B, std::min(kRun, count - first), height, C);
    }
  };

  static double budget(const Context& context) {
    return context.slopes_memory > 0 ? std::min(kBudget, context.slopes_memory) : kBudget;
  }

  static Index nodes_of_group(Index nodes, Index samples, double budget) {
    const double fitting = budget / (double(samples + 2 * B) * sizeof(T));
    return std::min(nodes, std::max<Index>(kRun, Index(fitting) / kRun * kRun));
  }

  void add_group(Index count, bool is_first, bool is_last) {
    const Index rows = ceil_div(K_.rows, B), cols = ceil_div(K_.cols, B);
#pragma omp parallel for schedule(dynamic) num_threads(context_.threads)
    for (Index task = 0; task < rows * cols; ++task) {
      context_.watch.tick();
      const Index row = task / cols, col = task % cols;
      if ((symmetric_ && col > row) || context_.watch.stopped()) continue;
      tile(row, col, count, is_first, is_last);
    }
  }

  void tile(Index row, Index col, Index count, bool is_first, bool is_last) {
    const Index i = row * B, l = col * B;
    const Index height = std::min(B, K_.rows - i), width = std::min(B, K_.cols - l);
    alignas(kVectorBytes) double C[B * B] = {};
    if (is_first)
      heavy_.add_to(C, row, col, height, Index(weights_.heavy.size()));
    else
      for (Index r = 0; r < height; ++r) std::copy_n(&sums_(i + r, l), width, C + r * B);
    light_.add_to(C, row, col, height, count);
    if (!is_last) {
      for (Index r = 0; r < height; ++r) std::copy_n(C + r * B, width, &sums_(i + r, l));
      return;
    }
    alignas(kVectorBytes) double gram[B * B] = {};
    add_products<B>(inputs_.data() + row * d_ * B, inputs2_.data() + col * d_ * B, d_, height,
                    gram);
    for (Index e = 0; e < height * B; ++e) C[e] *= gram[e];
    for (Index r = 0; r < height; ++r)
      for (Index c = 0; c < width; ++c) K_(i + r, l + c) = E(C[r * B + c]);
    if (symmetric_) mirror(C, i, height, l, width);
  }

  void mirror(const double* C, Index i, Index height, Index l, Index width) {
    for (Index c = 0; c < width; ++c)
      for (Index r = i == l ? c + 1 : 0; r < height; ++r) K_(l + c, i + r) = E(C[r * B + c]);
  }

  bool symmetric_;
  Index d_;
  NodeWeights<T> weights_;
  Index group_;
  Sides<T> light_;
  Sides<double> heavy_;
  Buffer<double> inputs_, inputs2_;
  MatrixView<E> K_;
  Buffer<double> own_sums_;
  MatrixView<double> sums_{nullptr, 0, 0};  // over the groups so far, where there are several
  const Context& context_;
};

}  // namespace

template <class T, class E>
void ntg(const NetworkView<T>& net, const double* v, MatrixView<const T> X, MatrixView<const T> X2,
         bool symmetric, MatrixView<E> K, const Context& context) {
  Ntg<T, E>(net, v, X, X2, symmetric, K, context)();
}

template void ntg(const NetworkView<float>&, const double*, MatrixView<const float>,
                  MatrixView<const float>, bool, MatrixView<float>, const Context&);
template void ntg(const NetworkView<float>&, const double*, MatrixView<const float>,
                  MatrixView<const float>, bool, MatrixView<double>, const Context&);
template void ntg(const NetworkView<double>&, const double*, MatrixView<const double>,
                  MatrixView<const double>, bool, MatrixView<double>, const Context&);

}  // namespace asymfast::cpu
