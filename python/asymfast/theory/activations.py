"""sigma, sigma' and sigma'' of every activation in NumPy, and the suprema of |sigma'|, |sigma''|.

Every formula is evaluated without overflow and without cancellation for all finite z: 1 - s is
written as s(-z), and z is clipped where another factor is already 0. So no infinities and no
warnings occur, and `numpy.seterr` makes no difference. "gelu" is the exact one, z Phi(z); "erf" is
erf(z), not erf(z / sqrt 2); relu'(0) = 0.

Accuracy: a few units in the last place of float64, relative to the value. Two exceptions: the
Gaussian tails (sigma' and sigma'' of erf, all of gelu for z < 0) have a relative error of about
z**2 units, from the rounding of their exponent; and near its zeros a derivative (of swish and gelu,
and every second derivative) is accurate relative to its terms, not to their sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

import asymfast._check as _check

Floats = npt.NDArray[np.float64]
Function = Callable[[Floats], Floats]

# exp(-z**2 / 2) and exp(-|z|) are exactly 0 in float64 beyond these.
_GAUSSIAN_ENDS = 40.0
_EXPONENTIAL_ENDS = 750.0


@dataclass(frozen=True)
class Activation:
    """An activation function with its first two derivatives; see `get`.

    Attributes
    ----------
    name : str
        As in `asymfast.Network`.
    value, slope, curvature : callable
        sigma, sigma' and sigma'' of a float64 array, elementwise, in an array of the same shape.
    slope_sup, curvature_sup : float
        Suprema of |sigma'| and |sigma''| over the real line, exact to rounding; infinite where
        sigma' jumps (relu). The paper's Assumption 2.2 asks for ``slope_sup <= 1``, which swish,
        erf and gelu violate.
    """

    name: str
    value: Function
    slope: Function
    curvature: Function
    slope_sup: float
    curvature_sup: float


def get(name: str, fn: str = "activation") -> Activation:
    """Return the activation with that name.

    Parameters
    ----------
    name : str
        A key of `ACTIVATIONS`.
    fn : str
        The function that was called, for messages.

    Returns
    -------
    Activation

    Raises
    ------
    ValueError
        Unknown name.

    Examples
    --------
    >>> import asymfast as af
    >>> af.theory.activations.get("tanh").slope_sup
    1.0
    """
    return ACTIVATIONS[_check.choice(fn, "name", name, tuple(ACTIVATIONS))]


def activation(name: str, z: npt.ArrayLike, order: int = 0) -> Floats:
    """sigma, sigma' or sigma'' elementwise.

    Source: the paper's Section 2 and Appendix J (swish, relu); the others are in common use.
    Cost: O(z.size); erf and gelu call the C library once per element from Python.

    Parameters
    ----------
    name : str
        A key of `ACTIVATIONS`.
    z : array_like of any shape
        Arguments, dimensionless; computed in float64 whatever their type.
    order : {0, 1, 2}
        Which derivative.

    Returns
    -------
    float64 array of the shape of z
        Finite for every finite z; see the module for the accuracy.

    Raises
    ------
    TypeError
        z does not hold real numbers.
    ValueError
        Unknown name or order; z is not finite.

    Examples
    --------
    >>> import asymfast as af
    >>> af.theory.activations.activation("swish", [-1000.0, 0.0, 1000.0], order=1)
    array([0. , 0.5, 1. ])
    """
    chosen = get(name)
    order = _check.integer("activation", "order", order, low=0, high=2)
    derivative = (chosen.value, chosen.slope, chosen.curvature)[order]
    return derivative(_check.reals("activation", "z", z))


def suprema(name: str) -> tuple[float, float]:
    """Suprema of |sigma'| and |sigma''| over the real line, the theorems' constants.

    Source: Assumption 2.2, which asks for L <= 1 and M finite.

    Parameters
    ----------
    name : str
        A key of `ACTIVATIONS`.

    Returns
    -------
    L, M : float
        sup |sigma'| and sup |sigma''|, to rounding; M is infinite for relu.

    Raises
    ------
    ValueError
        Unknown name.

    Examples
    --------
    >>> import asymfast as af
    >>> af.theory.suprema("swish")
    (1.099839320128867, 0.5)
    >>> af.theory.suprema("relu")
    (1.0, inf)
    """
    chosen = get(name, "suprema")
    return chosen.slope_sup, chosen.curvature_sup


_erf = np.frompyfunc(math.erf, 1, 1)
_erfc = np.frompyfunc(math.erfc, 1, 1)


def _logistic(z: Floats) -> tuple[Floats, Floats]:
    """S = 1 / (1 + exp(-z)) and 1 - s = s(-z), both to full relative accuracy."""
    u = np.exp(-np.abs(z))
    large = 1 / (1 + u)
    small = u * large
    return np.where(z < 0, small, large), np.where(z < 0, large, small)


def _clipped(z: Floats, limit: float) -> Floats:
    """Clip z where the factor next to it is 0 anyway and the product could overflow."""
    return np.clip(z, -limit, limit)


def _normal_density(z: Floats) -> Floats:
    return np.exp(-0.5 * _clipped(z, _GAUSSIAN_ENDS) ** 2) / math.sqrt(2 * math.pi)


def _normal_distribution(z: Floats) -> Floats:
    return 0.5 * np.asarray(_erfc(-z / math.sqrt(2)), dtype=np.float64)


def _swish_slope(z: Floats) -> Floats:
    s, c = _logistic(z)
    return s + _clipped(z, _EXPONENTIAL_ENDS) * s * c


def _swish_curvature(z: Floats) -> Floats:
    s, c = _logistic(z)
    return s * c * (2 + _clipped(z, _EXPONENTIAL_ENDS) * (c - s))


def _tanh_slope(z: Floats) -> Floats:
    s, c = _logistic(2 * _clipped(z, _EXPONENTIAL_ENDS))  # 1 - tanh(z)^2 = 4 s(2z) s(-2z)
    return 4 * s * c


def _erf_slope(z: Floats) -> Floats:
    return 2 / math.sqrt(math.pi) * np.exp(-(_clipped(z, _GAUSSIAN_ENDS) ** 2))


def _sigmoid(z: Floats) -> Floats:
    return _logistic(z)[0]


def _sigmoid_slope(z: Floats) -> Floats:
    s, c = _logistic(z)
    return s * c


def _sigmoid_curvature(z: Floats) -> Floats:
    s, c = _logistic(z)
    return s * c * (c - s)


# sigma, sigma', sigma'', sup |sigma'|, sup |sigma''|
_TABLE: dict[str, tuple[Function, Function, Function, float, float]] = {
    "swish": (
        lambda z: z * _sigmoid(z),
        _swish_slope,
        _swish_curvature,
        1.0998393201288670,  # no closed form: swish' is largest where z tanh(z / 2) = 2
        0.5,
    ),
    "relu": (
        lambda z: np.maximum(z, 0.0),
        lambda z: np.where(z > 0, 1.0, 0.0),
        np.zeros_like,
        1.0,
        math.inf,
    ),
    "tanh": (
        np.tanh,
        _tanh_slope,
        lambda z: -2 * np.tanh(z) * _tanh_slope(z),
        1.0,
        4 / (3 * math.sqrt(3)),
    ),
    "erf": (
        lambda z: np.asarray(_erf(z), dtype=np.float64),
        _erf_slope,
        lambda z: -2 * _clipped(z, _GAUSSIAN_ENDS) * _erf_slope(z),
        2 / math.sqrt(math.pi),
        math.sqrt(8 / math.pi) * math.exp(-0.5),
    ),
    "gelu": (
        lambda z: z * _normal_distribution(z),
        lambda z: _normal_distribution(z) + _clipped(z, _GAUSSIAN_ENDS) * _normal_density(z),
        lambda z: (2 - _clipped(z, _GAUSSIAN_ENDS) ** 2) * _normal_density(z),
        0.5 * math.erfc(-1) + math.exp(-1) / math.sqrt(math.pi),  # at z = sqrt 2
        math.sqrt(2 / math.pi),
    ),
    "softplus": (
        lambda z: np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z))),
        _sigmoid,
        _sigmoid_slope,
        1.0,
        0.25,
    ),
    "sigmoid": (_sigmoid, _sigmoid_slope, _sigmoid_curvature, 0.25, 1 / (6 * math.sqrt(3))),
    "sin": (np.sin, np.cos, lambda z: -np.sin(z), 1.0, 1.0),
    "cos": (np.cos, lambda z: -np.sin(z), lambda z: -np.cos(z), 1.0, 1.0),
    "identity": (np.array, np.ones_like, np.zeros_like, 1.0, 0.0),
}

# Underflow to 0 is silent, whatever `numpy.seterr` says.
_quiet = np.errstate(under="ignore")
ACTIVATIONS: dict[str, Activation] = {
    name: Activation(name, _quiet(value), _quiet(slope), _quiet(curvature), *suprema)
    for name, (value, slope, curvature, *suprema) in _TABLE.items()
}
"""Every activation of the library by name."""
