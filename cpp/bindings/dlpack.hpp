// The struct that DLPack fixes for a tensor in a capsule (version 0, "dltensor").
#pragma once

#include <cstdint>

namespace asymfast::bindings {

struct DlTensor {
  void* data;
  std::int32_t device_type, device_id;
  std::int32_t ndim;
  std::uint8_t code, bits;
  std::uint16_t lanes;
  std::int64_t* shape;
  std::int64_t* strides;  // in elements; null: C-contiguous
  std::uint64_t byte_offset;
};

struct DlManagedTensor {
  DlTensor tensor;
  void* context;
  void (*deleter)(DlManagedTensor*);
};

inline constexpr std::uint8_t kDlFloat = 2;
inline constexpr std::int32_t kDlCuda = 2;

}  // namespace asymfast::bindings
