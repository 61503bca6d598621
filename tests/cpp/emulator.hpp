// A device that is emulated on the host, for tests: the kernels of the CUDA backend run as they
// are, each thread of a block as a fiber. Barriers count; whoever misses one is found. Between
// barriers the threads run in an order that tests choose: where results depend on it, there is a
// race.
#pragma once

#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <vector>

#include "cuda/block.hpp"

namespace asymfast::cuda {

class Fibers;

enum class Order { ascending, descending, shuffled };

struct Emulation {
  Order order = Order::ascending;  // of threads between barriers
  int blocks = 4;                  // that run at once
  std::size_t shared_memory = std::size_t(1) << 16;
};
inline Emulation emulation;

// Bytes of the device's memory that are taken, and that were at a time at most.
struct EmulatedMemory {
  std::size_t taken = 0, most = 0;
};
inline EmulatedMemory emulated_memory;

// Of one block, or of all blocks of a group.
struct Barrier {
  int members = 0, arrived = 0;
  long generation = 0;
};

// Memory that a block's threads share; filled with NaN, as nobody may count on zeros.
class EmulatedShared {
 public:
  explicit EmulatedShared(std::size_t bytes);
  unsigned char* data() const { return memory_.get(); }

 private:
  struct Free {
    void operator()(unsigned char* p) const { std::free(p); }
  };
  std::unique_ptr<unsigned char[], Free> memory_;
};

struct EmulatedBlock {
  int thread, threads, rank, ranks;
  Index group;
  unsigned char* shared;
  Fibers* fibers;
  Barrier *of_block, *of_group;
  double* exchange;  // of the block, one number a thread

  void sync();
  void group_sync();
  bool any_of_warp(bool) const { return true; }  // what threads exchange, all of the block do
  template <class T>
  T of_later(T x, int apart) {
    sync();
    exchange[thread] = double(x);
    sync();
    return T(exchange[thread + apart < threads ? thread + apart : thread]);
  }
};

// Runs work(0), ..., work(count - 1), each in a fiber, until all have returned.
void run_fibers(int count, const std::function<void(int, Fibers*)>& work);

// What host code asks of a device; twin of cuda::Device in device.cuh.
struct EmulatedDevice {
  static void* allocate(std::size_t bytes);
  static void release(void* memory) noexcept;
  static void transfer(void* to, const void* from, std::size_t bytes) {
    std::memcpy(to, from, bytes);
  }
  static void copy(void* to, const void* from, std::size_t bytes) { std::memcpy(to, from, bytes); }
  static void zero(void* device, std::size_t bytes) { std::memset(device, 0, bytes); }

  // Blocks of a kernel that can run at the same time with so much shared memory each; 0: none.
  template <class Kernel>
  static int blocks_at_once(std::size_t shared) {
    return shared <= emulation.shared_memory ? emulation.blocks : 0;
  }

  template <class Kernel>
  static void launch(Index first_group, Index groups, int ranks, std::size_t shared,
                     const typename Kernel::Args& args) {
    for (Index group = first_group; group < first_group + groups; ++group) {
      std::vector<EmulatedShared> memory;
      memory.reserve(ranks);
      std::vector<Barrier> of_blocks(ranks, Barrier{Kernel::kThreads});
      std::vector<double> exchange(ranks * Kernel::kThreads);
      Barrier of_group{ranks * Kernel::kThreads};
      for (int rank = 0; rank < ranks; ++rank) memory.emplace_back(shared);
      run_fibers(ranks * Kernel::kThreads, [&](int fiber, Fibers* fibers) {
        const int rank = fiber / Kernel::kThreads;
        const auto at = static_cast<std::size_t>(rank);
        EmulatedBlock block{fiber % Kernel::kThreads,
                            Kernel::kThreads,
                            rank,
                            ranks,
                            group,
                            memory[at].data(),
                            fibers,
                            &of_blocks[at],
                            &of_group,
                            exchange.data() + rank * Kernel::kThreads};
        Kernel::run(block, args);
      });
    }
  }
};

}  // namespace asymfast::cuda
