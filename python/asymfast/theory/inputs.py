"""Checks of the arrays that the statements share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

import asymfast._check as _check

Floats = npt.NDArray[np.float64]

# Beyond this the product of two squared lengths could overflow.
_LARGEST_ENTRY = 1e75


def array(fn: str, name: str, values: Any, shape: tuple[int | str, ...]) -> Floats:
    """A finite float64 array of that shape; float32 is taken up to float64, which is exact."""
    given = _check.plain(fn, name, values)
    if given.dtype == np.float32:
        given = given.astype(np.float64)
    return _check.array(fn, name, given, dtype=np.float64, shape=shape)


def samples(fn: str, X: Any, name: str = "X") -> Floats:
    """Inputs (n, d), one sample a row, with entries whose fourth powers do not overflow.

    Raises
    ------
    TypeError
        Not of a floating point type.
    ValueError
        Empty, not finite, not a matrix, or entries beyond 1e75.
    """
    checked = array(fn, name, X, ("n", "d"))
    if np.abs(checked).max() > _LARGEST_ENTRY:
        raise ValueError(
            f"{fn}: the entries of {name} must be at most {_LARGEST_ENTRY:g}, "
            f"got {np.abs(checked).max():.4g}"
        )
    return checked


def non_negative(fn: str, name: str, values: Any, shape: tuple[int | str, ...] = ("m",)) -> Floats:
    """An array of numbers >= 0 that are not all zero, such as lam.

    Raises
    ------
    TypeError
        Not real numbers.
    ValueError
        Another shape, values that are negative or not finite, or all zero.
    """
    given = _check.plain(fn, name, values)
    if given.dtype.kind not in "iuf":
        raise TypeError(f"{fn}: {name} must be real numbers, got dtype {given.dtype}")
    checked = _check.array(fn, name, given.astype(np.float64), dtype=np.float64, shape=shape)
    if (checked < 0).any():
        raise ValueError(f"{fn}: {name} must be >= 0, got {checked[checked < 0][0]}")
    if not checked.any():
        raise ValueError(f"{fn}: {name} must not be all zero")
    return checked


def width(fn: str, m: Any) -> float:
    """A number of nodes as a float: any integer >= 1, also one far beyond int64."""
    real = _check.number(fn, "m", m, low=1)
    if real != math.floor(real):
        raise ValueError(f"{fn}: m must be a whole number, got {m}")
    return real
