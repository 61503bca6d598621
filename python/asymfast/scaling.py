"""Node scalings lambda_{m,j} of Eq. (1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check


@_check.arguments(gamma=_check.UNIT, alpha=_check.POSITIVE)
def node_scaling(
    m: int, gamma: float, alpha: float | None = None, *, weights: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Scalings of m nodes: a symmetric part of weight gamma and an asymmetric part.

    lam_j = gamma / m + (1 - gamma) t_j / sum_k t_k,  j = 1, ..., m.

    Source: Eqs. (1) and (35). Cost: O(m).

    Parameters
    ----------
    m : int
        Number of nodes, at least 1.
    gamma : float
        In [0, 1]. 1 is the NTK scaling 1/m, which needs neither `alpha` nor `weights`.
    alpha : float, optional
        Zipf weights t_j = j^(-1/alpha), any alpha in (0, inf). The zeta factor of Eq. (35), which
        exists for alpha < 1 only, cancels. Small alpha lets late weights underflow to exactly 0.
    weights : (m,) array_like, optional
        Instead of `alpha`: any t_j >= 0, not all zero.

    Returns
    -------
    (m,) float64 array
        Non-negative, sums to 1 within rounding; each within 4 roundings of its exact value, except
        for the power j^(-1/alpha), whose relative error is about (log j)/alpha roundings.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or range; neither or both of `alpha` and `weights`.

    Examples
    --------
    >>> import asymfast as af
    >>> af.node_scaling(4, 0.5, weights=[1, 1, 0, 0])
    array([0.375, 0.375, 0.125, 0.125])
    """
    if alpha is not None and weights is not None:
        raise ValueError("node_scaling: give either alpha or weights, got both")
    if alpha is None and weights is None and gamma < 1:
        raise ValueError("node_scaling: gamma < 1 needs alpha or weights, got neither")
    _check.require_room("node_scaling", 8 * m, f"m = {m} nodes", "take fewer")
    t = None if weights is None else _weights("node_scaling", weights, m)
    if gamma == 1:
        return np.full(m, 1 / m)
    if alpha is not None:
        t = np.arange(1, m + 1, dtype=np.float64) ** (-1 / alpha)
    assert t is not None
    return np.asarray(gamma / m + (1 - gamma) * (t / t.sum()), dtype=np.float64)


def node_scaling_name(gamma: float, alpha: float | None, *, symbols: bool = False) -> str:
    """Name a node scaling: ``gamma = 0.5, alpha = 0.7``, or with Greek letters for a figure."""
    g, a = (r"$\gamma$", r"$\alpha$") if symbols else ("gamma", "alpha")
    return f"{g} = {gamma:g}" + ("" if alpha is None else f", {a} = {alpha:g}")


def _weights(fn: str, weights: ArrayLike, m: int) -> NDArray[np.float64]:
    t = _check.reals(fn, "weights", weights, low=0)
    _check.require_shape(fn, "weights", t.shape, (m,))
    largest = t.max()
    if largest == 0:
        raise ValueError(f"{fn}: weights must not all be zero")
    return np.asarray(t / largest)  # so that the sum cannot overflow
