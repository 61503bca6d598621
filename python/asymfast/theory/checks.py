"""Checks of arguments and results that all statements share."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

import asymfast._check as _check
from asymfast.theory.activations import ACTIVATIONS

Floats = npt.NDArray[np.float64]
P = ParamSpec("P")
R = TypeVar("R")

# As the attributes' descriptions say: the logarithm of 0, and sup |sigma''| of relu.
_MAY_BE_INFINITE = frozenset({"log_rate", "M"})

# Above this the product of two squared lengths could overflow.
_LARGEST_ENTRY = 1e75

_POSITIVE: dict[str, Any] = {"low": 0, "low_open": True}
_NOT_NEGATIVE: dict[str, Any] = {"low": 0}
# The paper's symbols and their ranges; n and d are integers >= 1. The theorems exclude gamma = 0
# and kappa = 0.
_RANGES: dict[str, dict[str, Any]] = {
    "kappa": _POSITIVE,
    "gamma": {**_POSITIVE, "high": 1},
    "delta": {**_POSITIVE, "high": 1, "high_open": True},
    "zeta": _POSITIVE,
    "eta": _POSITIVE,
    "L": _POSITIVE,
    "C_1": _POSITIVE,
    "C": _NOT_NEGATIVE,
    "M": _NOT_NEGATIVE,
    "t": _NOT_NEGATIVE,
    "residual": _NOT_NEGATIVE,
    "eigmin": {},
}


def within_range(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function to raise OverflowError, with its name, instead of returning infinity.

    An overflow in an intermediate result counts too: 1 / inf would be a finite number, and a wrong
    one. So does a division by something that has underflowed to 0. Other underflow is rounding.
    The caller's own `numpy.seterr` makes no difference.
    """

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with np.errstate(over="raise", divide="raise", under="ignore", invalid="ignore"):
                result = function(*args, **kwargs)
        except (OverflowError, FloatingPointError, ZeroDivisionError) as error:
            if ": " in str(error):  # raised by us, with a better explanation
                raise
            raise OverflowError(_message(function)) from None
        if not all(np.isfinite(values).all() for values in _numbers(result)):
            raise OverflowError(_message(function))
        return result

    return checked


def _message(function: Callable[..., Any]) -> str:
    return f"{function.__name__}: numbers of these sizes exceed the range of float64"


def _numbers(result: Any) -> Iterator[Any]:
    """The numbers in a result, one level deep: nested results have checked their own."""
    if is_dataclass(result):
        result = [
            getattr(result, each.name)
            for each in fields(result)
            if each.name not in _MAY_BE_INFINITE
        ]
    for value in result if isinstance(result, (tuple, list)) else [result]:
        if isinstance(value, (float, np.ndarray)):
            yield value
        elif isinstance(value, tuple) and not hasattr(value, "_fields"):
            yield from _numbers(value)


def scalars(fn: str, **values: Any) -> tuple[Any, ...]:
    """Return the values in their order, each checked against the range of its symbol.

    Raises
    ------
    TypeError, ValueError
        Not a number, or out of range.
    """
    return tuple(
        _check.integer(fn, name, value, low=1)
        if name in ("n", "d")
        else _check.number(fn, name, value, **_RANGES[name])
        for name, value in values.items()
    )


def flag(fn: str, name: str, value: Any) -> bool:
    """Return True or False.

    Raises
    ------
    TypeError
        Neither of them.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{fn}: {name} must be True or False, got {value!r}")
    return bool(value)


def activation(fn: str, name: Any) -> str:
    """Return the name of a known activation.

    Raises
    ------
    ValueError
        Unknown.
    """
    return _check.choice(fn, "activation", name, ACTIVATIONS)


def array(fn: str, name: str, values: Any, shape: tuple[int | str, ...]) -> Floats:
    """Return a finite float64 array of that shape; what converts exactly is converted."""
    return _check.array(fn, name, values, dtype=np.float64, shape=shape)


def samples(fn: str, X: Any, name: str = "X", columns: int | str = "d") -> Floats:
    """Return inputs (n, d), one sample a row, with entries whose fourth powers do not overflow.

    Raises
    ------
    TypeError
        Not of a floating point type.
    ValueError
        Empty, not finite, not a matrix, another number of columns, or entries beyond 1e75.
    """
    checked = array(fn, name, X, ("n", columns))
    largest = np.abs(checked).max()
    if largest > _LARGEST_ENTRY:
        raise ValueError(
            f"{fn}: the entries of {name} must be at most {_LARGEST_ENTRY:g}, got {largest:.4g}"
        )
    return checked


def non_negative(fn: str, name: str, values: Any, shape: tuple[int | str, ...] = ("m",)) -> Floats:
    """Return an array of numbers >= 0 that are not all zero, such as lam.

    Raises
    ------
    TypeError
        Not real numbers.
    ValueError
        Another shape, values that are negative or not finite, or all zero.
    """
    plain = _check.plain(fn, name, values)
    if plain.dtype.kind not in "iuf":
        raise TypeError(f"{fn}: {name} must be real numbers, got dtype {plain.dtype}")
    checked = _check.array(fn, name, plain.astype(np.float64), dtype=np.float64, shape=shape)
    if (checked < 0).any():
        raise ValueError(f"{fn}: {name} must be >= 0, got {checked[checked < 0][0]}")
    if not checked.any():
        raise ValueError(f"{fn}: {name} must not be all zero")
    return checked


def width(fn: str, m: Any) -> float:
    """Return a number of nodes as a float: any integer >= 1, even one far beyond int64."""
    real = _check.number(fn, "m", m, low=1)
    if real != math.floor(real):
        raise ValueError(f"{fn}: m must be a whole number, got {m}")
    return real


def mirrored(K: Floats) -> Floats:
    """Return the lower triangle on both sides: a product K K' is symmetric only to rounding."""
    lower = np.tril(K)
    return np.asarray(lower + np.tril(K, -1).T)
