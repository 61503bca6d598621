"""Expectations over Gaussian weights: of one, two or three pre-activations u_i = w . x_i / sqrt(d).

One variable: the trapezoidal rule, which converges geometrically for analytic functions that decay
like a Gaussian.

Two variables with standard deviations s_i and correlation rho_ij: Mehler's formula. With the
normalised Hermite polynomials h_k,

    E[f(u_i) f(u_j)] = sum_k c_k(s_i) c_k(s_j) rho_ij^k,  c_k(s) = E[f(s z) h_k(z)],  z ~ N(0, 1).

Three variables: given u_i = s_i t, the other two are normal with means b_k t and standard
deviations r_k, and Mehler's formula takes their conditional correlation rho:

    E[f(u_k) g(u_l) | t] = sum_q A_q(k, t) B_q(l, t) rho_kl^q,
    A_q(k, t) = E[f(b_k t + r_k z) h_q(z)].

Conditional variances only divide in rho, whose powers multiply A_q B_q = O(r_k^q r_l^q), so that
equal, parallel and zero rows need no special care.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice

import numpy as np

from asymfast.theory.activations import Floats, Function
from asymfast.theory.checks import mirrored

# From here on 1 - |rho| is taken from the difference of the unit rows; below, subtraction loses
# less than one digit.
_NEARLY_PARALLEL = 0.9


@dataclass(frozen=True)
class RowGeometry:
    """Lengths of n rows and the angles between them, accurate also for nearly parallel rows.

    `gram` (n, n): x_i . x_j / d. `scale` (n,): s_i = |x_i| / sqrt(d), the standard deviation of u_i
    = w . x_i / sqrt(d). `rho` (n, n): the correlation of u_i and u_j, exactly 1 on the diagonal, 0
    for zero rows, where it is undefined. `gap` (n, n): 1 - |rho|, with an absolute error of about
    eps sqrt(gap) where rho is near 1 or -1; the subtraction 1 - abs(rho) would err by eps, which is
    an angle good to 1e-8 only. `rounding`: allowance for the rounding error of a product over d
    inputs, relative to the lengths of its factors, (10 + sqrt(d)) units of 2.2e-16; the worst case,
    d units, does not occur in practice. The matrices are exactly symmetric.
    """

    gram: Floats
    scale: Floats
    rho: Floats
    gap: Floats
    rounding: float


def row_geometry(X: Floats) -> RowGeometry:
    """Measure the rows of X (n, d). Cost: O(n^2 d) time, O(n^2 + n d) memory.

    Rows are divided by their largest entry before squares are taken, which could overflow or
    underflow otherwise.
    """
    d = X.shape[1]
    largest = np.abs(X).max(axis=1)
    zero = largest == 0
    rescaled = X / np.where(zero, 1.0, largest)[:, None]
    length = np.sqrt(np.sum(rescaled**2, axis=1))
    unit = rescaled / np.where(zero, 1.0, length)[:, None]

    rho = np.clip(mirrored(unit @ unit.T), -1.0, 1.0)
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
        gram=mirrored(X @ X.T / d),
        scale=largest * length / math.sqrt(d),
        rho=rho,
        gap=gap,
        rounding=(10 + math.sqrt(d)) * float(np.finfo(np.float64).eps),
    )


_CUT = 10.0  # beyond, the normal density times z^4 is below 1e-19
_DIGITS = 37.0  # exp(-37) = 1e-16

# Frequencies in sigma' and sigma'': 37 / (distance of the poles from the real line), and about a
# tenth more for multiple poles. erf, gelu, sin, cos and identity are entire functions, whose
# Fourier transforms are negligible above the frequencies given here.
BANDWIDTH = {
    "swish": 14.0,
    "tanh": 27.0,
    "gelu": 10.0,
    "softplus": 13.0,
    "sigmoid": 14.0,
    "erf": 13.0,
    "sin": 4.0,
    "cos": 4.0,
    "identity": 1.0,
}


def _resolution(bandwidth: float, scale: float) -> float:
    """Frequency above which f(s z) times the normal density is below 1e-16 of its size.

    The Fourier transform of the product is the convolution of exp(-w^2 / 2) and exp(-37 |w| / b),
    b = s * bandwidth. At W it decays as the best way to split W between the two.
    """
    decay = _DIGITS / max(bandwidth * scale, 1e-300)
    gauss = math.sqrt(2 * _DIGITS)
    return gauss if decay >= gauss else 0.5 * decay + _DIGITS / decay


def _rule(
    bandwidth: float, scale: float, *, refine: float = 1.0, degree: int = 0
) -> tuple[Floats, Floats]:
    """Nodes and weights of a trapezoidal rule for E[f(s z) h(z)] for all s up to ``scale``.

    With ``refine`` times the nodes that are needed. h is a Hermite polynomial of at most this
    degree: normalised and times the normal density, it is largest at sqrt(degree), and so is its
    Fourier transform.
    """
    shift = math.sqrt(degree)
    step = 2 * math.pi / ((_resolution(bandwidth, scale) + shift) * refine)
    half = math.ceil((_CUT + shift) / step)
    z = step * np.arange(-half, half + 1, dtype=np.float64)
    return z, step / math.sqrt(2 * math.pi) * np.exp(-0.5 * z**2)


def mean(f: Function, bandwidth: float, scale: Floats) -> tuple[Floats, float]:
    """E[f(s_i z)], z ~ N(0, 1), for all i, and an estimate of the largest error.

    The function acts elementwise, is analytic in a strip around the real line (see `BANDWIDTH`) and
    grows at most like z^2. The error is the difference from the rule with two thirds of the nodes,
    plus 4 units of rounding of E|f|. Cost: O(n N) with N = 28 nodes for short rows and about 45 s
    for long ones (swish).
    """
    longest = float(scale.max())
    values = []
    for refine in (1.5, 1.0):
        z, w = _rule(bandwidth, longest, refine=refine)
        at_nodes = f(scale[:, None] * z)
        values.append(at_nodes @ w)
        size = float(np.max(np.abs(at_nodes) @ w))
    error = float(np.max(np.abs(values[0] - values[1])))
    return values[0], error + 4 * float(np.finfo(np.float64).eps) * size


_MOST_TERMS = 4096
_BLOCK = 32  # terms between two estimates of the error: enough for short rows, and a BLAS 3 product
_HERMITE_CUT = 13.0  # leaves out less than 1e-18 of any coefficient: exp(-13^2 / 4) = 4.5e-19


def _hermite_rule(
    f: Function, bandwidth: float, scale: Floats
) -> tuple[Floats, Floats, Iterator[tuple[Floats, Floats]]]:
    """E[f(s_i z)^2] (n,), its error, and, block by block without end, the Hermite coefficients.

    The coefficients (n, 32) of z -> f(s_i z) come with their errors. There are two interleaved
    trapezoidal rules. Their mean, the rule with half the step, is what is used. Half their
    difference, the error here, bounds the error of each of them, and greatly exceeds that of the
    mean. The integrand of c_k has frequencies of up to about sqrt(k) + 7 from h_k times the normal
    density and up to s * bandwidth from f. With a step of 2 pi over their sum there is no aliasing.
    h_k times the root of the density stays of order one where h_k would overflow.
    """
    step = 2 * math.pi / (math.sqrt(_MOST_TERMS) + 7 + bandwidth * float(scale.max()))
    half = math.ceil(2 * _HERMITE_CUT / step)
    z = 0.5 * step * np.arange(-half, half + 1, dtype=np.float64)
    root_density = np.exp(-(z**2) / 4) / (2 * math.pi) ** 0.25
    weighted = f(scale[:, None] * z) * root_density
    even, odd = (step * np.sum(part**2, axis=1) for part in (weighted[:, 0::2], weighted[:, 1::2]))

    def blocks() -> Iterator[tuple[Floats, Floats]]:
        functions, W = _hermite(z, root_density), step * weighted
        while True:
            H = np.array([*islice(functions, _BLOCK)])
            even, odd = W[:, 0::2] @ H[:, 0::2].T, W[:, 1::2] @ H[:, 1::2].T
            yield 0.5 * (even + odd), 0.5 * np.abs(even - odd)

    return 0.5 * (even + odd), 0.5 * np.abs(even - odd), blocks()


def _hermite(z: Floats, first: Floats) -> Iterator[Floats]:
    """The normalised Hermite polynomials h_0, h_1, ... at z, times ``first``."""
    before, now = np.zeros_like(z), first
    for k in count():
        yield now
        before, now = now, (z * now - math.sqrt(k) * before) / math.sqrt(k + 1)


def pair_means(
    f: Function, bandwidth: float, rows: RowGeometry, tol: float
) -> tuple[Floats, float]:
    """E[f(u_i) f(u_j)] (n, n) for all pairs of rows, and a bound of its error.

    f is bounded, with `bandwidth` as in `mean`. Terms are added until the error is at most ``tol``
    times the largest entry of ``rows.gram * E``, up to 4096 terms. E is exactly symmetric, and
    positive semi-definite to rounding, as a truncated sum of positive semi-definite matrices with a
    larger, not truncated, diagonal.

    The error bounds |rows.gram * (E - exact)| over all entries. It is the sum of three parts:
    truncation after K terms, at most |rho_ij|^K sqrt(T_i T_j) with T_i = sum_{k >= K} c_k(s_i)^2 by
    the Cauchy-Schwarz inequality; quadrature, estimated by the two rules; and rounding,
    ``rows.rounding`` times the moments and the condition numbers sum_k k c_k(s_i)^2 that multiply
    an error of rho.

    Cost: O(n^2 K + n N K) time, O(n^2 + n N) memory, with N = 8 (71 + bandwidth max(s)) nodes and K
    terms: 32 for short rows, about 10 s^2 for long and nearly parallel ones (swish).
    """
    moment, moment_error, blocks = _hermite_rule(f, bandwidth, rows.scale)
    square = rows.scale**2
    target = tol * float(np.max(square * moment))

    E = np.zeros_like(rows.rho)
    power = np.ones_like(rows.rho)
    term = np.empty_like(rows.rho)
    captured = np.zeros_like(moment)
    c_error = np.zeros_like(moment)  # this and the others: sums of squares over k
    condition = np.zeros_like(moment)
    for k in range(0, _MOST_TERMS, _BLOCK):
        c, c_off = next(blocks)
        for column in c.T:
            np.multiply.outer(column, column, out=term)
            term *= power
            E += term
            power *= rows.rho
        captured += np.sum(c**2, axis=1)
        c_error += np.sum(c_off**2, axis=1)
        condition += c**2 @ np.arange(k, k + _BLOCK)

        root = np.sqrt(moment)
        floor = moment_error + 2 * root * np.sqrt(c_error) + rows.rounding * moment
        tail = np.sqrt(np.maximum(moment - captured, 0.0) + floor)
        truncation = np.abs(rows.gram * power) * np.multiply.outer(tail, tail)
        np.fill_diagonal(truncation, 0.0)
        quadrature = np.max(square * moment_error) + 2 * np.max(rows.scale * root) * np.max(
            rows.scale * np.sqrt(c_error)
        )
        rounding = rows.rounding * np.max(square * (moment + condition))
        error = float(truncation.max() + quadrature + rounding)
        if error <= target:
            break
    np.fill_diagonal(E, moment)
    return E, error


_LONGEST_ROW = 30.0
# Terms, and refinement of the nodes; the error of a level is its change from the level before.
_TERMS = (8, 16, 32, 64, 128, 192, 256, 384)
_REFINE = (0.9, 1.35, 1.6, 1.8, 2.0, 2.2, 2.4, 2.6)
_LEVELS = tuple(zip(_TERMS, _REFINE, strict=True))


def triple_sums(
    functions: tuple[Function, Function, Function],
    bandwidth: float,
    Q: Floats,
    X: Floats,
    tol: float,
    weigh: Callable[[Floats, int], Floats],
) -> tuple[Floats, float, float]:
    """sum_i weigh(E_i, i), E_i[k, l] = E[f(u_k) g(u_l) h(u_i)] for rows k, l of Q and i of X.

    `functions` are f, g and h, elementwise and analytic in a strip around the real line, with the
    `bandwidth` of the worst of the three; ``weigh(E_i, i)`` is applied to the (q, q) matrices
    before they are summed. A row longer than 30 sqrt(d) raises ValueError. The resolution is
    increased until the estimated error is at most ``tol * size``.

    Returns the (q, q) total; the estimated error of an entry of E_i, which is the largest change
    from a coarser computation (two thirds of the nodes, half of the terms), whose error is usually
    far larger, plus rounding; and the size, the largest sqrt(E[f^2] E[g^2] E[h^2]), the unit of the
    errors. Cost: O(n q^2 N K + n q N^2 K) time, O(q N K + q^2) memory, with N nodes and K terms.
    """
    rows = row_geometry(np.concatenate([Q, X]))
    longest = float(rows.scale.max())
    if longest > _LONGEST_ROW:
        raise ValueError(f"|x_i| / sqrt(d) must be at most {_LONGEST_ROW:g}, got {longest:.4g}")
    size = math.prod(_root_mean_square(u, bandwidth, longest) for u in functions)
    q, level = len(Q), 1
    total, error = np.zeros((q, q)), 0.0
    rounding = 8 * rows.rounding * (1 + longest) * size
    for i in range(q, q + len(X)):
        conditional = _conditional(rows, q, i, functions, bandwidth)
        before = conditional(*_LEVELS[level - 1])
        while True:
            E = conditional(*_LEVELS[level])
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
    square, _ = mean(lambda z: u(z) ** 2, bandwidth, np.array([scale]))
    return math.sqrt(float(square[0]))


def _conditional(
    rows: RowGeometry,
    q: int,
    i: int,
    functions: tuple[Function, Function, Function],
    bandwidth: float,
) -> Callable[[int, float], Floats]:
    """E[f(u_k) g(u_l) h(u_i)] for k, l < q, by numbers of terms and refinements of the nodes."""
    f, g, h = functions
    longest, s = float(rows.scale.max()), rows.scale[i]
    scale, rho_i, gap = rows.scale[:q], rows.rho[:q, i], rows.gap[:q, i]
    slope, spread = scale * rho_i, scale * np.sqrt(gap * (2 - gap))  # b_k and r_k
    covariance = np.multiply.outer(scale, scale) * (rows.rho[:q, :q] - np.outer(rho_i, rho_i))
    products = np.multiply.outer(spread, spread)
    defined = products > 0
    rho = np.clip(covariance / np.where(defined, products, 1.0), -1.0, 1.0) * defined

    def matrix(terms: int, refine: float) -> Floats:
        t, w = _rule(bandwidth, longest, refine=refine)
        z, v = _rule(bandwidth, longest, refine=refine, degree=terms)
        projection = (np.array([*islice(_hermite(z, np.ones_like(z)), terms)]) * v).T
        at = (slope[:, None] * t)[:, :, None] + (spread[:, None] * z)[:, None, :]
        A, B = f(at) @ projection, g(at) @ projection
        A *= (w * h(s * t))[:, None]
        E, power = np.zeros_like(rho), np.ones_like(rho)
        for k in range(terms):
            E += (A[:, :, k] @ B[:, :, k].T) * power
            power *= rho
        return E

    return matrix
