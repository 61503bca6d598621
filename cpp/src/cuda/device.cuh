// A CUDA device: the block of a kernel, memory, launches. Twin of cuda/emulator.hpp.
#pragma once

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

#include "cuda/block.hpp"

namespace asymfast::cuda {

inline void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // the next call is not to report it again
  if (error == cudaErrorMemoryAllocation) throw std::bad_alloc();
  throw std::runtime_error(std::string("cuda: ") + what + ": " + cudaGetErrorString(error));
}

// All calls go to the legacy default stream: it waits for the work of other blocking streams, and
// they for its.
inline cudaStream_t current_stream() {
  return cudaStreamLegacy;
}

struct CudaBlock {
  int thread, threads, rank, ranks;
  Index group;
  unsigned char* shared;
  unsigned* arrived;  // of the group's barrier: how often a block has come to it

  __device__ void sync() { __syncthreads(); }

  // All blocks of the group run, since they were launched together. The fences make what was
  // written before visible after: the first to the device, the second drops what this
  // multiprocessor has cached.
  __device__ void group_sync() {
    __syncthreads();
    if (thread == 0) {
      __threadfence();
      generation_ += static_cast<unsigned>(ranks);
      atomicAdd(arrived, 1u);
      // The count never goes down and may wrap around.
      while (static_cast<int>(*static_cast<volatile unsigned*>(arrived) - generation_) < 0) {
      }
      __threadfence();
    }
    __syncthreads();
  }

  unsigned generation_ = 0;  // arrivals after which the next barrier is passed
};

template <class Kernel>
__global__ void __launch_bounds__(Kernel::kThreads, Kernel::kBlocks)
    run_kernel(const __grid_constant__ typename Kernel::Args args, Index first_group, int ranks,
               unsigned* arrived) {
  extern __shared__ __align__(16) unsigned char shared[];
  const int group = static_cast<int>(blockIdx.x) / ranks;
  CudaBlock block{
      static_cast<int>(threadIdx.x), Kernel::kThreads, static_cast<int>(blockIdx.x) % ranks, ranks,
      first_group + group,           shared,           arrived ? arrived + group : nullptr};
  Kernel::run(block, args);
}

struct CudaDevice {
  static void* allocate(std::size_t bytes) {
    void* memory = nullptr;
    check(cudaMalloc(&memory, bytes), "allocation");
    return memory;
  }
  static void release(void* memory) noexcept { cudaFree(memory); }
  // From the host or, by unified addresses, from the device.
  static void copy_in(void* device, const void* from, std::size_t bytes) {
    transfer(device, from, bytes);
  }
  static void copy_out(void* host, const void* device, std::size_t bytes) {
    transfer(host, device, bytes);
  }
  static void copy(void* to, const void* from, std::size_t bytes) {
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, current_stream()), "copy");
  }
  static void zero(void* device, std::size_t bytes) {
    check(cudaMemsetAsync(device, 0, bytes, current_stream()), "memset");
  }

  // Blocks of a kernel that can run at the same time with so much shared memory each; 0: none.
  template <class Kernel>
  static int blocks_at_once(std::size_t shared) {
    if (shared > most_shared()) return 0;
    allow<Kernel>(shared);
    int of_one = 0;
    check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&of_one, run_kernel<Kernel>,
                                                        Kernel::kThreads, shared),
          "occupancy");
    return of_one * multiprocessors();
  }

  template <class Kernel>
  static void launch(Index first_group, Index groups, int ranks, std::size_t shared,
                     const typename Kernel::Args& args) {
    allow<Kernel>(shared);
    unsigned* arrived = nullptr;
    if (Kernel::kCooperative) {
      arrived = counters(groups);
      zero(arrived, static_cast<std::size_t>(groups) * sizeof(unsigned));
    }
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(static_cast<unsigned>(groups * ranks));
    config.blockDim = dim3(Kernel::kThreads);
    config.dynamicSmemBytes = shared;
    config.stream = current_stream();
    cudaLaunchAttribute together{};
    together.id = cudaLaunchAttributeCooperative;
    together.val.cooperative = 1;
    config.attrs = &together;
    config.numAttrs = Kernel::kCooperative ? 1 : 0;
    check(cudaLaunchKernelEx(&config, run_kernel<Kernel>, args, first_group, ranks, arrived),
          "launch");
  }

 private:
  // Host memory is pageable: the call returns when it may be used again.
  static void transfer(void* to, const void* from, std::size_t bytes) {
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, current_stream()), "copy");
    check(cudaStreamSynchronize(current_stream()), "kernel");
  }

  static int attribute(cudaDeviceAttr which) {
    int device = 0, value = 0;
    check(cudaGetDevice(&device), "device");
    check(cudaDeviceGetAttribute(&value, which, device), "attribute");
    return value;
  }
  static std::size_t most_shared() {
    static const auto bytes =
        static_cast<std::size_t>(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin));
    return bytes;
  }
  static int multiprocessors() {
    static const int count = attribute(cudaDevAttrMultiProcessorCount);
    return count;
  }

  // More than 48 KB of shared memory must be asked for, for each kernel.
  template <class Kernel>
  static void allow(std::size_t shared) {
    static std::size_t allowed = 48 * 1024;
    if (shared <= allowed) return;
    check(cudaFuncSetAttribute(run_kernel<Kernel>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared)),
          "shared memory");
    allowed = shared;
  }

  // Of the groups' barriers; calls come one after the other.
  static unsigned* counters(Index groups) {
    static unsigned* memory = nullptr;
    static Index size = 0;
    if (groups > size) {
      if (memory) {
        check(cudaStreamSynchronize(current_stream()), "kernel");
        release(memory);
      }
      memory =
          static_cast<unsigned*>(allocate(static_cast<std::size_t>(groups) * sizeof(unsigned)));
      size = groups;
    }
    return memory;
  }
};

}  // namespace asymfast::cuda
