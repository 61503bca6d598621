// How device code is written here: kernels are templates over the block that runs them, so that
// the very same source runs as CUDA (cuda/device.cuh) and on the host (tests/cpp/emulator.hpp),
// where its index arithmetic, barriers and sums are tested against the CPU kernels.
//
// A Block is what one thread knows of where it runs:
//   int thread                the thread in its block
//   int rank, ranks           the block in the group of blocks that works on one member
//   Index group               that member
//   unsigned char* shared     memory of the block, kSharedAlignment-aligned
//   void sync()               barrier of the block
//   void group_sync()         barrier of the group; global memory written before is seen after it
//   bool any_of_warp(bool)    whether it holds in any of the 32 threads of a warp
//   T of_later(T, int apart)  the value of the thread that comes so many later in the warp
// All threads of a block, or of a group, must reach the same barriers; all of a warp, the last two.
//
// No kernel uses atomics on numbers: every sum has one fixed order, which depends on the sizes of
// the problem alone, not on how many blocks a group has. So a member gets the same bits alone, in
// any ensemble, and on any number of multiprocessors.
#pragma once

#include <cstddef>

#include "asymfast/views.hpp"
#include "math/lanes.hpp"

// A lambda that runs on a device, of what it copies: ASYMFAST_ON_DEVICE(Index e) { ... }. nvcc
// takes it in public functions that are not constructors, with --extended-lambda.
#define ASYMFAST_ON_DEVICE(...) [=] ASYMFAST_DEVICE(__VA_ARGS__)

// How often the loop that follows is written out for a device.
#if defined(__CUDACC__)
#define ASYMFAST_PRAGMA(text) _Pragma(#text)
#define ASYMFAST_UNROLL(times) ASYMFAST_PRAGMA(unroll times)
#else
#define ASYMFAST_UNROLL(times)
#endif

namespace asymfast::cuda {

inline constexpr std::size_t kSharedAlignment = 16;

// side x side threads, each with reg x reg results of a tile x tile product, whose inner dimension
// is walked in panels of `depth`.
template <int Side, int Reg, int Depth>
struct Shape {
  static constexpr int side = Side, reg = Reg, depth = Depth;
  static constexpr int threads = Side * Side, tile = Side * Reg;
  ASYMFAST_INLINE static constexpr Index tiles(Index size) { return (size + tile - 1) / tile; }
  // A thread has rows, and columns, in strips of 16 bytes or of all that it has: those of its
  // neighbours lie side by side.
  template <class T>
  static constexpr int vec = Reg * sizeof(T) < 16 ? Reg : 16 / static_cast<int>(sizeof(T));
  template <class T>
  ASYMFAST_INLINE static constexpr int place(int lane, int r) {
    return r / vec<T> * Side * vec<T> + lane * vec<T> + r % vec<T>;
  }
  // A row of a panel: 16 bytes longer than a tile, so that threads which write down a column do not
  // all meet in one bank.
  template <class T>
  static constexpr int stride = tile + static_cast<int>(16 / sizeof(T));
};

// What a kernel has that says nothing else: its blocks do not wait for each other.
struct PlainKernel {
  static constexpr int kThreads = 256;
  static constexpr int kBlocks = 1;  // that a multiprocessor has
  static constexpr bool kCooperative = false;
};

// Hands out the block's shared memory piece by piece.
class Carver {
 public:
  ASYMFAST_DEVICE explicit Carver(unsigned char* at) : at_(at) {}

  template <class U>
  ASYMFAST_DEVICE U* take(Index count) {
    U* piece = reinterpret_cast<U*>(at_);
    at_ += rounded(static_cast<std::size_t>(count) * sizeof(U));
    return piece;
  }

  ASYMFAST_INLINE static constexpr std::size_t rounded(std::size_t bytes) {
    return (bytes + kSharedAlignment - 1) / kSharedAlignment * kSharedAlignment;
  }

 private:
  unsigned char* at_;
};

inline constexpr int kTotalLanes = 32;  // that sum side by side

// The sum of x in an order of its own, the same in every thread; lanes (kTotalLanes,) is shared
// memory.
template <class Block>
ASYMFAST_DEVICE double total(Block& block, const double* x, Index count, double* lanes) {
  for (int lane = block.thread; lane < kTotalLanes; lane += block.threads) {
    double sum = 0;
    for (Index i = lane; i < count; i += kTotalLanes) sum += x[i];
    lanes[lane] = sum;
  }
  block.sync();
  double sum[4] = {};
  for (int lane = 0; lane < kTotalLanes; ++lane) sum[lane % 4] += lanes[lane];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

}  // namespace asymfast::cuda
