"""What all training functions share: checks, the schedule, the call into the core, progress."""

from __future__ import annotations

import base64
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict
from functools import partial
from os import PathLike
from typing import Any, Literal, NamedTuple, TypedDict, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check, _core
from ._check import inputs, is_on_cuda, targets
from ._device import backend_name, thread_count, to_host
from ._optional import require
from ._storage import Checkpoint, CheckpointError, RecordFolder, identity_of
from .mpi import NetworkPart, is_alone, part_of, require_agreement, summing
from .network import Network
from .record import COLUMNS, Record, Snapshot, Stop
from .run import DivergenceError, Run

_DATA = ("X", "y", "X_test", "y_test")
Array = NDArray[Any]
Call = Callable[..., dict[str, Any]]
Columns = dict[str, tuple[np.dtype[Any], tuple[int, ...]]]


class _Result(NamedTuple):
    """How a run of the core ended, and what is left in memory of its record."""

    status: str
    stopped_by: str
    rows: dict[str, Array]  # by column, flat
    W: Array
    a: Array
    diverged: list[bool]
    diverged_step: int
    last_loss: float
    step_bound: float
    methods: list[str]
    exception: BaseException | None


class _CheckedError(Exception):
    """Raised in place of training while `checks_only`."""


_checks_only: ContextVar[bool] = ContextVar("_checks_only", default=False)


@contextmanager
def checks_only() -> Iterator[None]:
    """Let training functions return nothing as soon as their arguments are checked.

    This checks all runs of a sweep before the first one starts.
    """
    token = _checks_only.set(True)
    try:
        yield
    except _CheckedError:
        pass
    finally:
        _checks_only.reset(token)


class Schedule(NamedTuple):
    """When the core records: every N-th step, or at these steps or times."""

    record_every: int = 0
    record_steps: list[int] = []  # noqa: RUF012
    record_times: list[float] = []  # noqa: RUF012


class Options(TypedDict, total=False):
    """Keywords of all training functions; `gradient_descent` documents them."""

    loss: str
    record: Record | None
    X_test: ArrayLike | None
    y_test: ArrayLike | None
    threads: int | None
    device: str
    backend: str | None
    progress: bool | Callable[[float, float], object]
    callback: Callable[[Snapshot], object] | None
    checkpoint: str | PathLike[str] | None
    checkpoint_every: float
    stop: Stop | None
    on_divergence: Literal["raise", "keep"]
    max_memory: float | None
    comm: Any


