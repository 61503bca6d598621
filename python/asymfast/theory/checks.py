"""What all statements share: the paper's symbols, checks by them, and the decorator `statement`."""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple, ParamSpec, TypeAlias, TypeVar

import numpy as np

import asymfast._check as _check
from asymfast.theory.activations import ACTIVATIONS, Floats

P = ParamSpec("P")
R = TypeVar("R")

# What NumPy takes for an array; inside a `statement`, the checked float64 array.
Array: TypeAlias = Any
# Numbers of rows and columns (n, d, m ...) of the arguments checked so far in a call.
Sizes: TypeAlias = dict[str, int]


class Domain(NamedTuple):
    """What an argument may be: in words for a docstring, and as check(fn, name, value, sizes)."""

    text: str
    check: Callable[[str, str, Any, Sizes], Any]


# Above this the product of two squared lengths could overflow.
_LARGEST_ENTRY = 1e75


def _plain(text: str, check: _check.Check) -> Domain:
    """A domain whose check needs no sizes."""
    return Domain(text, lambda fn, name, value, sizes: check(fn, name, value))


def number(interval: str) -> Domain:
    """A real number in an interval, written as ``"(0, 1]"``."""
    return _plain(f"float in {interval}", functools.partial(_check.number, interval=interval))


def count(low: int = 1, high: int | None = None) -> Domain:
    """An integer from `low` to `high`."""

    def check(fn: str, name: str, value: Any, sizes: Sizes) -> int:
        sizes[name] = _check.integer(fn, name, value, low=low, high=high)
        return sizes[name]

    return Domain(f"int, at least {low}", check)


def nodes(high: float = math.inf) -> Domain:
    """A number of nodes as a float: any integer >= 1, even one far beyond int64."""

    def check(fn: str, name: str, value: Any) -> float:
        m = _check.number(fn, name, value, f"[1, {high:g}]" if high < math.inf else "[1, inf)")
        if m != math.floor(m):
            raise ValueError(f"{fn}: {name} must be a whole number, got {value}")
        return m

    return _plain("int or float", check)


def reals(low: float = -math.inf) -> Domain:
    """An array of any shape, of real numbers of any type."""
    return _plain("array_like", functools.partial(_check.reals, low=low))


def array(*shape: str) -> Domain:
    """A finite array of that shape; the same letter is the same number in all arguments."""

    def check(fn: str, name: str, values: Any, sizes: Sizes) -> Floats:
        expected = tuple(sizes.get(size, size) for size in shape)
        found = _check.array(fn, name, values, dtype=np.float64, shape=expected)
        sizes.update(zip(shape, found.shape, strict=True))
        return found

    return Domain(f"({', '.join(shape)}{',' * (len(shape) == 1)}) array_like", check)


def scalings(size: str = "m", *, may_be_zero: bool = False) -> Domain:
    """An array of numbers >= 0 of any real type, such as lam; not all zero."""
    domain = array(size)

    def check(fn: str, name: str, values: Any, sizes: Sizes) -> Floats:
        found: Floats = domain.check(fn, name, _check.reals(fn, name, values), sizes)
        if (found < 0).any():
            raise ValueError(f"{fn}: {name} must be >= 0, got {found[found < 0][0]}")
        if not (may_be_zero or found.any()):
            raise ValueError(f"{fn}: {name} must not be all zero")
        return found

    return Domain(domain.text, check)


def optional(domain: Domain) -> Domain:
    """None, or an element of the domain."""

    def check(fn: str, name: str, value: Any, sizes: Sizes) -> Any:
        return None if value is None else domain.check(fn, name, value, sizes)

    return Domain(f"{domain.text}, optional", check)


def _samples(fn: str, name: str, values: Any, sizes: Sizes) -> Floats:
    X: Floats = array("n", "d").check(fn, name, values, sizes)
    largest = np.abs(X).max()
    if largest > _LARGEST_ENTRY:  # fourth powers would overflow
        raise ValueError(
            f"{fn}: the entries of {name} must be at most {_LARGEST_ENTRY:g}, got {largest:.4g}"
        )
    return X


def _smooth(fn: str, name: str, value: Any) -> str:
    if value == "relu":
        raise ValueError(f"{fn}: {name} must have a second derivative, got 'relu'")
    return _check.choice(fn, name, value, ACTIVATIONS)


ANY = _plain("any", lambda fn, name, value: value)
FLAG = _plain("bool", _check.flag)
SAMPLES = Domain("(n, d) array_like, float64 or float32", _samples)
ACTIVATION = _plain("str", _check.one_of(*ACTIVATIONS))
SMOOTH = _plain("str, not relu", _smooth)
POSITIVE = number("(0, inf)")
NOT_NEGATIVE = number("[0, inf)")

