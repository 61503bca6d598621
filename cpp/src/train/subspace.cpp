#include "train/subspace.hpp"

#include <cmath>

#include "train/vectors.hpp"

namespace asymfast {

std::vector<double> transposed(const std::vector<double>& A, Index rows, Index cols) {
  std::vector<double> out(A.size());
  for (Index i = 0; i < rows; ++i)
    for (Index l = 0; l < cols; ++l) out[at_index(l * rows + i)] = A[at_index(i * cols + l)];
  return out;
}

Index orthonormalise(const KernelTable& kernels, std::vector<double>& E,
                     const std::vector<double>& V, Index N, const Context& context) {
  auto rows = static_cast<Index>(E.size()) / N;
  const Index p = static_cast<Index>(V.size()) / N;
  for (int pass = 0; pass < 3 && rows > 0; ++pass) {
    std::vector<double> columns = transposed(E, rows, N);
    if (p > 0) {
      std::vector<double> inside(at_index(p * rows)), change(E.size());
      kernels.product({V.data(), p, N}, {columns.data(), N, rows}, {inside.data(), p, rows});
      const std::vector<double> shares = transposed(inside, p, rows);
      kernels.product({shares.data(), rows, p}, {V.data(), p, N}, {change.data(), rows, N});
      for (std::size_t i = 0; i < E.size(); ++i) E[i] -= change[i];
      columns = transposed(E, rows, N);
    }
    std::vector<double> G(at_index(rows * rows)), U(G.size()), lengths2(at_index(rows));
    kernels.product({E.data(), rows, N}, {columns.data(), N, rows}, {G.data(), rows, rows});
    kernels.eigen_decomposition({G.data(), rows, rows}, lengths2.data(), {U.data(), rows, rows},
                                context);
    std::vector<double> turn;
    Index left = 0;
    for (Index l = rows; l-- > 0;) {
      if (!(lengths2[at_index(l)] > 1e-12 * lengths2.back())) continue;
      ++left;
      for (Index i = 0; i < rows; ++i)
        turn.push_back(U[at_index(i * rows + l)] / std::sqrt(lengths2[at_index(l)]));
    }
    std::vector<double> turned(at_index(left * N));
    kernels.product({turn.data(), left, rows}, {E.data(), rows, N}, {turned.data(), left, N});
    E = std::move(turned), rows = left;
  }
  return rows;
}

std::vector<double> ritz_vectors(const KernelTable& kernels, const std::vector<double>& E,
                                 const std::vector<double>& Y, Index N, std::vector<double>& values,
                                 const Context& context) {
  const Index rows = static_cast<Index>(E.size()) / N;
  std::vector<double> K(at_index(rows * rows)), S(K.size()), U(K.size()), theta(at_index(rows));
  kernels.product({E.data(), rows, N}, {Y.data(), N, rows}, {K.data(), rows, rows});
  for (Index i = 0; i < rows; ++i)
    for (Index l = 0; l < rows; ++l)
      S[at_index(i * rows + l)] = (K[at_index(i * rows + l)] + K[at_index(l * rows + i)]) / 2;
  kernels.eigen_decomposition({S.data(), rows, rows}, theta.data(), {U.data(), rows, rows},
                              context);
  std::vector<double> turn(K.size()), turned(E.size());
  for (Index i = 0; i < rows; ++i)
    for (Index l = 0; l < rows; ++l)
      turn[at_index((rows - 1 - l) * rows + i)] = U[at_index(i * rows + l)];
  kernels.product({turn.data(), rows, rows}, {E.data(), rows, N}, {turned.data(), rows, N});
  values.assign(theta.rbegin(), theta.rend());
  return turned;
}

}  // namespace asymfast
