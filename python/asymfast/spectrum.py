"""Eigenvalues of symmetric matrices."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check, _core
from ._backend import backend_name, thread_count


def min_eigenvalue(
    K: ArrayLike, *, threads: int | None = None, backend: str | None = None
) -> float:
    """Smallest eigenvalue of a symmetric matrix.

    Parameters
    ----------
    K : (n, n) array
        Real and symmetric, float64 or float32 (which float64 holds exactly).
    threads : int, optional
        Default: what OpenMP offers. The result does not depend on it.
    backend : {"cpu", "reference"}, optional
        "cpu": Lanczos iterations on the inverse and a Rayleigh quotient in extended precision.
        "reference": Jacobi's method.

    Returns
    -------
    float
        Within 1e-10 of the largest absolute eigenvalue, and within 1e-6 relative wherever it
        exceeds 1e-10 of the largest. Of a singular matrix it is 0 up to rounding, of either sign.

    Raises
    ------
    TypeError
        K is not of a floating-point dtype.
    ValueError
        K is empty, not square, not finite, or not symmetric to within rounding.
    OverflowError
        The eigenvalue exceeds the range of float64.

    Notes
    -----
    Cost: n^3 / 3 flop for a positive semi-definite matrix, two or three times that otherwise.

    Examples
    --------
    >>> import asymfast as af, numpy as np
    >>> f"{af.min_eigenvalue(np.array([[2.0, 1.0], [1.0, 2.0]])):.12f}"
    '1.000000000000'
    >>> X, y = af.datasets.simulated(rng=0)
    >>> net = af.Network.init(d=50, m=2000, gamma=1.0, rng=1)
    >>> f"{af.min_eigenvalue(net.ntg(X)):.3e}"
    '5.913e-05'
    """
    fn = "min_eigenvalue"
    given = _check.array(fn, "K", K, shape=("n", "n"))
    matrix = given.astype(np.float64, copy=False)
    if matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{fn}: K must be square, got shape {matrix.shape}")
    allowed = 1e-5 if given.dtype == np.float32 else 1e-12
    asymmetry, size = _asymmetry(matrix)
    if asymmetry > allowed * size:
        raise ValueError(f"{fn}: K must be symmetric, got max |K - K^T| = {asymmetry:.3g}")
    smallest = _core.min_eigenvalue(matrix, backend_name(fn, backend), thread_count(fn, threads))
    return float(_check.in_range(fn, np.asarray(smallest)))


def _asymmetry(K: NDArray[np.float64]) -> tuple[float, float]:
    """Largest |K - K^T| and |K|, by pieces that stay in cache."""
    asymmetry = size = 0.0
    step = 128
    for i in range(0, len(K), step):
        for j in range(0, i + step, step):
            below, above = K[i : i + step, j : j + step], K[j : j + step, i : i + step]
            with np.errstate(over="ignore"):  # inf is more than is allowed
                apart = np.abs(below - above.T)
            asymmetry = max(asymmetry, float(apart.max(initial=0.0)))
            size = max(size, float(np.abs(below).max(initial=0.0)))
    return asymmetry, size
