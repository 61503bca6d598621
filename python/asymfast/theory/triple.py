"""E[f(z_k) g(z_l) h(z_i)] of jointly normal variables, for all pairs k, l and all i.

Given z_i = s_i t the other two are normal with means b_k t and standard deviations r_k, and their
conditional correlation rho enters through Mehler's formula:

    E[f(z_k) g(z_l) | t] = sum_q A_q(k, t) B_q(l, t) rho_kl^q,
    A_q(k, t) = E[f(b_k t + r_k z) h_q(z)],  h_q the normalised Hermite polynomials.

The integrals over t and z are trapezoidal sums. Nothing is divided by a conditional variance but
rho, whose powers meet A_q B_q = O(r_k^q r_l^q), so that equal, parallel and zero rows need no care.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from asymfast.theory import gaussian
from asymfast.theory.geometry import RowGeometry, row_geometry

Floats = npt.NDArray[np.float64]
Function = Callable[[Floats], Floats]

_LONGEST_ROW = 30.0
# Terms and refinement of the nodes; each computation is judged by its change from the one before.
_LEVELS = (
    (8, 0.9),
    (16, 1.35),
    (32, 1.6),
    (64, 1.8),
    (128, 2.0),
    (192, 2.2),
    (256, 2.4),
    (384, 2.6),
)


def triple_expectations(
    fn: str,
    f: Function,
    g: Function,
    h: Function,
    bandwidth: float,
    Q: Floats,
    X: Floats,
    tol: float,
    weigh: Callable[[Floats, int], Floats],
) -> tuple[Floats, float, float]:
    """sum_i weigh(E_i, i), E_i[k, l] = E[f(z_k) g(z_l) h(z_i)], z_k = w.q_k / sqrt(d), z_i = w.x_i
    / sqrt(d), w ~ N(0, I).

    Parameters
    ----------
    fn : str
        Who asks, for the messages.
    f, g, h : callable
        Elementwise, analytic in a strip around the real line.
    bandwidth : float
        As in `gaussian.BANDWIDTH`, for the worst of them.
    Q, X : (q, d) and (n, d) float64 arrays
        Rows of length up to 30 sqrt(d).
    tol : float
        Resolution is raised until the estimated error is at most ``tol * size``.
    weigh : callable(E_i, i)
        Applied to the (q, q) matrices before they are summed.

    Returns
    -------
    total : (q, q) float64 array
    error : float
        Estimated error of an E_i: the largest change from a coarser computation, with two thirds
        of the nodes and half of the terms, which as a rule errs by far more, plus rounding.
    size : float
        Largest sqrt(E[f^2] E[g^2] E[h^2]), what errors are measured in.

    Raises
    ------
    ValueError
        A row is too long.

    Notes
    -----
    Cost: O(n q^2 N K + n q N^2 K) with N nodes and K terms; memory O(q N K + q^2).
    """
    rows = row_geometry(np.concatenate([Q, X]))
    longest = float(rows.scale.max())
    if longest > _LONGEST_ROW:
        raise ValueError(
            f"{fn}: |x_i| / sqrt(d) must be at most {_LONGEST_ROW:g}, got {longest:.4g}"
        )
    q = len(Q)
    size = math.prod(_root_mean_square(u, bandwidth, longest) for u in (f, g, h))
    total, error = np.zeros((q, q)), 0.0
    rounding = 8 * rows.rounding * (1 + longest) * size
    level = 1
    for i in range(q, q + len(X)):
        given = _Given(rows, q, i, f, g, h, bandwidth)
        before = given.matrix(*_LEVELS[level - 1])
        while True:
            E = given.matrix(*_LEVELS[level])
            change = float(np.abs(E - before).max())
            if change + rounding <= tol * size or level == len(_LEVELS) - 1:
                break
            before = E
            level += 1
        total += weigh(E, i - q)
        error = max(error, change + rounding)
    return total, error, size


def _root_mean_square(u: Function, bandwidth: float, scale: float) -> float:
    """sqrt(E[u(s z)^2])."""
    square, _ = gaussian.mean(lambda z: u(z) ** 2, bandwidth, np.array([scale]))
    return math.sqrt(float(square[0]))


class _Given:
    """The conditional expectations given z_i, and their mean over z_i."""

    def __init__(
        self,
        rows: RowGeometry,
        q: int,
        i: int,
        f: Function,
        g: Function,
        h: Function,
        bandwidth: float,
    ) -> None:
        self.f, self.g, self.h, self.bandwidth = f, g, h, bandwidth
        self.longest = float(rows.scale.max())
        self.s = rows.scale[i]
        scale, rho, gap = rows.scale[:q], rows.rho[:q, i], rows.gap[:q, i]
        self.slope = scale * rho  # b_k
        self.spread = scale * np.sqrt(gap * (2 - gap))  # r_k
        covariance = np.multiply.outer(scale, scale) * (rows.rho[:q, :q] - np.outer(rho, rho))
        products = np.multiply.outer(self.spread, self.spread)
        defined = products > 0
        self.rho = np.clip(covariance / np.where(defined, products, 1.0), -1.0, 1.0) * defined

    def matrix(self, terms: int, refine: float) -> Floats:
        """E[f(z_k) g(z_l) h(z_i)] by so many terms and nodes."""
        t, w = gaussian.rule(self.bandwidth, self.longest, refine=refine)
        z, v = gaussian.rule(self.bandwidth, self.longest, refine=refine, degree=terms)
        projection = (hermite_polynomials(z, terms) * v).T
        at = (self.slope[:, None] * t)[:, :, None] + (self.spread[:, None] * z)[:, None, :]
        A, B = self.f(at) @ projection, self.g(at) @ projection
        A *= (w * self.h(self.s * t))[:, None]
        E = np.zeros_like(self.rho)
        power = np.ones_like(self.rho)
        for k in range(terms):
            E += (A[:, :, k] @ B[:, :, k].T) * power
            power *= self.rho
        return E


def hermite_polynomials(z: Floats, terms: int) -> Floats:
    """h_0, ..., h_{terms - 1} at z, normalised for the standard normal density: (terms, N)."""
    values = np.ones((terms, len(z)))
    before = np.zeros_like(z)
    for k in range(terms - 1):
        values[k + 1] = (z * values[k] - math.sqrt(k) * before) / math.sqrt(k + 1)
        before = values[k]
    return values
