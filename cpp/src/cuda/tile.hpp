// The product of two matrices by one block, tile by tile: the work horse of the kernels on matrices
// that do not fit into shared memory.
#pragma once

#include "cuda/block.hpp"

namespace asymfast::cuda {

// count numbers that are loaded at once.
template <class T, int count>
struct alignas(count * sizeof(T) < 16 ? count * sizeof(T) : 16) Strip {
  T x[count];
};

// Which index of an operand runs through its memory: the inner one of the product, or the outer
// one.
enum class Runs { inner, outer };

// A rows x inner matrix of the product: run(index) is where the elements begin that lie one after
// the other, index being a row (Runs::inner) or an inner index (Runs::outer); number(u, l) is what
// an element u at the inner index l stands for.
template <Runs direction, class U, class Run, class Number>
struct Operand {
  static constexpr Runs runs = direction;
  using Element = U;
  Run run;
  Number number;
  int rows;
};
struct AsItIs {
  template <class U>
  ASYMFAST_DEVICE U operator()(U u, Index) const {
    return u;
  }
};
template <Runs direction, class U, class Run, class Number = AsItIs>
ASYMFAST_DEVICE Operand<direction, U, Run, Number> operand(int rows, Run run, Number number = {}) {
  return {run, number, rows};
}

// Shared memory of a product: two panels an operand, one being filled while the other is
// multiplied.
template <class Shape, class T>
struct Panels {
  static constexpr int stride = Shape::template stride<T>, size = Shape::depth * stride;
  T* panels;

  ASYMFAST_DEVICE explicit Panels(Carver& carver) : panels(carver.take<T>(4 * size)) {}
  ASYMFAST_DEVICE T* a(int stage) const { return panels + 2 * stage * size; }
  ASYMFAST_DEVICE T* b(int stage) const { return panels + (2 * stage + 1) * size; }

  static constexpr std::size_t bytes = Carver::rounded(4 * size * sizeof(T));
};

// A thread's part of an operand's panels, on its way from global to shared memory.
template <class Shape, class T, class From>
class Feed {
  static constexpr bool inner = From::runs == Runs::inner;
  static constexpr int per_thread = Shape::tile * Shape::depth / Shape::threads;
  using U = typename From::Element;
  static constexpr int vec = per_thread * sizeof(U) < 16 ? per_thread : 16 / int(sizeof(U));
  using Vector = Strip<U, vec>;

 public:
  // Threads that are neighbours have neighbouring rows of an operand that runs along the inner
  // index.
  ASYMFAST_DEVICE Feed(int thread, const From& from)
      : from_(from),
        row_(inner ? thread % Shape::tile : thread * per_thread % Shape::tile),
        l_(inner ? thread / Shape::tile * per_thread : thread * per_thread / Shape::tile),
        run_(inner && row_ < from.rows ? from.run(row_) : nullptr) {}

  // Elements of the panel that begins at inner index `first`; 0 beyond the matrix.
  ASYMFAST_DEVICE void fetch(Index first, Index end) {
    const Index l = first + l_;
    const U* run = inner ? run_ : l < end ? from_.run(l) : nullptr;
    const Index at = inner ? l : row_;
    const int inside = run ? within(inner ? end - l : Index(from_.rows - row_)) : 0;
    if (inside == per_thread && reinterpret_cast<std::uintptr_t>(run + at) % sizeof(Vector) == 0) {
      ASYMFAST_UNROLL(8)
      for (int v = 0; v < per_thread / vec; ++v) {
        const Vector numbers = *reinterpret_cast<const Vector*>(run + at + v * vec);
        ASYMFAST_UNROLL(8)
        for (int e = 0; e < vec; ++e) next_[v * vec + e] = value(numbers.x[e], l, v * vec + e);
      }
    } else {
      ASYMFAST_UNROLL(8)
      for (int e = 0; e < per_thread; ++e) next_[e] = e < inside ? value(run[at + e], l, e) : T(0);
    }
  }

  ASYMFAST_DEVICE void put(T* panel) const {
    constexpr int stride = Shape::template stride<T>;
    ASYMFAST_UNROLL(8)
    for (int e = 0; e < per_thread; ++e)
      panel[(l_ + (inner ? e : 0)) * stride + row_ + (inner ? 0 : e)] = next_[e];
  }

