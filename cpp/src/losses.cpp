#include "losses.hpp"

#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include "names.hpp"
#include "unreachable.hpp"

namespace asymfast {

namespace {

constexpr std::pair<Loss, std::string_view> kNames[] = {
    {Loss::half_sse, "half_sse"}, {Loss::mse, "mse"}, {Loss::cross_entropy, "cross_entropy"}};

// scale * sum r^2 with residual 2 scale r.
template <class T>
double squares(double scale, MatrixView<const double> f, MatrixView<const T> y, T* residual) {
  double sum = 0;
  for (Index i = 0; i < f.size(); ++i) {
    const double r = f.data[i] - double(y.data[i]);
    sum += r * r;
    if (residual) residual[i] = T(2 * scale * r);
  }
  return scale * sum;
}

template <class T>
double cross_entropy(Index n, MatrixView<const double> f, MatrixView<const T> y, T* residual) {
  const Index k = f.cols;
  double sum = 0;
  for (Index i = 0; i < f.rows; ++i) {
    const double* fi = f.row(i);
    const T* yi = y.row(i);
    double top = fi[0];
    for (Index q = 1; q < k; ++q) top = fi[q] > top ? fi[q] : top;
    double exps = 0, weight = 0, chosen = 0;
    for (Index q = 0; q < k; ++q) {
      exps += std::exp(fi[q] - top);
      weight += double(yi[q]);
      chosen += double(yi[q]) * (fi[q] - top);
    }
    sum += weight * std::log(exps) - chosen;
    if (residual)
      for (Index q = 0; q < k; ++q)
        residual[i * k + q] =
            T((weight * std::exp(fi[q] - top) / exps - double(yi[q])) / double(n));
  }
  return sum / double(n);
}

}  // namespace

Loss loss_from_name(std::string_view name) {
  for (const auto& [loss, its_name] : kNames)
    if (its_name == name) return loss;
  throw std::invalid_argument("loss must be 'half_sse', 'mse' or 'cross_entropy', got '" +
                              std::string(name) + "'");
}

std::string_view name_of(Loss loss) {
  return name_in(kNames, loss);
}

template <class T>
double loss_of_rows(Loss loss, Index n, MatrixView<const double> f, MatrixView<const T> y,
                    T* residual) {
  switch (loss) {
    case Loss::half_sse: return squares(0.5, f, y, residual);
    case Loss::mse: return squares(1.0 / double(n * f.cols), f, y, residual);
    case Loss::cross_entropy: return cross_entropy(n, f, y, residual);
  }
  unreachable();
}

template <class T>
double loss_and_residual(Loss loss, MatrixView<const double> f, MatrixView<const T> y,
                         T* residual) {
  return loss_of_rows(loss, f.rows, f, y, residual);
}

double loss_curvature(Loss loss, Index n, Index k) {
  switch (loss) {
    case Loss::half_sse: return 1;
    case Loss::mse: return 2.0 / (double(n) * double(k));
    case Loss::cross_entropy: return 0.5 / double(n);  // diag(p) - p p^T has norm at most 1/2
  }
  unreachable();
}

template double loss_of_rows(Loss, Index, MatrixView<const double>, MatrixView<const float>,
                             float*);
template double loss_of_rows(Loss, Index, MatrixView<const double>, MatrixView<const double>,
                             double*);
template double loss_and_residual(Loss, MatrixView<const double>, MatrixView<const float>, float*);
template double loss_and_residual(Loss, MatrixView<const double>, MatrixView<const double>,
                                  double*);

}  // namespace asymfast
