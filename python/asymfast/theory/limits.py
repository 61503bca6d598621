"""Limits of wide networks: kappa_n, the limiting NTG of Proposition 3.1, and its variance."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple, overload

import numpy as np
import numpy.typing as npt

import asymfast._check as _check
from asymfast.theory import gaussian, hermite, inputs
from asymfast.theory.activations import ACTIVATIONS
from asymfast.theory.geometry import RowGeometry, row_geometry
from asymfast.theory.mean_ntg import mean_ntg
from asymfast.theory.ranges import within_range
from asymfast.theory.scaling import (
    feature_learning_measure,
    limiting_power_sum,
    zipf_tail,
    zipf_weights,
)

Floats = npt.NDArray[np.float64]

_MOST_TERMS = 2**24
_BLOCK_BYTES = 2**25  # of sigma' at a time


class Kappa(NamedTuple):
    """kappa_n and how far off it can be.

    Attributes
    ----------
    value : float
        Smallest eigenvalue of the computed Theta*; of either sign where that is singular.
    error : float
        Bound on its error: n times the error of an entry, and the rounding of the eigenvalue.

    Examples
    --------
    >>> import asymfast as af, numpy as np
    >>> af.theory.kappa_n(np.ones((2, 3))).positive  # two equal rows: kappa_n is 0
    False
    """

    value: float
    error: float

    @property
    def positive(self) -> bool:
        """Whether kappa_n > 0 beyond doubt."""
        return self.value > self.error


@within_range
def kappa_n(X: npt.ArrayLike, activation: str = "swish") -> Kappa:
    """Smallest eigenvalue of the mean NTG at initialisation, the kappa_n of the theorems.

    Parameters
    ----------
    X : (n, d) array_like, float64 or float32
        Inputs, one sample a row.
    activation : str
        As in `asymfast.Network`.

    Returns
    -------
    Kappa
        ``(value, error)``; `Kappa.positive` says whether it is clear of zero. Duplicate and zero
        rows give 0 up to rounding, of either sign.

    Raises
    ------
    TypeError, ValueError
        As `mean_ntg`.

    Notes
    -----
    Source: Section 3. Cost: that of `mean_ntg` and 4 n^3 / 3 for the eigenvalues.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(rng=0)  # the paper's: n = 100, d = 50
    >>> kappa = af.theory.kappa_n(X, "swish")
    >>> f"{kappa.value:.6e}", kappa.positive
    ('5.886716e-05', True)
    """
    inputs.samples("kappa_n", X)
    K, entry_error = mean_ntg(X, activation, return_error=True)
    eigenvalues = np.linalg.eigvalsh(K)
    rounding = 4 * float(np.finfo(np.float64).eps) * math.sqrt(len(K)) * float(eigenvalues[-1])
    return Kappa(float(eigenvalues[0]), len(K) * entry_error + rounding)


@within_range
def c_0(X: npt.ArrayLike, activation: str = "swish") -> float:
    """C_0(X) = sum_{i,k} (x_i.x_k / d)^2 Var(sigma'(u_i) sigma'(u_k)), u = X w / sqrt d.

    Parameters
    ----------
    X : (n, d) array_like, float64 or float32
        Inputs, one sample a row.
    activation : str
        As in `asymfast.Network`.

    Returns
    -------
    float
        Absolute error about 1e-14 n^2 times the squared largest entry of X X' / d. 0 for identity.

    Raises
    ------
    TypeError, ValueError
        As `mean_ntg`.

    Notes
    -----
    Source: Proposition 3.1. E[sigma'(u)^2 sigma'(v)^2] has closed forms for relu, erf, sin and cos
    and is expanded in Hermite polynomials as `mean_ntg` is for the others.

    Cost: that of `mean_ntg`, about twice.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=5, d=3, rng=0)
    >>> f"{af.theory.c_0(X, 'swish'):.6f}", af.theory.c_0(X, "identity")
    ('0.060626', 0.0)
    """
    fn = "c_0"
    name = inputs.activation(fn, activation)
    rows = row_geometry(inputs.samples(fn, X))
    if name == "identity":
        return 0.0
    first = mean_ntg(X, name)
    K2 = rows.gram**2 * _slope_squares(name, rows)
    return float(max(0.0, np.sum(K2 - first**2)))


@within_range
def ntg_variance(
    X: npt.ArrayLike,
    gamma: float,
    alpha: float | None = None,
    activation: str = "swish",
    *,
    weights: npt.ArrayLike | None = None,
) -> float:
    """Total variance of the limiting NTG, E |Theta_infinity - Theta*|_F^2, Eq. (7).

    Parameters
    ----------
    X : (n, d) array_like, float64 or float32
        Inputs, one sample a row.
    gamma, alpha, weights
        As in `feature_learning_measure`, which times C_0(X) it is.
    activation : str
        As in `asymfast.Network`.

    Returns
    -------
    float
        Accuracy: that of `c_0`.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or range.

    Notes
    -----
    Source: Eq. (7). For a network of m nodes the same holds exactly with sum_j lam_j^2 in place of
    (1 - gamma)^2 sum_j t_j^2: ``c_0(X) * sum(lam**2)``.

    Cost: that of `c_0`.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=5, d=3, rng=0)
    >>> [f"{af.theory.ntg_variance(X, gamma, 0.5):.4f}" for gamma in (0.0, 0.5, 1.0)]
    ['0.0243', '0.0061', '0.0000']
    """
    return c_0(X, activation) * feature_learning_measure(gamma, alpha, weights=weights)


class Truncation(NamedTuple):
    """What a draw of the limiting NTG leaves out.

    Attributes
    ----------
    terms : int
        Nodes that were drawn; the rest of the sum was replaced by its mean.
    rms : float
        Root mean square of the Frobenius norm of what is missing: exactly
        (1 - gamma) sqrt(C_0 sum_{j > terms} t_j^2).
    sure : float
        Bound on every entry of what is missing that holds with certainty:
        2 (1 - gamma) sum_{j > terms} t_j sup|sigma'|^2 max_i |x_i|^2 / d.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=5, d=3, rng=0)
    >>> _, left_out = af.limiting_ntg(X, 0.5, 0.4, rng=1, terms=10, return_bound=True)
    >>> left_out.terms, f"{left_out.rms:.1e}", f"{left_out.sure:.1e}"
    (10, '4.1e-04', '5.9e-03')
    """

    terms: int
    rms: float
    sure: float


@overload
def limiting_ntg(
    X: npt.ArrayLike,
    gamma: float,
    alpha: float | None = ...,
    activation: str = ...,
    rng: Any = ...,
    *,
    weights: npt.ArrayLike | None = ...,
    terms: int | None = ...,
    tol: float = ...,
    return_bound: Literal[False] = ...,
) -> Floats: ...


@overload
def limiting_ntg(
    X: npt.ArrayLike,
    gamma: float,
    alpha: float | None = ...,
    activation: str = ...,
    rng: Any = ...,
    *,
    weights: npt.ArrayLike | None = ...,
    terms: int | None = ...,
    tol: float = ...,
    return_bound: Literal[True],
) -> tuple[Floats, Truncation]: ...


@within_range
def limiting_ntg(
    X: npt.ArrayLike,
    gamma: float,
    alpha: float | None = None,
    activation: str = "swish",
    rng: Any = None,
    *,
    weights: npt.ArrayLike | None = None,
    terms: int | None = None,
    tol: float = 1e-4,
    return_bound: bool = False,
) -> Floats | tuple[Floats, Truncation]:
    """A draw of the NTG of infinitely wide networks at initialisation.

    Theta_infinity = gamma Theta* + (1 - gamma) sum_j t_j (X X'/d) o sigma'(u_j) sigma'(u_j)',
    u_j = X w_j / sqrt(d), w_j ~ N(0, I). The sum stops after some terms, and the rest is replaced
    by its mean, so that the mean of the draws is Theta* exactly.

    Parameters
    ----------
    X : (n, d) array_like, float64 or float32
        Inputs, one sample a row.
    gamma : float
        In [0, 1]. 1 gives Theta*, whatever the draw.
    alpha : float, optional
        Zipf weights of Eq. (35), in (0, 1).
    activation : str
        As in `asymfast.Network`.
    rng : seed or Generator
        What `numpy.random.default_rng` takes. The w_j are the rows of
        ``standard_normal((terms, d))``, those with which `asymfast.Network.init` of that seed
        begins: the NTG of its networks converges to this very draw as m grows.
    weights : (K,) array_like, optional
        Instead of alpha: t_j >= 0 up to a factor, zero beyond K. Then nothing is left out.
    terms : int, optional
        Nodes to draw. Default: as many as `tol` asks for.
    tol : float
        Root mean square of what is left out, relative to |Theta*|_F, in the Frobenius norm.
    return_bound : bool
        Return a `Truncation` beside the matrix.

    Returns
    -------
    K : (n, n) float64 array
        Exactly symmetric, positive semi-definite to rounding.
    bound : Truncation
        Only with ``return_bound``.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or range; neither or both of alpha and weights for gamma < 1;
        more than 2^24 terms needed for `tol`.

    Notes
    -----
    Source: Proposition 3.1. Cost: O(n^2 terms). With tol = 1e-4 about 1e4 terms for alpha = 0.7 and
    100 for alpha = 0.4.

    Examples
    --------
    >>> import asymfast as af, numpy as np
    >>> X, y = af.datasets.simulated(n=5, d=3, rng=0)
    >>> limit, left_out = af.limiting_ntg(X, 0.5, 0.4, rng=1, return_bound=True)
    >>> left_out.terms, bool(left_out.rms < 1e-4 * np.linalg.norm(af.mean_ntg(X)))
    (64, True)
    >>> wide = af.Network.init(d=3, m=100_000, gamma=0.5, alpha=0.4, rng=1)
    >>> bool(np.abs(wide.ntg(X) - limit).max() < 0.01 * limit.max())
    True
    """
    fn = "limiting_ntg"
    checked = inputs.samples(fn, X)
    gamma = _check.number(fn, "gamma", gamma, low=0, high=1)
    name = inputs.activation(fn, activation)
    tol = _check.number(fn, "tol", tol, low=0, low_open=True)
    if terms is not None:
        terms = _check.integer(fn, "terms", terms, low=1, high=_MOST_TERMS)
    K = mean_ntg(checked, name)
    if gamma == 1:
        return (K, Truncation(0, 0.0, 0.0)) if return_bound else K
    limiting_power_sum(fn, 2.0, alpha, weights)  # checks alpha and weights
    spread = (1 - gamma) * math.sqrt(c_0(checked, name))
    if weights is not None:
        t = inputs.non_negative(fn, "weights", weights, ("K",))
        t = t / t.max()
        t = t / t.sum()
        missing, rms = 0.0, 0.0
    else:
        assert alpha is not None
        if terms is None:
            terms = _enough_terms(fn, spread, alpha, tol, float(np.linalg.norm(K)))
        t = zipf_weights(terms, alpha)
        missing = zipf_tail(alpha, terms)
        rms = spread * math.sqrt(zipf_tail(alpha, terms, 2.0))
    drawn = weighted_ntg(checked, t, name, _check.generator(fn, rng))
    K = (gamma + (1 - gamma) * missing) * K + (1 - gamma) * drawn
    if not return_bound:
        return K
    largest = float(np.max(np.sum(checked**2, axis=1))) / checked.shape[1]
    sure = 2 * (1 - gamma) * missing * ACTIVATIONS[name].slope_sup ** 2 * largest
    return K, Truncation(len(t), rms, sure)


def weighted_ntg(X: Floats, lam: Floats, name: str, generator: np.random.Generator) -> Floats:
    """Eq. (5) for w_j ~ N(0, I) drawn on the spot, node by node: O(n^2 m) time, O(n^2) memory."""
    n, d = X.shape
    slope = ACTIVATIONS[name].slope
    E = np.zeros((n, n))
    block = max(1, _BLOCK_BYTES // (8 * (n + d)))
    for start in range(0, len(lam), block):
        part = lam[start : start + block]
        S = slope(X @ generator.standard_normal((len(part), d)).T / math.sqrt(d)) * np.sqrt(part)
        E += S @ S.T
    K = (X @ X.T / d) * E
    return np.asarray(np.tril(K) + np.tril(K, -1).T)


def _enough_terms(fn: str, spread: float, alpha: float, tol: float, size: float) -> int:
    """Fewest terms, a power of 2, that leave out at most tol * size in root mean square."""
    terms = 1
    while spread * math.sqrt(zipf_tail(alpha, terms, 2.0)) > tol * size:
        terms *= 2
        if terms > _MOST_TERMS:
            raise ValueError(
                f"{fn}: tol={tol:g} needs more than {_MOST_TERMS} terms; "
                "pass a larger tol, or terms"
            )
    return terms


def _slope_squares(name: str, rows: RowGeometry) -> Floats:
    """E[sigma'(u_i)^2 sigma'(u_k)^2] for all pairs of rows."""
    a = rows.scale**2
    if name == "relu":  # sigma'^2 = sigma'
        acute = 2 * np.arcsin(np.sqrt(0.5 * rows.gap))
        return np.where(rows.rho < 0, acute, math.pi - acute) / (2 * math.pi)
    if name == "erf":  # (4 / pi)^2 E[exp(-2 u^2 - 2 v^2)]
        sine_squared = rows.gap * (2 - rows.gap)
        determinant = 1 + 4 * np.add.outer(a, a) + 16 * np.multiply.outer(a, a) * sine_squared
        return (4 / math.pi) ** 2 / np.sqrt(determinant)
    if name in ("sin", "cos"):
        # 4 cos^2 u cos^2 v = (1 + cos 2u)(1 + cos 2v), and minus signs for sines
        sign = 1.0 if name == "sin" else -1.0
        c = np.multiply.outer(rows.scale, rows.scale) * rows.rho
        sums = np.add.outer(a, a)
        both = 0.5 * (np.exp(-2 * sums + 4 * c) + np.exp(-2 * sums - 4 * c))
        single = np.exp(-2 * a)
        return np.asarray(0.25 * (1 + sign * np.add.outer(single, single) + both))
    slope = ACTIVATIONS[name].slope
    bandwidth = 1.25 * gaussian.BANDWIDTH[name]  # poles of twice the order
    E, _ = hermite.expectations(lambda z: slope(z) ** 2, bandwidth, rows, 1e-14)
    return E
