// Jacobians of the past of one member, for leaps and the tangent flow: row i k + q of one has the
// blocks c_jq s_ij x_i / sqrt d, with c_jq = sqrt(lambda_j) a_jq and s = sigma'(Z). The slopes s
// (n, m) stay in the device's memory, and everything of n m numbers or more is computed there, in
// double, each sum in an order of its own. The host sends residuals, or moments of them, and
// receives outputs and a matrix of n k rows, or products with p vectors. It solves the small
// recurrence itself: that is a chain of dependent products of size n k or p, with a choice of
// length and order after each. They fit the CPU's caches, and a launch for each would take longer
// than its arithmetic.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "cuda/matrices.hpp"
#include "cuda/memory.hpp"
#include "cuda/problem.hpp"
#include "tuning.hpp"

namespace asymfast::cuda {

template <class Setup, class T>
class SavedJacobians {
  using Device = typename Setup::Device;
  using Doubles = Memory<Device, double>;

 public:
  // p: the member's problem, here and in what follows.
  explicit SavedJacobians(const Problem<T>& p) : slots(p.n * p.m) {}

  // p.pulled <- dL/dZ of a loss whose gradient is sum_l J_slots[l]^T u_l:
  //   pulled_ij = sum_l s_lij sum_q c_jq u_liq.
  void pull(const Problem<T>& p, const Move<T>& move) const {
    const Memory<Device, T> memory(move.u);
    const T* u = memory.data();
    const Blended<T> s = blended({move.slots, std::vector<double>(move.slots.size(), 1.0)});
    for_elements<Device>(
        p.n * p.m, ASYMFAST_ON_DEVICE(Index e) {
          const Index i = e / p.m, j = e % p.m;
          double sum = 0;
          for (int l = 0; l < s.count; ++l) {
            double weight = 0;
            for (Index q = 0; q < p.k; ++q)
              weight += double(p.c[j * p.k + q]) * double(u[(l * p.n + i) * p.k + q]);
            sum += double(s.arrays[l][e]) * weight;
          }
          p.pulled[e] = T(sum);
        });
  }

  // K (n k, n k) = J_left J_right^T. Cost: 2 (n k)^2 m flop.
  void ntg(const Problem<T>& p, const Blend& left, Index right, double* K) {
    matrix(p, sides(p, left, right)).copy_out(K);
  }

  // out (n k, count) = J_left J_right^T V, by way of the matrix or of
  //   J^T V = sum_i,q c_jq s_ij x_i V_iq,
  // whichever is less work, as on the CPU.
  void product(const Problem<T>& p, const Blend& left, Index right, MatrixView<const double> V,
               double* out) {
    const Index size = p.n * p.k;
    const Sides J = sides(p, left, right);
    const Doubles in(V.data, V.size());
    Doubles result(V.size());
    if (size > tuning::kMostDense || size > 2 * p.d * V.cols) {
      const Index most = std::max<Index>(1, kNumbersAtOnce / (size * p.d));
      for (Index first = 0; first < V.cols; first += most)
        by_vectors(p, J, in.data(), V.cols, first, std::min(most, V.cols - first), result.data());
    } else {
      const Doubles K = matrix(p, J);
      multiply<Runs::inner, Runs::outer>(
          {size, V.cols, size, K.data(), in.data(), size, V.cols, result.data(), false});
    }
    result.copy_out(out);
  }

  // (sum_e (one_e - other_e)^8)^(1/8)
  double distance(Index slot, Index other_slot) const {
    const T *one = slots[slot], *other = slots[other_slot];
    const Index size = slots.size();
    const auto of_parts = in_parts<Device, double>(
        size, ASYMFAST_ON_DEVICE(Index first, Index step) {
          double sum = 0;
          for (Index e = first; e < size; e += step) {
            const double difference = double(one[e]) - double(other[e]);
            const double square = difference * difference;
            sum += square * square * square * square;
          }
          return sum;
        });
    return std::pow(std::accumulate(of_parts.begin(), of_parts.end(), 0.0), 0.125);
  }

  Slots<Slot<Device, T>> slots;

  // ---- inside: public as nvcc wants functions with lambdas of the device to be

  // Nodes whose weighed slopes are written down at a time, and numbers of an array (n k, d, count):
  // they bound memory. The second changes no bit of a result.
  static constexpr Index kNodesAtOnce = 2048, kNumbersAtOnce = Index(1) << 24;

  Memory<Device, Index> strong_, weak_;  // nodes; empty until they are asked for

  Blended<T> blended(const Blend& blend) const {
    Blended<T> all;
    for (std::size_t l = 0; l < blend.slots.size(); ++l)
      all.add(blend.shares[l], slots[blend.slots[l]]);
    return all;
  }

