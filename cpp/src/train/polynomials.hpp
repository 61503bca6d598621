// Interpolation and collocation with polynomials of low degree.
#pragma once

#include <vector>

#include "asymfast/views.hpp"

namespace asymfast {

inline constexpr int kPowers = 10;  // coefficients of a polynomial through points of the past

// P_degree(x) of Legendre.
double legendre(int degree, double x);

// l_i(x), the Lagrange polynomial of places[i].
double lagrange(const std::vector<double>& places, std::size_t i, double x);

// Coefficients of the Lagrange polynomials in powers of x: (places.size(), kPowers).
std::vector<double> lagrange_coefficients(const std::vector<double>& places);

// Value of the polynomial with coefficients c (kPowers).
double polynomial(const double* c, double x);

// (values, slots): the Lagrange polynomials i with these coefficients at x, in column slots[i].
std::vector<double> lagrange_shares(const std::vector<double>& coefficients,
                                    const std::vector<Index>& slots, Index all_slots,
                                    const std::vector<double>& x);

}  // namespace asymfast
