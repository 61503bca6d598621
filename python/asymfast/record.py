"""What a training run records, and when it ends early."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _check, _storage
from .network import Network

NTG_SAMPLES = 500  # that the NTG is measured on unless Record(ntg_on=...) says otherwise


class Column(NamedTuple):
    """One recorded quantity: a row of the table `COLUMNS`, which mirrors the core's.

    `name` is that of the attribute of `Run`; `axes` are those beyond the records: member, node,
    input, output, sample, sample2, rank; `dtype` is "float64", "int64", or "network", that of the
    weights; `field` of `Record` asks for it, None: it is always recorded; `needs` is "NTG", "test
    data", "train_output" or None. Where `finite`, a number that is not finite means that it left
    the range of float64. Where `of_steps`, members that take the same steps share one row.
    """

    name: str
    axes: tuple[str, ...] = ("member",)
    dtype: str = "float64"
    field: str | None = None
    needs: str | None = None
    finite: bool = False
    of_steps: bool = False

    def numpy_dtype(self, network: np.dtype[Any]) -> np.dtype[Any]:
        """The dtype of its numbers, given that of the weights."""
        return network if self.dtype == "network" else np.dtype(self.dtype)


def lengths(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Norms along the last axis, also where squares leave the range of float64."""
    _, exponent = np.frexp(np.abs(rows).max(axis=-1, keepdims=True))
    scaled = np.linalg.norm(np.ldexp(rows, -exponent), axis=-1)
    return np.asarray(np.ldexp(scaled, exponent[..., 0]))


COLUMNS = {
    column.name: column
    for column in (
        Column("steps", dtype="int64", of_steps=True),
        Column("time", (), finite=True),
        Column("evaluations", dtype="int64", of_steps=True),
        Column("loss"),
        Column("test_loss", needs="test data", finite=True),
        Column("accuracy", field="accuracy"),
        Column("test_accuracy", field="accuracy", needs="test data"),
        Column("weight_change", ("member", "node"), finite=True),
        Column("top_nodes", ("member", "rank"), "int64", "top_nodes"),
        Column("ntg_change", field="ntg", needs="NTG", finite=True),
        Column("ntg_change_2norm", field="ntg_change_2norm", needs="NTG", finite=True),
        Column("ntg_eigmin", field="eigmin", needs="NTG", finite=True),
        Column("ntg_eigmax", field="eigmax", needs="NTG", finite=True),
        Column("alignment", field="alignment", needs="NTG"),  # 0 / 0 where the NTG is 0
        Column("effective_rank", field="effective_rank", needs="NTG"),  # likewise
        Column("ntg_matrix", ("member", "sample", "sample2"), "float64", "ntg_matrix", "NTG", True),
        Column("weights", ("member", "node", "input"), "network", "weights"),
        Column(
            "output_weights", ("member", "node", "output"), "network", "weights", "train_output"
        ),
    )
}


