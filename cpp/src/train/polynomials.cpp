#include "train/polynomials.hpp"

namespace asymfast {

double legendre(int degree, double x) {
  double before = 1, now = x;
  if (degree == 0) return before;
  for (int l = 1; l < degree; ++l) {
    const double next = ((2 * l + 1) * x * now - l * before) / (l + 1);
    before = now;
    now = next;
  }
  return now;
}

double lagrange(const std::vector<double>& places, std::size_t i, double x) {
  double value = 1;
  for (std::size_t l = 0; l < places.size(); ++l)
    if (l != i) value *= (x - places[l]) / (places[i] - places[l]);
  return value;
}

std::vector<double> lagrange_coefficients(const std::vector<double>& places) {
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

double polynomial(const double* c, double x) {
  double value = 0;
  for (int p = kPowers - 1; p >= 0; --p) value = value * x + c[p];
  return value;
}

std::vector<double> lagrange_shares(const std::vector<double>& coefficients,
                                    const std::vector<Index>& slots, Index all_slots,
                                    const std::vector<double>& x) {
  std::vector<double> shares(x.size() * all_slots);
  for (std::size_t i = 0; i < slots.size(); ++i)
    for (std::size_t place = 0; place < x.size(); ++place)
      shares[place * all_slots + slots[i]] =
          polynomial(coefficients.data() + i * kPowers, x[place]);
  return shares;
}

}  // namespace asymfast
