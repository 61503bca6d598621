"""Sums of powers of the integers by the Euler-Maclaurin formula: zeta functions and their tails.

The argument is s = 1 + excess, given by its excess over 1, so that nothing is lost near the pole,
where zeta(s) ~ 1 / excess.
"""

from __future__ import annotations

import math

import numpy as np

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

# From here on even 2^-s is exactly 0 in float64.
_UNDERFLOW = 1100.0


def tail(excess: float, first: float = 1.0) -> float:
    """sum_{j >= first} j^-(1 + excess): the Hurwitz zeta function at a whole number.

    Parameters
    ----------
    excess : float
        s - 1 > 0.
    first : float
        A whole number >= 1; 1 gives Riemann's zeta(s).

    Returns
    -------
    float
        To a few units in the last place, times s log(first) for the power itself.

    Notes
    -----
    Terms are added up to N >= 2 s + 16, from where the formula's terms fall by a factor of 150 and
    more each. Cost: O(s).
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


def zeta(excess: float) -> float:
    """Riemann's zeta(1 + excess), excess > 0, to a few units in the last place."""
    return tail(excess)