 private:
  ASYMFAST_DEVICE static int within(Index left) {
    return left < 0 ? 0 : left < per_thread ? int(left) : per_thread;
  }
  ASYMFAST_DEVICE T value(U u, Index l, int e) const {
    return T(from_.number(u, inner ? l + e : l));
  }

  const From& from_;
  int row_, l_;
  const U* run_;
  T next_[per_thread];
};

// work(first row, rows, first column, columns) for the block's share of the tiles of a matrix.
template <class Shape, class Block, class Work>
ASYMFAST_DEVICE void for_tiles(const Block& block, Index height, Index width, Work work) {
  const auto count = [](Index left) { return int(left < Shape::tile ? left : Shape::tile); };
  const Index across = Shape::tiles(width), all = Shape::tiles(height) * across;
  for (Index t = block.rank; t < all; t += block.ranks) {
    const Index i = t / across * Shape::tile, l = t % across * Shape::tile;
    work(i, count(height - i), l, count(width - l));
  }
}

// work(row, column, result) for a thread's results, in a tile of so many rows and columns.
template <class Shape, class T, class Block, class Work>
ASYMFAST_DEVICE void for_results(const Block& block, int rows, int cols,
                                 const T (&results)[Shape::reg][Shape::reg], Work work) {
  for (int r = 0; r < Shape::reg; ++r)
    for (int s = 0; s < Shape::reg; ++s) {
      const int row = Shape::template place<T>(block.thread / Shape::side, r);
      const int col = Shape::template place<T>(block.thread % Shape::side, s);
      if (row < rows && col < cols) work(row, col, results[r][s]);
    }
}

// sums[r][s] += sum_l a(row, l) b(col, l), l = 0, 1, ..., inner - 1 in this order, for the rows and
// columns Shape::place<T>(thread / side, r) and Shape::place<T>(thread % side, s) of the tile.
template <class Shape, class T, class Block, class A, class B>
ASYMFAST_DEVICE void tile_product(Block& block, const A& a, const B& b, Index inner,
                                  const Panels<Shape, T>& panels,
                                  T (&sums)[Shape::reg][Shape::reg]) {
  constexpr int reg = Shape::reg, vec = Shape::template vec<T>, apart = Shape::side * vec;
  using Vector = Strip<T, vec>;
  const int row = block.thread / Shape::side * vec, col = block.thread % Shape::side * vec;
  Feed<Shape, T, A> feed_a(block.thread, a);
  Feed<Shape, T, B> feed_b(block.thread, b);
  const auto fetch = [&](Index first) { feed_a.fetch(first, inner), feed_b.fetch(first, inner); };
  const auto put = [&](int stage) { feed_a.put(panels.a(stage)), feed_b.put(panels.b(stage)); };
  fetch(0);
  put(0);
  block.sync();
  int stage = 0;
  ASYMFAST_UNROLL(1)
  for (Index first = 0; first < inner; first += Shape::depth, stage = 1 - stage) {
    const bool more = first + Shape::depth < inner;
    if (more) fetch(first + Shape::depth);
    const T *x = panels.a(stage) + row, *y = panels.b(stage) + col;
    ASYMFAST_UNROLL(16)
    for (int l = 0; l < Shape::depth; ++l) {
      Vector p[reg / vec], q[reg / vec];
      ASYMFAST_UNROLL(8)
      for (int v = 0; v < reg / vec; ++v) {
        p[v] = *reinterpret_cast<const Vector*>(x + l * Panels<Shape, T>::stride + v * apart);
        q[v] = *reinterpret_cast<const Vector*>(y + l * Panels<Shape, T>::stride + v * apart);
      }
      ASYMFAST_UNROLL(8)
      for (int r = 0; r < reg; ++r) ASYMFAST_UNROLL(8)
      for (int s = 0; s < reg; ++s)
        sums[r][s] = fma(p[r / vec].x[r % vec], q[s / vec].x[s % vec], sums[r][s]);
    }
    if (more) put(1 - stage);
    block.sync();
  }
}

}  // namespace asymfast::cuda
