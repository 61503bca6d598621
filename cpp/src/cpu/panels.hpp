// Samples side by side: kBlock<T> samples are the lanes of the loops that make Gram matrices, which
// need every pair of samples and only a sum over nodes.
#pragma once

#include "cpu/tiles.hpp"

namespace asymfast::cpu {

// Values of some rows (inputs or nodes) in the element type P: [block of samples][row][sample], a
// block being that of T, whatever P is.
template <class P, class T>
struct Panels {
  Index samples = 0, rows = 0;
  Buffer<P> values;

  Panels() = default;
  Panels(Index n, Index height, Contents contents = Contents::zero)
      : samples(n), rows(height), values(ceil_div(n, kBlock<T>) * height * kBlock<T>, contents) {}

  P* operator[](Index block) const { return values.data() + block * rows * kBlock<T>; }
};

// X (n, d) times `scale`; zeros behind the last sample.
template <class P, class T>
Panels<P, T> input_panels(MatrixView<const T> X, double scale) {
  Panels<P, T> panels(X.rows, X.cols);
  for (Index i = 0; i < X.rows; ++i) {
    P* column = panels[i / kBlock<T>] + i % kBlock<T>;
    for (Index l = 0; l < X.cols; ++l) column[l * kBlock<T>] = P(double(X(i, l)) * scale);
  }
  return panels;
}

// Rows of a tile of products that are summed in registers together.
template <int Vectors>
inline constexpr int kStrip = (kVectorBytes == 64 ? 16 : 8) / Vectors;

// The first V vectors of the given rows of C (Width, Width) += A^T B over the `depth` rows of two
// panels, summed in registers before that.
template <int Width, int V, class P>
inline void add_vectors_of_products(const P* A, const P* B, Index depth, Range rows, P* C) {
  for (Index first = rows.first; first < rows.last; first += kStrip<V>) {
    with_constant<kStrip<V>>(std::min<Index>(kStrip<V>, rows.last - first), [=](auto strip) {
      constexpr int R = decltype(strip)::value;
      Vec<P> sum[R][V] = {};
      const P* a = A + first;
      const Vec<P>* b = as_vectors(B);
      for (Index j = 0; j < depth; ++j, a += Width, b += Width / kLanes<P>) add_outer(sum, a, 1, b);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) as_vectors(C + (first + r) * Width)[v] += sum[r][v];
    });
  }
}

// Rows and columns of C (Width, Width) += A^T B; more columns may be added to, not fewer.
template <int Width, class P>
inline void add_products(const P* A, const P* B, Index depth, Range rows, Index cols, P* C) {
  constexpr int V = Width / kLanes<P>;
  if (cols > Width / 2)
    add_vectors_of_products<Width, V>(A, B, depth, rows, C);
  else
    add_vectors_of_products<Width, V / 2>(A, B, depth, rows, C);
}

}  // namespace asymfast::cpu
