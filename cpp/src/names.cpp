// Names of the values of enumerations.
#include <algorithm>
#include <iterator>
#include <stdexcept>
#include <string>

#include "asymfast/train.hpp"

namespace asymfast {

namespace {

// In the order of the enumerations.
constexpr std::string_view kActivations[] = {"swish",    "relu",    "tanh", "erf", "gelu",
                                             "softplus", "sigmoid", "sin",  "cos", "identity"};
constexpr std::string_view kLosses[] = {"half_sse", "mse", "cross_entropy"};
constexpr std::string_view kBackends[] = {"reference", "cpu", "cuda"};
constexpr std::string_view kFlowMethods[] = {"auto", "rk4", "dopri5", "tangent"};
constexpr std::string_view kDescentMethods[] = {"auto", "step", "leap"};

template <class Enum, class Names>
Enum value_in(const Names& names, const char* what, std::string_view name) {
  const auto found = std::find(std::begin(names), std::end(names), name);
  if (found != std::end(names)) return static_cast<Enum>(found - std::begin(names));
  std::string known;
  for (const std::string_view one : names) known += (known.empty() ? "" : ", ") + std::string(one);
  throw std::invalid_argument(std::string(what) + " must be one of " + known + ", got '" +
                              std::string(name) + "'");
}

template <class Names, class Enum>
std::string_view name_in(const Names& names, Enum value) {
  return names[static_cast<std::size_t>(value)];
}

}  // namespace

Activation activation_from_name(std::string_view name) {
  return value_in<Activation>(kActivations, "activation", name);
}
std::string_view name_of(Activation activation) {
  return name_in(kActivations, activation);
}

Loss loss_from_name(std::string_view name) {
  return value_in<Loss>(kLosses, "loss", name);
}
std::string_view name_of(Loss loss) {
  return name_in(kLosses, loss);
}

Backend backend_from_name(std::string_view name) {
  return value_in<Backend>(kBackends, "backend", name);
}
std::string_view name_of(Backend backend) {
  return name_in(kBackends, backend);
}

FlowMethod flow_method_from_name(std::string_view name) {
  return value_in<FlowMethod>(kFlowMethods, "method", name);
}
std::string_view name_of(FlowMethod method) {
  return name_in(kFlowMethods, method);
}

DescentMethod descent_method_from_name(std::string_view name) {
  return value_in<DescentMethod>(kDescentMethods, "method", name);
}
std::string_view name_of(DescentMethod method) {
  return name_in(kDescentMethods, method);
}

}  // namespace asymfast
