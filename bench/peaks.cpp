// What this machine can do, in three loops: fused multiply-adds in registers, exp in the
// first-level cache, and a triad through memory. Prints one JSON object. Built for the machine at
// hand and run by peaks.py.
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

template <class T>
struct Vectors;
template <>
struct Vectors<float> {
  using V = float __attribute__((vector_size(kVectorBytes)));
  using Bits = std::int32_t __attribute__((vector_size(kVectorBytes)));
  static constexpr int degree = 5, mantissa = 23, bias = 127;
  static constexpr float round = 12582912.0f;  // 1.5 * 2^23
};
template <>
struct Vectors<double> {
  using V = double __attribute__((vector_size(kVectorBytes)));
  using Bits = std::int64_t __attribute__((vector_size(kVectorBytes)));
  static constexpr int degree = 10, mantissa = 52, bias = 1023;
  static constexpr double round = 6755399441055744.0;  // 1.5 * 2^52
};

// The best of several rounds: a peak is what was possible.
template <class Work>
double fastest(Work&& work) {
  double best = 1e300;
  for (int round = 0; round < 25; ++round) {
    const auto start = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    best = std::min(best, taken.count());
  }
  return best;
}

// Pretends to read and change a value, so that what led to it is not optimised away.
template <class V>
void keep(V& value) {
  asm volatile("" : "+m"(value) : : "memory");
}

// Flop a second on all threads. Twelve independent chains hide the latency of two units.
template <class T>
double fma_flops() {
  using V = typename Vectors<T>::V;
  constexpr int chains = 12, lanes = sizeof(V) / sizeof(T);
  constexpr long steps = 3'000'000;
  const double seconds = fastest([] {
#pragma omp parallel
    {
      V sum[chains] = {}, x = V{} + T(1.0000001), y = V{} + T(1e-9);
      keep(x), keep(y);
      for (long step = 0; step < steps; ++step)
        for (V& one : sum) one = one * x + y;
      for (V& one : sum) keep(one);
    }
  });
  return 2.0 * lanes * chains * steps * omp_get_max_threads() / seconds;
}

// e^x = 2^k p(r), about to rounding and without care for the ends of the range: the least it takes.
template <class T>
inline typename Vectors<T>::V least_exp(typename Vectors<T>::V x) {
  using S = Vectors<T>;
  using V = typename S::V;
  using Bits = typename S::Bits;
  const V shifted = x * T(1.4426950408889634) + S::round;
  const V r = x - (shifted - S::round) * T(0.6931471805599453);
  V p = V{} + T(1) / (S::degree * T(S::degree - 1));
  for (int i = S::degree - 1; i >= 1; --i) p = p * r + T(1) / i;
  p = p * r + T(1);
  return p * (V)(((Bits)shifted - (Bits)(V{} + S::round) + S::bias) << S::mantissa);
}

// Nanoseconds an element and thread. The arrays are no multiple of 4 KiB apart: loads would then
// wait for stores that only look as if they went to the same place.
template <class T>
double exp_ns() {
  using V = typename Vectors<T>::V;
  constexpr int lanes = sizeof(V) / sizeof(T), vectors = 6144 / kVectorBytes, repeats = 20000;
  const double seconds = fastest([] {
#pragma omp parallel
    {
      std::vector<V> x(vectors), e(vectors);
      for (int i = 0; i < vectors; ++i) x[i] = V{} + T(i % 17 - 8);
      for (int repeat = 0; repeat < repeats; ++repeat) {
        for (int i = 0; i < vectors; ++i) e[i] = least_exp<T>(x[i]);
        keep(e[0]);
      }
    }
  });
  return 1e9 * seconds / (double(repeats) * vectors * lanes);
}

// Bytes a second of a = b + s c, counting two reads and a write.
double triad_bytes() {
  constexpr long length = 16'000'000;
  std::vector<double> a(length), b(length, 1.0), c(length, 2.0);
  const double seconds = fastest([&] {
#pragma omp parallel for
    for (long i = 0; i < length; ++i) a[i] = b[i] + 3.0 * c[i];
  });
  return 3.0 * sizeof(double) * length / seconds;
}

}  // namespace

int main() {
  std::printf(
      "{\"threads\": %d, \"fma_float32\": %.4g, \"fma_float64\": %.4g, \"exp_ns_float32\": %.4g, "
      "\"exp_ns_float64\": %.4g, \"triad\": %.4g, \"compiler\": \"%s\"}\n",
      omp_get_max_threads(), fma_flops<float>(), fma_flops<double>(), exp_ns<float>(),
      exp_ns<double>(), triad_bytes(), __VERSION__);
}
