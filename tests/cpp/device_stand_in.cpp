// A device in the host's memory, for the test that calls of `_cuda` release the GIL. Each call
// waits until another Python thread has opened the gate, which it can only do with the GIL.
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <stdexcept>

#include "asymfast/activation.hpp"
#include "asymfast/execution.hpp"
#include "asymfast/loss.hpp"
#include "cuda/module.hpp"

namespace {

std::mutex mutex;
std::condition_variable opened;
bool is_open = false;

void pass_the_gate() {
  std::unique_lock<std::mutex> lock(mutex);
  if (!opened.wait_for(lock, std::chrono::seconds(20), [] { return is_open; }))
    throw std::runtime_error("no other Python thread could run");
  is_open = false;
}

}  // namespace

extern "C" void open_the_gate() {
  const std::lock_guard<std::mutex> lock(mutex);
  is_open = true;
  opened.notify_all();
}

namespace asymfast {

Activation activation_from_name(std::string_view) {
  return {};
}
Loss loss_from_name(std::string_view) {
  return {};
}
Backend backend_from_name(std::string_view) {
  return {};
}

namespace cuda {

Module module() {
  return {};
}
int runtime_version() {
  return 0;
}
int driver_version() {
  return 0;
}
std::vector<DeviceInfo> devices() {
  return {};
}
std::string what_is_missing() {
  return "";
}

void* allocate(std::size_t bytes) {
  pass_the_gate();
  return std::calloc(bytes, 1);
}
void release(void* memory) noexcept {
  std::free(memory);
}
void copy_to_host(void* host, const void* device, std::size_t bytes) {
  pass_the_gate();
  std::memcpy(host, device, bytes);
}
void copy_on_device(void* to, const void* from, std::size_t bytes) {
  pass_the_gate();
  std::memcpy(to, from, bytes);
}
void wait_for(std::uintptr_t) {
  pass_the_gate();
}

template <class T>
void forward_on_device(const NetworkView<T>&, MatrixView<const T>, T*) {
  pass_the_gate();
}
template <class T>
double loss_on_device(const NetworkView<T>&, MatrixView<const T>, MatrixView<const T>, Loss) {
  pass_the_gate();
  return 0;
}
template <class T>
void node_gradients_on_device(const NetworkView<T>&, MatrixView<const T>, MatrixView<const T>, Loss,
                              T*) {
  pass_the_gate();
}
template <class T>
void features_on_device(const NetworkView<T>&, MatrixView<const T>, T*) {
  pass_the_gate();
}
template <class T>
void ntg_on_device(const NetworkView<T>&, const double*, MatrixView<const T>, MatrixView<const T>,
                   T*) {
  pass_the_gate();
}
template <class T>
Index first_bad(const T*, Index size) {
  pass_the_gate();
  return size;
}

#define STAND_IN(T)                                                                               \
  template void forward_on_device(const NetworkView<T>&, MatrixView<const T>, T*);                \
  template double loss_on_device(const NetworkView<T>&, MatrixView<const T>, MatrixView<const T>, \
                                 Loss);                                                           \
  template void node_gradients_on_device(const NetworkView<T>&, MatrixView<const T>,              \
                                         MatrixView<const T>, Loss, T*);                          \
  template void features_on_device(const NetworkView<T>&, MatrixView<const T>, T*);               \
  template void ntg_on_device(const NetworkView<T>&, const double*, MatrixView<const T>,          \
                              MatrixView<const T>, T*);                                           \
  template Index first_bad(const T*, Index);
STAND_IN(float)
STAND_IN(double)

}  // namespace cuda

}  // namespace asymfast
