"""Vector-Jacobian products of a single network: gradients of sum_iq u_iq f_q(x_i) for any u.

Nodes and samples play the same part in that sum: with c_jq = sqrt(lam_j) a_jq it is

    sum_ijq u_iq c_jq sigma(x_i.w_j / sqrt d),

so that it is also the sum over c of a network with the nodes x_i and the output weights u, taken at
the inputs w_j. Its gradients in X and a are therefore calls of the kernels for W and f.

All arrays are as the compiled core takes them: C-contiguous, of one dtype, a and u (m, k), (n, k).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _core

Array = NDArray[Any]


def by_weights(
    W: Array, a: Array, lam: Array, activation: str, X: Array, u: Array, backend: str, threads: int
) -> Array:
    """Gradient in W (m, d)."""
    return _core.pullback(W, a, lam, activation, X, u, backend, threads)


def by_outputs(
    W: Array, a: Array, lam: Array, activation: str, X: Array, u: Array, backend: str, threads: int
) -> Array:
    """Gradient in a (m, k): sqrt(lam_j) sum_i u_iq sigma(Z_j(x_i))."""
    sums = _core.forward(X, u, np.ones(len(X)), activation, W, backend, threads)
    return _scaled(lam, sums)


def by_inputs(
    W: Array, a: Array, lam: Array, activation: str, X: Array, u: Array, backend: str, threads: int
) -> Array:
    """Gradient in X (n, d)."""
    return _core.pullback(X, u, np.ones(len(X)), activation, W, _scaled(lam, a), backend, threads)


def _scaled(lam: Array, rows: Array) -> Array:
    """sqrt(lam_j) times row j; what exceeds the dtype is inf, for the caller to judge."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.sqrt(lam)[:, None] * rows, dtype=rows.dtype)
