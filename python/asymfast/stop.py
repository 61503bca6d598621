"""When a run is to end before its time."""

from __future__ import annotations

import math
from dataclasses import dataclass

from . import _check


@dataclass(frozen=True)
class Stop:
    """Early stopping: a run ends as soon as one of the conditions holds. Immutable; checks itself.

    Parameters
    ----------
    loss : float, optional
        The training loss of a record is at or below this; of an ensemble, that of every member.
    time : float, optional
        The time of a record is at or beyond this, > 0.
    wall_seconds : float, optional
        The call has lasted longer than this, > 0. Looked at about every 50 ms, not at records only;
        the run then ends with a record of where it stands. (Not for ensembles of a flow one of
        whose members is far behind the others: see docs/training.md.)

    Raises
    ------
    TypeError, ValueError
        A value of the wrong kind or range, or none of the three.

    Notes
    -----
    Loss and time are looked at when a record has been made, as is a callback's answer: with
    ``Record(every=1)`` after every step. A run that is stopped has ``run.stopped`` set and
    ``run.stopped_by`` says by what. With ``checkpoint=`` it can be gone on with: by the same call
    after `wall_seconds` or a callback, by one with a later `loss` or `time`, or with no `stop`.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=20, d=5, rng=0)
    >>> net = af.Network.init(d=5, m=200, gamma=1.0, rng=1)
    >>> run = af.gradient_descent(
    ...     net, X, y, steps=10_000, record=af.Record(every=10), stop=af.Stop(loss=1.0)
    ... )
    >>> run.stopped_by, bool(run.loss[-1] <= 1.0 < run.loss[-2])
    ('loss', True)
    """

    loss: float | None = None
    time: float | None = None
    wall_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.loss is None and self.time is None and self.wall_seconds is None:
            raise ValueError("Stop: give at least one of loss, time and wall_seconds, got none")
        for name, low in (("loss", -math.inf), ("time", 0.0), ("wall_seconds", 0.0)):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(
                    self, name, _check.number("Stop", name, value, low=low, low_open=True)
                )
