"""Assumptions 2.1 to 2.3, and the constants C, C_1 (Eq. 8) and D_0 (Theorem A.1)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

import asymfast.theory.expectations as expectations
from asymfast.theory.activations import ACTIVATIONS, Floats, Function
from asymfast.theory.checks import SAMPLES, Array, Domain, Sizes, array, optional, reals, statement
from asymfast.theory.expectations import row_geometry

__all__ = [
    "Assumptions",
    "Check",
    "c_1",
    "check_assumptions",
    "d_0",
    "output_moment",
    "target_bound",
]


_MOMENTS: dict[str, Function] = {
    "relu": lambda square: 0.5 * square,
    "identity": lambda square: square,
    "sin": lambda square: -0.5 * np.expm1(-2 * square),
    "cos": lambda square: 0.5 * (1 + np.exp(-2 * square)),
    # Williams (1997); the arcsin of a small number is accurate
    "erf": lambda square: 2 / math.pi * np.arcsin(2 * square / (1 + 2 * square)),
}


@statement(scale=reals())
def output_moment(activation: str, scale: Array) -> Floats:
    """E[sigma(s z)^2], z ~ N(0, 1): the second moment of a node's output at initialisation.

    For relu it is s^2 / 2; the paper's proof of Theorem A.1 uses the bound s^2. Source: Eq. (8) and
    the proof of Theorem A.1. Cost: O(scale.size N) with N quadrature nodes.

    Parameters
    ----------
    scale : array_like
        s = |x| / sqrt(d) >= 0, at most 100.

    Returns
    -------
    float64 array of the shape of scale
        Relative error below 1e-12; relu, erf, sin, cos and identity have closed forms.

    Examples
    --------
    >>> import asymfast as af
    >>> float(af.theory.output_moment("relu", 1.0))
    0.5
    >>> f"{float(af.theory.output_moment('swish', 1.0)):.10f}"
    '0.3557755198'
    """
    if scale.size and not (scale.min() >= 0 and scale.max() <= 100):
        raise ValueError(f"scale must be in [0, 100], got {scale.min():g} to {scale.max():g}")
    if activation in _MOMENTS:
        return np.asarray(_MOMENTS[activation](scale**2))
    if scale.size == 0:
        return np.asarray(scale)
    sigma, bandwidth = ACTIVATIONS[activation].value, expectations.BANDWIDTH[activation]
    moment, _ = expectations.mean(lambda z: sigma(z) ** 2, bandwidth, scale.ravel())
    return moment.reshape(scale.shape)


@statement()
def c_1(activation: str, d: int) -> float:
    """C_1 = sup over c in (0, 1] of E[sigma(c z / sqrt d)^2], Eq. (8).

    Returns
    -------
    float
        Relative error below 1e-12. For cos it is 1, the limit for c to 0, which is not attained.
        For all others the supremum is attained at c = 1.

    Notes
    -----
    Write sigma = o + e with o odd and e even. The mean of sigma(cz)^2 is that of o^2 + e^2, which
    grows with c if |o| and |e| grow with |z|. They do for swish, gelu, softplus and relu (o = z/2
    and e = sigma - z/2), sigmoid (e = 1/2), tanh, erf and identity (e = 0). sin and cos have closed
    forms, (1 -+ exp(-2 c^2 / d)) / 2.

    Source: Eq. (8). Cost: one quadrature.

    Examples
    --------
    >>> import asymfast as af
    >>> f"{af.theory.c_1('swish', d=50):.6e}", af.theory.c_1("cos", d=50)
    ('5.073774e-03', 1.0)
    """
    return 1.0 if activation == "cos" else float(output_moment(activation, 1 / math.sqrt(d)))


@statement()
def d_0(C: float, d: int) -> float:
    """D_0 = sqrt(2 C^2 + 2 / d) of Theorem A.1.

    As E[relu(c z / sqrt d)^2] = c^2 / (2d), sqrt(2 C^2 + 1 / d) would suffice. Source: Theorem A.1.

    Returns
    -------
    float
        Within two roundings.

    Examples
    --------
    >>> import asymfast as af
    >>> f"{af.theory.d_0(C=1.0, d=2):.6f}"
    '1.732051'
    """
    return math.hypot(math.sqrt(2) * C, math.sqrt(2 / d))


@statement()
def target_bound(y: Array) -> float:
    """C = max |y_i|, the smallest bound in Assumption 2.1 (c).

    Source: Assumption 2.1 (c).

    Examples
    --------
    >>> import asymfast as af
    >>> import numpy as np
    >>> af.theory.target_bound(np.array([0.5, -2.0]))
    2.0
    """
    return float(np.abs(y).max())


_NOT_ANALYTIC = ("relu",)
_POLYNOMIAL = ("identity",)
_UNLIKELY = 5.0  # standard errors: 1 in 1.7 million for a normal statistic


@dataclass(frozen=True)
class Check:
    """One assumption and whether it holds; see `check_assumptions`.

    Attributes
    ----------
    name : str
        Number in the paper: "2.1(a)", "2.1(b)", "2.1(c)", "2.2", "2.3".
    asks : str
        The condition in a few words.
    holds : bool
    value, limit : float
        The measured value and its limit. For a property that is true or false: 1.0 or 0.0, and 1.0.
    finding : str
        One sentence with the numbers.
    """

    name: str
    asks: str
    holds: bool
    value: float
    limit: float
    finding: str

    @property
    def excess(self) -> float:
        """How far the value is from the limit; 0 if the assumption holds."""
        return 0.0 if self.holds else abs(self.value - self.limit)


@dataclass(frozen=True)
class Assumptions:
    """All checks, in the order of the paper; see `check_assumptions`.

    Attributes
    ----------
    checks : tuple of Check
    L, M : float
        sup |sigma'| and sup |sigma''| of the activation (M infinite for relu).
    C : float or None
        max |y_i|; None without targets.
    """

    checks: tuple[Check, ...]
    L: float
    M: float
    C: float | None

    def __iter__(self) -> Iterator[Check]:
        return iter(self.checks)

    @property
    def hold(self) -> bool:
        """Whether all assumptions hold."""
        return all(check.holds for check in self.checks)

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if not check.holds)

    def __str__(self) -> str:
        return "\n".join(
            f"{check.name:7} {'holds' if check.holds else 'FAILS'}  {check.finding}"
            for check in self.checks
        )


def _in_own_precision(fn: str, name: str, values: Array, sizes: Sizes) -> Array:
    """Inputs as in other statements, but float32 ones stay float32, exactly."""
    X: Array = SAMPLES.check(fn, name, values, sizes)
    is_single = np.asarray(values).dtype.newbyteorder("=") == np.float32
    return X.astype(np.float32) if is_single else X


@statement(
    X=Domain(SAMPLES.text, _in_own_precision), y=optional(array("n")), W=optional(array("m", "d"))
)
def check_assumptions(
    X: Array, y: Array | None = None, activation: str = "swish", *, W: Array | None = None
) -> Assumptions:
    """Check the paper's assumptions about data, activation and initialisation.

    Parameters
    ----------
    y : (n,) array_like, optional
        Targets, for 2.1(c).
    W : (m, d) array_like, optional
        Initial weights, for 2.3. They pass as draws from N(0, 1) if their mean, their variance and,
        from 1000 entries on, their fourth moment are within 5 standard errors of it.

    Returns
    -------
    Assumptions
        Print it for a table.

    Notes
    -----
    Lengths and angles are compared within the rounding error of X's type: unit rows may have
    |x| = 1 + 4 eps, and rows count as parallel if the sine of their angle is at most
    8 eps sqrt(d). Theorem A.1 (relu) does not need 2.2.

    Source: Assumptions 2.1 to 2.3. Cost: O(n^2 d).

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(rng=0)
    >>> print(af.theory.check_assumptions(X, y, "swish"))
    2.1(a)  holds  |x_i| is 1 to 1
    2.1(b)  holds  the smallest angle is 1.03, of rows 61 and 81
    2.1(c)  holds  C = max |y_i| = 2.87172
    2.2     holds  swish is analytic
    2.2     FAILS  sup |sigma'| = 1.099839, above 1 by 0.09984
    2.2     holds  sup |sigma''| = 0.5
    2.2     holds  swish is not a polynomial
    """
    chosen = ACTIVATIONS[activation]
    found = [*_inputs(X.astype(np.float64), float(np.finfo(X.dtype).eps))]
    C = None
    if y is not None:
        C = target_bound(y)
        found.append(Check("2.1(c)", "|y_i| <= C", True, C, C, f"C = max |y_i| = {C:.6g}"))
    found += _activation(activation, chosen.slope_sup, chosen.curvature_sup)
    if W is not None:
        found.append(_initialisation(W))
    return Assumptions(tuple(found), chosen.slope_sup, chosen.curvature_sup, C)


def _inputs(X: Floats, eps: float) -> Iterator[Check]:
    n, d = X.shape
    geometry = row_geometry(X)
    lengths = geometry.scale * math.sqrt(d)
    shortest, longest = int(lengths.argmin()), int(lengths.argmax())
    asks = "0 < |x_i| <= 1"
    zeros = int(np.sum(lengths == 0))
    largest = float(lengths[longest])
    if zeros:
        text = f"{zeros} of {n} rows of X are zero, the first is row {shortest}"
        yield Check("2.1(a)", asks, False, 0.0, 0.0, text)
    else:
        holds = largest <= 1 + 4 * eps
        text = f"|x_i| is {lengths[shortest]:.6g} to {largest:.6g}"
        if not holds:
            text += f", above 1 by {largest - 1:.3g} in row {longest}"
        yield Check("2.1(a)", asks, holds, largest, 1.0, text)
    asks = "no two rows parallel"
    if n == 1:
        yield Check("2.1(b)", asks, True, 1.0, 0.0, "there is one row")
        return
    sine = np.sqrt(geometry.gap * (2 - geometry.gap))
    sine[lengths == 0] = sine[:, lengths == 0] = 0.0  # a zero row is parallel to all
    np.fill_diagonal(sine, np.inf)
    i, k = divmod(int(sine.argmin()), n)
    least = float(sine[i, k])
    limit = 8 * eps * math.sqrt(d)
    pairs = int(np.sum(sine <= limit)) // 2
    if pairs:
        text = f"{pairs} pairs of rows are parallel, the first is {i} and {k}"
        yield Check("2.1(b)", asks, False, least, limit, text)
    else:
        text = f"the smallest angle is {math.asin(min(least, 1.0)):.3g}, of rows {i} and {k}"
        yield Check("2.1(b)", asks, True, least, limit, text)


def _activation(name: str, L: float, M: float) -> Iterator[Check]:
    analytic = name not in _NOT_ANALYTIC
    text = f"{name} is {'' if analytic else 'not '}analytic"
    yield Check("2.2", "sigma is analytic", analytic, float(analytic), 1.0, text)
    text = f"sup |sigma'| = {L:.7g}" + (f", above 1 by {L - 1:.4g}" if L > 1 else "")
    yield Check("2.2", "|sigma'| <= 1", L <= 1, L, 1.0, text)
    bounded = math.isfinite(M)
    text = f"sup |sigma''| = {M:.7g}" if bounded else "sigma' jumps"
    yield Check("2.2", "|sigma''| <= M", bounded, float(bounded), 1.0, text)
    curved = name not in _POLYNOMIAL
    text = f"{name} is {'not ' if curved else ''}a polynomial"
    yield Check("2.2", "sigma is no polynomial", curved, float(curved), 1.0, text)


def _initialisation(W: Floats) -> Check:
    size = W.size
    mean = float(W.mean()) * math.sqrt(size)
    square = float(np.mean(W**2))
    # the cube root of a chi-squared mean is nearly normal even for few entries (Wilson, Hilferty)
    narrow = 2 / (9 * size)
    variance = (square ** (1 / 3) - (1 - narrow)) / math.sqrt(narrow)
    statistics: dict[str, float] = {"mean": mean, "variance": variance}
    if size >= 1000:
        statistics["fourth moment"] = (float(np.mean(W**4)) - 3) * math.sqrt(size / 96)
    worst = max(statistics, key=lambda key: abs(statistics[key]))
    off = statistics[worst]
    text = f"the {worst} of the weights is {off:+.2f} standard errors from that of N(0, 1)"
    holds = abs(off) <= _UNLIKELY
    return Check("2.3", "w_0j ~ N(0, I)", holds, abs(off), _UNLIKELY, text)
