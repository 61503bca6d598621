#include "archive.hpp"

#include <cstring>
#include <stdexcept>

namespace asymfast {

void Archive::bytes(void* data, std::size_t count) {
  if (out_) {
    out_->append(static_cast<const char*>(data), count);
    return;
  }
  if (count > in_.size()) refuse();
  if (count > 0) std::memcpy(data, in_.data(), count);
  in_.remove_prefix(count);
}

std::size_t Archive::counted(std::size_t count, std::size_t element_size) {
  auto stored = static_cast<std::uint64_t>(count);
  bytes(&stored, sizeof stored);
  if (reading() && stored > in_.size() / element_size) refuse();
  return static_cast<std::size_t>(stored);
}

void Archive::refuse() {
  throw std::invalid_argument("the state does not fit this run");
}

}  // namespace asymfast
