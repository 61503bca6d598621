// The caller's arrays as the inner loops read them: nodes side by side in blocks, samples as rows.
#pragma once

#include <cmath>

#include "asymfast/network.hpp"
#include "cpu/buffer.hpp"
#include "cpu/layout.hpp"

namespace asymfast::cpu {

// Rows of nodes (m, columns), as W and a, to [block][column][node].
template <class T>
Buffer<T> packed(MatrixView<const T> rows) {
  const Index columns = rows.cols;
  Buffer<T> blocks(ceil_div(rows.rows, kBlock<T>) * columns * kBlock<T>);
  for (Index j = 0; j < rows.rows; ++j) {
    T* column = blocks.data() + j / kBlock<T> * columns * kBlock<T> + j % kBlock<T>;
    for (Index l = 0; l < columns; ++l) column[l * kBlock<T>] = rows(j, l);
  }
  return blocks;
}

// Some blocks, which lie at `packed`, back to their rows.
template <class T>
void unpack(const T* packed, Range blocks, MatrixView<T> rows) {
  const Index last = std::min(rows.rows, blocks.last * kBlock<T>);
  for (Index j = blocks.first * kBlock<T>; j < last; ++j) {
    const T* column =
        packed + (j / kBlock<T> - blocks.first) * rows.cols * kBlock<T> + j % kBlock<T>;
    for (Index l = 0; l < rows.cols; ++l) rows(j, l) = column[l * kBlock<T>];
  }
}

// c = sqrt(lambda) a, packed.
template <class T>
Buffer<T> packed_scales(const NetworkView<T>& net) {
  Buffer<T> c = packed(net.a);
  for (Index j = 0; j < net.m(); ++j)
    for (Index q = 0; q < net.k(); ++q)
      c.data()[(j / kBlock<T> * net.k() + q) * kBlock<T> + j % kBlock<T>] =
          T(std::sqrt(net.lam[j]) * double(net.a(j, q)));
  return c;
}

// sqrt(lambda), packed.
template <class T>
Buffer<T> packed_root_lam(const NetworkView<T>& net) {
  Buffer<T> root(ceil_div(net.m(), kBlock<T>) * kBlock<T>);
  for (Index j = 0; j < net.m(); ++j) root.data()[j] = T(std::sqrt(net.lam[j]));
  return root;
}

template <class T>
struct Samples {
  const T* data;
  Index rows, d, stride;  // elements from one row to the next

  const T* row(Index i) const noexcept { return data + i * stride; }
  Samples some(Range range) const noexcept { return {row(range.first), range.size(), d, stride}; }
};

// Rows a multiple of 512 bytes apart share a few sets of the first-level cache and drive each other
// out; such are put one line further apart.
template <class T>
Index row_stride(Index d) {
  constexpr Index line = 64 / Index(sizeof(T));
  return d % (8 * line) == 0 ? d + line : d;
}

// Room for samples, whose rows are divided by sqrt(d) on their way in.
template <class T>
class SampleBuffer {
 public:
  SampleBuffer(Index rows, Index d)
      : rows_(rows), d_(d), stride_(row_stride<T>(d)), values_(rows * stride_) {}

  void put(Index i, const T* x) {
    const double scale = 1 / std::sqrt(double(d_));
    T* to = values_.data() + i * stride_;
    for (Index l = 0; l < d_; ++l) to[l] = T(double(x[l]) * scale);
  }
  // As many as there is room for.
  void put(MatrixView<const T> X) {
    for (Index i = 0; i < X.rows; ++i) put(i, X.row(i));
  }

  Samples<T> all() const noexcept { return {values_.data(), rows_, d_, stride_}; }

 private:
  Index rows_, d_, stride_;
  Buffer<T> values_;
};

}  // namespace asymfast::cpu
