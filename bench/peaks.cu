// What the GPU can do at most: fused multiply-adds and exponentials of float and double on all
// multiprocessors, and bytes of a triad. Prints JSON; peaks.py compiles and runs it.
#include <cuda_runtime.h>

#include <cstdio>
#include <vector>

namespace {

constexpr int kThreads = 256, kChains = 8, kRounds = 4096;

template <class T>
__global__ void fma_chains(T* out, T a, T b) {
  T x[kChains];
  for (int c = 0; c < kChains; ++c) x[c] = T(threadIdx.x + c);
  for (int r = 0; r < kRounds; ++r)
    for (int c = 0; c < kChains; ++c) x[c] = x[c] * a + b;
  T sum = 0;
  for (int c = 0; c < kChains; ++c) sum += x[c];
  out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

template <class T>
__global__ void exp_chains(T* out, T a) {
  T x[kChains];
  for (int c = 0; c < kChains; ++c) x[c] = T(threadIdx.x + c) / 300;
  for (int r = 0; r < kRounds / 8; ++r)
    for (int c = 0; c < kChains; ++c) x[c] = exp(-x[c] * a);
  T sum = 0;
  for (int c = 0; c < kChains; ++c) sum += x[c];
  out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

__global__ void triad(float* a, const float* b, const float* c, long n) {
  for (long i = blockIdx.x * long(blockDim.x) + threadIdx.x; i < n;
       i += long(gridDim.x) * blockDim.x)
    a[i] = b[i] + 3 * c[i];
}

// Seconds of the fastest of a few launches.
template <class Launch>
double seconds(Launch launch) {
  cudaEvent_t begin, end;
  cudaEventCreate(&begin), cudaEventCreate(&end);
  float best = 1e30f;
  for (int round = 0; round < 8; ++round) {
    cudaEventRecord(begin);
    launch();
    cudaEventRecord(end);
    cudaEventSynchronize(end);
    float milliseconds = 0;
    cudaEventElapsedTime(&milliseconds, begin, end);
    best = milliseconds < best ? milliseconds : best;
  }
  return 1e-3 * best;
}

}  // namespace

int main() {
  cudaDeviceProp device;
  if (cudaGetDeviceProperties(&device, 0) != cudaSuccess) return 1;
  const int blocks = device.multiProcessorCount * 16;
  const long count = 1L << 27;
  float *a, *b, *c;
  if (cudaMalloc(&a, count * 4) || cudaMalloc(&b, count * 4) || cudaMalloc(&c, count * 4)) return 1;
  auto* doubles = reinterpret_cast<double*>(b);
  const double work = double(blocks) * kThreads * kChains * kRounds;
  const double fma32 = seconds([&] { fma_chains<float><<<blocks, kThreads>>>(a, 0.5f, 1.f); });
  const double fma64 = seconds([&] { fma_chains<double><<<blocks, kThreads>>>(doubles, 0.5, 1.); });
  const double exp32 = seconds([&] { exp_chains<float><<<blocks, kThreads>>>(a, 0.5f); });
  const double exp64 = seconds([&] { exp_chains<double><<<blocks, kThreads>>>(doubles, 0.5); });
  const double bytes = seconds([&] { triad<<<blocks, kThreads>>>(a, b, c, count); });
  if (cudaDeviceSynchronize() != cudaSuccess) return 1;
  std::printf(
      "{\"device\": \"%s\", \"threads\": 1, \"fma_float32\": %g, \"fma_float64\": %g, "
      "\"exp_ns_float32\": %g, \"exp_ns_float64\": %g, \"triad\": %g}\n",
      device.name, 2 * work / fma32, 2 * work / fma64, 1e9 * exp32 / (work / 8),
      1e9 * exp64 / (work / 8), 12.0 * double(count) / bytes);
  return 0;
}
