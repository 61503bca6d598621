#include "asymfast/activation.hpp"

#include "names.hpp"

namespace asymfast {

namespace {

constexpr NameOf<Activation> kNames[] = {
    {Activation::swish, "swish"},     {Activation::relu, "relu"},
    {Activation::tanh, "tanh"},       {Activation::erf, "erf"},
    {Activation::gelu, "gelu"},       {Activation::softplus, "softplus"},
    {Activation::sigmoid, "sigmoid"}, {Activation::sin, "sin"},
    {Activation::cos, "cos"},         {Activation::identity, "identity"}};

}  // namespace

Activation activation_from_name(std::string_view name) {
  return value_in(kNames, "activation", name);
}

std::string_view name_of(Activation activation) {
  return name_in(kNames, activation);
}

}  // namespace asymfast
