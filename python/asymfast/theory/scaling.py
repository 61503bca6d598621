"""The node scalings of Eqs. (1) and (35), their two parts, and sums of their powers (Prop. B.2).

Zeta functions are summed by the Euler-Maclaurin formula. Their argument s = 1 + excess is given by
its excess over 1, so that no digits are lost near the pole, where zeta(s) ~ 1 / excess.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from asymfast.theory.activations import Floats, Function
from asymfast.theory.checks import (
    POSITIVE,
    Array,
    count,
    nodes,
    number,
    optional,
    scalings,
    statement,
)

__all__ = [
    "NodeScalingParts",
    "PropositionB2",
    "feature_learning_measure",
    "node_scaling_parts",
    "proposition_b2",
    "sum_of_powers",
    "zeta_ratio",
    "zipf_tail",
    "zipf_weights",
]

# B_2k / (2k)!, k = 1, ..., 8, the coefficients of the odd derivatives.
_COEFFICIENTS = (
    1 / 12,
    -1 / 720,
    1 / 30240,
    -1 / 1209600,
    1 / 47900160,
    -691 / 1307674368000,
    1 / 74724249600,
    -3617 / 10670622842880000,
)

_UNDERFLOW = 1100.0  # from here on even 2^-s is exactly 0 in float64
_MOST_NODES = 10**9  # for functions that return one number a node
_WIDEST = 1e300
_STEEPEST = 1e5  # 2^-1e5 is 0, as it is for every larger exponent
_ADDED_UP = 2**16  # number of terms of a sum that are added one by one

ZIPF = number("(0, 1)")  # alpha for which the infinite sum of Eq. (35) exists
POWER = number("[1, inf)")


def zeta(excess: float, first: float = 1.0) -> float:
    """sum_{j >= first} j^-(1 + excess): the Hurwitz zeta function at a whole number >= 1.

    Accurate to a few units in the last place, times s log(first) for the power itself. Terms are
    added one by one up to N >= 2 s + 16. From there each term of the formula is smaller than the
    one before by a factor of at least 150. Cost: O(s).
    """
    s = 1 + excess
    if s > _UNDERFLOW:
        return 1.0 if first == 1 else 0.0
    start = max(first, math.ceil(2 * s) + 16.0)
    head = np.arange(first, start) ** -s if start > first else np.zeros(0)
    power = start**-s
    rest = start * power / excess + 0.5 * power
    derivative = s / start * power  # minus the derivative of x^-s
    for k, coefficient in enumerate(_COEFFICIENTS):
        rest += coefficient * derivative
        derivative *= (s + 2 * k + 1) * (s + 2 * k + 2) / start**2
    return float(math.fsum(head) + rest)


class NodeScalingParts(NamedTuple):
    """The two parts of lambda_{m,j}, whose sum it is; see `node_scaling_parts`.

    Attributes
    ----------
    lam1 : (m,) float64 array
        lambda^(1)_j = gamma / m.
    lam2 : (m,) float64 array
        lambda^(2)_j = (1 - gamma) t_j / sum_k t_k.
    """

    lam1: Floats
    lam2: Floats


@statement(m=count(1, _MOST_NODES), weights=optional(scalings("m")))
def node_scaling_parts(
    m: int, gamma: float, alpha: float | None = None, *, weights: Array | None = None
) -> NodeScalingParts:
    """Symmetric and asymmetric part of the node scaling, Eq. (1).

    Source: Eq. (1) and the lines above Eq. (30). Cost: O(m).

    Parameters
    ----------
    m : int
        Number of nodes.
    weights : (m,) array_like, optional
        Instead of alpha: t_1, ..., t_m >= 0 up to a factor.

    Returns
    -------
    NodeScalingParts
        lam1 sums to gamma and lam2 to 1 - gamma, within rounding.

    Examples
    --------
    >>> import asymfast as af
    >>> lam1, lam2 = af.theory.node_scaling_parts(1000, gamma=0.3, alpha=0.7)
    >>> f"{lam1.sum():.12f}", f"{lam2.sum():.12f}"
    ('0.300000000000', '0.700000000000')
    """
    if alpha is not None and weights is not None:
        raise ValueError("give either alpha or weights, got both")
    if weights is not None:
        t = normalised(weights)
    elif alpha is not None:
        t = np.arange(1, m + 1, dtype=np.float64) ** (-1 / alpha)
        t = t / t.sum()
    elif gamma < 1:
        raise ValueError("gamma < 1 needs alpha or weights, got neither")
    else:
        t = np.full(m, 1 / m)
    return NodeScalingParts(np.full(m, gamma / m), (1 - gamma) * t)


def normalised(weights: Floats) -> Floats:
    """Weights divided by their sum, which itself may exceed the range of float64."""
    t = weights / weights.max()
    return np.asarray(t / t.sum())


@statement(terms=count(1, _MOST_NODES), alpha=ZIPF)
def zipf_weights(terms: int, alpha: float) -> Floats:
    """The first terms of Eq. (35): t_j = j^(-1/alpha) / zeta(1/alpha).

    Source: Eq. (35). Cost: O(terms).

    Parameters
    ----------
    terms : int
        Number of terms, at least 1.
    alpha : float
        In (0, 1), where the infinite sum exists.

    Returns
    -------
    (terms,) float64 array
        Decreasing; the infinite sequence sums to 1.

    Examples
    --------
    >>> import asymfast as af
    >>> af.theory.zipf_weights(4, alpha=0.5).round(4)  # 6 / (pi j)^2
    array([0.6079, 0.152 , 0.0675, 0.038 ])
    """
    excess = _excess(alpha)
    return np.asarray(np.arange(1, terms + 1, dtype=np.float64) ** -(1 + excess) / zeta(excess))


def _excess(alpha: float) -> float:
    """1/alpha - 1, without cancellation near 1."""
    return (1 - alpha) / alpha


@statement(alpha=ZIPF, r=POWER)
def zeta_ratio(alpha: float, r: float = 2.0) -> float:
    """sum_j t_j^r = zeta(r/alpha) / zeta(1/alpha)^r of the Zipf weights, Figure 1 for r = 2.

    Source: the end of Appendix B.2, with Eq. (35). Cost: O(1).

    Parameters
    ----------
    alpha : float
        In (0, 1). The result tends to 1 for alpha to 0, and to 0 (kernel regime) for alpha to 1.
    r : float
        At least 1.

    Returns
    -------
    float
        In (0, 1], with a relative error of about 1e-15 r, also for alpha next to 1.

    Examples
    --------
    >>> import asymfast as af
    >>> f"{af.theory.zeta_ratio(0.5):.12f}"  # zeta(4) / zeta(2)^2 = 2/5
    '0.400000000000'
    """
    return zipf_tail(alpha, 0, r)


@statement(alpha=ZIPF, terms=count(0), r=POWER)
def zipf_tail(alpha: float, terms: int, r: float = 1.0) -> float:
    """sum_{j > terms} t_j^r of the Zipf weights of Eq. (35).

    Source: Eq. (35). Cost: O(1).

    Parameters
    ----------
    alpha, r
        As in `zeta_ratio`.
    terms : int
        At least 0; 0 gives the whole sum.

    Returns
    -------
    float
        Relative error about 1e-15 r.

    Examples
    --------
    >>> import asymfast as af
    >>> f"{af.theory.zipf_tail(0.5, 4):.6f}", f"{1 - af.theory.zipf_weights(4, 0.5).sum():.6f}"
    ('0.134548', '0.134548')
    """
    excess = _excess(alpha)
    # r / alpha - 1 = (r - 1) + r excess, without cancellation
    left = zeta((r - 1) + r * excess, terms + 1.0)
    return 0.0 if left == 0 else float(math.exp(math.log(left) - r * math.log(zeta(excess))))


@statement(alpha=optional(ZIPF))
def feature_learning_measure(
    gamma: float, alpha: float | None = None, *, weights: Array | None = None
) -> float:
    """(1 - gamma)^2 sum_j t_j^2: how far a wide network is from the kernel regime.

    The total variance of the limiting NTG is proportional to it and so, by Theorem 4.4, is its
    expected initial velocity. Source: Eq. (7) and the text below it. Cost: O(1); O(K) with weights.

    Returns
    -------
    float
        In [0, 1]; 0 exactly for gamma = 1.

    Examples
    --------
    >>> import asymfast as af
    >>> af.theory.feature_learning_measure(1.0)
    0.0
    >>> f"{af.theory.feature_learning_measure(0.5, 0.5):.3f}"  # 1/4 of 2/5
    '0.100'
    """
    if gamma == 1 and alpha is None and weights is None:
        return 0.0
    require_one(alpha, weights)
    return (1 - gamma) ** 2 * _limiting_power_sum(2.0, alpha, weights)


def require_one(alpha: float | None, weights: Floats | None) -> None:
    """Raise ValueError if neither or both of alpha and weights are given."""
    if (alpha is None) == (weights is None):
        both = "neither" if alpha is None else "both"
        raise ValueError(f"give either alpha or weights, got {both}")


def _limiting_power_sum(r: float, alpha: float | None, weights: Floats | None) -> float:
    """sum_j t_j^r of the infinite sequence t, of one of alpha in (0, 1) and weights."""
    if weights is not None:
        return float(np.sum(normalised(weights) ** r))
    assert alpha is not None
    return zeta_ratio(alpha, r)


@statement(m=nodes(_WIDEST), r=POSITIVE)
def sum_of_powers(m: float, gamma: float, alpha: float | None = None, r: float = 2.0) -> float:
    """sum_j lambda_{m,j}^r of Zipf weights for any width up to 1e300.

    Parameters
    ----------
    m : float
        Number of nodes, a whole number.
    r : float
        > 0.

    Returns
    -------
    float
        Relative error below 1e-12.

    Notes
    -----
    The first 65536 terms are added one by one. The rest is an integral over log j by Gauss-Legendre
    quadrature, with the first two corrections of Euler and Maclaurin.

    Source: Proposition B.2. Cost: O(65536 + log m).

    Examples
    --------
    >>> import asymfast as af
    >>> af.theory.sum_of_powers(2000, gamma=1.0)
    0.0005
    >>> f"{af.theory.sum_of_powers(1e100, gamma=0.5, alpha=0.5):.6f}"
    '0.100000'
    """
    if gamma == 1:
        return float(m ** (1 - r))
    if alpha is None:
        raise ValueError("gamma < 1 needs alpha, got None")
    p = _exponent(alpha)
    if r >= 1:
        return math.pow(_norm(m, gamma, p, r), r)
    if gamma == 0:  # lam_j itself may underflow where lam_j^r does not
        total = _sum_of_powers_of_integers(m, p)
        return _sum_of_powers_of_integers(m, min(r * p, _STEEPEST)) * math.pow(total, -r)
    return _scaled_sum(m, gamma, _first_weight(m, gamma, p), p, r, unit=1.0) * math.pow(m, -r)


def _exponent(alpha: float) -> float:
    """1 / alpha, the exponent of the Zipf weights."""
    return min(1 / alpha, _STEEPEST)


def _norm(m: float, gamma: float, p: float, r: float) -> float:
    """(sum_j lambda_j^r)^(1/r) for r >= 1; unlike its r-th power it cannot underflow."""
    if gamma == 1:
        return float(m ** (1 / r - 1))
    weight = _first_weight(m, gamma, p)
    unit = max(gamma + weight, m ** (1 / r))  # so that the sum below is between 1 and m
    return float(unit / m * _scaled_sum(m, gamma, weight, p, r, unit) ** (1 / r))


def _first_weight(m: float, gamma: float, p: float) -> float:
    """The uneven part of lambda_1, times m."""
    return (1 - gamma) * m / _sum_of_powers_of_integers(m, p)


def _scaled_sum(m: float, gamma: float, weight: float, p: float, r: float, unit: float) -> float:
    """sum_j (m lambda_j / unit)^r; lambda_m^r alone may underflow while m of them matter."""

    def uneven(x: Floats) -> Floats:
        root = x ** (-p / 2)
        return np.asarray(root * weight * root)

    def f(x: Floats) -> Floats:
        return np.asarray(((gamma + uneven(x)) / unit) ** r)

    def slope(x: Floats) -> Floats:
        part = uneven(x)
        return -r * p / x * (part / unit) * ((gamma + part) / unit) ** (r - 1)

    return _sum(f, slope, m, p)


def _sum_of_powers_of_integers(m: float, p: float) -> float:
    """sum_{j=1}^m j^-p."""
    return _sum(lambda x: x**-p, lambda x: -p * x ** (-p - 1), m, p)


def _sum(f: Function, slope: Function, m: float, p: float) -> float:
    """sum_{j=1}^m f(j) of a function f of x^-p; from 65536 on by the Euler-Maclaurin formula."""
    if m <= _ADDED_UP:
        return math.fsum(f(np.arange(1.0, m + 1)))
    start = float(_ADDED_UP)
    length = math.log(m / start)
    nodes, rule = np.polynomial.legendre.leggauss(16)
    panels = math.ceil(length * max(1.0, min(p, 64.0) / 2))
    left = math.log(start) + length / panels * np.arange(panels)
    x = np.exp(left[:, None] + 0.5 * length / panels * (1 + nodes))
    integral = 0.5 * length / panels * float(np.sum(f(x) * x @ rule))
    ends = np.array([start, m])
    f_start, f_end = f(ends)
    slope_start, slope_end = slope(ends)
    head = math.fsum(f(np.arange(1.0, start)))
    ends_of_f = 0.5 * float(f_start + f_end) + float(slope_end - slope_start) / 12
    return head + integral + ends_of_f


@dataclass(frozen=True)
class PropositionB2:
    """Proposition B.2 for one node scaling; see `proposition_b2`.

    Attributes
    ----------
    total : float
        sum lambda, 1 by Eq. (9).
    root_sum, root_lower, root_upper : float
        sum sqrt(lambda) and its bounds sqrt(gamma m) and sqrt(m) of Eq. (10).
    power_sum, power_lower, power_upper : float
        sum lambda^r, its lower bound sum (lambda^(2))^r, and its upper bound by Minkowski's
        inequality (the proof of Eq. 11).
    power_limit : float
        The limit (1 - gamma)^r sum_j t_j^r for m to infinity.
    """

    total: float
    root_sum: float
    root_lower: float
    root_upper: float
    power_sum: float
    power_lower: float
    power_upper: float
    power_limit: float


@statement(m=nodes(_WIDEST), r=number("(1, inf)"))
def proposition_b2(
    m: float,
    gamma: float,
    alpha: float | None = None,
    r: float = 2.0,
    *,
    weights: Array | None = None,
) -> PropositionB2:
    """Sums of powers of the node scalings with their bounds and limits.

    Source: Proposition B.2 and its proof. Misprint: Eq. (11) says sum lambda^r ~
    sum (lambda^(2))^r for every gamma; at gamma = 1 the left side is m^(1-r) and the right side 0,
    and only the limit holds. Cost: O(m) up to m = 65536, then that of `sum_of_powers`.

    Parameters
    ----------
    m : float
        Number of nodes, up to 1e300 for Zipf weights.
    r : float
        The power of Eq. (11), > 1.

    Returns
    -------
    PropositionB2
        For alpha >= 1, where Eq. (35) does not exist, ``power_limit`` is 0, the limit of
        ``power_sum``. With ``weights`` it is the limit with zeros appended.

    Examples
    --------
    >>> import asymfast as af
    >>> b2 = af.theory.proposition_b2(2000, 0.5, 0.7)
    >>> b2.root_lower <= b2.root_sum <= b2.root_upper  # Eq. (10)
    True
    >>> b2.power_lower <= b2.power_sum <= b2.power_upper  # Eq. (11)
    True
    """
    if weights is not None or m <= _ADDED_UP:
        lam1, lam2 = node_scaling_parts(int(m), gamma, alpha, weights=weights)
        lam = lam1 + lam2
        total, root = math.fsum(lam), math.fsum(np.sqrt(lam))
        norm, uneven = _norm_of(lam, r), _norm_of(lam2, r)
    else:
        total, root = (sum_of_powers(m, gamma, alpha, q) for q in (1.0, 0.5))
        p = 0.0 if gamma == 1 or alpha is None else _exponent(alpha)
        norm, uneven = _norm(m, gamma, p, r), (1 - gamma) * _norm(m, 0.0, p, r)
    if gamma == 1 or (alpha is not None and alpha >= 1):
        limit = 0.0  # sum t_j diverges for alpha >= 1, and sum t_j^r / (sum t_j)^r vanishes
    else:
        limit = (1 - gamma) ** r * _limiting_power_sum(r, alpha, weights)
    even = gamma * m ** (1 / r - 1)  # the norm of lambda^(1); `uneven` is that of lambda^(2)
    return PropositionB2(
        total=total,
        root_sum=root,
        root_lower=math.sqrt(gamma * m),
        root_upper=math.sqrt(m),
        power_sum=norm**r,
        power_lower=uneven**r,
        power_upper=(even + uneven) ** r,
        power_limit=limit,
    )


def _norm_of(values: Floats, r: float) -> float:
    """(sum values^r)^(1/r)."""
    largest = float(values.max())
    return largest and largest * math.fsum((values / largest) ** r) ** (1 / r)
