"""Numbers that leave the range of float64 are refused by name, whichever formula they came from."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any, ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
R = TypeVar("R")

# As the attributes' descriptions say: the logarithm of 0, and sup |sigma''| of relu.
_MAY_BE_INFINITE = frozenset({"log_rate", "M"})


def within_range(function: Callable[P, R]) -> Callable[P, R]:
    """Have a function raise OverflowError, with its name, where its result would not be finite.

    An overflow on the way counts, too: 1 / inf would be a finite number, and a wrong one. So does a
    division by what has underflowed to 0. Underflow elsewhere is rounding.
    """

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with np.errstate(over="raise", divide="raise", invalid="ignore"):
                result = function(*args, **kwargs)
        except (OverflowError, FloatingPointError, ZeroDivisionError) as error:
            if ": " in str(error):  # one of ours, which knows more
                raise
            raise OverflowError(_message(function)) from None
        if not all(np.isfinite(values).all() for values in _numbers(result)):
            raise OverflowError(_message(function))
        return result

    return checked


def _message(function: Callable[..., Any]) -> str:
    return f"{function.__name__}: numbers of these sizes exceed the range of float64"


def _numbers(result: Any) -> Iterator[Any]:
    """The numbers of a result, one level deep: attributes that hold statements check their own."""
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
