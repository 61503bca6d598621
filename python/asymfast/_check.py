"""Checks of arguments: who was called, what was expected, what came, in one sentence."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ._dlpack import as_numpy, is_foreign, is_on_cuda

LARGEST = 2**63 - 1  # that the compiled core can count to
FLOATS = (np.dtype(np.float64), np.dtype(np.float32))


def number(
    fn: str,
    name: str,
    value: Any,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    low_open: bool = False,
    high_open: bool = False,
) -> float:
    """Return a real number within an interval; infinite ends are always open.

    Raises
    ------
    TypeError
        Not a real number.
    ValueError
        NaN, or outside the interval.
    """
    if isinstance(value, (bool, np.bool_, str, bytes)):
        raise TypeError(f"{fn}: {name} must be a real number, got {value!r}")
    try:
        real = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{fn}: {name} must be a real number, got {value!r}") from None
    low_open, high_open = low_open or math.isinf(low), high_open or math.isinf(high)
    above = real > low if low_open else real >= low
    below = real < high if high_open else real <= high
    if not (above and below):
        interval = f"{'(' if low_open else '['}{low:g}, {high:g}{')' if high_open else ']'}"
        raise ValueError(f"{fn}: {name} must be in {interval}, got {value}")
    return real


def integer(
    fn: str, name: str, value: Any, *, low: int | None = None, high: int | None = None
) -> int:
    """Return an integer from `low` to `high`, or to `LARGEST`.

    Raises
    ------
    TypeError
        Not an integer.
    ValueError
        Below `low` or above `high`.
    """
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        whole = operator.index(value)
    except TypeError:
        raise TypeError(f"{fn}: {name} must be an integer, got {value!r}") from None
    if low is not None and whole < low:
        raise ValueError(f"{fn}: {name} must be at least {low}, got {whole}")
    high = LARGEST if high is None else high
    if whole > high:
        raise ValueError(f"{fn}: {name} must be at most {high}, got {whole}")
    return whole


def generator(fn: str, rng: Any) -> np.random.Generator:
    """Return a generator from what `numpy.random.default_rng` takes.

    Raises
    ------
    TypeError, ValueError
        It does not take that.
    """
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        kind = type(error)
        raise kind(f"{fn}: rng must be a seed >= 0 or a generator, got {rng!r}") from None


def choice(fn: str, name: str, value: Any, options: Iterable[str]) -> str:
    """Return one of the named options.

    Raises
    ------
    ValueError
        Not one of them.
    """
    known = tuple(options)
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{fn}: {name} must be one of {', '.join(known)}, got {value!r}")
    return value


def float_dtype(fn: str, dtype: DTypeLike) -> np.dtype[Any]:
    """Return float32 or float64, given by name or as NumPy takes them.

    Raises
    ------
    ValueError
        It is another type, or none.
    """
    try:
        name = np.dtype(dtype).name
    except (TypeError, ValueError):  # np.dtype(1e16) raises the latter
        name = str(dtype)
    return np.dtype(choice(fn, "dtype", name, ("float32", "float64")))


def array(
    fn: str,
    name: str,
    value: Any,
    *,
    dtype: DTypeLike | tuple[np.dtype[Any], ...] = FLOATS,
    shape: tuple[int | str, ...] | None = None,
) -> NDArray[Any]:
    """Return a finite, non-empty, C-contiguous array; the caller's own where it is one already.

    Parameters
    ----------
    fn, name : str
        The function called and the argument, for the message.
    value : array_like
        Lists become arrays by NumPy's rules; nothing is cast after that.
    dtype : dtype or tuple of dtypes
        What is accepted.
    shape : tuple of int and str
        Sizes that are fixed, and names of those that are free; None accepts any.

    Raises
    ------
    TypeError
        Another dtype, or a masked array.
    ValueError
        Another shape, no elements, or a value that is NaN or infinite.
    """
    given = plain(fn, name, value)
    accepted = dtype if isinstance(dtype, tuple) else (np.dtype(dtype),)
    if given.dtype not in accepted:
        names = " or ".join(dict.fromkeys(str(one) for one in accepted))
        raise TypeError(f"{fn}: {name}: expected dtype {names}, got {given.dtype}")
    if shape is not None:
        require_shape(fn, name, given.shape, shape)
    if given.size == 0:
        raise ValueError(f"{fn}: {name} must not be empty, got shape {given.shape}")
    finite(fn, name, given)
    # NumPy calls an array at an odd address contiguous; vector loads and C++ do not.
    return np.require(given, requirements=["C", "A"])


def plain(fn: str, name: str, value: Any) -> NDArray[Any]:
    """Return an array by NumPy's rules or by DLPack, without a copy where it is one already.

    Raises
    ------
    TypeError
        A masked array, or one that is not on the CPU.
    ValueError
        Nested lists of different lengths.
    """
    if isinstance(value, np.ma.MaskedArray):  # NumPy would drop the mask
        raise TypeError(f"{fn}: {name} must be a plain array, got a masked one")
    if is_on_cuda(value):
        raise TypeError(
            f"{fn}: {name} must be in the memory of the CPU, got an array on CUDA, "
            "which device='cuda' takes"
        )
    if is_foreign(value):
        return as_numpy(fn, name, value)
    try:
        return np.asarray(value)
    except ValueError:
        raise ValueError(f"{fn}: {name} must have rows of one length") from None


def require_shape(
    fn: str, name: str, came: tuple[int, ...], *expected: tuple[int | str, ...]
) -> None:
    """Raise ValueError unless the shape fits one of the expected ones (names fit any size)."""
    for shape in expected:
        if len(came) == len(shape) and all(
            isinstance(want, str) or want == have for want, have in zip(shape, came, strict=True)
        ):
            return
    texts = " or ".join(f"({', '.join(map(str, s))}{',' * (len(s) == 1)})" for s in expected)
    raise ValueError(f"{fn}: {name} must have shape {texts}, got {came}")


def reals(fn: str, name: str, values: Any, *, low: float = -math.inf) -> NDArray[np.float64]:
    """A finite float64 array of any shape, from real numbers of any type.

    Raises
    ------
    TypeError
        Not real numbers.
    ValueError
        Not finite, or below `low`.
    """
    given = plain(fn, name, values)
    if given.dtype.kind not in "iuf":
        raise TypeError(f"{fn}: {name} must be real numbers, got dtype {given.dtype}")
    finite(fn, name, given)
    checked = given.astype(np.float64)
    if checked.size and checked.min() < low:
        raise ValueError(f"{fn}: {name} must be at least {low:g}, got {checked.min():g}")
    return checked


def in_range(fn: str, values: NDArray[Any]) -> NDArray[Any]:
    """Return a result, all of whose values are finite.

    Raises
    ------
    OverflowError
        Finite arguments have led beyond the largest number of the dtype.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        total = values.sum()  # one pass; the values are looked at only if it is not finite
    if not np.isfinite(total) and not np.isfinite(values).all():
        raise OverflowError(
            f"{fn}: the result exceeds the range of {values.dtype}; scale inputs or weights down"
        )
    return values


def gram_in_range(fn: str, K: NDArray[Any]) -> NDArray[Any]:
    """`in_range` of positive semi-definite (..., n, n) matrices from a look at their diagonals.

    No element is larger than the largest of these, but by rounding.
    """
    largest = np.diagonal(K, axis1=-2, axis2=-1).max()
    return K if largest < np.finfo(K.dtype).max / 2 else in_range(fn, K)


def finite(fn: str, name: str, values: NDArray[Any]) -> None:
    """Raise ValueError if a value is NaN or infinite, saying where the first one stands."""
    bad = ~np.isfinite(values)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"{fn}: {name} must be finite, got {values[where]} at index {where}")
