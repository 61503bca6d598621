// Pieces of subspace iteration. Sets of vectors are rows, (rows, N).
#pragma once

#include <vector>

#include "backend.hpp"

namespace asymfast {

// Rows of E become orthogonal to the orthonormal rows of V and to each other, of length 1; those
// that depend on the others go. Returns how many are left.
Index orthonormalise(const KernelTable& kernels, std::vector<double>& E,
                     const std::vector<double>& V, Index N, const Context& context);

// The eigenvectors of a symmetric matrix within the span of the orthonormal rows of E, and their
// eigenvalues, falling; Y (N, rows): the products of the matrix with these rows.
std::vector<double> ritz_vectors(const KernelTable& kernels, const std::vector<double>& E,
                                 const std::vector<double>& Y, Index N, std::vector<double>& values,
                                 const Context& context);

}  // namespace asymfast
