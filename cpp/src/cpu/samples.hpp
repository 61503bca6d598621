// Samples as the inner loops read them: rows of inputs.
#pragma once

#include <cmath>

#include "cpu/buffer.hpp"
#include "cpu/layout.hpp"

namespace asymfast::cpu {

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

  explicit SampleBuffer(MatrixView<const T> X) : SampleBuffer(X.rows, X.cols) { read(X); }

  // Other samples, as many as before.
  void read(MatrixView<const T> X) {
    for (Index i = 0; i < X.rows; ++i) put(i, X.row(i));
  }

  void put(Index i, const T* x) {
    const double scale = 1 / std::sqrt(double(d_));
    T* to = values_.data() + i * stride_;
    for (Index l = 0; l < d_; ++l) to[l] = T(double(x[l]) * scale);
  }

  Samples<T> all() const noexcept { return {values_.data(), rows_, d_, stride_}; }

 private:
  Index rows_, d_, stride_;
  Buffer<T> values_;
};

}  // namespace asymfast::cpu
