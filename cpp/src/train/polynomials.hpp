// Interpolation and collocation with polynomials of low degree.
#pragma once

#include <vector>

namespace asymfast {

inline constexpr int kPowers = 10;  // coefficients of a polynomial through points of the past

// The right-hand Radau places on [0, 1], of which the last is 1: the roots of P_p - P_{p-1}.
std::vector<double> radau_places(int count);

// P_degree(x) of Legendre.
double legendre(int degree, double x);

// l_i(x), the Lagrange polynomial of places[i].
double lagrange(const std::vector<double>& places, std::size_t i, double x);

// Coefficients of the Lagrange polynomials in powers of x: (places.size(), kPowers).
std::vector<double> lagrange_coefficients(const std::vector<double>& places);

// Value of the polynomial with coefficients c (kPowers).
double polynomial(const double* c, double x);

}  // namespace asymfast