# The paper's symbols: what they may be, and what they are.
SYMBOLS: dict[str, tuple[Domain, str]] = {
    "n": (count(), "Number of samples."),
    "d": (count(), "Number of inputs."),
    "kappa": (POSITIVE, "kappa_n, see `kappa_n`; the theorems do not cover 0."),
    "gamma": (number("[0, 1]"), "Weight of the symmetric part of the node scaling, Eq. (1)."),
    "delta": (number("(0, 1)"), "Probability of failure."),
    "M": (NOT_NEGATIVE, "sup |sigma''|, see `suprema`."),
    "C": (NOT_NEGATIVE, "Bound of the |y_i|, see `target_bound`."),
    "C_1": (POSITIVE, "Eq. (8), see `c_1`."),
    "L": (POSITIVE, "sup |sigma'|, see `suprema`; 1 gives the paper's statement."),
    "eta": (POSITIVE, "Learning rate on L_m, half the sum of squares."),
    "residual": (NOT_NEGATIVE, "|y - u|, the norm of targets minus outputs."),
    "X": (SAMPLES, "Inputs, one sample a row."),
    "X_eval": (optional(array("q", "d")), "The inputs x_k and x_l; default X."),
    "y": (array("n"), "Targets."),
    "W": (array("m", "d"), "Input weights."),
    "a": (array("m"), "Output weights."),
    "lam": (scalings(), "Node scalings, >= 0 and not all zero."),
    "lam1": (scalings(may_be_zero=True), "First part of lam, see `node_scaling_parts`."),
    "lam2": (scalings(may_be_zero=True), "Second part of lam."),
    "c": (scalings(), "The constants c_j >= 0 of the statement."),
    "alpha": (optional(POSITIVE), "Zipf weights of Eq. (35); not needed where gamma is 1."),
    "weights": (
        optional(scalings("K")),
        "Instead of alpha: t_1, ..., t_K >= 0 up to a factor; all further t_j are 0.",
    ),
    "activation": (ACTIVATION, "As in `asymfast.Network`."),
    "tol": (POSITIVE, "Accuracy required; a ValueError says where it cannot be met."),
    "return_error": (
        FLAG,
        "Return the error as well, and do not raise an error where it exceeds `tol`.",
    ),
    "draws": (count(2), "Number of networks."),
    "rng": (
        _plain("seed or Generator", lambda fn, name, value: _check.generator(fn, value)),
        "Anything `numpy.random.default_rng` accepts.",
    ),
}

_SECTIONS = ("Parameters", "Returns", "Raises", "Notes", "Examples")
_RAISES = """TypeError, ValueError
    An argument of the wrong type or shape, or out of range.
OverflowError
    A number exceeds the range of float64.
"""
# As the attributes' descriptions say: the logarithm of 0, and sup |sigma''| of relu.
_MAY_BE_INFINITE = frozenset({"log_rate", "M"})
_called: ContextVar[str] = ContextVar("_called", default="")  # the outermost statement


def statement(**domains: Domain) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function of the paper: check its arguments and its result.

    Every argument that has a domain, in `domains` or `SYMBOLS`, is replaced by its checked value,
    in the order of the signature. A docstring with sections needs to say only what is special;
    the rest of "Parameters", "Returns" and "Raises" is added.

    The function raises OverflowError instead of returning infinity. An overflow in an intermediate
    result counts too: 1 / inf would be a finite number, and a wrong one. So does a division by
    something that has underflowed to 0. Other underflow is rounding. The caller's `numpy.seterr`
    makes no difference.

    Every message begins with the name of the statement that the user has called, also where the
    error is raised by another statement inside it. Statements raise errors without a name.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)
        known = {name: domain for name, (domain, _) in SYMBOLS.items()} | domains
        table = {name: known[name] for name in signature.parameters if name in known}

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            fn = _called.get() or function.__name__
            token = _called.set(fn)
            try:
                call = signature.bind(*args, **kwargs)
                call.apply_defaults()
                sizes: Sizes = {}
                with np.errstate(over="raise", divide="raise", under="ignore", invalid="ignore"):
                    for name, domain in table.items():
                        call.arguments[name] = domain.check(fn, name, call.arguments[name], sizes)
                    result = function(*call.args, **call.kwargs)
                if all(np.isfinite(values).all() for values in _numbers(result)):
                    return result
                raise OverflowError
            except (OverflowError, FloatingPointError, ZeroDivisionError) as error:
                if str(error).startswith(f"{fn}: "):
                    raise
                raise OverflowError(
                    f"{fn}: for such arguments a number exceeds the largest float"
                ) from None
            except (TypeError, ValueError) as error:
                if str(error).startswith(f"{fn}: "):
                    raise
                if not kwargs.keys() <= signature.parameters.keys():
                    raise _check.unknown_keyword(fn, kwargs, signature.parameters) from None
                every = signature.parameters.values()
                named = ", ".join(f"{one.name}=" for one in every if one.kind is one.KEYWORD_ONLY)
                too_many = named and "too many positional" in str(error)
                remedy = f"; pass by name: {named}" if too_many else ""
                raise type(error)(f"{fn}: {error}{remedy}") from None
            finally:
                _called.reset(token)

        checked.__doc__ = _completed(function.__doc__, signature, table)
        return checked

    return decorate


def _completed(
    doc: str | None, signature: inspect.Signature, table: dict[str, Domain]
) -> str | None:
    """A docstring with what it leaves to `SYMBOLS`; one line is left alone."""
    parts = re.split(rf"^({'|'.join(_SECTIONS)})\n-+\n", inspect.cleandoc(doc or ""), flags=re.M)
    if len(parts) == 1:
        return doc
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    own = re.split(r"^(?=\w)", sections.get("Parameters", "").strip(), flags=re.M)
    named = {name for entry in own for name in re.split(r" : |, ", entry.partition("\n")[0])}
    entries = [f"{entry.strip()}\n" for entry in own if entry]
    entries += [
        f"{name} : {table[name].text}\n    {SYMBOLS[name][1]}\n"
        for name in signature.parameters
        if name in SYMBOLS and name not in named
    ]
    order = list(signature.parameters)
    entries.sort(key=lambda entry: order.index(re.split(r"\W", entry)[0]))
    sections["Parameters"] = "".join(entries) + "\n"
    sections.setdefault("Returns", f"{signature.return_annotation}\n\n")
    sections.setdefault("Raises", f"{_RAISES}\n")
    return parts[0] + "".join(
        f"{name}\n{'-' * len(name)}\n{sections[name]}" for name in _SECTIONS if name in sections
    )


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


def mirrored(K: Floats) -> Floats:
    """Return the lower triangle on both sides: a product K K' is symmetric only to rounding."""
    lower = np.tril(K)
    return np.asarray(lower + np.tril(K, -1).T)