  // Two Jacobians, and over which nodes their product is summed.
  struct Sides {
    Blended<T> left, right;
    const Index* which;  // null: all, in order
    Index nodes;
  };
  Sides sides(const Problem<T>& p, const Blend& left, Index right) {
    Sides J{blended(left), blended({{right}, {1}}), nullptr, p.m};
    if (left.nodes == Part::all) return J;
    if (strong_.empty()) choose_parts(p);
    const Memory<Device, Index>& part = left.nodes == Part::strong ? strong_ : weak_;
    J.which = part.data(), J.nodes = part.size();
    return J;
  }

  void choose_parts(const Problem<T>& p) {
    std::vector<T> c(p.m * p.k);
    transfer<Device>(c.data(), p.c, p.m * p.k);
    std::vector<double> strength;
    for (auto of_node = c.begin(); of_node != c.end(); of_node += p.k)
      strength.push_back(std::abs(*std::max_element(
          of_node, of_node + p.k, [](T a, T b) { return std::abs(a) < std::abs(b); })));
    const Parts parts(strength);
    strong_ = Memory<Device, Index>(parts[Part::strong]);
    weak_ = Memory<Device, Index>(parts[Part::weak]);
  }

  // to (n k, nodes) <- c s of so many nodes from `first` on, of all or of those in a list.
  static void weigh(const Problem<T>& p, const Blended<T>& s, const Sides& J, Index first,
                    Index nodes, double* to) {
    const Index* which = J.which;
    for_elements<Device>(
        p.n * p.k * nodes, ASYMFAST_ON_DEVICE(Index e) {
          const Index row = e / nodes, at = first + e % nodes, j = which ? which[at] : at;
          to[e] = double(p.c[j * p.k + row % p.k]) * s(row / p.k * p.m + j);
        });
  }

  template <Runs a_runs, Runs b_runs>
  static void multiply(
      const typename Product<typename Setup::NtgShape, a_runs, b_runs>::Args& args) {
    using Shape = typename Setup::NtgShape;
    launch_tiles<Device, Shape, Product<Shape, a_runs, b_runs>>(args);
  }

  static Doubles matrix(const Problem<T>& p, const Sides& J) {
    using Shape = typename Setup::NtgShape;
    const Index size = p.n * p.k, most = std::min(J.nodes, kNodesAtOnce);
    Doubles K = Doubles::zeros(size * size), left(size * most), right(size * most);
    for (Index first = 0; first < J.nodes; first += most) {
      const Index nodes = std::min(most, J.nodes - first);
      weigh(p, J.left, J, first, nodes, left.data());
      weigh(p, J.right, J, first, nodes, right.data());
      launch_tiles<Device, Shape, Ntg<Shape, T, double, double>>({size, size, p.d, nodes, p.k, p.X,
                                                                  p.X, left.data(), right.data(),
                                                                  nullptr, K.data(), false, true});
    }
    return K;
  }

  // Of `count` columns of V from `first` on: with one copy of them for each input, scaled by it,
  // both Jacobians are plain matrices. Cost: 4 n k m d count flop.
  static void by_vectors(const Problem<T>& p, const Sides& J, const double* V, Index columns,
                         Index first, Index count, double* out) {
    const Index size = p.n * p.k, all = p.d * count, most = std::min(J.nodes, kNodesAtOnce);
    Doubles scaled(size * all), products = Doubles::zeros(size * all);
    Doubles cS(size * most), G(most * all);
    double *copies = scaled.data(), *sums = products.data();  // (n k, d, count)
    for_elements<Device>(
        size * all, ASYMFAST_ON_DEVICE(Index e) {
          const Index row = e / all, l = e / count % p.d, v = e % count;
          copies[e] = double(p.X[row / p.k * p.d + l]) * V[row * columns + first + v];
        });
    for (Index node = 0; node < J.nodes; node += most) {
      const Index nodes = std::min(most, J.nodes - node);
      weigh(p, J.right, J, node, nodes, cS.data());
      multiply<Runs::outer, Runs::outer>(
          {nodes, all, size, cS.data(), scaled.data(), nodes, all, G.data(), false});
      weigh(p, J.left, J, node, nodes, cS.data());
      multiply<Runs::inner, Runs::outer>(
          {size, all, nodes, cS.data(), G.data(), nodes, all, products.data(), true});
    }
    for_elements<Device>(
        size * count, ASYMFAST_ON_DEVICE(Index e) {
          const Index row = e / count, v = e % count;
          double sum = 0;
          for (Index l = 0; l < p.d; ++l)
            sum += double(p.X[row / p.k * p.d + l]) * sums[(row * p.d + l) * count + v];
          out[row * columns + first + v] = sum;
        });
  }
};

}  // namespace asymfast::cuda
