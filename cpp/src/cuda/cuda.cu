// The CUDA backend: its table of kernels, and what can be said of the devices.
#include "cuda/device.cuh"
#include "cuda/module.hpp"
#include "cuda/table.hpp"
#include "interface_hash.hpp"

namespace asymfast::cuda {

namespace {

struct Cuda {
  using Device = CudaDevice;
  template <class T>
  using SweepShape = Shape<16, 4, 16>;
  template <class T>  // of double, registers hold no more
  using LargeShape = Shape<16, sizeof(T) == sizeof(float) ? 8 : 4, 16>;
  static constexpr Index kManyTiles = 64;  // from here on large ones fill a device
  static constexpr int kResidentThreads = 256;
  using NtgShape = Shape<16, 4, 16>;
};

const void* table(const void* cpu) {
  static const KernelTable of_cuda =
      make_table<Cuda>("cuda", *static_cast<const KernelTable*>(cpu));
  return &of_cuda;
}

}  // namespace

Module module() {
  return {kInterfaceHash, &table};
}

int runtime_version() {
  int version = 0;
  cudaRuntimeGetVersion(&version);
  return version;
}

int driver_version() {
  int version = 0;
  if (cudaDriverGetVersion(&version) != cudaSuccess) cudaGetLastError();
  return version;
}

namespace {

cudaError_t count_devices(int& count) {
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) cudaGetLastError(), count = 0;
  return error;
}

}  // namespace

std::vector<DeviceInfo> devices() {
  int count = 0;
  count_devices(count);
  std::vector<DeviceInfo> found;
  for (int device = 0; device < count; ++device) {
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, device), "properties");
    found.push_back({properties.name, properties.major, properties.minor,
                     properties.multiProcessorCount, properties.totalGlobalMem,
                     properties.sharedMemPerBlockOptin});
  }
  return found;
}

std::string device_error() {
  int count = 0;
  const cudaError_t error = count_devices(count);
  return error == cudaSuccess ? "" : cudaGetErrorString(error);
}

// ---- memory

// Python's arrays are read on streams that the pool knows nothing of: cudaFree waits for them.
void* allocate(std::size_t bytes) {
  const OnFirstDevice device;
  void* memory = nullptr;
  check(cudaMalloc(&memory, bytes), "allocation");
  return memory;
}

void release(void* memory) noexcept {
  const OnFirstDevice device;
  cudaFree(memory);
}

void copy(void* to, const void* from, std::size_t bytes) {
  CudaDevice::transfer(to, from, bytes);
}

void wait_for(std::uintptr_t stream) {
  const OnFirstDevice device;
  check(stream == 0 ? cudaDeviceSynchronize()
                    : cudaStreamSynchronize(reinterpret_cast<cudaStream_t>(stream)),
        "stream");
}

Index first_bad(const void* x, Index size, std::size_t itemsize) {
  return first_bad<CudaDevice>(x, size, itemsize);
}

}  // namespace asymfast::cuda
