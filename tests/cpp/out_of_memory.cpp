// The allocations that a call makes are made to fail one by one: each time std::bad_alloc comes
// out, from whatever thread, nothing else happens, and the same call succeeds afterwards.
//
// operator new is replaced here; malloc and aligned_alloc, which Eigen calls, by the linker
// (--wrap).
#include <atomic>
#include <cstdlib>
#include <new>
#include <string>

#include "trainers.hpp"

namespace {

std::atomic<long> allowed{-1};  // allocations until one fails; negative: none fails

bool fails() {
  return allowed.load() >= 0 && allowed.fetch_sub(1) == 0;
}

}  // namespace

extern "C" {
void* __real_malloc(std::size_t size);
void* __real_aligned_alloc(std::size_t alignment, std::size_t size);

void* __wrap_malloc(std::size_t size) {
  return fails() ? nullptr : __real_malloc(size);
}
void* __wrap_aligned_alloc(std::size_t alignment, std::size_t size) {
  return fails() ? nullptr : __real_aligned_alloc(alignment, size);
}
}

void* operator new(std::size_t size) {
  void* memory = fails() ? nullptr : __real_malloc(size ? size : 1);
  if (!memory) throw std::bad_alloc();
  return memory;
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {  // std::stable_sort's
  return fails() ? nullptr : __real_malloc(size ? size : 1);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void* operator new(std::size_t size, std::align_val_t alignment) {  // our buffers; whole multiples
  void* memory = fails() ? nullptr : __real_aligned_alloc(std::size_t(alignment), size);
  if (!memory) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}

namespace {

using namespace asymfast;

int injected = 0;

template <class Call>
void fail_everywhere(const std::string& name, Call&& call) {
  const std::string what = name + ": std::bad_alloc comes out";
  // All of the first ones; of many more only some.
  for (long first = 0;; first += first < 150 ? 1 : 13) {
    allowed = first;
    bool failed = false;
    try {
      call();
    } catch (const std::bad_alloc&) {
      failed = true;
    }
    const bool reached = allowed.exchange(-1) < 0;
    if (!reached) return;  // fewer allocations than that
    ++injected;
    check::expect(failed, what.c_str());
  }
}

template <class T>
void check_trainers(int threads) {
  // Two members: with two threads they are measured side by side, inside a parallel region.
  const check::Problem<T> problem(2, 5, 3, 37, 1, Activation::swish);
  for (const auto& trainer : check::trainers<T>(1))
    fail_everywhere(trainer.first, [&] { trainer.second(problem, {}, {Backend::cpu, threads}); });
  const check::Problem<T> large(2, 800, 3, 37, 1, Activation::swish);
  for (const auto& trainer : check::trainers_on_many_samples<T>())
    fail_everywhere(trainer.first, [&] { trainer.second(large, {}, {Backend::cpu, threads}); });
}

void check_kernels() {
  const check::Problem<double> problem(1, 40, 20, 401, 2, Activation::erf);
  const NetworkView<double> net = problem.nets().member(0);
  const auto X = problem.train().X, y = problem.train().y;
  const auto size = check::Problem<double>::size;
  std::vector<double> f(size(80)), G(size(401 * 20)), H(size(40 * 401)), K(size(1600));
  const Execution exec{Backend::cpu, 3};
  fail_everywhere("forward", [&] { forward(net, X, {f.data(), 40, 2}, exec); });
  fail_everywhere("node_gradients",
                  [&] { node_gradients(net, X, y, Loss::mse, {G.data(), 401, 20}, exec); });
  fail_everywhere("features", [&] { features(net, X, {H.data(), 40, 401}, exec); });
  fail_everywhere("ntg", [&] {
    ntg(net, problem.lam.data(), X, X, MatrixView<double>{K.data(), 40, 40}, exec);
  });
  fail_everywhere("NtgOperator", [&] {
    NtgOperator<double> theta(net, problem.lam.data(), X, exec);
    theta.apply({problem.x.data(), 2, 40}, {K.data(), 2, 40}, exec);
  });
  std::vector<double> large(size(400 * 400));
  for (Index i = 0; i < 400; ++i)
    for (Index l = 0; l < 400; ++l)
      large[size(i * 400 + l)] = 1 / (1 + double(std::abs(i - l))) - (i == l && i > 200 ? 2 : 0);
  fail_everywhere("min_eigenvalue", [&] { min_eigenvalue({large.data(), 400, 400}, exec); });
}

}  // namespace

int main() {
  check_kernels();
  check_trainers<double>(1);
  check_trainers<float>(2);
  std::printf("%d allocations failed on purpose\n", injected);
  return check::summary("out of memory");
}
