// The activations as a textbook writes them, on std:: functions and in double.
#pragma once

#include <cmath>

#include "asymfast/activation.hpp"
#include "unreachable.hpp"

namespace asymfast::reference {

inline double logistic(double z) {
  return z >= 0 ? 1 / (1 + std::exp(-z)) : std::exp(z) / (1 + std::exp(z));
}
inline double normal_density(double z) {
  return 0.39894228040143267794 * std::exp(-z * z / 2);
}
inline double normal_cdf(double z) {
  return std::erfc(-z * 0.70710678118654752440) / 2;
}

inline double sigma(Activation activation, double z) {
  switch (activation) {
    case Activation::swish: return z * logistic(z);
    case Activation::relu: return z > 0 ? z : 0;
    case Activation::tanh: return std::tanh(z);
    case Activation::erf: return std::erf(z);
    case Activation::gelu: return z * normal_cdf(z);
    case Activation::softplus: return (z > 0 ? z : 0) + std::log1p(std::exp(-std::abs(z)));
    case Activation::sigmoid: return logistic(z);
    case Activation::sin: return std::sin(z);
    case Activation::cos: return std::cos(z);
    case Activation::identity: return z;
  }
  unreachable();
}

inline double sigma_prime(Activation activation, double z) {
  const double s = logistic(z), c = logistic(-z);  // c = 1 - s without cancellation
  switch (activation) {
    case Activation::swish: return s + z * s * c;
    case Activation::relu: return z > 0 ? 1 : 0;
    case Activation::tanh: return std::pow(std::cosh(z), -2);
    case Activation::erf: return 1.1283791670955125739 * std::exp(-z * z);
    case Activation::gelu: return normal_cdf(z) + z * normal_density(z);
    case Activation::softplus: return s;
    case Activation::sigmoid: return s * c;
    case Activation::sin: return std::cos(z);
    case Activation::cos: return -std::sin(z);
    case Activation::identity: return 1;
  }
  unreachable();
}

inline double sigma_second(Activation activation, double z) {
  const double s = logistic(z), c = logistic(-z);
  switch (activation) {
    case Activation::swish: return s * c * (2 + z * (c - s));
    case Activation::relu: return 0;
    case Activation::tanh: return -2 * std::tanh(z) * sigma_prime(activation, z);
    case Activation::erf: return sigma_prime(activation, z) * z * -2;  // 0 z before z overflows
    case Activation::gelu: return 2 * normal_density(z) - normal_density(z) * z * z;
    case Activation::softplus: return s * c;
    case Activation::sigmoid: return s * c * (c - s);
    case Activation::sin: return -std::sin(z);
    case Activation::cos: return -std::cos(z);
    case Activation::identity: return 0;
  }
  unreachable();
}

}  // namespace asymfast::reference
