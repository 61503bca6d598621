"""Lengths of the rows of X and the angles between them, accurate also for nearly parallel rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# From here on 1 - |rho| is taken from the difference of the unit rows; below, subtraction loses
# less than one digit.
_NEARLY_PARALLEL = 0.9


@dataclass(frozen=True)
class RowGeometry:
    """What the mean NTG needs to know about n rows.

    Attributes
    ----------
    gram : (n, n) float64 array
        x_i . x_j / d, exactly symmetric.
    scale : (n,) float64 array
        s_i = |x_i| / sqrt(d), the standard deviation of u_i = w . x_i / sqrt(d).
    rho : (n, n) float64 array
        Correlation of u_i and u_j in [-1, 1], exactly symmetric, exactly 1 on the diagonal; 0 in
        the rows and columns of zero rows, where it is undefined.
    gap : (n, n) float64 array
        1 - |rho|. Its absolute error is about eps sqrt(gap) where rho is near 1 or -1, whereas
        1 - abs(rho) would be off by eps: the difference between an angle good to 1e-16 and one
        good to 1e-8.
    rounding : float
        Allowance for the rounding error of products over d inputs, relative to the lengths that
        enter: (10 + sqrt(d)) units of 2.2e-16. The worst case would be d units; rounding errors
        do not conspire.
    """

    gram: Floats
    scale: Floats
    rho: Floats
    gap: Floats
    rounding: float


def row_geometry(X: Floats) -> RowGeometry:
    """Measure the rows of X (n, d).

    Notes
    -----
    Cost: O(n^2 d) time, O(n^2 + n d) memory. Rows are divided by their largest entry before their
    length is taken, so that squares neither overflow nor underflow.
    """
    d = X.shape[1]
    largest = np.abs(X).max(axis=1)
    zero = largest == 0
    rescaled = X / np.where(zero, 1.0, largest)[:, None]
    length = np.sqrt(np.sum(rescaled**2, axis=1))
    unit = rescaled / np.where(zero, 1.0, length)[:, None]

    rho = np.clip(_mirrored(unit @ unit.T), -1.0, 1.0)
    gap = 1 - np.abs(rho)
    for i in range(len(X)):
        near = i + 1 + np.flatnonzero(gap[i, i + 1 :] < 1 - _NEARLY_PARALLEL)
        if near.size:
            sign = np.sign(rho[i, near])
            chord = unit[near] - sign[:, None] * unit[i]
            gap[i, near] = gap[near, i] = 0.5 * np.sum(chord**2, axis=1)
            rho[i, near] = rho[near, i] = sign * (1 - gap[i, near])
    np.fill_diagonal(rho, np.where(zero, 0.0, 1.0))
    np.fill_diagonal(gap, np.where(zero, 1.0, 0.0))
    return RowGeometry(
        gram=_mirrored(X @ X.T / d),
        scale=largest * length / math.sqrt(d),
        rho=rho,
        gap=gap,
        rounding=(10 + math.sqrt(d)) * float(np.finfo(np.float64).eps),
    )


def _mirrored(K: Floats) -> Floats:
    """The lower triangle of K on both sides: a matrix product is symmetric only to rounding."""
    lower = np.tril(K)
    return np.asarray(lower + np.tril(K, -1).T)
