"""Limits of wide networks: Theta*, kappa_n, the limiting NTG of Proposition 3.1, and its law."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import asymfast._optional as _optional
import asymfast.theory.expectations as expectations
import asymfast.theory.scaling as scaling
from asymfast.theory.activations import ACTIVATIONS, Floats
from asymfast.theory.checks import FLAG, Array, count, mirrored, number, optional, statement
from asymfast.theory.expectations import RowGeometry, row_geometry

__all__ = [
    "Kappa",
    "MinEigenvalueLaw",
    "Probability",
    "Truncation",
    "c_0",
    "kappa_n",
    "limiting_ntg",
    "mean_ntg",
    "min_eigenvalue_law",
    "ntg_variance",
]

# Of |x_i| / sqrt(d). Above it the Hermite expansion of parallel rows does not converge, and the
# quadrature needs more than 10^4 nodes.
_LONGEST_ROW = 100.0
_MOST_TERMS = 2**24
_BLOCK_BYTES = 2**25  # of sigma' at a time


@statement()
def mean_ntg(
    X: Array, activation: str = "swish", *, tol: float = 1e-12, return_error: bool = False
) -> Any:
    """Mean neural tangent Gram matrix at initialisation.

    Theta*_ij = (x_i . x_j / d) E[sigma'(u_i) sigma'(u_j)],   u_i = w . x_i / sqrt(d),  w ~ N(0, I).

    For gamma = 1 this is the limit of the NTG of wide networks. For smaller gamma, gamma times it
    is the part of the limit that does not depend on the draw. Its smallest eigenvalue is kappa_n.

    Parameters
    ----------
    tol : float
        Accuracy required, relative to the largest entry of Theta*.

    Returns
    -------
    K : (n, n) float64 array
        Exactly symmetric, positive semi-definite to rounding. Rows and columns of zero rows of X
        are exactly zero.
    error : float
        Only with ``return_error``: bound on |K - Theta*| over all entries, in the units of K.

    Raises
    ------
    TypeError, ValueError
        X is not a finite (n, d) matrix with entries of at most 1e75; the activation is unknown;
        |x_i| / sqrt(d) exceeds 100 (swish, tanh, gelu, softplus, sigmoid); ``tol`` cannot be met:
        below 1e-14, because of rounding, and for long rows that are nearly parallel (swish:
        |x_i| / sqrt(d) above about 15).
    OverflowError
        A number exceeds the range of float64.

    Notes
    -----
    relu (Cho and Saul, 2009), erf (Williams, 1997), sin, cos and identity have closed forms, which
    are evaluated through 1 - |cosine| so that nearly parallel rows are accurate too; their error
    bound is an allowance for rounding. The others are expanded in Hermite polynomials
    (`asymfast.theory.expectations`).

    Source: Section 2. Cost: O(n^2 (d + K)) time with K terms, 32 for unit rows; O(n^2) memory.

    Examples
    --------
    >>> import asymfast as af
    >>> import numpy as np
    >>> af.mean_ntg(np.eye(2), "relu")  # |x|^2 / d = 1/2, times Pr(w.x > 0) = 1/2
    array([[0.25, 0.  ],
           [0.  , 0.25]])
    """
    rows = row_geometry(X)
    longest = float(rows.scale.max())
    if activation in _CLOSED_FORMS:
        E = _CLOSED_FORMS[activation](rows)
        # erf, sin and cos vary over about one unit of u, whatever the length of the rows
        steepness = 1.0 if activation in ("relu", "identity") else 1 + longest
        error = rows.rounding * steepness * float(np.max(np.diagonal(rows.gram * E)))
    else:
        if longest > _LONGEST_ROW:
            raise ValueError(
                f"the rows of X are too long for {activation}; |x_i| / sqrt(d) must be "
                f"at most {_LONGEST_ROW:g}, got {longest:.4g}"
            )
        slope, bandwidth = ACTIVATIONS[activation].slope, expectations.BANDWIDTH[activation]
        E, error = expectations.pair_means(slope, bandwidth, rows, tol)
    K = rows.gram * E
    if return_error:
        return K, error
    largest = float(np.max(np.diagonal(K)))  # of all entries, as K is positive semi-definite
    if error > tol * largest:
        raise ValueError(
            f"the error bound is {error / largest:.1e} of the largest entry, above "
            f"tol={tol:g}; pass a larger tol, shorter rows of X, or return_error=True"
        )
    return K


def _relu(rows: RowGeometry) -> Floats:
    """(pi - angle) / (2 pi): both pre-activations are positive."""
    acute = 2 * np.arcsin(np.sqrt(0.5 * rows.gap))
    return np.where(rows.rho < 0, acute, math.pi - acute) / (2 * math.pi)


def _erf(rows: RowGeometry) -> Floats:
    """(4 / pi) E[exp(-u^2 - v^2)] = (4 / pi) det(I + 2 Sigma)^(-1/2)."""
    return 4 / (math.pi * np.sqrt(_determinant(rows, 2)))


def _determinant(rows: RowGeometry, c: float) -> Floats:
    """Determinant of I + c Sigma, Sigma the covariance of (u_i, u_j)."""
    a = rows.scale**2
    sine_squared = rows.gap * (2 - rows.gap)
    return np.asarray(1 + c * np.add.outer(a, a) + c**2 * np.multiply.outer(a, a) * sine_squared)


def _sin(rows: RowGeometry) -> Floats:
    """E[cos u cos v] = exp(-(a + b) / 2) cosh(c) for variances a, b and covariance c."""
    damping, c = _damping_and_covariance(rows)
    return np.asarray(0.5 * damping * (1 + np.exp(-2 * c)))


def _cos(rows: RowGeometry) -> Floats:
    """E[sin u sin v] = exp(-(a + b) / 2) sinh(c)."""
    damping, c = _damping_and_covariance(rows)
    return -0.5 * np.sign(rows.rho) * damping * np.expm1(-2 * c)


def _damping_and_covariance(rows: RowGeometry) -> tuple[Floats, Floats]:
    """exp(-(a + b - 2 |c|) / 2), by the distance of x_i to the nearer of +-x_j, and |c|."""
    products = np.multiply.outer(rows.scale, rows.scale)
    distance = np.subtract.outer(rows.scale, rows.scale) ** 2 + 2 * products * rows.gap
    return np.exp(-0.5 * distance), products * np.abs(rows.rho)


_CLOSED_FORMS: dict[str, Callable[[RowGeometry], Floats]] = {
    "relu": _relu,
    "erf": _erf,
    "sin": _sin,
    "cos": _cos,
    "identity": lambda rows: np.ones_like(rows.rho),
}


class Kappa(NamedTuple):
    """kappa_n and a bound on its error; see `kappa_n`.

    Attributes
    ----------
    value : float
        Smallest eigenvalue of the computed Theta*; of either sign where Theta* is singular.
    error : float
        n times the error of an entry, plus the rounding error of the eigenvalue.
    """

    value: float
    error: float

    @property
    def positive(self) -> bool:
        """Whether kappa_n > 0 is certain, given the error."""
        return self.value > self.error


@statement()
def kappa_n(X: Array, activation: str = "swish") -> Kappa:
    """Smallest eigenvalue of the mean NTG at initialisation, the kappa_n of the theorems.

    Source: Section 3. Cost: that of `mean_ntg`, plus 4 n^3 / 3 for the eigenvalues.

    Returns
    -------
    Kappa
        ``(value, error)``; `Kappa.positive` tells whether it is certainly above zero. Duplicate
        rows and zero rows give 0 up to rounding, of either sign.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(rng=0)  # the paper's: n = 100, d = 50
    >>> kappa = af.theory.kappa_n(X, "swish")
    >>> f"{kappa.value:.6e}", kappa.positive
    ('5.886716e-05', True)
    """
    K, entry_error = mean_ntg(X, activation, return_error=True)
    eigenvalues = np.linalg.eigvalsh(K)
    rounding = 4 * float(np.finfo(np.float64).eps) * math.sqrt(len(K)) * float(eigenvalues[-1])
    return Kappa(float(eigenvalues[0]), len(K) * entry_error + rounding)


@statement()
def c_0(X: Array, activation: str = "swish") -> float:
    """C_0(X) = sum_{i,k} (x_i.x_k / d)^2 Var(sigma'(u_i) sigma'(u_k)), u = X w / sqrt d.

    Returns
    -------
    float
        Absolute error about 1e-14 n^2 times the squared largest entry of X X' / d. 0 for identity.

    Notes
    -----
    E[sigma'(u)^2 sigma'(v)^2] has closed forms for relu, erf, sin and cos; for the others it is
    expanded in Hermite polynomials, as in `mean_ntg`.

    Source: Proposition 3.1. Cost: about twice that of `mean_ntg`.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=5, d=3, rng=0)
    >>> f"{af.theory.c_0(X, 'swish'):.6f}", af.theory.c_0(X, "identity")
    ('0.060626', 0.0)
    """
    K = mean_ntg(X, activation)
    return (_largest(K) * _spread(X, activation, K)) ** 2


def _largest(K: Floats) -> float:
    """The largest entry of a positive semi-definite matrix; 1 where it is zero."""
    return float(np.max(np.diagonal(K))) or 1.0


def _spread(X: Floats, activation: str, K: Floats) -> float:
    """sqrt(C_0) in units of the largest entry of Theta* = K, whose square may underflow."""
    if activation == "identity":
        return 0.0
    rows, unit = row_geometry(X), _largest(K)
    second = (rows.gram / unit) ** 2 * _slope_squares(activation, rows)
    return math.sqrt(max(0.0, float(np.sum(second - (K / unit) ** 2))))


@statement(alpha=optional(scaling.ZIPF))
def ntg_variance(
    X: Array,
    gamma: float,
    alpha: float | None = None,
    activation: str = "swish",
    *,
    weights: Array | None = None,
) -> float:
    """Total variance of the limiting NTG, E |Theta_infinity - Theta*|_F^2, Eq. (7).

    For a network of m nodes the same holds exactly with sum_j lam_j^2 in place of
    (1 - gamma)^2 sum_j t_j^2: ``c_0(X) * sum(lam**2)``. Source: Eq. (7). Cost: that of `c_0`.

    Returns
    -------
    float
        C_0(X) times `feature_learning_measure`; the accuracy is that of `c_0`.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=5, d=3, rng=0)
    >>> [f"{af.theory.ntg_variance(X, gamma, 0.5):.4f}" for gamma in (0.0, 0.5, 1.0)]
    ['0.0243', '0.0061', '0.0000']
    """
    return c_0(X, activation) * scaling.feature_learning_measure(gamma, alpha, weights=weights)


class Truncation(NamedTuple):
    """The error of a truncated draw of the limiting NTG; see `limiting_ntg`.

    Attributes
    ----------
    terms : int
        Number of nodes drawn; the rest of the sum was replaced by its mean.
    rms : float
        Root mean square of the Frobenius norm of the error:
        (1 - gamma) sqrt(C_0 sum_{j > terms} t_j^2), to about 1e-7 n of the largest entry.
    sure : float
        Bound on every entry of the error that holds with certainty:
        2 (1 - gamma) sum_{j > terms} t_j sup|sigma'|^2 max_i |x_i|^2 / d.
    """

    terms: int
    rms: float
    sure: float


@statement(alpha=optional(scaling.ZIPF), terms=optional(count(1, _MOST_TERMS)), return_bound=FLAG)
def limiting_ntg(
    X: Array,
    gamma: float,
    alpha: float | None = None,
    activation: str = "swish",
    rng: Any = None,
    *,
    weights: Array | None = None,
    terms: int | None = None,
    tol: float = 1e-4,
    return_bound: bool = False,
) -> Any:
    """Draw the NTG of an infinitely wide network at initialisation.

    Theta_infinity = gamma Theta* + (1 - gamma) sum_j t_j (X X'/d) o sigma'(u_j) sigma'(u_j)',
    u_j = X w_j / sqrt(d), w_j ~ N(0, I). The sum is truncated and the rest replaced by its mean, so
    that the mean of the draws is exactly Theta*.

    Source: Proposition 3.1. Cost: O(n^2 terms); tol = 1e-4 needs about 1e4 terms for alpha = 0.7
    and 100 for alpha = 0.4.

    Parameters
    ----------
    rng : seed or Generator
        Anything `numpy.random.default_rng` accepts. The w_j are the rows of
        ``standard_normal((terms, d))``, as in `asymfast.Network.init` with the same seed: the NTG
        of its networks converges to this draw as m grows.
    terms : int, optional
        Number of nodes to draw for alpha. Default: as many as `tol` requires.
    tol : float
        Root mean square of the truncation error in the Frobenius norm, relative to |Theta*|_F.
    return_bound : bool
        Return a `Truncation` as well.

    Returns
    -------
    K : (n, n) float64 array
        Exactly symmetric, positive semi-definite to rounding; Theta* for gamma = 1.
    bound : Truncation
        Only with ``return_bound``.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or out of range; for gamma < 1 neither or both of alpha and
        weights; `tol` needs more than 2^24 terms.

    Examples
    --------
    >>> import asymfast as af
    >>> import numpy as np
    >>> X, y = af.datasets.simulated(n=5, d=3, rng=0)
    >>> limit, error = af.limiting_ntg(X, 0.5, 0.4, rng=1, return_bound=True)
    >>> wide = af.Network.init(d=3, m=100_000, gamma=0.5, alpha=0.4, rng=1)
    >>> bool(np.abs(wide.ntg(X) - limit).max() < 0.01 * limit.max())
    True
    >>> error.terms, f"{error.rms:.1e}", f"{error.sure:.1e}"
    (64, '1.1e-05', '3.9e-04')
    """
    draw, bound = _limit(X, gamma, alpha, activation, weights, terms, tol)
    K = draw(rng)
    return (K, bound) if return_bound else K


def _limit(
    X: Floats,
    gamma: float,
    alpha: float | None,
    activation: str,
    weights: Array | None,
    terms: int | None,
    tol: float = 1e-4,
) -> tuple[Callable[[np.random.Generator], Floats], Truncation]:
    """How to draw the limiting NTG, and the error of a draw."""
    K = mean_ntg(X, activation)
    if gamma == 1:
        return lambda rng: K, Truncation(0, 0.0, 0.0)
    scaling.require_one(alpha, weights)
    spread = (1 - gamma) * _spread(X, activation, K)
    if alpha is None:
        t, missing, rms = scaling.normalised(np.asarray(weights)), 0.0, 0.0
    else:
        if terms is None:
            size = float(np.linalg.norm(K / _largest(K)))
            terms = _enough_terms(spread, alpha, tol, size)
        t = scaling.zipf_weights(terms, alpha)
        missing = scaling.zipf_tail(alpha, terms)
        rms = _largest(K) * spread * math.sqrt(scaling.zipf_tail(alpha, terms, 2.0))
    largest = float(np.max(np.sum(X**2, axis=1))) / X.shape[1]
    sure = 2 * (1 - gamma) * missing * ACTIVATIONS[activation].slope_sup ** 2 * largest

    def draw(rng: np.random.Generator) -> Floats:
        drawn = _weighted_ntg(X, t, activation, rng)
        return np.asarray((gamma + (1 - gamma) * missing) * K + (1 - gamma) * drawn)

    return draw, Truncation(len(t), rms, sure)


def _weighted_ntg(X: Floats, lam: Any, name: str, generator: np.random.Generator) -> Floats:
    """Eq. (5) for freshly drawn w_j ~ N(0, I), in blocks: O(n^2 m) time, O(n^2) memory."""
    n, d = X.shape
    slope = ACTIVATIONS[name].slope
    E = np.zeros((n, n))
    block = max(1, _BLOCK_BYTES // (8 * (n + d)))
    for start in range(0, len(lam), block):
        part = lam[start : start + block]
        S = slope(X @ generator.standard_normal((len(part), d)).T / math.sqrt(d)) * np.sqrt(part)
        E += S @ S.T
    return mirrored((X @ X.T / d) * E)


def _enough_terms(spread: float, alpha: float, tol: float, size: float) -> int:
    """The smallest power of 2 of terms whose truncation error has an rms of at most tol * size."""
    terms = 1
    while spread * math.sqrt(scaling.zipf_tail(alpha, terms, 2.0)) > tol * size:
        terms *= 2
        if terms > _MOST_TERMS:
            raise ValueError(
                f"tol={tol:g} needs more than {_MOST_TERMS} terms; pass a larger tol, or terms"
            )
    return terms


def _slope_squares(name: str, rows: RowGeometry) -> Floats:
    """E[sigma'(u_i)^2 sigma'(u_k)^2] for all pairs of rows."""
    a = rows.scale**2
    if name == "relu":  # sigma'^2 = sigma'
        return _relu(rows)
    if name == "erf":  # (4 / pi)^2 E[exp(-2 u^2 - 2 v^2)]
        return (4 / math.pi) ** 2 / np.sqrt(_determinant(rows, 4))
    if name in ("sin", "cos"):
        # 4 cos^2 u cos^2 v = (1 + cos 2u)(1 + cos 2v), and minus signs for sines, whose mean is
        # E[1 -+ cos 2u] E[1 -+ cos 2v] + Cov(cos 2u, cos 2v), which is a sum of positive numbers
        c = np.multiply.outer(rows.scale, rows.scale) * np.abs(rows.rho)
        mean = 1 + np.exp(-2 * a) if name == "sin" else -np.expm1(-2 * a)
        both = 0.5 * np.exp(4 * c - 2 * np.add.outer(a, a)) * np.expm1(-4 * c) ** 2
        return np.asarray(0.25 * (np.multiply.outer(mean, mean) + both))
    slope = ACTIVATIONS[name].slope
    bandwidth = 1.25 * expectations.BANDWIDTH[name]  # poles of twice the order
    E, _ = expectations.pair_means(lambda z: slope(z) ** 2, bandwidth, rows, 1e-14)
    return E


class Probability(NamedTuple):
    """A probability estimated from draws, with an exact interval; see `min_eigenvalue_law`.

    Attributes
    ----------
    estimate : float
        Fraction of the draws.
    low, high : float
        Ends of the Clopper-Pearson interval.
    """

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class MinEigenvalueLaw:
    """Sampled values of eig_min(Theta(X; W_0)); see `min_eigenvalue_law`.

    Attributes
    ----------
    values : (draws,) float64 array
        In increasing order.
    kappa : float
        kappa_n. As the smallest eigenvalue is concave, the mean of the law is at most kappa_n.
    gamma : float
        In the limit of wide networks every value is at least gamma kappa_n.
    """

    values: Floats
    kappa: float
    gamma: float

    @property
    @statement()
    def mean(self) -> float:
        """Mean of the values."""
        return float(self.values.mean())

    @property
    @statement()
    def standard_error(self) -> float:
        """Standard error of the mean."""
        return float(self.values.std(ddof=1)) / math.sqrt(len(self.values))

    @statement(q=number("[0, 1]"))
    def quantile(self, q: float) -> float:
        """Empirical quantile for q in [0, 1], by linear interpolation."""
        return float(np.quantile(self.values, q))

    @statement(x=number("(-inf, inf)"), confidence=number("(0, 1)"))
    def probability_below(self, x: float, confidence: float = 0.95) -> Probability:
        """Pr(eig_min <= x) with its Clopper-Pearson confidence interval; needs SciPy.

        Proposition D.1 bounds it for x = gamma kappa_n / 2. With `confidence` in (0, 1), the
        interval contains the probability at least this often.
        """
        quantile = _optional.require("scipy.special", "theory", "probability_below").betaincinv
        draws = len(self.values)
        below = int(np.searchsorted(self.values, x, side="right"))
        outside = (1 - confidence) / 2
        low = 0.0 if below == 0 else float(quantile(below, draws - below + 1, outside))
        high = 1.0 if below == draws else float(quantile(below + 1, draws - below, 1 - outside))
        return Probability(below / draws, low, high)


@statement(terms=optional(count(1, _MOST_TERMS)))
def min_eigenvalue_law(
    X: Array,
    gamma: float,
    alpha: float | None = None,
    activation: str = "swish",
    *,
    m: int | None = None,
    weights: Array | None = None,
    draws: int = 200,
    terms: int | None = None,
    rng: Any = None,
) -> MinEigenvalueLaw:
    """Sample the smallest eigenvalue of the NTG at initialisation.

    Source: Sections 3 and D. Cost: draws times O(n^2 m + n^3).

    Parameters
    ----------
    m : int, optional
        Width of the networks; None for the limit of Proposition 3.1, which needs alpha < 1.
    terms : int, optional
        For the limit, as in `limiting_ntg`.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=5, d=3, rng=0)
    >>> law = af.theory.min_eigenvalue_law(X, gamma=0.5, alpha=0.7, m=200, draws=50, rng=0)
    >>> len(law.values), law.quantile(0.1) < law.quantile(0.9)
    (50, True)
    """
    kappa = kappa_n(X, activation).value
    if m is not None:
        lam: Any = sum(scaling.node_scaling_parts(m, gamma, alpha, weights=weights))
        draw: Callable[[np.random.Generator], Floats] = functools.partial(
            _weighted_ntg, X, lam, activation
        )
    elif gamma == 1:  # every draw is Theta*
        return MinEigenvalueLaw(values=np.full(draws, kappa), kappa=kappa, gamma=gamma)
    else:
        draw, _ = _limit(X, gamma, alpha, activation, weights, terms)
    values = np.sort([float(np.linalg.eigvalsh(draw(rng))[0]) for _ in range(draws)])
    return MinEigenvalueLaw(values=values, kappa=kappa, gamma=gamma)