class Job:
    """The checked arguments that all training functions share, and the call into the core."""

    def __init__(
        self,
        fn: str,
        net: Network,
        X: ArrayLike,
        y: ArrayLike,
        train_output: bool = False,
        *,
        loss: str = "half_sse",
        record: Record | None = None,
        X_test: ArrayLike | None = None,
        y_test: ArrayLike | None = None,
        threads: int | None = None,
        device: str = "cpu",
        backend: str | None = None,
        progress: bool | Callable[[float, float], object] = False,
        callback: Callable[[Snapshot], object] | None = None,
        checkpoint: str | PathLike[str] | None = None,
        checkpoint_every: float = 60.0,
        stop: Stop | None = None,
        on_divergence: Literal["raise", "keep"] = "raise",
        max_memory: float | None = None,
        comm: Any = None,
    ) -> None:
        self.backend = backend_name(fn, backend, device)
        if train_output and (comm is not None or (device != "cpu" and fn != "sgd")):
            raise ValueError(
                f"{fn}: train_output=True needs device='cpu' and comm=None, got {device!r}"
                f"{'' if comm is None else ' and a communicator'}"
            )
        if comm is not None:
            _require_alone(fn, net, self.backend, record, checkpoint, stop)
            net = part_of(fn, net, comm)
        self.fn, self.net, self.device, self.comm = fn, net, device, comm
        self.checks_only = _checks_only.get()
        self.loss, self.record = loss, record or Record()
        self.threads = thread_count(fn, threads)
        if device == "cuda":  # records are made of the host's copy
            given: dict[str, Any] = dict(zip(_DATA, (X, y, X_test, y_test), strict=True))
            X, y, X_test, y_test = (
                to_host(fn, name, value) if is_on_cuda(value) else value
                for name, value in given.items()
            )
        self.X = inputs(fn, net, X)
        self.y = targets(fn, net, y, self.X.shape[1], self.loss)
        self.X_test, self.y_test = self._test_data(X_test, y_test)
        self.ntg_on = self.record.samples(fn, self.X.shape[1])
        self.accuracy = self.record.wants_accuracy(fn, self.loss, net.k)
        _check.integer(fn, "record.top_nodes", self.record.top_nodes, high=net.m, of="m = ")
        self.progress, self.callback, self.stop = progress, callback, stop
        self.checkpoint, self.checkpoint_every = checkpoint, checkpoint_every
        self.train_output = train_output
        self.patience = None
        if stop is not None and stop.patience is not None:
            self.patience = _Patience(net, stop.patience, stop.min_delta)
        self.on_divergence, self.max_memory = on_divergence, max_memory

    def _test_data(
        self, X_test: ArrayLike | None, y_test: ArrayLike | None
    ) -> tuple[Array | None, Array | None]:
        if (X_test is None) != (y_test is None):
            raise ValueError(f"{self.fn}: X_test and y_test must be given together, got one")
        if X_test is None or y_test is None:
            return None, None
        X = inputs(self.fn, self.net, X_test, "X_test")
        return X, targets(self.fn, self.net, y_test, X.shape[1], self.loss, "y_test")

    def columns(self) -> Columns:
        """The columns of this run's record: their dtype and the shape of a row, with axis B."""
        net, q = self.net, len(self.ntg_on)
        sizes = {"member": net.B or 1, "node": net.m, "input": net.d, "output": net.k}
        sizes |= {"sample": q, "sample2": q, "rank": self.record.top_nodes}
        missing = {"test data"} if self.X_test is None else set()
        missing |= set() if self.train_output else {"train_output"}
        wanted = vars(self.record) | {"accuracy": self.accuracy}
        return {
            name: (column.numpy_dtype(net.dtype), tuple(sizes[axis] for axis in column.axes))
            for name, column in COLUMNS.items()
            if column.needs not in missing and (column.field is None or wanted[column.field])
        }

    def train(
        self, call: Call, schedule: Schedule, settings: dict[str, Any], text: str, **arguments: Any
    ) -> Run:
        """Call a trainer of the core with the arguments that it has beside the others' own.

        Return its run, or raise what ended it with the run attached.
        """
        slopes_memory = self._slopes_memory(schedule, settings)
        if self.checks_only:
            raise _CheckedError
        config = {**settings, **self._config()}
        if self.comm is not None:
            self._agree(config, schedule)
        problem = _core.Problem(
            **self._arrays(),
            activation=self.net.activation,
            loss=self.loss,
            backend=self.backend,
            threads=self.threads,
            slopes_memory=slopes_memory,
        )
        recording = _core.Recording(
            every=schedule.record_every,
            steps=schedule.record_steps,
            times=schedule.record_times,
            ntg_on=self.ntg_on.tolist(),
            columns=list(self.columns()),
            top_nodes=self.record.top_nodes,
        )
        with shown(self.fn, self.progress) as pulse:
            writer = _Writer(self, config, schedule)
            limits = self._stop()
            hooks = _core.Hooks(
                pulse=pulse,
                on_record=self._on_record if self.callback or self.patience else None,
                take_rows=writer.take_rows,
                checkpoint=writer.write,
                sum_over_ranks=summing(self.comm),
                stop_loss=limits["loss"],
                stop_time=limits["time"],
                stop_wall_seconds=limits["wall_seconds"],
                rows_bytes=1 << 24,
                checkpoint_every=self.checkpoint_every,
                resume_from=writer.resume_from,
            )
            with writer.explaining():
                result = _Result(**call(problem, recording, hooks, **arguments))
            rows = writer.rows(result.rows)
            run = self._run(result, rows, config)
            shared = result.stopped_by == "callback" and not is_alone(self.comm)
            failed = shared and any(self.comm.allgather(result.exception is not None))
            try:
                if (exception := result.exception or writer.lost) is not None:
                    raise exception
                if failed:
                    raise RuntimeError(f"{self.fn}: the callback of another rank raised an error")
                if pulse is not None and result.status == "finished":
                    pulse(1.0, float(rows["loss"][-1, 0]))
                if result.status == "diverged" and self.on_divergence == "raise":
                    raise self._divergence(result, run, text)
                if result.status == "interrupted":
                    raise RuntimeError(f"{self.fn}: another rank was interrupted")
                self._require_finite(rows, run)
            except BaseException as error:
                with suppress(AttributeError, TypeError):  # of the user's, perhaps frozen
                    error.run = run  # type: ignore[attr-defined]
                raise
        return run

    @contextmanager
    def at_the_start(self) -> Iterator[None]:
        """Show, before the run begins, that something is being computed; its loss is not known."""
        with shown(self.fn, self.progress) as pulse:
            if pulse is not None:
                pulse(0.0, math.nan)
            yield

    def _require_finite(self, rows: dict[str, Array], run: Run) -> None:
        """Raise OverflowError if recorded numbers exceed float64 although the loss does not."""
        for name in (one for one in rows if COLUMNS[one].finite):
            values = rows[name]
            if name != "time":
                values = values[:, ~np.atleast_1d(run.diverged)]
            _check.in_range(f"{self.fn}: record of {name}", values)

    def _agree(self, config: dict[str, Any], schedule: Schedule) -> None:
        """Raise, on all ranks, unless all ranks make the same call."""
        own = ("m", "threads", "first_node")
        common = {name: config[name] for name in config if name not in own}
        arrays = {name: getattr(self, name) for name in _DATA}
        require_agreement(
            self.fn, self.comm, **common, schedule=tuple(schedule), stop=self.stop, **arrays
        )

    def _slopes_memory(self, schedule: Schedule, settings: dict[str, Any]) -> float:
        """Bytes that max_memory leaves for slopes; MemoryError if the machine has too few."""
        net, columns = self.net, self.columns()
        B, n, itemsize = net.B or 1, self.X.shape[1], net.dtype.itemsize
        rows = 0 if self.record.folder is not None else _rows(schedule, settings, n)
        flow = self.fn == "gradient_flow"
        fixed = _core.planned_bytes(
            self.fn,
            **{"n": n, "d": net.d, "m": net.m, "k": net.k, "B": B, "itemsize": itemsize},
            ntg_samples=len(self.ntg_on) if any(COLUMNS[c].needs == "NTG" for c in columns) else 0,
            rows=min(rows, _check.LARGEST),
            test_samples=0 if self.X_test is None else self.X_test.shape[1],
            threads=self.threads or _core.build_config()["threads"],
            alone=is_alone(self.comm),
            loss=self.loss,
            activation=net.activation,
            train_output=self.train_output,
            method=settings["method"] if flow else settings.get("descent", "step"),
            dt=settings.get("dt") or 0.0,
            batch_size=settings.get("batch_size", 1),
        )
        others = sum(
            dtype.itemsize * math.prod(shape)
            for name, (dtype, shape) in columns.items()
            if name != "weight_change"
        )
        fixed += rows * others
        text = f"n = {n}, d = {net.d}, m = {net.m}, B = {B} and its records"
        if self.stop is None and self.callback is None:  # else it may end before all that
            _check.require_room(self.fn, fixed, text)
        return _check.slopes_allowed(self.fn, self.max_memory, self.backend, fixed, 0, text)

    def _arrays(self) -> dict[str, Any]:
        weights = zip(("W", "a", "lam"), self.net._arrays(), strict=True)
        return dict(weights) | {name: getattr(self, name) for name in _DATA}

    def _stop(self) -> dict[str, float]:
        limits = {"loss": -math.inf, "time": math.inf, "wall_seconds": math.inf}
        for name in limits:
            if self.stop is not None and getattr(self.stop, name) is not None:
                limits[name] = getattr(self.stop, name)
        limits["time"] *= 1 - ROUNDING  # 100 steps of 0.29 end at 28.999999999999996
        if self.patience is not None and self.patience.is_over:  # resumed after its end
            limits["time"] = -math.inf
        return limits

    def _on_record(
        self, step: int, time: float, loss: Array, test_loss: Array | None, W: Array, a: Array
    ) -> bool:
        """Whether the run continues after a record."""
        if self.patience is not None:
            self.patience.see(loss if test_loss is None else test_loss, W, a)
        ended = False
        if self.callback is not None:
            single = self.net.B is None
            snapshot = Snapshot(
                step,
                time,
                float(loss[0]) if single else loss,
                float(test_loss[0]) if single and test_loss is not None else test_loss,
                partial(_with_weights, self.net, W, a if self.train_output else None),
                partial(_rows_of, self.X, self.ntg_on),
            )
            ended = _ends(self.fn, self.callback(snapshot))
        return not (ended or (self.patience is not None and self.patience.is_over))

    def _run(self, result: _Result, rows: dict[str, Array], config: dict[str, Any]) -> Run:
        single = self.net.B is None
        columns: dict[str, Any] = {}
        alike = config.get("dt", 0) is not None  # members step, but for the diverged ones
        for name, values in rows.items():
            column = COLUMNS[name]
            if single and "member" in column.axes:
                values = values[:, 0]
            columns[name] = (
                values.max(axis=1) if column.of_steps and alike and not single else values
            )
        if result.methods:
            methods = result.methods
            config = {**config, "method_taken": methods[0] if single else methods}
        stopped = result.status in ("stopped", "diverged") and result.stopped_by != ""
        stopped_by = result.stopped_by
        W, a = result.W, result.a
        if self.patience is not None and 0 < self.patience.records <= len(rows["time"]):
            # Not where rows are lost: a best record would be that of another row.
            W, a, best = self.patience.W, self.patience.a, self.patience.best_record.tolist()
            config = {**config, "best_record": best[0] if single else best}
            if self.patience.is_over and stopped_by in ("callback", "time"):
                stopped_by = "patience"
        return Run(
            **columns,
            initial=self.net,
            network=_with_weights(self.net, W, a if self.train_output else None),
            diverged=bool(result.diverged[0]) if single else np.array(result.diverged),
            stopped=stopped,
            stopped_by=stopped_by if stopped else None,
            config=config,
        )

    def _config(self) -> dict[str, Any]:
        net = self.net
        core = _core.build_config()
        record = {name: _as_json(value) for name, value in asdict(self.record).items()}
        if record["ntg_on"] in (None, "all"):  # the number of samples instead, None: all
            q = len(self.ntg_on)
            record["ntg_on"] = None if q == self.X.shape[1] else q
        config = {
            "loss": self.loss,
            "n": self.X.shape[1],
            **{name: getattr(net, name) for name in ("d", "m", "k", "B", "activation")},
            **{name: _as_json(getattr(net, name)) for name in ("gamma", "alpha")},
            "dtype": str(net.dtype),
            "record": record,
            "device": self.device,
            "backend": self.backend,
            "isa": core["isa"],
            "threads": self.threads or core["threads"],
            "asymfast": core["version"],
            "numpy": np.__version__,
        }
        if isinstance(net, NetworkPart):
            ranks = 1 if self.comm is None else self.comm.Get_size()
            config |= {"ranks": ranks, "first_node": net.first, "total_nodes": net.total}
        return config

    def _divergence(self, result: _Result, run: Run, step_text: str) -> DivergenceError:
        step, last, bound = result.diverged_step, result.last_loss, result.step_bound
        which = "" if run.network.B is None else f" of member {int(np.argmax(run.diverged))}"
        stable = (
            f"at the start steps up to {bound:.3g} are stable"
            if step > 0 and 0 < bound < math.inf
            else "scale X, y or the weights down"
        )
        return DivergenceError(
            f"{self.fn}: the loss{which} left all bounds at step {step}, after {last:.3g}, with "
            f"{step_text}; {stable}",
            run,
            step,
            last,
            bound,
        )


