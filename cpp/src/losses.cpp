#include "math/losses.hpp"

namespace asymfast {

template <class T>
double loss_and_residual(Loss loss, const double* f, MatrixView<const T> y, T* residual, Index n) {
  const Index k = y.cols;
  if (n == 0) n = y.rows;
  const double scale = loss_scale(loss, n, k);
  double sum = 0;
  for (Index i = 0; i < y.rows; ++i)
    add_sample_loss(loss, scale, n, f + i * k, y.row(i), k, residual ? residual + i * k : nullptr,
                    sum);
  if (loss == Loss::cross_entropy) return sum / double(n);
  return scale * sum;
}

double loss_curvature(Loss loss, Index n, Index k) {
  switch (loss) {
    case Loss::half_sse: return 1;
    case Loss::mse: return 2.0 / (double(n) * double(k));
    case Loss::cross_entropy: return 0.5 / double(n);  // diag(p) - p p^T has norm at most 1/2
  }
  return 0;
}

template double loss_and_residual(Loss, const double*, MatrixView<const float>, float*, Index);
template double loss_and_residual(Loss, const double*, MatrixView<const double>, double*, Index);

}  // namespace asymfast
