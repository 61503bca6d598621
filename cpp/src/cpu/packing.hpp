// From the caller's arrays to blocks of nodes side by side, and back:
//   W (m, d) <-> [block][l][node],   c = sqrt(lambda) a: (m, k) -> [block][q][node].
#pragma once

#include <cmath>

#include "asymfast/network.hpp"
#include "cpu/buffer.hpp"
#include "cpu/layout.hpp"

namespace asymfast::cpu {

template <class T>
void pack_weights(const Layout<T>& at, const T* W, T* packed) {
  for (Index j = 0; j < at.m; ++j) {
    T* column = packed + (j / kBlock<T>)*at.weights_per_block() + j % kBlock<T>;
    for (Index l = 0; l < at.d; ++l) column[l * kBlock<T>] = W[j * at.d + l];
  }
}

template <class T>
Buffer<T> packed_weights(const Layout<T>& at, const T* W) {
  Buffer<T> packed(at.blocks * at.weights_per_block());
  pack_weights(at, W, packed.data());
  return packed;
}

template <class T>
void unpack_weights(const Layout<T>& at, const T* packed, Range blocks, T* W) {
  for (Index j = blocks.first * kBlock<T>; j < std::min(at.m, blocks.last * kBlock<T>); ++j) {
    const T* column =
        packed + (j / kBlock<T> - blocks.first) * at.weights_per_block() + j % kBlock<T>;
    for (Index l = 0; l < at.d; ++l) W[j * at.d + l] = column[l * kBlock<T>];
  }
}

template <class T>
void pack_scales(const Layout<T>& at, const NetworkView<T>& net, T* packed) {
  for (Index j = 0; j < at.m; ++j)
    for (Index q = 0; q < at.k; ++q)
      packed[((j / kBlock<T>)*at.k + q) * kBlock<T> + j % kBlock<T>] =
          T(std::sqrt(net.lam[j]) * double(net.a(j, q)));
}

}  // namespace asymfast::cpu
