"""What all statements share: checks of their arguments, by the paper's symbols, and of results."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any, ParamSpec, TypeAlias, TypeVar

import numpy as np

import asymfast._check as _check
from asymfast.theory.activations import ACTIVATIONS, Floats

P = ParamSpec("P")
R = TypeVar("R")

# What NumPy takes for an array; inside a `statement`, the checked float64 array.
Array: TypeAlias = Any
# Of the arrays checked so far in a call: their numbers of rows and columns, n, d, m ...
Sizes: TypeAlias = dict[str, int]
# Returns a checked argument, from the names of function and argument, its value, and the sizes.
Domain: TypeAlias = Callable[[str, str, Any, Sizes], Any]

# Above this the product of two squared lengths could overflow.
_LARGEST_ENTRY = 1e75

# As the attributes' descriptions say: the logarithm of 0, and sup |sigma''| of relu.
_MAY_BE_INFINITE = frozenset({"log_rate", "M"})

_RAISES = """Raises
------
TypeError, ValueError
    An argument of the wrong type or shape, or out of range.
OverflowError
    A number exceeds the range of float64.

"""


def statement(**domains: Domain | None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function of the paper: check its arguments and its result.

    Every argument that has a domain, in `domains` or `SYMBOLS`, is replaced by its checked value,
    in the order of the signature; the domain None leaves it as it is. The section "Raises" is added
    to a docstring without one.

    The function raises OverflowError, with its name, instead of returning infinity. An overflow in
    an intermediate result counts too: 1 / inf would be a finite number, and a wrong one. So does a
    division by something that has underflowed to 0. Other underflow is rounding. The caller's own
    `numpy.seterr` makes no difference.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        fn = function.__name__
        signature = inspect.signature(function)
        known = {**SYMBOLS, **domains}
        table = [(name, known.get(name)) for name in signature.parameters]

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                call = signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{fn}: {error}") from None
            call.apply_defaults()
            sizes: Sizes = {}
            try:
                with np.errstate(over="raise", divide="raise", under="ignore", invalid="ignore"):
                    for name, domain in table:
                        if domain is not None:
                            call.arguments[name] = domain(fn, name, call.arguments[name], sizes)
                    result = function(*call.args, **call.kwargs)
                if all(np.isfinite(values).all() for values in _numbers(result)):
                    return result
            except (OverflowError, FloatingPointError, ZeroDivisionError) as error:
                if ": " in str(error):  # raised by us, with a better explanation
                    raise
            raise OverflowError(f"{fn}: for such arguments a number exceeds the largest float")

        if checked.__doc__ and "Raises\n" not in checked.__doc__:
            text = inspect.cleandoc(checked.__doc__)
            checked.__doc__ = text.replace("Notes\n-----\n", _RAISES + "Notes\n-----\n")
        return checked

    return decorate


def _numbers(result: Any) -> Iterator[Any]:
    """The numbers in a result, one level deep: nested results have checked their own."""
    if is_dataclass(result):
        names = (each.name for each in fields(result))
        result = [getattr(result, name) for name in names if name not in _MAY_BE_INFINITE]
    for value in result if isinstance(result, (tuple, list)) else [result]:
        if isinstance(value, (float, np.ndarray)):
            yield value
        elif isinstance(value, tuple) and not hasattr(value, "_fields"):
            yield from _numbers(value)


def number(interval: str) -> Domain:
    """A real number in an interval, written as ``"(0, 1]"``."""
    low, high = map(float, interval[1:-1].split(","))
    check = functools.partial(
        _check.number,
        low=low,
        high=high,
        low_open=interval[0] == "(",
        high_open=interval[-1] == ")",
    )
    return lambda fn, name, value, sizes: check(fn, name, value)


def count(low: int = 1, high: int | None = None) -> Domain:
    """An integer from `low` to `high`."""

    def check(fn: str, name: str, value: Any, sizes: Sizes) -> int:
        sizes[name] = _check.integer(fn, name, value, low=low, high=high)
        return sizes[name]

    return check


def nodes(high: float = math.inf) -> Domain:
    """A number of nodes as a float: any integer >= 1, even one far beyond int64."""

    def check(fn: str, name: str, m: Any, sizes: Sizes) -> float:
        real = _check.number(fn, name, m, low=1, high=high)
        if real != math.floor(real):
            raise ValueError(f"{fn}: {name} must be a whole number, got {m}")
        return real

    return check


def flag(fn: str, name: str, value: Any, sizes: Sizes) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{fn}: {name} must be True or False, got {value!r}")
    return bool(value)


def activation(fn: str, name: str, value: Any, sizes: Sizes) -> str:
    """The name of an activation."""
    return _check.choice(fn, name, value, ACTIVATIONS)


def smooth(fn: str, name: str, value: Any, sizes: Sizes) -> str:
    """The name of an activation that has a second derivative."""
    if activation(fn, name, value, sizes) == "relu":
        raise ValueError(f"{fn}: {name} must have a second derivative, got 'relu'")
    return str(value)


def generator(fn: str, name: str, value: Any, sizes: Sizes) -> np.random.Generator:
    """Anything `numpy.random.default_rng` accepts."""
    return _check.generator(fn, value)


def reals(low: float = -math.inf) -> Domain:
    """An array of any shape, of real numbers of any type."""
    return lambda fn, name, values, sizes: _check.reals(fn, name, values, low=low)


def optional(domain: Domain) -> Domain:
    """None, or an element of the domain."""
    return lambda fn, name, value, sizes: None if value is None else domain(fn, name, value, sizes)


def array(*shape: str) -> Domain:
    """A finite array of that shape; equal names of an argument's sizes must be equal numbers."""

    def check(fn: str, name: str, values: Any, sizes: Sizes) -> Floats:
        expected = tuple(sizes.get(size, size) for size in shape)
        found = _check.array(fn, name, values, dtype=np.float64, shape=expected)
        sizes.update(zip(shape, found.shape, strict=True))
        return found

    return check


