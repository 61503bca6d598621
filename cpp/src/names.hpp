// Names of an enumeration's values, from a table.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "unreachable.hpp"

namespace asymfast {

template <class Enum>
using NameOf = std::pair<Enum, std::string_view>;

template <class Enum, std::size_t Count>
std::string_view name_in(const NameOf<Enum> (&names)[Count], Enum value) {
  for (const auto& [known, name] : names)
    if (known == value) return name;
  unreachable();
}

// Throws std::invalid_argument, which begins with `what` is named.
template <class Enum, std::size_t Count>
Enum value_in(const NameOf<Enum> (&names)[Count], const char* what, std::string_view name) {
  std::string known;
  for (const auto& [value, its_name] : names) {
    if (its_name == name) return value;
    known += (known.empty() ? "" : ", ") + std::string(its_name);
  }
  throw std::invalid_argument(std::string(what) + " must be one of " + known + ", got '" +
                              std::string(name) + "'");
}

}  // namespace asymfast
