// From the caller's arrays to blocks of nodes side by side, and back:
//   W (m, d) <-> [block][l][node],   c = sqrt(lambda) a: (m, k) -> [block][q][node].
#pragma once

#include <cmath>

#include "asymfast/network.hpp"
#include "cpu/buffer.hpp"
#include "cpu/layout.hpp"

namespace asymfast::cpu {

template <class T>
Buffer<T> packed_weights(const Layout<T>& layout, const T* W) {
  Buffer<T> packed(layout.blocks * layout.weights_per_block());
  for (Index j = 0; j < layout.m; ++j) {
    T* column = packed.data() + (j / kBlock<T>)*layout.weights_per_block() + j % kBlock<T>;
    for (Index l = 0; l < layout.d; ++l) column[l * kBlock<T>] = W[j * layout.d + l];
  }
  return packed;
}

template <class T>
void unpack_weights(const Layout<T>& layout, const T* packed, Range blocks, T* W) {
  for (Index j = blocks.first * kBlock<T>; j < std::min(layout.m, blocks.last * kBlock<T>); ++j) {
    const T* column =
        packed + (j / kBlock<T> - blocks.first) * layout.weights_per_block() + j % kBlock<T>;
    for (Index l = 0; l < layout.d; ++l) W[j * layout.d + l] = column[l * kBlock<T>];
  }
}

template <class T>
void pack_scales(const Layout<T>& layout, const NetworkView<T>& net, T* packed) {
  for (Index j = 0; j < layout.m; ++j)
    for (Index q = 0; q < layout.k; ++q)
      packed[((j / kBlock<T>)*layout.k + q) * kBlock<T> + j % kBlock<T>] =
          T(std::sqrt(net.lam[j]) * double(net.a(j, q)));
}

}  // namespace asymfast::cpu