def _with_weights(net: Network, W: Array, a: Array | None) -> Network:
    """The network at weights of the core's shapes."""
    return net.with_weights(W.reshape(net.W.shape), None if a is None else a.reshape(net.a.shape))


def _rows_of(X: Array, rows: Array) -> Array:
    """Samples of X (1 or B, n, d), without the axis of a single member."""
    return X[0, rows] if len(X) == 1 else X[:, rows]


F = TypeVar("F", bound=Callable[..., Any])
_SHARED: dict[str, _check.Check] = {
    "net": _check.instance_of(Network),
    "record": _check.instance_of(Record),
    "callback": _check.function,
    "stop": _check.instance_of(Stop),
    "on_divergence": _check.one_of("raise", "keep"),
}


def trainer(*, without: tuple[str, ...] = (), **checks: _check.Check) -> Callable[[F], F]:
    """Declare a training function, whose options are those of `Job`, but for those in `without`."""
    return _check.arguments(options=Job, without=without, **_SHARED, **checks)


class _Patience:
    """`Stop(patience=...)`: the weights of the lowest loss, and whether it has stopped falling."""

    def __init__(self, net: Network, patience: int, min_delta: float) -> None:
        B = net.B or 1
        self._patience, self._min_delta = patience, min_delta
        self.records = 0  # seen so far
        self.W, self.a = (np.array(one) for one in net._arrays()[:2])
        self.best_record = np.zeros(B, np.int64)
        self._best = np.full(B, np.inf)  # loss
        self._mark = np.full(B, np.inf)  # loss at the last fall by more than min_delta
        self._since = np.zeros(B, np.int64)  # records ago

    @property
    def is_over(self) -> bool:
        return bool((self._since >= self._patience).all())

    def see(self, losses: NDArray[np.float64], W: Array, a: Array) -> None:
        """Take the next record into account; a NaN (diverged member) does not count as a fall."""
        better = losses < self._best
        self.W[better], self.a[better] = W[better], a[better]
        self._best[better], self.best_record[better] = losses[better], self.records
        fell = losses < self._mark - self._min_delta
        self._mark[fell] = losses[fell]
        self._since = np.where(fell, 0, self._since + 1)
        self.records += 1

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it; JSON-able."""
        state = {name: np.ascontiguousarray(getattr(self, name)) for name in self._STATE}
        arrays = {name: base64.b64encode(one.data).decode() for name, one in state.items()}
        return {"records": self.records, **arrays}

    def resume(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint; KeyError, TypeError or ValueError if it is another run's."""
        self.records = _check.integer("patience", "records", state["records"], low=0)
        for name in self._STATE:
            own = getattr(self, name)
            data = np.frombuffer(base64.b64decode(state[name], validate=True), own.dtype)
            if data.size != own.size or np.isnan(data).any():
                raise ValueError(f"{name} of another run")
            setattr(self, name, data.reshape(own.shape).copy())
        for name, low, high in (("best_record", 0, self.records - 1), ("_since", 0, self.records)):
            values = getattr(self, name)
            if not ((values >= low) & (values <= max(high, 0))).all():
                raise ValueError(f"{name} of another run")

    _STATE = ("W", "a", "best_record", "_best", "_mark", "_since")


