// Names of an enumeration's values, from a table.
#pragma once

#include <cstddef>
#include <string_view>
#include <utility>

#include "unreachable.hpp"

namespace asymfast {

template <class Enum, std::size_t Count>
std::string_view name_in(const std::pair<Enum, std::string_view> (&names)[Count], Enum value) {
  for (const auto& [known, name] : names)
    if (known == value) return name;
  unreachable();
}

}  // namespace asymfast