@_check.guarded
@dataclass(frozen=True)
class Record:
    """Schedule and contents of a run's record. Immutable; checks itself.

    The final step is always recorded. With none of `every`, `times`, `steps` and `log` there
    are about 50 evenly spaced records including step 0; in `sgd` at ends of epochs.

    Parameters
    ----------
    every : int, optional
        Step 0 and every N-th step of gradient descent, or of the integrator of a flow.
    times : sequence of float, optional
        Times >= 0, increasing. A flow lands on them exactly; gradient descent, whose time is
        lr * step, takes the nearest step, and ``run.time`` says which time that is.
    steps : sequence of int, optional
        Steps >= 0, increasing.
    log : int, optional
        About this many records with logarithmic spacing besides step 0: steps from 1 to the last
        one, or times from t_end / 10^6 to t_end in a flow that chooses its steps.
    ntg : bool
        Record the change |NTG_t - NTG_0|_F of the neural tangent Gram matrix.
    ntg_on : int, sequence of int or "all", optional
        Samples on which the NTG is measured: the first N, those with the given indices, or all of
        them. Default: all, but at most the first 500, because a record costs O(q^2 m + q^3) for q
        samples; ``run.config["record"]["ntg_on"]`` says which.
    eigmin : bool
        Record the smallest eigenvalue of the NTG.
    weights : bool
        Record the weights themselves, m d numbers a record, and the output weights, as
        ``run.output_weights``, if `sgd` trains them (``train_output``).
    accuracy : bool, optional
        Record the share of samples whose largest output belongs to the largest target, on training
        and test data (the first of equals counts). Needs k >= 2 outputs. Default: only with
        cross_entropy.
    eigmax : bool
        Record the largest eigenvalue of the NTG, as ``run.ntg_eigmax``.
    ntg_change_2norm : bool
        Record the change |NTG_t - NTG_0|_2 in the spectral norm, that of Theorem 4.1 (d).
    alignment : bool
        Record the kernel-target alignment <K, Y Y^T>_F / (|K|_F |Y Y^T|_F) of K = NTG_t, with the
        targets Y (q, k) of the samples `ntg_on` (Cristianini et al., 2001; not centred). NaN where
        K or Y is zero.
    effective_rank : bool
        Record tr K / eig_max(K) of K = NTG_t, from 1 to q (the intrinsic dimension). NaN where K
        is zero.
    ntg_matrix : bool
        Record the NTG itself, q^2 numbers a record.
    top_nodes : int
        Record the indices of the nodes that moved the most, the farthest first; 0: none.
    folder : path-like, optional
        A new folder to which the record is appended during the run: one .npy file per column, from
        which the run's columns are memory-mapped. At most about 16 MB of the record are then held
        in memory, however long the run.

    Raises
    ------
    TypeError, ValueError
        A field of the wrong type or range, or more than one of `every`, `times`, `steps` and `log`.

    Examples
    --------
    >>> import asymfast as af
    >>> af.Record(every=100, top_nodes=3).every
    100
    >>> af.Record(every=100, log=20)
    Traceback (most recent call last):
        ...
    ValueError: Record: give one of every, times, steps and log, got ['every', 'log']
    """

    every: int | None = None
    times: Sequence[float] | None = None
    steps: Sequence[int] | None = None
    ntg: bool = True
    ntg_on: int | Sequence[int] | str | None = None
    eigmin: bool = True
    weights: bool = False
    log: int | None = None
    accuracy: bool | None = None
    eigmax: bool = False
    ntg_change_2norm: bool = False
    alignment: bool = False
    effective_rank: bool = False
    ntg_matrix: bool = False
    top_nodes: int = 0
    folder: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        schedules = ("every", "times", "steps", "log")
        given = [name for name in schedules if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"Record: give one of every, times, steps and log, got {given}")
        flags = {one.name: _check.flag for one in fields(self) if "bool" in str(one.type)}
        _check.fields(
            self,
            every=_check.COUNT,
            times=partial(_increasing, kinds="iuf", element=float),
            steps=partial(_increasing, kinds="iu", element=int),
            log=_check.COUNT,
            ntg_on=_samples,
            top_nodes=_check.NATURAL,
            folder=lambda *named: str(_storage.path(*named)),
            **flags,
        )

    def wants_accuracy(self, fn: str, loss: str, k: int) -> bool:
        """Whether the accuracy is recorded, for a network of k outputs."""
        if self.accuracy and k < 2:
            raise ValueError(f"{fn}: record.accuracy needs a network with k >= 2 outputs, got {k}")
        return loss == "cross_entropy" if self.accuracy is None else self.accuracy

    def samples(self, fn: str, n: int) -> NDArray[np.int64]:
        """Rows of X on which the NTG is measured, for a training set of n samples."""
        if self.ntg_on is None or isinstance(self.ntg_on, str):
            return np.arange(n if self.ntg_on else min(n, NTG_SAMPLES))
        rows = np.arange(self.ntg_on) if isinstance(self.ntg_on, int) else np.asarray(self.ntg_on)
        if rows.max() >= n:
            raise ValueError(
                f"{fn}: record.ntg_on must be at most n = {n}, got {self.ntg_on}"
                if isinstance(self.ntg_on, int)
                else f"{fn}: record.ntg_on must stay below n = {n}, got {int(rows.max())}"
            )
        return rows.astype(np.int64)


def _increasing(
    fn: str, name: str, values: Any, *, kinds: str, element: type[int] | type[float]
) -> tuple[Any, ...]:
    given = _check.as_array(fn, name, values)
    if given.dtype.kind not in kinds:
        raise TypeError(
            f"{fn}: {name} must be a sequence of {element.__name__}, got {_check.brief(values)}"
        )
    if given.ndim != 1 or given.size == 0:
        raise ValueError(f"{fn}: {name} must be a non-empty sequence, got shape {given.shape}")
    _check.finite(fn, name, given)
    if given.min() < 0:
        raise ValueError(f"{fn}: {name} must be >= 0, got {given.min()}")
    if (given[1:] <= given[:-1]).any():
        i = int(np.argmax(given[1:] <= given[:-1]))
        raise ValueError(
            f"{fn}: {name} must increase, got {given[i + 1]} after {given[i]}; "
            f"pass np.unique({name})"
        )
    return tuple(element(value) for value in given)


