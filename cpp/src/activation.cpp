#include "asymfast/activation.hpp"

#include <stdexcept>
#include <string>
#include <utility>

#include "names.hpp"

namespace asymfast {

namespace {

constexpr std::pair<Activation, std::string_view> kNames[] = {
    {Activation::swish, "swish"},     {Activation::relu, "relu"},
    {Activation::tanh, "tanh"},       {Activation::erf, "erf"},
    {Activation::gelu, "gelu"},       {Activation::softplus, "softplus"},
    {Activation::sigmoid, "sigmoid"}, {Activation::sin, "sin"},
    {Activation::cos, "cos"},         {Activation::identity, "identity"}};

}  // namespace

Activation activation_from_name(std::string_view name) {
  std::string known;
  for (const auto& [activation, its_name] : kNames) {
    if (its_name == name) return activation;
    known += (known.empty() ? "" : ", ") + std::string(its_name);
  }
  throw std::invalid_argument("activation must be one of " + known + ", got '" + std::string(name) +
                              "'");
}

std::string_view name_of(Activation activation) {
  return name_in(kNames, activation);
}

}  // namespace asymfast
