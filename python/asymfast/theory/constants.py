"""The constants of the theorems: C, C_1 (Eq. 8), D_0 (Theorem A.1) and |sigma'|, |sigma''|."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

import asymfast._check as _check
from asymfast.theory import gaussian, inputs
from asymfast.theory.activations import ACTIVATIONS
from asymfast.theory.ranges import within_range

Floats = npt.NDArray[np.float64]


@within_range
def output_moment(activation: str, scale: npt.ArrayLike) -> Floats:
    """E[sigma(s z)^2], z ~ N(0, 1): the second moment of a node's output at initialisation.

    Parameters
    ----------
    activation : str
        As in `asymfast.Network`.
    scale : array_like
        s = |x| / sqrt(d) >= 0, at most 100.

    Returns
    -------
    float64 array of the shape of scale
        Relative error below 1e-12; closed forms for relu, erf, sin, cos and identity.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or range.

    Notes
    -----
    For relu it is s^2 / 2; the paper's proof of Theorem A.1 uses the bound s^2.

    Source: Eq. (8) and the proof of Theorem A.1. Cost: O(scale.size N), N nodes of the quadrature.

    Examples
    --------
    >>> from asymfast import theory
    >>> float(theory.output_moment("relu", 1.0))
    0.5
    >>> f"{float(theory.output_moment('swish', 1.0)):.10f}"
    '0.3557755198'
    """
    fn = "output_moment"
    name = inputs.activation(fn, activation)
    s = _check.reals(fn, "scale", scale)
    if s.size and not (s.min() >= 0 and s.max() <= 100):
        raise ValueError(f"{fn}: scale must be in [0, 100], got {s.min():g} to {s.max():g}")
    square = s**2
    if name == "relu":
        return np.asarray(0.5 * square)
    if name == "identity":
        return np.asarray(square)
    if name == "sin":
        return np.asarray(-0.5 * np.expm1(-2 * square))
    if name == "cos":
        return np.asarray(0.5 * (1 + np.exp(-2 * square)))
    if name == "erf":  # Williams (1997); arcsin of a small number, so nothing cancels
        return np.asarray(2 / math.pi * np.arcsin(2 * square / (1 + 2 * square)))
    sigma = ACTIVATIONS[name].value
    if s.size == 0:
        return s
    moment, _ = gaussian.mean(lambda z: sigma(z) ** 2, gaussian.BANDWIDTH[name], s.ravel())
    return moment.reshape(s.shape)


@within_range
def c_1(activation: str, d: int) -> float:
    """C_1 = sup over c in (0, 1] of E[sigma(c z / sqrt d)^2], Eq. (8).

    Parameters
    ----------
    activation : str
        As in `asymfast.Network`.
    d : int
        Inputs, at least 1.

    Returns
    -------
    float
        Relative error below 1e-12. For cos it is 1, the limit for c to 0, which is not attained;
        for all others the supremum is attained at c = 1.

    Raises
    ------
    TypeError, ValueError
        Unknown activation, or d below 1.

    Notes
    -----
    Write sigma = o + e with o odd and e even. The mean of sigma(cz)^2 is that of o^2 + e^2, and
    grows with c if |o| and |e| grow with |z|. So they do for swish, gelu, softplus and relu
    (o = z/2 and e = sigma - z/2), sigmoid (e = 1/2), tanh, erf and identity (e = 0). sin and cos
    have closed forms, (1 -+ exp(-2 c^2 / d)) / 2.

    Source: Eq. (8). Cost: one quadrature.

    Examples
    --------
    >>> from asymfast import theory
    >>> f"{theory.c_1('swish', d=50):.6e}", theory.c_1("cos", d=50)
    ('5.073774e-03', 1.0)
    """
    fn = "c_1"
    name = inputs.activation(fn, activation)
    (d,) = inputs.scalars(fn, d=d)
    if name == "cos":
        return 1.0
    return float(output_moment(name, 1 / math.sqrt(d)))


@within_range
def d_0(C: float, d: int) -> float:
    """D_0 = sqrt(2 C^2 + 2 / d) of Theorem A.1.

    Parameters
    ----------
    C : float
        Bound of the |y_i|, >= 0.
    d : int
        Inputs, at least 1.

    Returns
    -------
    float
        Within two roundings.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or range.

    Notes
    -----
    Slack: as E[relu(c z / sqrt d)^2] = c^2 / (2d), sqrt(2 C^2 + 1 / d) would do.

    Source: Theorem A.1.

    Examples
    --------
    >>> from asymfast import theory
    >>> f"{theory.d_0(C=1.0, d=2):.6f}"
    '1.732051'
    """
    C, d = inputs.scalars("d_0", C=C, d=d)
    return math.hypot(math.sqrt(2) * C, math.sqrt(2 / d))


@within_range
def target_bound(y: npt.ArrayLike) -> float:
    """C = max |y_i|, the least bound of Assumption 2.1 (c).

    Parameters
    ----------
    y : (n,) array_like
        Targets.

    Returns
    -------
    float

    Raises
    ------
    TypeError, ValueError
        y is not a finite, non-empty (n,) array of floating point type.

    Notes
    -----
    Source: Assumption 2.1 (c).

    Examples
    --------
    >>> import numpy as np
    >>> from asymfast import theory
    >>> theory.target_bound(np.array([0.5, -2.0]))
    2.0
    """
    return float(np.abs(inputs.array("target_bound", "y", y, ("n",))).max())
