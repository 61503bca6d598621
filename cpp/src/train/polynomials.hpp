// Interpolation and collocation with polynomials of low degree.
#pragma once

#include <vector>

#include "asymfast/views.hpp"

namespace asymfast {

inline constexpr int kPowers = 10;  // coefficients of a polynomial through points of the past

// Points that a polynomial goes through, and in which slots of an array their values are.
struct Places {
  std::vector<double> at;
  std::vector<Index> slots;
};

// P_degree(x) of Legendre.
inline double legendre(int degree, double x) {
  double before = 1, now = x;
  if (degree == 0) return before;
  for (int l = 1; l < degree; ++l) {
    const double next = ((2 * l + 1) * x * now - l * before) / (l + 1);
    before = now;
    now = next;
  }
  return now;
}

// l_i(x), the Lagrange polynomial of places[i].
inline double lagrange(const std::vector<double>& places, std::size_t i, double x) {
  double value = 1;
  for (std::size_t l = 0; l < places.size(); ++l)
    if (l != i) value *= (x - places[l]) / (places[i] - places[l]);
  return value;
}

// Coefficients of the Lagrange polynomials in powers of x: (places.size(), kPowers).
inline std::vector<double> lagrange_coefficients(const std::vector<double>& places) {
  std::vector<double> all(places.size() * kPowers);
  for (std::size_t i = 0; i < places.size(); ++i) {
    double* c = all.data() + i * kPowers;
    c[0] = 1;
    int degree = 0;
    for (std::size_t l = 0; l < places.size(); ++l) {
      if (l == i) continue;
      const double scale = 1 / (places[i] - places[l]);
      ++degree;
      for (int p = degree; p > 0; --p) c[p] = scale * (c[p - 1] - places[l] * c[p]);
      c[0] *= -scale * places[l];
    }
  }
  return all;
}

// Value of the polynomial with coefficients c (kPowers).
inline double polynomial(const double* c, double x) {
  double value = 0;
  for (int p = kPowers - 1; p >= 0; --p) value = value * x + c[p];
  return value;
}

// (values, slots): the Lagrange polynomials i with these coefficients at x, in column slots[i].
inline std::vector<double> lagrange_shares(const std::vector<double>& coefficients,
                                           const std::vector<Index>& slots, Index all_slots,
                                           const std::vector<double>& x) {
  std::vector<double> shares(x.size() * all_slots);
  for (std::size_t i = 0; i < slots.size(); ++i)
    for (std::size_t place = 0; place < x.size(); ++place)
      shares[place * all_slots + slots[i]] =
          polynomial(coefficients.data() + i * kPowers, x[place]);
  return shares;
}

// Radau's right-hand formula with 8 nodes on [0, 1], of order 15: the nodes are the roots of
// P_8 - P_7 of Legendre's polynomials in 2 x - 1, and
//   sum_j kRadauUntil[i][j] g(kRadauNodes[j]) = int_0^kRadauNodes[i] g
// for polynomials g of degree 7 (in the last row, i.e. over [0, 1], of degree 14).
// tests/test_constants.py derives all of them.
inline constexpr int kRadauCount = 8;
inline constexpr double kRadauNodes[kRadauCount] = {
    0.022479386438712497, 0.11467905316090424, 0.26578982278458946, 0.45284637366944464,
    0.64737528288683033,  0.81975930826310761, 0.94373743946307787, 1};
// The nodes alone of the formula with 12.
inline constexpr double kRadau12Nodes[12] = {
    0.010018280461680407, 0.052035451127180554, 0.12461922514444307, 0.22284060704383785,
    0.3400081579146652,   0.468137613089584,    0.5984972797671392,  0.722203284890968,
    0.8308248996228186,   0.9169583865525949,   0.9747263796024797,  1};
inline constexpr double kRadauUntil[kRadauCount][kRadauCount] = {
    {0.028802823892616743, -0.010821698052015636, 0.0080690102038513817, -0.0064930735965357412,
     0.0053000410172951221, -0.0042233096500098417, 0.0030694133491409288, -0.0012238207256304553},
    {0.061680826212949943, 0.063307905435285805, -0.016766167621301963, 0.011276575963180064,
     -0.0085754008480832759, 0.0066070568984230027, -0.004723817373991893, 0.0018720744944425464},
    {0.055285563267234654, 0.13457201985444417, 0.088830181899129931, -0.02032248583700904,
     0.012631022220423707, -0.0089700257540425779, 0.0061809009170075415, -0.0024173537825988994},
    {0.05830068605753936, 0.12047766147733864, 0.18641428431849139, 0.10143090415741593,
     -0.021196196398555057, 0.012247274295397013, -0.0077986377779008086, 0.0029703975397181405},
    {0.056682008984800837, 0.12704316148341016, 0.16808837041936572, 0.20920224876383811,
     0.099187005744832996, -0.019275308810543568, 0.010069646505165038, -0.0036218502040389509},
    {0.057543032017243111, 0.12374099223938748, 0.17595155228374013, 0.19081981374722284,
     0.19945688894319688, 0.082437024757501809, -0.014724795758020657, 0.0045348000328360302},
    {0.057146971559234025, 0.12522069473806977, 0.17264331318806794, 0.1974144361397373,
     0.18521078469685745, 0.15862128747389664, 0.053712487446550113, -0.006232535779335354},
    {0.057254407372128599, 0.12482395066493249, 0.17350739781725064, 0.19578608372624678,
     0.18825877269455929, 0.15206531032339257, 0.092679077401489646, 0.015625}};

}  // namespace asymfast
