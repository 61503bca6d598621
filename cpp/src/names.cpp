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
constexpr std::string_view kStatuses[] = {"finished", "stopped", "interrupted", "diverged"};

template <class Enum, class Names>
Enum value_in(const Names& names, const char* what, std::string_view name) {
  const auto found = std::find(std::begin(names), std::end(names), name);
  if (found != std::end(names)) return static_cast<Enum>(found - std::begin(names));
  std::string known;
  for (const std::string_view one : names) known += (known.empty() ? "" : ", ") + std::string(one);
  throw std::invalid_argument(std::string(what) + " must be one of " + known + ", got '" +
                              std::string(name) + "'");
}

}  // namespace

#define ASYMFAST_NAMED(Enum, from_name, names, what) \
  Enum from_name(std::string_view name) {            \
    return value_in<Enum>(names, what, name);        \
  }                                                  \
  std::string_view name_of(Enum value) {             \
    return names[static_cast<std::size_t>(value)];   \
  }

ASYMFAST_NAMED(Activation, activation_from_name, kActivations, "activation")
ASYMFAST_NAMED(Loss, loss_from_name, kLosses, "loss")
ASYMFAST_NAMED(Backend, backend_from_name, kBackends, "backend")
ASYMFAST_NAMED(FlowMethod, flow_method_from_name, kFlowMethods, "method")
ASYMFAST_NAMED(DescentMethod, descent_method_from_name, kDescentMethods, "method")

std::string_view name_of(Status status) {
  return kStatuses[static_cast<std::size_t>(status)];
}

}  // namespace asymfast
