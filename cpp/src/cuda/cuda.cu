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

constexpr int kOldest = 80;  // compute capability: the first with code here

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

std::vector<DeviceInfo> devices() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    cudaGetLastError();
    return {};
  }
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

std::string what_is_missing() {
  const auto named = [](int version) {
    return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
  };
  const int driver = driver_version(), needed = runtime_version();
  if (driver == 0) return "an NVIDIA driver; there is none";
  if (driver / 1000 < needed / 1000)
    return "a driver for CUDA " + std::to_string(needed / 1000) +
           ".0 or newer; this one supports " + named(driver);
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) {
    cudaGetLastError();
    return std::string("a device; the driver says: ") + cudaGetErrorString(error);
  }
  if (count == 0) return "a device; the driver finds none";
  const DeviceInfo first = devices().front();
  if (first.major * 10 + first.minor < kOldest)
    return "compute capability 8.0 or newer; " + first.name + " has " +
           std::to_string(first.major) + "." + std::to_string(first.minor);
  return "";
}

// ---- calls on data that lie on the device

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

void copy_to_host(void* host, const void* device, std::size_t bytes) {
  CudaDevice::copy_out(host, device, bytes);
}

void copy_on_device(void* to, const void* from, std::size_t bytes) {
  CudaDevice::copy_in(to, from, bytes);
}

void wait_for(std::uintptr_t stream) {
  const OnFirstDevice device;
  check(stream == 0 ? cudaDeviceSynchronize()
                    : cudaStreamSynchronize(reinterpret_cast<cudaStream_t>(stream)),
        "stream");
}

namespace {

// The call has ended when it returns.
template <class Call>
void ended(Call&& call) {
  const DeviceLock lock(device_mutex());
  const OnFirstDevice device;
  call();
  check(cudaStreamSynchronize(current_stream()), "kernel");
}

}  // namespace

template <class T>
void forward_on_device(const NetworkView<T>& net, MatrixView<const T> X, T* f) {
  ended([&] { forward_on_device<Cuda, T>(net, X, f); });
}

template <class T>
double loss_on_device(const NetworkView<T>& net, MatrixView<const T> X, MatrixView<const T> y,
                      Loss loss) {
  const DeviceLock lock(device_mutex());
  return loss_on_device<Cuda, T>(net, X, y, loss);
}

template <class T>
void node_gradients_on_device(const NetworkView<T>& net, MatrixView<const T> X,
                              MatrixView<const T> y, Loss loss, T* G) {
  ended([&] { node_gradients_on_device<Cuda, T>(net, X, y, loss, G); });
}

template <class T>
void features_on_device(const NetworkView<T>& net, MatrixView<const T> X, T* H) {
  ended([&] { features_on_device<Cuda, T>(net, X, H); });
}

template <class T>
void ntg_on_device(const NetworkView<T>& net, const double* v, MatrixView<const T> X,
                   MatrixView<const T> X2, T* K) {
  const bool symmetric = X.data == X2.data && X.rows == X2.rows;
  ended([&] { ntg_on_device<Cuda, T, T>(net, v, X, X2, symmetric, K); });
}

template <class T>
Index first_bad(const T* x, Index size) {
  const DeviceLock lock(device_mutex());
  return first_bad<Cuda, T>(x, size);
}

#define ASYMFAST_INSTANTIATE(T)                                                                   \
  template void forward_on_device(const NetworkView<T>&, MatrixView<const T>, T*);                \
  template double loss_on_device(const NetworkView<T>&, MatrixView<const T>, MatrixView<const T>, \
                                 Loss);                                                           \
  template void node_gradients_on_device(const NetworkView<T>&, MatrixView<const T>,              \
                                         MatrixView<const T>, Loss, T*);                          \
  template void features_on_device(const NetworkView<T>&, MatrixView<const T>, T*);               \
  template void ntg_on_device(const NetworkView<T>&, const double*, MatrixView<const T>,          \
                              MatrixView<const T>, T*);                                           \
  template Index first_bad(const T*, Index);

ASYMFAST_INSTANTIATE(float)
ASYMFAST_INSTANTIATE(double)

}  // namespace asymfast::cuda
