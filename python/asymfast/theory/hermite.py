"""E[f(u) f(v)] of jointly normal u, v by the expansion in Hermite polynomials (Mehler's formula).

With normalised Hermite polynomials h_k, standard deviations s_i and correlations rho_ij,

    E[f(u_i) f(u_j)] = sum_k c_k(s_i) c_k(s_j) rho_ij^k,  c_k(s) = E[f(s z) h_k(z)],  z ~ N(0,1).

The coefficients are integrals of analytic functions that decay like a Gaussian, for which the
trapezoidal rule converges geometrically in 1 / step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asymfast.theory.geometry import RowGeometry

Floats = npt.NDArray[np.float64]
Function = Callable[[Floats], Floats]

MOST_TERMS = 4096
_BLOCK = 32  # terms between two looks at the error: enough for short rows, and a BLAS 3 product

# |z| <= 13 leaves out less than 1e-18 of any coefficient: exp(-13^2 / 4) = 4.5e-19.
_CUT = 13.0


@dataclass(frozen=True)
class Trapezoid:
    """Two interleaved trapezoidal rules for integrals of f(s_i z) against the normal density.

    Their mean is the rule of half the step, which is what is used; half their difference bounds
    the error of either, and by far that of the mean.

    Attributes
    ----------
    z : (N,) float64 array
        Nodes; the even ones belong to one rule, the odd ones to the other.
    root_density : (N,) float64 array
        Square root of the standard normal density at the nodes.
    weighted : (n, N) float64 array
        f(s_i z) times the root of the density and the step of either rule.
    moment, moment_error : (n,) float64 arrays
        E[f(s_i z)^2] and half the difference of the two rules for it.
    """

    z: Floats
    root_density: Floats
    weighted: Floats
    moment: Floats
    moment_error: Floats


def trapezoid(f: Function, bandwidth: float, scale: Floats) -> Trapezoid:
    """Place the nodes and evaluate f there.

    Parameters
    ----------
    f : callable
        Elementwise, bounded and analytic in a strip around the real line.
    bandwidth : float
        Frequency beyond which the Fourier transform of f is below 1e-16 of its size: 37 / a for
        poles at distance a from the real line, a little more for double ones.
    scale : (n,) float64 array
        The values s_i.

    Notes
    -----
    The integrand of c_k has frequencies up to about sqrt(k) + 7 from h_k times the normal density,
    and s * bandwidth from f; a step of 2 pi over their sum leaves nothing to alias.
    """
    frequencies = math.sqrt(MOST_TERMS) + 7 + bandwidth * float(scale.max())
    step = 2 * math.pi / frequencies
    half = math.ceil(2 * _CUT / step)
    z = 0.5 * step * np.arange(-half, half + 1, dtype=np.float64)
    root_density = np.exp(-(z**2) / 4) / (2 * math.pi) ** 0.25
    weighted = f(scale[:, None] * z) * root_density
    moment_even, moment_odd = (step * np.sum(part**2, axis=1) for part in _even_odd(weighted))
    return Trapezoid(
        z=z,
        root_density=root_density,
        weighted=step * weighted,
        moment=0.5 * (moment_even + moment_odd),
        moment_error=0.5 * np.abs(moment_even - moment_odd),
    )


def coefficients(rule: Trapezoid) -> Iterator[tuple[Floats, Floats]]:
    """Hermite coefficients of z -> f(s_i z), in blocks without end.

    Yields
    ------
    c : (n, 32) float64 array
        The next coefficients c_k(s_i).
    error : (n, 32) float64 array
        Half the difference of the two rules for each of them.

    Notes
    -----
    The recurrence h_{k+1} = (z h_k - sqrt(k) h_{k-1}) / sqrt(k+1) runs over h_k times the root of
    the density, which stays of order one where h_k alone would overflow. Cost: O(n N) a term.
    """
    before, now = np.zeros_like(rule.z), rule.root_density
    block = np.empty((_BLOCK, len(rule.z)))
    k = 0
    while True:
        for row in block:
            row[:] = now
            before, now = now, (rule.z * now - math.sqrt(k) * before) / math.sqrt(k + 1)
            k += 1
        even, odd = (
            part @ hermite.T
            for part, hermite in zip(_even_odd(rule.weighted), _even_odd(block), strict=True)
        )
        yield 0.5 * (even + odd), 0.5 * np.abs(even - odd)


def expectations(
    f: Function, bandwidth: float, rows: RowGeometry, tol: float
) -> tuple[Floats, float]:
    """E[f(u_i) f(u_j)] for all pairs of rows, to an accuracy measured on ``rows.gram * E``.

    Parameters
    ----------
    f, bandwidth
        As in `trapezoid`.
    rows : RowGeometry
        Of the n rows; u_i has standard deviation ``rows.scale[i]``.
    tol : float
        Terms are added until ``error`` is at most ``tol`` times the largest entry of
        ``rows.gram * E``, or until there are 4096.

    Returns
    -------
    E : (n, n) float64 array
        Exactly symmetric. Positive semi-definite to rounding: a truncated sum of positive
        semi-definite matrices, plus a diagonal that is larger because it is not truncated.
    error : float
        Bound on |rows.gram * (E - exact)| over all entries, the sum of three parts: truncation
        after K terms, at most |rho_ij|^K sqrt(T_i T_j) with T_i = sum_{k >= K} c_k(s_i)^2 by the
        inequality of Cauchy and Schwarz; quadrature, estimated by the two rules; and rounding,
        ``rows.rounding`` times the moments and the condition numbers sum_k k c_k(s_i)^2 with
        which an error of rho enters.

    Notes
    -----
    Cost: O(n^2 K + n N K) time, O(n^2 + n N) memory, N = 8 (71 + bandwidth max(s)) nodes. K is 32
    for short rows; long and nearly parallel ones take about 10 s^2 terms (swish).
    """
    rule = trapezoid(f, bandwidth, rows.scale)
    square = rows.scale**2
    target = tol * float(np.max(square * rule.moment))

    E = np.zeros_like(rows.rho)
    power = np.ones_like(rows.rho)
    term = np.empty_like(rows.rho)
    captured = np.zeros_like(rule.moment)
    c_error = np.zeros_like(rule.moment)  # squares summed over k, as captured and condition are
    condition = np.zeros_like(rule.moment)
    blocks = coefficients(rule)
    for k in range(0, MOST_TERMS, _BLOCK):
        c, c_off = next(blocks)
        for column in c.T:
            np.multiply.outer(column, column, out=term)
            term *= power
            E += term
            power *= rows.rho
        captured += np.sum(c**2, axis=1)
        c_error += np.sum(c_off**2, axis=1)
        condition += c**2 @ np.arange(k, k + _BLOCK)

        root = np.sqrt(rule.moment)
        floor = rule.moment_error + 2 * root * np.sqrt(c_error) + rows.rounding * rule.moment
        tail = np.sqrt(np.maximum(rule.moment - captured, 0.0) + floor)
        truncation = np.abs(rows.gram * power) * np.multiply.outer(tail, tail)
        np.fill_diagonal(truncation, 0.0)
        quadrature = np.max(square * rule.moment_error) + 2 * np.max(rows.scale * root) * np.max(
            rows.scale * np.sqrt(c_error)
        )
        rounding = rows.rounding * np.max(square * (rule.moment + condition))
        error = float(truncation.max() + quadrature + rounding)
        if error <= target:
            break
    np.fill_diagonal(E, rule.moment)
    return E, error


def _even_odd(values: Floats) -> tuple[Floats, Floats]:
    """The columns of the two rules."""
    return values[:, 0::2], values[:, 1::2]
