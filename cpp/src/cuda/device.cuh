// A CUDA device: the block of a kernel, memory, launches. Twin of tests/cpp/emulator.hpp.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <map>
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

// Device 0 is this thread's current device for the scope, whatever the caller works on.
class OnFirstDevice {
 public:
  OnFirstDevice() {
    if (cudaGetDevice(&before_) != cudaSuccess) cudaGetLastError();
    if (before_ != 0) check(cudaSetDevice(0), "device");
  }
  OnFirstDevice(const OnFirstDevice&) = delete;
  OnFirstDevice& operator=(const OnFirstDevice&) = delete;
  ~OnFirstDevice() {
    if (before_ != 0) cudaSetDevice(before_);
  }

 private:
  int before_ = 0;
};

struct CudaBlock {
  int thread, threads, rank, ranks;
  Index group;
  unsigned char* shared;
  unsigned* arrived;  // of the group's barrier: how often a block has come to it

  __device__ void sync() { __syncthreads(); }

  __device__ bool any_of_warp(bool holds) const { return __any_sync(~0u, holds); }
  template <class T>
  __device__ T of_later(T x, int apart) const {
    return __shfl_down_sync(~0u, x, static_cast<unsigned>(apart));
  }

  // All blocks of the group run, since they were launched together. What was written before is
  // released to the device by the arrival, and acquired by the look that finds all to have come.
  __device__ void group_sync() {
    __syncthreads();
    if (ranks > 1 && thread == 0) {
      generation_ += static_cast<unsigned>(ranks);
      asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(arrived) : "memory");
      unsigned count;
      do {  // the count never goes down and may wrap around
        asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(count) : "l"(arrived) : "memory");
      } while (static_cast<int>(count - generation_) < 0);
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
  // From the device's pool, which keeps what is released: short calls do not ask the driver.
  static void* allocate(std::size_t bytes) {
    const OnFirstDevice device;
    static const bool kept = keep_released();
    static_cast<void>(kept);
    void* memory = nullptr;
    check(cudaMallocAsync(&memory, bytes, current_stream()), "allocation");
    return memory;
  }
  static void release(void* memory) noexcept {
    const OnFirstDevice device;
    cudaFreeAsync(memory, current_stream());
  }
  // Between any of host and device. Host memory is pageable: it may be used again on return.
  static void transfer(void* to, const void* from, std::size_t bytes) {
    copy(to, from, bytes);
    const OnFirstDevice device;
    check(cudaStreamSynchronize(current_stream()), "kernel");
  }
  static void copy(void* to, const void* from, std::size_t bytes) {
    const OnFirstDevice device;
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, current_stream()), "copy");
  }
  static void zero(void* memory, std::size_t bytes) {
    const OnFirstDevice device;
    check(cudaMemsetAsync(memory, 0, bytes, current_stream()), "memset");
  }

  // Blocks of a kernel that can run at the same time with so much shared memory each; 0: none.
  template <class Kernel>
  static int blocks_at_once(std::size_t shared) {
    static std::map<std::size_t, int> known;  // calls come one after the other
    const auto found = known.find(shared);
    if (found != known.end()) return found->second;
    const OnFirstDevice device;
    int of_one = 0;
    if (shared <= static_cast<std::size_t>(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin))) {
      allow<Kernel>(shared);
      check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&of_one, run_kernel<Kernel>,
                                                          Kernel::kThreads, shared),
            "occupancy");
    }
    return known[shared] = of_one * attribute(cudaDevAttrMultiProcessorCount);
  }

  template <class Kernel>
  static void launch(Index first_group, Index groups, int ranks, std::size_t shared,
                     const typename Kernel::Args& args) {
    const OnFirstDevice device;
    allow<Kernel>(shared);
    unsigned* arrived = nullptr;  // of the groups' barriers
    if (Kernel::kCooperative) {
      const std::size_t bytes = static_cast<std::size_t>(groups) * sizeof(unsigned);
      arrived = static_cast<unsigned*>(allocate(bytes));
      zero(arrived, bytes);
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
    const cudaError_t error =
        cudaLaunchKernelEx(&config, run_kernel<Kernel>, args, first_group, ranks, arrived);
    if (arrived) release(arrived);  // when the kernel has ended, as it is on the same stream
    check(error, "launch");
  }

 private:
  static int attribute(cudaDeviceAttr which) {
    int value = 0;
    check(cudaDeviceGetAttribute(&value, which, 0), "attribute");
    return value;
  }

  static bool keep_released() {
    cudaMemPool_t pool{};
    check(cudaDeviceGetDefaultMemPool(&pool, 0), "memory pool");
    std::uint64_t all = ~std::uint64_t(0);
    check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &all), "memory pool");
    return true;
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
};

}  // namespace asymfast::cuda
