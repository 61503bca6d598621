"""What a training run records, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _check


@dataclass(frozen=True)
class Record:
    """Schedule and contents of a run's record. Immutable; checks itself.

    Parameters
    ----------
    every : int, optional
        Step 0 and every so many steps: of gradient descent, or of the integrator of a flow.
    times : sequence of float, optional
        Times >= 0, increasing. A flow lands on them exactly; gradient descent, whose time is
        lr * step, takes the nearest step, and ``run.time`` says which time that is.
    steps : sequence of int, optional
        Steps >= 0, increasing.
    ntg : bool
        Record the change |NTG_t - NTG_0|_F of the neural tangent Gram matrix.
    ntg_on : int or sequence of int, optional
        Samples the NTG is taken on: the first so many, or those of these indices. None: all. The
        cost of a record is O(n^2 m + n^3) in their number.
    eigmin : bool
        Record the smallest eigenvalue of the NTG.
    weights : bool
        Record the weights themselves; m d numbers a record.

    Raises
    ------
    TypeError, ValueError
        A field of the wrong kind or range, or more than one of `every`, `times` and `steps`.

    Notes
    -----
    The final step is always recorded. With none of `every`, `times` and `steps` there are about 50
    evenly spaced records including step 0.
    """

    every: int | None = None
    times: Sequence[float] | None = None
    steps: Sequence[int] | None = None
    ntg: bool = True
    ntg_on: int | Sequence[int] | None = None
    eigmin: bool = True
    weights: bool = False

    def __post_init__(self) -> None:
        given = [name for name in ("every", "times", "steps") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"Record: give one of every, times and steps, got {given}")
        if self.every is not None:
            self._set("every", _check.integer("Record", "every", self.every, low=1))
        if self.times is not None:
            self._set("times", _increasing("times", self.times, "iuf", float))
        if self.steps is not None:
            self._set("steps", _increasing("steps", self.steps, "iu", int))
        if self.ntg_on is not None:
            self._set("ntg_on", _samples(self.ntg_on))
        for name in ("ntg", "eigmin", "weights"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                value = getattr(self, name)
                raise TypeError(f"Record: {name} must be True or False, got {value!r}")
            self._set(name, bool(getattr(self, name)))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def samples(self, fn: str, n: int) -> NDArray[np.int64]:
        """Rows of X that the NTG is taken on, for a training set of n samples.

        Raises
        ------
        ValueError
            `ntg_on` reaches beyond n.
        """
        if self.ntg_on is None:
            return np.arange(n)
        rows = np.arange(self.ntg_on) if isinstance(self.ntg_on, int) else np.asarray(self.ntg_on)
        if rows.max() >= n:
            raise ValueError(
                f"{fn}: record.ntg_on must stay below n = {n}, got "
                f"{self.ntg_on if isinstance(self.ntg_on, int) else int(rows.max())}"
            )
        return rows.astype(np.int64)


def _increasing(
    name: str, values: Any, kinds: str, element: type[int] | type[float]
) -> tuple[Any, ...]:
    given = np.asarray(values)
    if given.dtype.kind not in kinds:
        raise TypeError(f"Record: {name} must be a sequence of {element.__name__}, got {values!r}")
    if given.ndim != 1 or given.size == 0:
        raise ValueError(f"Record: {name} must be a non-empty sequence, got shape {given.shape}")
    _check.finite("Record", name, given)
    if given.min() < 0:
        raise ValueError(f"Record: {name} must be >= 0, got {given.min()}")
    if (given[1:] <= given[:-1]).any():
        raise ValueError(f"Record: {name} must increase, got {given.tolist()}")
    return tuple(element(value) for value in given)


def _samples(ntg_on: Any) -> int | tuple[int, ...]:
    rows = np.asarray(ntg_on)
    if rows.dtype.kind not in "iu":
        raise TypeError(f"Record: ntg_on must be an integer or indices, got {ntg_on!r}")
    if rows.ndim == 0:
        return _check.integer("Record", "ntg_on", ntg_on, low=1)
    if rows.ndim != 1 or rows.size == 0:
        raise ValueError(f"Record: ntg_on must be a non-empty sequence, got shape {rows.shape}")
    if rows.min() < 0:
        raise ValueError(f"Record: ntg_on must be >= 0, got {rows.min()}")
    return tuple(int(row) for row in rows)
