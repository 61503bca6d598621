// The CUDA backend on the emulated device, for tests, and never shipped: a library of two modules,
// `_cuda` as it is (cpp/bindings/cuda_module.cpp) and `_emulated` (tests/emulated.py loads them).
#include <pybind11/pybind11.h>

#include <utility>

#include "cuda/module.hpp"
#include "cuda/table.hpp"
#include "emulator.hpp"
#include "interface_hash.hpp"

namespace asymfast::cuda {

namespace {

// Small tiles, so that small problems have tails and several blocks.
struct Emulated {
  using Device = EmulatedDevice;
  template <class T>
  using SweepShape = Shape<4, 2, 4>;
  template <class T>
  using LargeShape = Shape<4, 4, 4>;
  static constexpr Index kManyTiles = 4;
  static constexpr int kResidentThreads = 64;
  using NtgShape = Shape<4, 2, 4>;
};

const void* table(const void* cpu) {
  static const KernelTable emulated =
      make_table<Emulated>("cuda", *static_cast<const KernelTable*>(cpu));
  return &emulated;
}

void set_emulation(const std::string& order, int blocks, std::size_t shared_memory) {
  if (order != "ascending" && order != "descending" && order != "shuffled")
    throw pybind11::value_error("order must be ascending, descending or shuffled, got " + order);
  emulation.order = order == "ascending"    ? Order::ascending
                    : order == "descending" ? Order::descending
                                            : Order::shuffled;
  emulation.blocks = blocks;
  emulation.shared_memory = shared_memory;
}

// Since the last time it was asked.
std::size_t most_memory() {
  return std::exchange(emulated_memory.most, emulated_memory.taken);
}

}  // namespace

Module module() {
  return {kInterfaceHash, &table};
}
int runtime_version() {
  return 13000;
}
int driver_version() {
  return 13000;
}
std::vector<DeviceInfo> devices() {
  return {{"emulated device", 9, 0, emulation.blocks, 0, emulation.shared_memory}};
}
std::string device_error() {
  return "";
}
void* allocate(std::size_t bytes) {
  return EmulatedDevice::allocate(bytes);
}
void release(void* memory) noexcept {
  EmulatedDevice::release(memory);
}
void copy(void* to, const void* from, std::size_t bytes) {
  EmulatedDevice::copy(to, from, bytes);
}
void wait_for(std::uintptr_t) {}
Index first_bad(const void* x, Index size, std::size_t itemsize) {
  return first_bad<EmulatedDevice>(x, size, itemsize);
}

}  // namespace asymfast::cuda

PYBIND11_MODULE(_emulated, module) {
  namespace cuda = asymfast::cuda;
  using namespace pybind11::literals;
  module.doc() = "How the device of the module `_cuda` beside this one is emulated.";
  module.def("most_memory", &cuda::most_memory);
  module.def("emulation", &cuda::set_emulation, "order"_a = "ascending", "blocks"_a = 4,
             "shared_memory"_a = std::size_t(1) << 16);
}
