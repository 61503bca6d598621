#include "losses.hpp"

#include "math/losses.hpp"
#include "names.hpp"
#include "unreachable.hpp"

namespace asymfast {

namespace {

constexpr NameOf<Loss> kNames[] = {
    {Loss::half_sse, "half_sse"}, {Loss::mse, "mse"}, {Loss::cross_entropy, "cross_entropy"}};

}  // namespace

Loss loss_from_name(std::string_view name) {
  return value_in(kNames, "loss", name);
}

std::string_view name_of(Loss loss) {
  return name_in(kNames, loss);
}

template <class T>
double loss_of_rows(Loss loss, Index n, MatrixView<const double> f, MatrixView<const T> y,
                    T* residual) {
  const double scale = loss_scale(loss, n, f.cols);
  double sum = 0;
  for (Index i = 0; i < f.rows; ++i)
    add_sample_loss(loss, scale, n, f.row(i), y.row(i), f.cols,
                    residual ? residual + i * f.cols : nullptr, sum);
  if (loss == Loss::cross_entropy) return sum / double(n);
  return scale * sum;
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
