"""From a Record to the schedule that the core follows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .record import Record

RECORDS = 50  # of a run whose schedule is not given
LOG_DECADES = 6  # of a flow's logarithmic schedule


def schedule(
    every: int = 0, steps: list[int] | None = None, times: list[float] | None = None
) -> dict[str, Any]:
    """The core's three arguments."""
    return {"record_every": every, "record_steps": steps or [], "record_times": times or []}


def of_steps(
    fn: str,
    record: Record,
    last: int,
    end: str,
    step_at: Callable[[float], float] | None = None,
    every: int | None = None,
) -> dict[str, Any]:
    """Schedule of a run of `last` steps.

    Parameters
    ----------
    fn, record
        The training function and what its user asked for; `times` need `step_at`.
    last : int
        The last step.
    end : str
        What the last step is called, for messages.
    step_at : callable, optional
        The step at a time, not rounded; it may be beyond the last one, and infinite.
    every : int, optional
        The default.

    Raises
    ------
    ValueError
        Something lies beyond the end.
    """
    if record.times is not None and step_at is not None:
        nearest = [round(min(step_at(time), last + 1)) for time in record.times]
        if nearest[-1] > last:
            raise ValueError(f"{fn}: record.times must end by {end}, got {record.times[-1]:g}")
        return schedule(steps=sorted(set(nearest)))
    if record.steps is not None:
        if record.steps[-1] > last:
            raise ValueError(f"{fn}: record.steps must end by {end}, got {record.steps[-1]}")
        return schedule(steps=list(record.steps))
    if record.log is not None:
        spaced = np.rint(np.geomspace(1, last, record.log)).astype(int)
        return schedule(steps=sorted({0, *spaced.tolist()}))
    return schedule(every=record.every or every or math.ceil(last / RECORDS))


def log_times(record: Record, t_end: float) -> list[float]:
    """Times of a logarithmic schedule, 0 and t_end among them."""
    assert record.log is not None
    spaced = np.geomspace(t_end / 10.0**LOG_DECADES, t_end, record.log)
    return [0.0, *(float(t) for t in spaced[:-1]), t_end]
