// Non-owning views of row-major data: all that crosses the public interface.
#pragma once

#include <cstddef>

namespace asymfast {

using Index = std::ptrdiff_t;

template <class T>
struct MatrixView {
  T* data = nullptr;
  Index rows = 0;
  Index cols = 0;

  T& operator()(Index i, Index j) const noexcept { return data[i * cols + j]; }
  T* row(Index i) const noexcept { return data + i * cols; }
  Index size() const noexcept { return rows * cols; }
  operator MatrixView<const T>() const noexcept { return {data, rows, cols}; }
};

}  // namespace asymfast
