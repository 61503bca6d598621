// The network and its derivatives. Cost: forward 2 n m (d + k) flop, gradient 4 n m d.
//   f_q(x_i)  = sum_j sqrt(lambda_j) a_jq sigma(Z_j(x_i)),   Z_j(x) = w_j.x / sqrt d,       Eq. (2)
//   dL/dw_j   = sqrt(lambda_j) / sqrt d sum_iq a_jq dL/df_iq sigma'(Z_j(x_i)) x_i
//   H_ij      = sqrt(lambda_j) sigma(Z_j(x_i))
// Calls of their own take samples in pieces, so that their working memory is bounded: partial sums
// of the outputs (32 MB, or 96 samples where k is very large) and copies of W and of a piece of X.
// No number depends on the pieces: a sample's outputs are its own, and a gradient is summed over
// the samples in their order.
#include "cpu/network.hpp"

#include <algorithm>
#include <optional>

#include "backend.hpp"
#include "cpu/in_double.hpp"
#include "cpu/tiles.hpp"

namespace asymfast::cpu {

template <class T>
void Sweep<T>::evaluate(Index chunk, const T* W, T* slopes, Scratch<T>& scratch,
                        double* outputs) const {
  over_tiles(chunk, scratch, outputs, [&](Index block, Range rows) {
    // In place: a store to another array may look, by its address, like one to the next Z.
    T* Z = slopes ? slopes_at(slopes, block, rows) : scratch.Z.data();
    with_preactivations(block, rows, W, Z, [&](auto sigma, auto source) {
      activate<decltype(sigma)>(source, c(block), layout.k, slopes ? Z : nullptr,
                                scratch.outputs.data());
    });
  });
}

template <class T>
void Sweep<T>::gradient(Index chunk, const T* W, const T* slopes, const T* residual,
                        Scratch<T>& scratch) const {
  T* G = scratch.G.data();
  std::fill_n(G, layout.blocks_of_chunk(chunk).size() * layout.weights_per_block(), T(0));
  add_gradient(chunk, W, slopes, residual, G, scratch);
  complete_gradient(chunk, G);
}

template <class T>
void Sweep<T>::add_gradient(Index chunk, const T* W, const T* slopes, const T* residual, T* G,
                            Scratch<T>& scratch) const {
  const Range blocks = layout.blocks_of_chunk(chunk);
  for (Index tile = 0; tile < layout.tiles; ++tile) {
    const Range rows = layout.samples_of_tile(tile);
    const T* r = residual + rows.first * layout.k;
    const Samples<T> X =
        weighs_inputs() ? weighed_inputs(x(rows), r, scratch.weighed.data()) : x(rows);
    for (Index block = blocks.first; block < blocks.last; ++block) {
      const T* D = weighs_inputs() ? slopes_of(block, rows, W, slopes, scratch)
                                   : pulled(block, rows, W, slopes, r, scratch);
      accumulate_gradient(X, D, G + (block - blocks.first) * layout.weights_per_block());
    }
  }
}

template <class T>
void Sweep<T>::complete_gradient(Index chunk, T* G) const {
  if (!weighs_inputs()) return;
  const Range blocks = layout.blocks_of_chunk(chunk);
  for (Index block = blocks.first; block < blocks.last; ++block, G += layout.weights_per_block())
    scale_nodes(G, layout.d, c(block));
}

template <class T>
void Sweep<T>::vjp_of_slopes(Index chunk, const std::vector<const T*>& all, const T* u,
                             Scratch<T>& scratch) const {
  const Range blocks = layout.blocks_of_chunk(chunk);
  std::fill_n(scratch.G.data(), blocks.size() * layout.weights_per_block(), T(0));
  for (Index tile = 0; tile < layout.tiles; ++tile) {
    const Range rows = layout.samples_of_tile(tile);
    for (Index block = blocks.first; block < blocks.last; ++block) {
      pull_residuals(all, (block * layout.n + rows.first) * kBlock<T>, u + rows.first * layout.k,
                     layout.n * layout.k, rows.size(), c(block), layout.k, scratch.D.data());
      accumulate_gradient(x(rows), scratch.D.data(),
                          scratch.G.data() + (block - blocks.first) * layout.weights_per_block());
    }
  }
}

template <class T>
void Sweep<T>::jvp(Index chunk, const T* W, const T* slopes, Scratch<T>& scratch,
                   double* outputs) const {
  const Index first = layout.blocks_of_chunk(chunk).first;
  over_tiles(chunk, scratch, outputs, [&](Index block, Range rows) {
    const T* slope = slopes_of(block, rows, W, slopes, scratch);
    preactivations(x(rows), scratch.G.data() + (block - first) * layout.weights_per_block(),
                   scratch.D.data());
    push_direction(scratch.D.data(), slope, rows.size(), c(block), layout.k,
                   scratch.outputs.data());
  });
}

template <class T>
double Sweep<T>::slope_distance8(const T* one, const T* other, const Context& context) {
  this->for_chunks(context, [&](Index chunk, Scratch<T>&, double* outputs) {
    const Range blocks = layout.blocks_of_chunk(chunk);
    const Index size = layout.n * kBlock<T>;
    double sum = 0;
    for (Index i = blocks.first * size; i < blocks.last * size; ++i) {
      const double difference = double(one[i]) - double(other[i]), square = difference * difference;
      sum += square * square * square * square;
    }
    outputs[0] += sum;
  });
  double sum = 0;
  this->sum_outputs(&sum, 1);
  return sum;
}

// Whether weighing the inputs for each chunk is less work than a product for each of its nodes.
template <class T>
bool Sweep<T>::weighs_inputs() const {
  return layout.k == 1 && layout.blocks_per_chunk > 1 && layout.d <= kMostWeighedInputs;
}

// scratch.D = dL/dZ of a tile for the residual r of its samples.
template <class T>
const T* Sweep<T>::pulled(Index block, Range rows, const T* W, const T* all, const T* r,
                          Scratch<T>& scratch) const {
  T* D = scratch.D.data();
  if (all)
    pull_slopes(slopes_at(all, block, rows), r, rows.size(), c(block), layout.k, D);
  else
    with_preactivations(block, rows, W, D, [&](auto sigma, auto source) {
      pull<decltype(sigma)>(source, r, c(block), layout.k, D);
    });
  return D;
}

// use(sigma, source) of a tile's pre-activations, which are stored in Z unless inputs are few.
template <class T>
template <class Use>
void Sweep<T>::with_preactivations(Index block, Range rows, const T* W, T* Z, Use&& use) const {
  const T* W_block = weights(W, block);
  const bool few = layout.d <= kFewInputs;
  if (!few) preactivations(x(rows), W_block, Z);
  with_activation(activation_, [&](auto sigma) {
    if (few)
      use(sigma, InRegisters<decltype(sigma), T>{x(rows), W_block});
    else
      use(sigma, Stored<T>{Z, rows.size()});
  });
}

// sigma' of a tile: remembered, or computed into scratch.Z.
template <class T>
const T* Sweep<T>::slopes_of(Index block, Range rows, const T* W, const T* all,
                             Scratch<T>& scratch) const {
  if (all) return slopes_at(all, block, rows);
  Vec<T>* z = as_vectors(scratch.Z.data());
  preactivations(x(rows), weights(W, block), scratch.Z.data());
  with_activation(activation_, [&](auto sigma) {
    for (Index i = 0; i < 2 * rows.size(); ++i) z[i] = derivatives(sigma, z[i]).slope;
  });
  return scratch.Z.data();
}

// work(block, rows) adds to scratch.outputs; its lanes are summed into `outputs` tile by tile.
template <class T>
template <class Work>
void Sweep<T>::over_tiles(Index chunk, Scratch<T>& scratch, double* outputs, Work&& work) const {
  const Range blocks = layout.blocks_of_chunk(chunk);
  for (Index tile = 0; tile < layout.tiles; ++tile) {
    const Range rows = layout.samples_of_tile(tile);
    const Index size = rows.size() * layout.k;
    std::fill_n(scratch.outputs.data(), size, Vec<T>{});
    for (Index block = blocks.first; block < blocks.last; ++block) work(block, rows);
    add_sums_of_lanes<T>(scratch.outputs.data(), size, outputs + rows.first * layout.k);
  }
}

template class Sweep<float>;
template class Sweep<double>;

namespace {

template <class T>
MatrixView<const T> some(MatrixView<const T> X, Range rows) {
  return {X.row(rows.first), rows.size(), X.cols};
}

// call(sweep, rows) for pieces of the samples, for each of which so many doubles are needed. Their
// memory is taken once, and again for a last piece that is smaller.
template <class T, class Call>
void in_pieces(const NetworkView<T>& net, MatrixView<const T> X, Index doubles, Call&& call) {
  const Index most = samples_at_once(doubles);
  std::optional<Sweep<T>> sweep;
  for (Index first = 0; first < X.rows; first += most) {
    const Range rows{first, std::min(X.rows, first + most)};
    if (sweep && sweep->layout.n == rows.size())
      sweep->read(some(X, rows));
    else
      sweep.emplace(net, some(X, rows));
    call(*sweep, rows);
  }
}

template <class T>
void forward(const NetworkView<T>& net, MatrixView<const T> X, double* f, const Context& context) {
  const Layout<T> whole(X.rows, net.d(), net.m(), net.k());
  const Buffer<T> W = packed(net.W);
  in_pieces(net, X, whole.slots * net.k(), [&](Sweep<T>& sweep, Range rows) {
    sweep.for_chunks(context, [&](Index chunk, Scratch<T>& scratch, double* outputs) {
      sweep.evaluate(chunk, W.data(), nullptr, scratch, outputs);
    });
    sweep.sum_outputs(f + rows.first * net.k());
  });
}

template <class T>
void node_gradients(const NetworkView<T>& net, MatrixView<const T> X, const T* residual,
                    MatrixView<T> G, const Context& context) {
  const Layout<T> whole(X.rows, net.d(), net.m(), net.k());
  const Buffer<T> W = packed(net.W), sums(W.size());
  in_pieces(net, X, 1, [&](Sweep<T>& sweep, Range rows) {
    sweep.for_nodes(context, [&](Index chunk, Scratch<T>& scratch) {
      T* sum = sums.data() + whole.blocks_of_chunk(chunk).first * whole.weights_per_block();
      sweep.add_gradient(chunk, W.data(), nullptr, residual + rows.first * net.k(), sum, scratch);
      if (rows.last == X.rows) sweep.complete_gradient(chunk, sum);
    });
  });
  unpack(sums.data(), {0, whole.blocks}, G);
}

template <class T>
void features(const NetworkView<T>& net, MatrixView<const T> X, MatrixView<T> H,
              const Context& context) {
  const Buffer<T> W = packed(net.W), root_lam = packed_root_lam(net);
  in_pieces(net, X, 1, [&](Sweep<T>& sweep, Range rows) {
    const Layout<T>& layout = sweep.layout;
    const Index tasks = layout.blocks * layout.tiles;
    parallel_for(context, tasks, Share::evenly, context.threads, [&](Index task, Index) {
      alignas(kVectorBytes) T Z[(kLargestTile + kTogether) * kBlock<T>];
      const Index block = task / layout.tiles;
      const Range tile = layout.samples_of_tile(task % layout.tiles);
      const Index first = block * kBlock<T>, count = std::min(kBlock<T>, net.m() - first);
      const T* scale = root_lam.data() + first;
      preactivations(sweep.x(tile), sweep.weights(W.data(), block), Z);
      with_activation(net.activation, [&](auto sigma) {
        T* z = Z;
        for (Index i = rows.first + tile.first; i < rows.first + tile.last; ++i, z += kBlock<T>) {
          for (Index half = 0; half < 2; ++half)
            as_vectors(z)[half] = derivatives(sigma, as_vectors(z)[half]).value;
          T* h = &H(i, first);
          for (Index j = 0; j < count; ++j) h[j] = scale[j] * z[j];
        }
      });
    });
  });
}

template <class T>
void activation_values(Activation activation, int order, const T* z, Index count, T* out) {
  with_activation(activation, [&](auto sigma) {
    for (Index i = 0; i < count; i += kLanes<T>) {
      const std::size_t bytes = sizeof(T) * std::size_t(std::min<Index>(kLanes<T>, count - i));
      Vec<T> x{};
      std::memcpy(&x, z + i, bytes);
      x = order == 0   ? derivatives(sigma, x).value
          : order == 1 ? derivatives(sigma, x).slope
                       : derivatives(sigma, x).curvature;
      std::memcpy(out + i, &x, bytes);
    }
  });
}

template <class T>
void add_to(Kernels<T>& kernels) {
  kernels.activation_values = &activation_values<T>;
  kernels.forward = &forward<T>;
  kernels.node_gradients = &node_gradients<T>;
  kernels.features = &features<T>;
}

}  // namespace

void add_network(KernelTable& table) {
  add_to(table.of_float), add_to(table.of_double);
}

}  // namespace asymfast::cpu
