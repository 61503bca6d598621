"""The law of the NTG's smallest eigenvalue at initialisation, by sampling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import asymfast._check as _check
from asymfast.theory import inputs
from asymfast.theory.extras import theory_extra
from asymfast.theory.limits import kappa_n, limiting_ntg, weighted_ntg
from asymfast.theory.ranges import within_range
from asymfast.theory.scaling import node_scaling_parts

Floats = npt.NDArray[np.float64]


class Probability(NamedTuple):
    """A probability estimated from draws, with an exact confidence interval.

    Attributes
    ----------
    estimate : float
        Share of the draws.
    low, high : float
        Ends of the interval of Clopper and Pearson.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=5, d=3, rng=0)
    >>> law = af.theory.min_eigenvalue_law(X, gamma=1.0, m=200, draws=50, rng=0)
    >>> p = law.probability_below(0.5 * law.kappa)
    >>> p.estimate, p.low, f"{p.high:.3f}"
    (0.0, 0.0, '0.071')
    """

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class MinEigenvalueLaw:
    """Draws of eig_min(Theta(X; W_0)); see `min_eigenvalue_law`.

    Attributes
    ----------
    values : (draws,) float64 array
        In increasing order.
    kappa : float
        kappa_n. By concavity of the smallest eigenvalue the mean of the law is at most kappa_n.
    gamma : float
        Every draw in the limit of wide networks is at least gamma kappa_n.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=5, d=3, rng=0)
    >>> law = af.theory.min_eigenvalue_law(X, gamma=0.5, alpha=0.7, draws=50, rng=0)
    >>> bool(0.5 * law.kappa <= law.values[0]), law.mean < law.kappa
    (True, True)
    """

    values: Floats
    kappa: float
    gamma: float

    @property
    def mean(self) -> float:
        """Mean of the draws."""
        return float(self.values.mean())

    @property
    def standard_error(self) -> float:
        """Standard error of the mean."""
        return float(self.values.std(ddof=1)) / math.sqrt(len(self.values))

    def quantile(self, q: float) -> float:
        """Empirical quantile, by linear interpolation; q in [0, 1]."""
        return float(np.quantile(self.values, _check.number("quantile", "q", q, low=0, high=1)))

    def probability_below(self, x: float, confidence: float = 0.95) -> Probability:
        """Pr(eig_min <= x) with the interval of Clopper and Pearson.

        Proposition D.1 bounds it for x = gamma kappa_n / 2.

        Parameters
        ----------
        x : float
            Where the distribution function is asked for.
        confidence : float
            Of the interval, in (0, 1); it covers at least so often.

        Raises
        ------
        ImportError
            SciPy is not installed.
        TypeError, ValueError
            An argument of the wrong kind or range.
        """
        fn = "probability_below"
        x = _check.number(fn, "x", x)
        confidence = _check.number(
            fn, "confidence", confidence, low=0, high=1, low_open=True, high_open=True
        )
        quantile = theory_extra("scipy.special").betaincinv
        draws = len(self.values)
        below = int(np.searchsorted(self.values, x, side="right"))
        outside = (1 - confidence) / 2
        low = 0.0 if below == 0 else float(quantile(below, draws - below + 1, outside))
        high = 1.0 if below == draws else float(quantile(below + 1, draws - below, 1 - outside))
        return Probability(below / draws, low, high)


@within_range
def min_eigenvalue_law(
    X: npt.ArrayLike,
    gamma: float,
    alpha: float | None = None,
    activation: str = "swish",
    *,
    m: int | None = None,
    weights: npt.ArrayLike | None = None,
    draws: int = 200,
    terms: int | None = None,
    rng: Any = None,
) -> MinEigenvalueLaw:
    """Sample the smallest eigenvalue of the NTG at initialisation.

    Parameters
    ----------
    X : (n, d) array_like, float64 or float32
        Inputs, one sample a row.
    gamma, alpha, weights
        Node scaling, as in `node_scaling_parts`; in the limit as in `limiting_ntg`.
    activation : str
        As in `asymfast.Network`.
    m : int, optional
        Width of the networks; None for the limit, Proposition 3.1.
    draws : int
        Networks, at least 2.
    terms : int, optional
        For the limit: of `limiting_ntg`.
    rng : seed or Generator
        What `numpy.random.default_rng` takes.

    Returns
    -------
    MinEigenvalueLaw

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or range.

    Notes
    -----
    Source: Sections 3 and D. Cost: draws times O(n^2 m + n^3).

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=5, d=3, rng=0)
    >>> law = af.theory.min_eigenvalue_law(X, gamma=0.5, alpha=0.7, m=200, draws=50, rng=0)
    >>> len(law.values), law.quantile(0.1) < law.quantile(0.9)
    (50, True)
    """
    fn = "min_eigenvalue_law"
    checked = inputs.samples(fn, X)
    gamma = _check.number(fn, "gamma", gamma, low=0, high=1)
    name = inputs.activation(fn, activation)
    draws = _check.integer(fn, "draws", draws, low=2)
    generator = _check.generator(fn, rng)
    kappa = kappa_n(checked, name).value
    if m is not None:
        lam1, lam2 = node_scaling_parts(m, gamma, alpha, weights=weights)
        lam = lam1 + lam2

    def drawn() -> Floats:
        if m is not None:
            return weighted_ntg(checked, lam, name, generator)
        return limiting_ntg(checked, gamma, alpha, name, generator, weights=weights, terms=terms)

    if m is None and gamma == 1:
        values = np.full(draws, kappa)  # no draw differs from Theta*
    else:
        values = np.sort([float(np.linalg.eigvalsh(drawn())[0]) for _ in range(draws)])
    return MinEigenvalueLaw(values=values, kappa=kappa, gamma=gamma)