def _samples(fn: str, name: str, ntg_on: Any) -> str | int | tuple[int, ...]:
    if isinstance(ntg_on, str):
        return _check.choice(fn, name, ntg_on, ("all",))
    rows = _check.as_array(fn, name, ntg_on)
    if rows.dtype.kind not in "iu":
        raise TypeError(f"{fn}: {name} must be an integer or indices, got {_check.brief(ntg_on)}")
    if rows.ndim == 0:
        return _check.integer(fn, name, ntg_on, low=1)
    if rows.ndim != 1 or rows.size == 0:
        raise ValueError(f"{fn}: {name} must be a non-empty sequence, got shape {rows.shape}")
    if rows.min() < 0:
        raise ValueError(f"{fn}: {name} must be >= 0, got {rows.min()}")
    return tuple(int(row) for row in rows)


@_check.guarded
@dataclass(frozen=True)
class Stop:
    """Early stopping: a run ends as soon as one of the conditions holds. Immutable; checks itself.

    Parameters
    ----------
    loss : float, optional
        Stop at a record whose training loss (for an ensemble: of every member) is at or below this.
    time : float, optional
        Stop at a record whose time is at or beyond this, > 0.
    wall_seconds : float, optional
        Stop when the call has lasted longer than this, > 0. Checked about every 50 ms, not only at
        records; the run then ends with a record of its current state. (In flows of ensembles a
        member that is far behind the others may delay this: see docs/training.md.)
    patience : int, optional
        Stop at a record when the loss has not fallen for this many records; on test data where they
        are given, and for an ensemble in every member. Whatever ends the run, ``run.network`` then
        has the weights of the record with the lowest loss, of each member its own:
        ``run.config["best_record"]`` is its index.
    min_delta : float
        With `patience`: only a fall by more than this counts.

    Raises
    ------
    TypeError, ValueError
        A value of the wrong type or range, or no condition.

    Notes
    -----
    Loss, time and patience, like a callback's answer, are checked at records: with
    ``Record(every=1)`` after every step. A stopped run has ``run.stopped`` set, and
    ``run.stopped_by`` names the condition. With ``checkpoint=`` it can be resumed: by the same call
    after `wall_seconds` or a callback, by a call with a lower `loss` or a later `time`, or by one
    without `stop`.

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
    patience: int | None = None
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        conditions = ("loss", "time", "wall_seconds", "patience")
        if all(getattr(self, name) is None for name in conditions):
            raise ValueError(
                "Stop: give at least one of loss, time, wall_seconds and patience, got none"
            )
        _check.fields(
            self,
            loss=_check.number,
            time=_check.POSITIVE,
            wall_seconds=_check.POSITIVE,
            patience=_check.COUNT,
            min_delta=_check.NON_NEGATIVE,
        )
        if self.min_delta and self.patience is None:
            raise ValueError(f"Stop: min_delta needs patience, got {self.min_delta!r} alone")


@dataclass(frozen=True)
class Snapshot:
    """What a callback sees of a record.

    Attributes
    ----------
    step : int
    time : float
    loss, test_loss : float, or (B,) array of an ensemble
        test_loss is None without test data.
    network : Network
        With the weights of this record; made when it is asked for.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=20, d=5, rng=0)
    >>> net = af.Network.init(d=5, m=200, gamma=1.0, rng=1)
    >>> going_on = lambda snapshot: snapshot.loss > 1.0  # False ends the run
    >>> run = af.gradient_descent(net, X, y, steps=10_000, callback=going_on)
    >>> run.stopped_by
    'callback'
    """

    step: int
    time: float
    loss: Any
    test_loss: Any
    _network: Callable[[], Network] = field(repr=False)
    _samples: Callable[[], NDArray[Any]] = field(repr=False)

    @property
    def network(self) -> Network:
        """The network at this record; with ``comm=`` this rank's nodes."""
        return self._network()

    def ntg(self, output: int | tuple[int, int] = 0) -> NDArray[Any]:
        """Neural tangent Gram matrix on the samples of ``Record(ntg_on=...)``: `Network.ntg`."""
        return self.network.ntg(self._samples(), output=output)