class _Writer:
    """Writes a run's checkpoints and the rows of its record to the disk during the run."""

    def __init__(self, job: Job, config: dict[str, Any], schedule: Schedule) -> None:
        self._columns = job.columns()
        self._folder: RecordFolder | None = None
        self._checkpoint: Checkpoint | None = None
        self._patience = job.patience
        self.take_rows: Callable[[dict[str, memoryview]], object] | None = None
        self.write: Callable[[memoryview], object] | None = None
        self.resume_from = b""
        self.lost: Exception | None = None  # why rows on the disk cannot be read any more
        if job.checkpoint is None and job.record.folder is None:
            return
        identity = identity_of(config, schedule._asdict(), job._arrays())
        if job.record.folder is not None:
            self._folder = RecordFolder(job.fn, job.record.folder, self._columns, identity)
            self.take_rows = self._folder.append
        kept = None
        if job.checkpoint is not None:
            self._checkpoint = Checkpoint(job.fn, job.checkpoint, identity)
            self.write = self._write
            kept = self._checkpoint.read()
        if kept is None:
            if self._folder:
                self._folder.begin(again=job.checkpoint is not None)
            return
        self.resume_from, extra = kept
        if self._patience is not None:
            try:
                self._patience.resume(extra["patience"])
            except (KeyError, TypeError, ValueError) as error:
                raise CheckpointError(
                    f"{job.fn}: checkpoint {job.checkpoint} was not written with stop.patience: "
                    f"{error!r}; resume without it, or pass another path"
                ) from error
        if self._folder:
            try:
                self._folder.resume(_check.NATURAL("its", "rows", extra["rows"]))
            except (OSError, KeyError, TypeError, ValueError) as error:
                raise CheckpointError(
                    f"{job.fn}: checkpoint {job.checkpoint} needs the rows of its record: {error}"
                ) from error

    def _write(self, state: memoryview) -> None:
        assert self._checkpoint is not None
        extra: dict[str, Any] = {"rows": self._folder.rows if self._folder else 0}
        if self._patience is not None:
            extra["patience"] = self._patience.state()
        self._checkpoint.write(state, extra)

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Say that it was the checkpoint that the core refused to resume from."""
        try:
            yield
        except ValueError as error:
            if self._checkpoint is None or not self.resume_from:
                raise
            raise self._checkpoint.error(f"does not belong to this run: {error}") from error

    def rows(self, left: dict[str, Array]) -> dict[str, Array]:
        """All rows: those on the disk, unless they cannot be read, and those of the core."""
        rest = {name: left[name].reshape(-1, *shape) for name, (_, shape) in self._columns.items()}
        if self._folder is None:
            return rest
        try:
            taken = self._folder.arrays()
        except (OSError, ValueError) as error:
            self.lost = error
            return rest
        if not len(rest["time"]):
            return taken
        return {name: np.concatenate([taken[name], rest[name]]) for name in rest}


def _require_alone(
    fn: str, net: Network, backend: str, record: Record | None, checkpoint: Any, stop: Stop | None
) -> None:
    """Raise ValueError if an option cannot be combined with several ranks."""
    refused = {
        "an ensemble": net.B is not None,
        f"backend {backend!r}": backend == "cuda",
        "checkpoint": checkpoint is not None,
        "record.folder": record is not None and record.folder is not None,
        "record.top_nodes": record is not None and record.top_nodes > 0,
        "stop.wall_seconds": stop is not None and stop.wall_seconds is not None,
    }
    for name, given in refused.items():
        if given:
            raise ValueError(f"{fn}: comm cannot be combined with {name}")


def _rows(schedule: Schedule, settings: dict[str, Any], n: int) -> int:
    """Number of records to come, as far as it is known before the run."""
    if not schedule.record_every:
        return max(len(schedule.record_steps), len(schedule.record_times)) + 1
    steps = settings.get("steps", 0)
    if settings.get("dt"):
        steps = math.ceil(settings["t_end"] / settings["dt"])
    if "epochs" in settings:
        steps = settings["epochs"] * -(-n // settings["batch_size"])
    return int(steps) // int(schedule.record_every) + 2


def _ends(fn: str, answer: Any) -> bool:
    """Whether a callback returned False: Python's, NumPy's or an array of one element.

    An array of several, such as a comparison of an ensemble's losses, is a TypeError.
    """
    if not hasattr(answer, "dtype"):
        return answer is False
    truth = np.asarray(answer)
    if truth.dtype != np.bool_:
        return False
    if truth.size != 1:
        raise TypeError(
            f"{fn}: callback must return True, False or None, got an array of shape "
            f"{truth.shape}; combine its elements with .any() or .all()"
        )
    return not bool(truth.all())


def _as_json(value: Any) -> Any:
    """Return a setting as JSON has it: without tuples, arrays and NaN."""
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, np.ndarray):
        return [None if math.isnan(one) else float(one) for one in value]
    return value


ROUNDING = 1e-12  # relative difference below which two times are the same
RECORDS = 50  # of a run whose schedule is not given


def of_steps(
    fn: str,
    record: Record,
    last: int,
    end: str,
    step_at: Callable[[float], float] | None = None,
    every: int | None = None,
) -> Schedule:
    """Schedule of a run of `last` steps; ValueError if a requested time or step lies beyond.

    `end` names the last step in messages; ``step_at(time)`` is the step at a time, not rounded,
    which may exceed the last one and be infinite; `every` is the default spacing.
    """
    if record.times is not None and step_at is not None:
        nearest = [round(min(step_at(time), last + 1)) for time in record.times]
        if nearest[-1] > last:
            raise ValueError(f"{fn}: record.times must end by {end}, got {record.times[-1]:g}")
        return Schedule(record_steps=sorted(set(nearest)))
    if record.steps is not None:
        if record.steps[-1] > last:
            raise ValueError(f"{fn}: record.steps must end by {end}, got {record.steps[-1]}")
        return Schedule(record_steps=list(record.steps))
    if record.log is not None:
        spaced = np.rint(np.geomspace(1, last, record.log)).astype(int)
        return Schedule(record_steps=sorted({0, *spaced.tolist()}))
    return Schedule(record_every=record.every or every or math.ceil(last / RECORDS))


class ProgressBar(AbstractContextManager["ProgressBar"]):
    """A line on stderr, drawn by tqdm: how far, the loss, the time left.

    Pass it as ``progress=`` of a training function in a ``with`` block, which clears the line. It
    shows nothing where stderr is not a terminal or tqdm (extra ``sweep``) is not installed.
    """

    def __init__(self, label: str = "") -> None:
        self._bar: Any = None
        self._begun = False
        with suppress(ImportError):
            if _is_terminal(sys.stderr):
                from tqdm import tqdm

                form = "{desc} {percentage:3.0f} %|{bar}|{postfix} [{elapsed}<{remaining}]"
                self._bar = tqdm(
                    desc=label, total=1.0, file=sys.stderr, leave=False, bar_format=form
                )

    def __call__(self, fraction: float, loss: float | None) -> None:
        """Show that ``fraction`` (0 to 1) of the work is done, and the loss now, if known."""
        bar = self._bar
        if bar is None or bar.disable:  # no bar is drawn, or it is closed
            return
        if not self._begun:  # a resumed run does not start at 0
            self._begun, bar.initial, bar.n = True, fraction, fraction
        if loss is not None and (fraction > 0 or not math.isnan(loss)):
            bar.set_postfix_str(f"loss {loss:.4g}", refresh=False)
        bar.update(min(max(fraction, 0.0), 1.0) - bar.n)

    def close(self) -> None:
        """Clear the line. The bar draws nothing afterwards; calling it again does no harm."""
        if self._bar is not None:
            self._bar.close()

    def __exit__(self, *exception: object) -> None:
        self.close()


def duration(seconds: float) -> str:
    """Show a time span for people: ``0:07``, ``12:34`` or ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@contextmanager
def shown(
    fn: str, progress: bool | Callable[[float, float], object]
) -> Iterator[Callable[[float, float], object] | None]:
    """Yield the callable to report progress to, if any."""
    progress = _check.progress(fn, "progress", progress)
    if callable(progress):
        yield progress
    elif progress and _is_terminal(sys.stderr):
        require("tqdm", "sweep", f"{fn}: progress=True")
        with ProgressBar(fn) as bar:
            yield bar
    else:
        yield None


def _is_terminal(stream: Any) -> bool:
    """Whether progress can be drawn; a closed stream is None, and a program's own may not say."""
    isatty = getattr(stream, "isatty", None)
    return isatty is not None and bool(isatty())
