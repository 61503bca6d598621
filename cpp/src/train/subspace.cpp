#include "train/subspace.hpp"

#include <cmath>

#include "train/vectors.hpp"

namespace asymfast {

Index orthonormalise(const KernelTable& kernels, std::vector<double>& E,
                     const std::vector<double>& V, Index N, const Context& context) {
  auto rows = static_cast<Index>(E.size()) / N;
  const Index p = static_cast<Index>(V.size()) / N;
  for (int pass = 0; pass < 3 && rows > 0; ++pass) {
    std::vector<double> columns = transposed(E, rows, N);
    if (p > 0) {
      const std::vector<double> inside = product(kernels, p, N, rows, V.data(), columns.data());
      const std::vector<double> shares = transposed(inside, p, rows);
      const std::vector<double> change = product(kernels, rows, p, N, shares.data(), V.data());
      for (std::size_t i = 0; i < E.size(); ++i) E[i] -= change[i];
      columns = transposed(E, rows, N);
    }
    const std::vector<double> G = product(kernels, rows, N, rows, E.data(), columns.data());
    std::vector<double> U(G.size()), lengths2(rows);
    kernels.eigen_decomposition({G.data(), rows, rows}, lengths2.data(), {U.data(), rows, rows},
                                context);
    std::vector<double> turn;
    Index left = 0;
    for (Index l = rows; l-- > 0;) {
      if (!(lengths2[l] > 1e-12 * lengths2.back())) continue;
      ++left;
      for (Index i = 0; i < rows; ++i) turn.push_back(U[i * rows + l] / std::sqrt(lengths2[l]));
    }
    E = product(kernels, left, rows, N, turn.data(), E.data());
    rows = left;
  }
  return rows;
}

std::vector<double> ritz_vectors(const KernelTable& kernels, const std::vector<double>& E,
                                 const std::vector<double>& Y, Index N, std::vector<double>& values,
                                 const Context& context) {
  const Index rows = static_cast<Index>(E.size()) / N;
  const std::vector<double> K = product(kernels, rows, N, rows, E.data(), Y.data());
  const std::vector<double> S = symmetric_part(K.data(), rows);
  std::vector<double> U(K.size()), turn(K.size()), theta(rows);
  kernels.eigen_decomposition({S.data(), rows, rows}, theta.data(), {U.data(), rows, rows},
                              context);
  for (Index i = 0; i < rows; ++i)
    for (Index l = 0; l < rows; ++l) turn[(rows - 1 - l) * rows + i] = U[i * rows + l];
  values.assign(theta.rbegin(), theta.rend());
  return product(kernels, rows, rows, N, turn.data(), E.data());
}

}  // namespace asymfast
