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

std::vector<double> radau_places(int count) {
  const auto g = [count](double x) { return legendre(count, x) - legendre(count - 1, x); };
  constexpr int kCells = 1000;
  std::vector<double> places;
  for (int cell = 0; cell < kCells && static_cast<int>(places.size()) < count - 1; ++cell) {
    double low = -1 + 2.0 * cell / kCells, high = -1 + 2.0 * (cell + 1) / kCells;
    if ((g(low) < 0) == (g(high) < 0)) continue;
    for (int halving = 0; halving < 60; ++halving) {
      const double middle = (low + high) / 2;
      ((g(middle) < 0) == (g(low) < 0) ? low : high) = middle;
    }
    places.push_back((1 + low) / 2);
  }
  places.push_back(1);
  return places;
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

}  // namespace asymfast