def samples(fn: str, name: str, values: Any, sizes: Sizes) -> Floats:
    """Inputs (n, d), one sample a row, with entries whose fourth powers do not overflow."""
    X: Floats = array("n", "d")(fn, name, values, sizes)
    largest = np.abs(X).max()
    if largest > _LARGEST_ENTRY:
        raise ValueError(
            f"{fn}: the entries of {name} must be at most {_LARGEST_ENTRY:g}, got {largest:.4g}"
        )
    return X


def scalings(size: str = "m", *, may_be_zero: bool = False) -> Domain:
    """An array of numbers >= 0 of any real type, such as lam; not all zero."""

    def check(fn: str, name: str, values: Any, sizes: Sizes) -> Floats:
        plain = _check.plain(fn, name, values)
        if plain.dtype.kind not in "iuf":
            raise TypeError(f"{fn}: {name} must be real numbers, got dtype {plain.dtype}")
        found: Floats = array(size)(fn, name, plain.astype(np.float64), sizes)
        if (found < 0).any():
            raise ValueError(f"{fn}: {name} must be >= 0, got {found[found < 0][0]}")
        if not (may_be_zero or found.any()):
            raise ValueError(f"{fn}: {name} must not be all zero")
        return found

    return check


# The paper's symbols.
SYMBOLS: dict[str, Domain] = {
    **dict.fromkeys(("n", "d"), count()),
    **dict.fromkeys(("kappa", "zeta", "eta", "L", "C_1", "tol"), number("(0, inf)")),
    **dict.fromkeys(("C", "M", "residual"), number("[0, inf)")),
    "gamma": number("[0, 1]"),
    "delta": number("(0, 1)"),
    "eigmin": number("(-inf, inf)"),
    "activation": activation,
    "X": samples,
    "X_eval": optional(array("q", "d")),
    "y": array("n"),
    "W": array("m", "d"),
    "a": array("m"),
    "lam": scalings(),
    "c": scalings(),
    "draws": count(2),
    "rng": generator,
}


def mirrored(K: Floats) -> Floats:
    """Return the lower triangle on both sides: a product K K' is symmetric only to rounding."""
    lower = np.tril(K)
    return np.asarray(lower + np.tril(K, -1).T)
