// A device in the host's memory, for the test that calls of `_cuda` release the GIL. Each call
// waits until another Python thread has opened the gate, which it can only do with the GIL.
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <stdexcept>

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

namespace asymfast::cuda {

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
std::string device_error() {
  return "";
}

void* allocate(std::size_t bytes) {
  pass_the_gate();
  return std::calloc(bytes, 1);
}
void release(void* memory) noexcept {
  std::free(memory);
}
void copy(void* to, const void* from, std::size_t bytes) {
  pass_the_gate();
  std::memcpy(to, from, bytes);
}
void wait_for(std::uintptr_t) {
  pass_the_gate();
}
Index first_bad(const void*, Index size, std::size_t) {
  pass_the_gate();
  return size;
}

}  // namespace asymfast::cuda
