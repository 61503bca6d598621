// The product of two matrices by one block, tile by tile: the work horse of all kernels.
#pragma once

#include "cuda/block.hpp"

namespace asymfast::cuda {

// reg numbers that are loaded at once.
template <class T, int Reg>
struct alignas(Reg * sizeof(T) < 16 ? Reg * sizeof(T) : 16) Strip {
  T x[Reg];
};

// Which index of an operand runs through its memory, and so through neighbouring threads.
enum class Runs { inner, outer };

template <class Shape, class T>
struct Panels {
  T *a, *b;

  ASYMFAST_DEVICE explicit Panels(Carver& carver)
      : a(carver.take<T>(Shape::depth * Shape::template stride<T>)),
        b(carver.take<T>(Shape::depth * Shape::template stride<T>)) {}

  static constexpr std::size_t bytes =
      2 * Carver::rounded(Shape::depth * Shape::template stride<T> * sizeof(T));
};

// panel[l][row] = load(row, first + l), 0 beyond `rows` and `inner`.
template <class Shape, Runs runs, class T, class Block, class Load>
ASYMFAST_DEVICE void fill_panel(const Block& block, int rows, Index first, Index inner, Load& load,
                                T* panel) {
  constexpr int stride = Shape::template stride<T>;
  for (int e = block.thread; e < Shape::tile * Shape::depth; e += Shape::threads) {
    const int row = runs == Runs::inner ? e / Shape::depth : e % Shape::tile;
    const int l = runs == Runs::inner ? e % Shape::depth : e / Shape::tile;
    const bool inside = row < rows && first + l < inner;
    panel[l * stride + row] = inside ? load(row, first + l) : T(0);
  }
}

// sums[r][s] += sum_l a(row, l) b(col, l), l = 0, 1, ..., inner - 1 in this order, for the thread's
// row = (thread / side) reg + r < rows and col = (thread % side) reg + s < cols.
template <class Shape, Runs runs_a, Runs runs_b, class T, class Block, class LoadA, class LoadB>
ASYMFAST_DEVICE void tile_product(Block& block, int rows, int cols, Index inner, LoadA a, LoadB b,
                                  const Panels<Shape, T>& panels,
                                  T (&sums)[Shape::reg][Shape::reg]) {
  constexpr int reg = Shape::reg, stride = Shape::template stride<T>;
  using Own = Strip<T, reg>;
  const int row = block.thread / Shape::side * reg, col = block.thread % Shape::side * reg;
  for (Index first = 0; first < inner; first += Shape::depth) {
    block.sync();
    fill_panel<Shape, runs_a>(block, rows, first, inner, a, panels.a);
    fill_panel<Shape, runs_b>(block, cols, first, inner, b, panels.b);
    block.sync();
    for (int l = 0; l < Shape::depth; ++l) {
      const Own x = *reinterpret_cast<const Own*>(panels.a + l * stride + row);
      const Own y = *reinterpret_cast<const Own*>(panels.b + l * stride + col);
      for (int r = 0; r < reg; ++r)
        for (int s = 0; s < reg; ++s) sums[r][s] = fma(x.x[r], y.x[s], sums[r][s]);
    }
  }
}

}  // namespace asymfast::cuda
