#include "cuda/emulated.hpp"

#include "cuda/emulator.hpp"
#include "cuda/table.hpp"

namespace asymfast::cuda {

namespace {

// Small tiles, so that small problems have tails and several blocks.
struct Emulated {
  using Device = EmulatedDevice;
  template <class T>
  using SweepShape = Shape<4, 2, 4>;
  using NtgShape = Shape<4, 2, 4>;
};

}  // namespace

const KernelTable& emulated_table(const KernelTable& cpu) {
  static const KernelTable table = make_table<Emulated>("emulated", cpu);
  return table;
}

}  // namespace asymfast::cuda
