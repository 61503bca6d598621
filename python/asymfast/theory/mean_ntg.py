"""Theta*, the mean neural tangent Gram matrix at initialisation, whose smallest eigenvalue is
the kappa_n of the theorems.
"""

from __future__ import annotations

import math
from typing import Literal, overload

import numpy as np
import numpy.typing as npt

import asymfast._check as _check
from asymfast.theory import gaussian, hermite, inputs
from asymfast.theory.activations import ACTIVATIONS
from asymfast.theory.geometry import RowGeometry, row_geometry
from asymfast.theory.ranges import within_range

Floats = npt.NDArray[np.float64]

# Beyond this |x_i| / sqrt(d) the Hermite expansion of parallel rows has no hope of converging and
# the quadrature needs 10^4 nodes and more.
_LONGEST_ROW = 100.0


@overload
def mean_ntg(
    X: npt.ArrayLike,
    activation: str = ...,
    *,
    tol: float = ...,
    return_error: Literal[False] = ...,
) -> Floats: ...


@overload
def mean_ntg(
    X: npt.ArrayLike,
    activation: str = ...,
    *,
    tol: float = ...,
    return_error: Literal[True],
) -> tuple[Floats, float]: ...


@within_range
def mean_ntg(
    X: npt.ArrayLike,
    activation: str = "swish",
    *,
    tol: float = 1e-12,
    return_error: bool = False,
) -> Floats | tuple[Floats, float]:
    """Mean neural tangent Gram matrix at initialisation.

    Theta*_ij = (x_i . x_j / d) E[sigma'(u_i) sigma'(u_j)],   u_i = w . x_i / sqrt(d),  w ~ N(0, I).

    This is the limit of the NTG of wide networks for gamma = 1, and gamma times it is the part
    that does not depend on the draw otherwise. Its smallest eigenvalue is kappa_n.

    Parameters
    ----------
    X : (n, d) array_like, float64 or float32
        Inputs, one sample per row; any normalisation.
    activation : str
        As in `asymfast.Network`.
    tol : float
        Accuracy asked for, relative to the largest entry of Theta*.
    return_error : bool
        Return the error bound beside the matrix, and do so even where it exceeds ``tol``.

    Returns
    -------
    K : (n, n) float64 array
        Exactly symmetric, positive semi-definite to rounding. Rows and columns of zero rows of X
        are exactly zero.
    error : float
        Only with ``return_error``: bound on |K - Theta*| over all entries, in the units of K.

    Raises
    ------
    TypeError
        X is not of a floating point type.
    ValueError
        X is empty, not finite or not a matrix; the activation is unknown; the entries of X exceed
        1e75; |x_i| / sqrt(d) exceeds 100 (swish, tanh, gelu, softplus, sigmoid); ``tol`` cannot be
        met, which happens below 1e-14 because of rounding, and for long rows that are nearly
        parallel (swish: |x_i| / sqrt(d) above 15 or so).

    Notes
    -----
    relu, erf, sin, cos and identity have closed forms, which are evaluated through 1 - |cosine| so
    that nearly parallel rows keep their accuracy; the error bound is an allowance for rounding.
    The others are expanded in Hermite polynomials, see `asymfast.theory.hermite` for the bound.

    Source: the paper's definition of Theta* (Section 2, mean NTG at initialisation); Cho and Saul
    (2009) for relu, Williams (1997) for erf. relu'(0) = 0 does not matter here, as a zero row has
    x_i . x_j = 0. Cost: O(n^2 (d + K)) time with K terms, 32 for unit rows; O(n^2) memory.

    Examples
    --------
    >>> import asymfast as af, numpy as np
    >>> X = np.eye(2)
    >>> af.mean_ntg(X, "relu")  # |x|^2 / d = 1/2, times Pr(w.x > 0) = 1/2
    array([[0.25, 0.  ],
           [0.  , 0.25]])
    >>> K, error = af.mean_ntg(X, "swish", return_error=True)
    >>> bool(error < 1e-12 * K.max())
    True
    """
    name = _check.choice("mean_ntg", "activation", activation, tuple(ACTIVATIONS))
    tol = _check.number("mean_ntg", "tol", tol, low=0, low_open=True)
    rows = row_geometry(inputs.samples("mean_ntg", X))
    if name in _CLOSED_FORMS:
        E, error = _CLOSED_FORMS[name](rows), None
    else:
        if rows.scale.max() > _LONGEST_ROW:
            raise ValueError(
                f"mean_ntg: the rows of X are too long for {name}; |x_i| / sqrt(d) must be at most "
                f"{_LONGEST_ROW:g}, got {rows.scale.max():.4g}"
            )
        bandwidth = gaussian.BANDWIDTH[name]
        E, error = hermite.expectations(ACTIVATIONS[name].slope, bandwidth, rows, tol)
    K = rows.gram * E
    largest = float(np.max(np.diagonal(K)))  # of all entries, as K is positive semi-definite
    if error is None:
        # erf, sin and cos vary on the scale of one unit of u, whatever the length of the rows.
        steepness = 1.0 if name in ("relu", "identity") else 1 + float(rows.scale.max())
        error = rows.rounding * steepness * largest
    if return_error:
        return K, error
    if error > tol * largest:
        raise ValueError(
            f"mean_ntg: the error bound is {error / largest:.1e} of the largest entry, above "
            f"tol={tol:g}; pass a larger tol, shorter rows of X, or return_error=True"
        )
    return K


def _relu(rows: RowGeometry) -> Floats:
    """(pi - angle) / (2 pi): both pre-activations are positive."""
    acute = 2 * np.arcsin(np.sqrt(0.5 * rows.gap))
    return np.where(rows.rho < 0, acute, math.pi - acute) / (2 * math.pi)


def _erf(rows: RowGeometry) -> Floats:
    """(4 / pi) E[exp(-u^2 - v^2)] = (4 / pi) det(I + 2 Sigma)^(-1/2)."""
    a = rows.scale**2
    sine_squared = rows.gap * (2 - rows.gap)
    determinant = 1 + 2 * np.add.outer(a, a) + 4 * np.multiply.outer(a, a) * sine_squared
    return 4 / (math.pi * np.sqrt(determinant))


def _sin(rows: RowGeometry) -> Floats:
    """E[cos u cos v] = exp(-(a + b) / 2) cosh(c) for variances a, b and covariance c."""
    damping, c = _damping_and_covariance(rows)
    return np.asarray(0.5 * damping * (1 + np.exp(-2 * c)))


def _cos(rows: RowGeometry) -> Floats:
    """E[sin u sin v] = exp(-(a + b) / 2) sinh(c)."""
    damping, c = _damping_and_covariance(rows)
    return -0.5 * np.sign(rows.rho) * damping * np.expm1(-2 * c)


def _damping_and_covariance(rows: RowGeometry) -> tuple[Floats, Floats]:
    """exp(-(a + b - 2 |c|) / 2) and |c|; a + b - 2 |c| is the squared distance of x_i / sqrt(d)
    to the nearer of +-x_j / sqrt(d).
    """
    s = rows.scale
    products = np.multiply.outer(s, s)
    distance = np.subtract.outer(s, s) ** 2 + 2 * products * rows.gap
    return np.exp(-0.5 * distance), products * np.abs(rows.rho)


def _identity(rows: RowGeometry) -> Floats:
    return np.ones_like(rows.rho)


_CLOSED_FORMS = {"relu": _relu, "erf": _erf, "sin": _sin, "cos": _cos, "identity": _identity}
