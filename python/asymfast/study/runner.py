"""Sweeps: many runs, on one machine or on many, each with its result in a file of its own."""

from __future__ import annotations

import functools
import os
import signal
import socket
import sys
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asymfast import _check, _storage
from asymfast._device import THREADS
from asymfast._optional import require
from asymfast.study.config import Config, ConfigError, configs_of, flat, parse
from asymfast.study.load import full_tables, load_sweep, short, varying
from asymfast.study.stages import Outcome, Task, stages, work
from asymfast.study.store import Store, canonical
from asymfast.study.train import Places, check, with_digest

if TYPE_CHECKING:
    import xarray

Progress = Callable[[int, int, str], object]


@dataclass
class SweepResult:
    """What became of the runs of a sweep, each named by its key; see `sweep`.

    Attributes
    ----------
    folder : pathlib.Path
        Where the results are.
    configs : dict of str to dict
        The requested runs, by key.
    found : list of str
        Finished before.
    made : list of str
        Computed now, by this sweep or another one; those in `diverged` included.
    diverged : list of str
        Ended because the loss left all bounds; recorded up to there.
    failed : dict of str to str
        Ended by an exception, or by the death of its workers; and the message.
    left : list of str
        Not finished: interrupted, or another process is working on it and ``wait=False``.
    """

    folder: Path
    configs: dict[str, dict[str, Any]]
    found: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    diverged: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether all runs have results."""
        return not self.failed and not self.left

    def __repr__(self) -> str:
        return f"SweepResult({self.summary()})"

    def summary(self) -> str:
        """Return one line with the number of runs of each kind, and the folder."""
        counts = {
            "already there": len(self.found),
            "made": len(self.made),
            "of them diverged": len(self.diverged),
            "failed": len(self.failed),
            "left": len(self.left),
        }
        text = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        return f"{len(self.configs)} runs: {text}; in {self.folder}"

    def load(self) -> xarray.Dataset:
        """Return the results, see `load_sweep`; only those of this sweep."""
        return load_sweep(self.folder, list(self.configs.values()))


@_check.arguments(threads=THREADS)
def sweep(
    configs: str | os.PathLike[str] | Mapping[str, Any] | Iterable[Mapping[str, Any]] | Plan,
    *,
    out: str | os.PathLike[str],
    jobs: int | None = None,
    threads: int | None = None,
    client: Any = None,
    retries: int = 2,
    wait: bool = True,
    data_dir: str | os.PathLike[str] | None = None,
    checkpoint_every: float = 60.0,
    progress: bool | Progress = False,
) -> SweepResult:
    """Compute many runs, several at a time, and keep each in a file of its own.

    All configurations are checked before the first run begins. Runs with results in the folder are
    skipped; interrupted ones resume from their last checkpoint. Several sweeps, also on several
    hosts, may share a folder, and then share the work.

    The numbers of a run are those of `train_config`, wherever it is computed. A script that starts
    processes needs the call to be under ``if __name__ == "__main__":``.

    Parameters
    ----------
    configs : list of dict, or grid: path of a TOML file or dict
        A configuration is a dict of the tables data, network, train, record and stop, and a seed; a
        grid has the parts base, grid, variants and runs. See docs/sweeps.md for all keys.
    out : path-like
        The folder; created if it does not exist. All workers must see it under this path.
    jobs : int, optional
        Runs at a time. Default: that of `joblib.parallel_config`, or else the number of cores. With
        1 they run in this process.
    threads : int, optional
        Of each run. Default: the cores, shared out among the jobs; 1 on a cluster. No result
        depends on it.

    Returns
    -------
    SweepResult
        Whose ``load()`` gives an `xarray.Dataset`.

    Other Parameters
    ----------------
    client : distributed.Client or str, optional
        A Dask cluster to run on, or the address of its scheduler, such as "tcp://host:8786". None:
        by joblib, with the backend of `joblib.parallel_config`, by default local processes.
    retries : int
        How often a run is repeated after the death of its worker process, >= 0. Runs that raise an
        exception are not repeated by this sweep, but by the next.
    wait : bool
        Whether to wait for runs that other sweeps are working on, and to compute them if those die.
    data_dir : path-like, optional
        Folder of the data sets, see `asymfast.datasets.load`; paths of files are relative to it.
    checkpoint_every : float
        Seconds between the checkpoints of a run, > 0.
    progress : bool or callable(done, total, text)
        Called after every run; True prints a line on stderr.

    Raises
    ------
    ConfigError
        A ValueError: a configuration cannot be run, because it has an unknown key or a value out of
        range. Nothing was run.
    MemoryError
        A configuration needs more memory than this machine has. Nothing was run.
    TypeError, ValueError
        Another argument of the wrong kind or range.
    StoreError
        A ValueError: the folder holds other things.
    ImportError
        joblib or dask.distributed is missing (extra ``sweep``).
    OSError
        A file or data set is not available; the folder cannot be written to.
    KeyboardInterrupt
        Ctrl-C: finished runs are kept, the others have written a checkpoint. The result so far is
        its attribute ``result``. A second Ctrl-C does not wait for the checkpoints.

    Examples
    --------
    >>> import asymfast as af
    >>> import tempfile
    >>> config = {"data.name": "simulated", "network.m": 20, "network.gamma": 1.0}
    >>> config |= {"train.trainer": "gradient_descent", "train.steps": 50}
    >>> grid = {"base": config, "grid": {"seed": [0, 1], "network.m": [20, 40]}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = af.sweep(grid, out=folder, jobs=1)
    ...     again = af.sweep(grid, out=folder)
    >>> len(result.made), len(again.found), again.complete
    (4, 4, True)
    """
    progress = _check.progress("sweep", "progress", progress)
    shown = _print if progress is True else progress
    plan = planned(configs, data_dir)
    store = Store(out)
    result = SweepResult(store.folder, {key: one.table() for key, one in plan.configs.items()})
    finished = {key for key, one in plan.configs.items() if is_finished(store, one)}
    keys, labels = list(plan.configs), list(plan.labels.values())
    result.found = [key for key in keys if key in finished]
    if len(finished) == len(keys):
        return result
    with ExitStack() as stack:
        if client is None:
            jobs, share = _shares(jobs, len(keys) - len(finished))
            run_by: Callable[..., Iterator[Outcome]] = functools.partial(_by_joblib, jobs)
        else:
            run_by, share = functools.partial(_by_dask, _connected(client, stack)), 1
        task = Task(
            index=-1,
            folder=str(store.folder),
            config={},
            threads=threads or share,
            places=Places.from_folder(data_dir),
            checkpoint_every=checkpoint_every,
            token=uuid.uuid4().hex,
            host=socket.gethostname(),
            pid=os.getpid(),
        )
        interrupted = stack.enter_context(_interruptible(task.stop_file))
        todo = [i for i, key in enumerate(keys) if key not in finished]
        again = False
        while todo:
            tasks = [
                replace(task, index=i, config=result.configs[keys[i]], wait=again) for i in todo
            ]
            todo, again = [], True
            for outcome in _until(interrupted, run_by(tasks, retries, store)):
                key, status = keys[outcome.index], outcome.status
                if status == "locked":
                    todo.append(outcome.index)
                elif status == "stopped":  # Ctrl-C may have reached a worker only
                    interrupted.set()
                    task.stop_file.touch()
                else:
                    if status == "failed":
                        result.failed[key] = outcome.text
                    else:
                        result.made.append(key)
                    if status == "diverged":
                        result.diverged.append(key)
                    if shown:
                        done = len(result.found) + len(result.made) + len(result.failed)
                        text = f"{labels[outcome.index]}: {status}, {outcome.text}"
                        shown(done, len(keys), text)
            todo = sorted(todo) if wait and not interrupted.is_set() else []
    settled = {*result.found, *result.made, *result.failed}
    result.left = [key for key in keys if key not in settled]
    if interrupted.is_set():
        stop = KeyboardInterrupt("interrupted; the same sweep resumes the runs that are left")
        stop.result = result  # type: ignore[attr-defined]
        raise stop
    return result


def _print(done: int, total: int, text: str) -> None:
    print(f"[{done}/{total}] {text}", file=sys.stderr)


def is_finished(store: Store, config: Config) -> bool:
    """Whether all stages of a run have results."""
    return all(store.finished(table) for table in stages(config).values())


def _until(interrupted: threading.Event, outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    """Yield the outcomes; workers that Ctrl-C has ended before they began are not an error."""
    try:
        yield from outcomes
    except Exception:
        if not interrupted.is_set():
            raise


@contextmanager
def _interruptible(stop_file: Path) -> Iterator[threading.Event]:
    """Let Ctrl-C ask the workers to stop, by a file, so that they write their checkpoints.

    The event is set by Ctrl-C; the second one raises KeyboardInterrupt at once.
    """
    interrupted = threading.Event()

    def stop(number: int, frame: Any) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()
        stop_file.touch()

    main = threading.current_thread() is threading.main_thread()  # which alone gets signals
    before = signal.signal(signal.SIGINT, stop) if main else None
    try:
        yield interrupted
    finally:
        if main:
            signal.signal(signal.SIGINT, before)
        stop_file.unlink(missing_ok=True)


# ---- workers --------------------------------------------------------------------------------


class _Deaths:
    """How often the runs of some tasks have been begun since."""

    def __init__(self, tasks: Sequence[Task], store: Store) -> None:
        self._store = store
        self._before = {task.index: self._attempts(task) for task in tasks}

    def _attempts(self, task: Task) -> int:
        return sum(map(self._store.attempts, stages(parse(task.config)).values()))

    def of(self, task: Task) -> int:
        """Return how often a run has been begun, which ends by its result or by a death."""
        return self._attempts(task) - self._before[task.index]

    def given_up(self, task: Task) -> Outcome:
        """Record that a run killed its workers."""
        message = (
            f"its worker process died {self.of(task)} times: killed from outside, perhaps because "
            "memory ran out, or crashed"
        )
        return self.failed(task, message)

    def failed(self, task: Task, message: str) -> Outcome:
        """Record a failure that the run itself could not."""
        with suppress(OSError):
            self._store.fail(stages(parse(task.config))["training"], message)
        return Outcome(task.index, "failed", message)


def _connected(client: Any, closing: ExitStack) -> Any:
    distributed = require("distributed", "sweep", "sweep: client")
    if isinstance(client, str):
        return closing.enter_context(distributed.Client(client, set_as_default=False))
    if not isinstance(client, distributed.Client):
        raise TypeError(
            "sweep: client must be a distributed.Client or the address of a scheduler, "
            f"got {client!r}"
        )
    return client


def _by_dask(client: Any, tasks: Sequence[Task], retries: int, store: Store) -> Iterator[Outcome]:
    """Yield the outcome of each task as it ends, in any order."""
    distributed = require("distributed", "sweep", "sweep: client")
    deaths = _Deaths(tasks, store)

    def submit(task: Task) -> Any:
        return client.submit(work, task, key=f"asymfast-{uuid.uuid4()}", pure=False)

    futures = {submit(task): task for task in tasks}
    try:
        arriving = distributed.as_completed(list(futures), loop=client.loop)
        for future in arriving:
            task, error = futures[future], future.exception()
            if error is None:
                yield future.result()
            elif not isinstance(error, distributed.KilledWorker):
                yield deaths.failed(task, f"{type(error).__name__}: {error}")
            elif deaths.of(task) > retries:
                yield deaths.given_up(task)
            else:  # Dask counts the death of a worker against the tasks that waited there, too
                again = submit(task)
                futures[again] = task
                arriving.add(again)
    finally:
        client.cancel(list(futures))


def _shares(jobs: int | None, runs: int) -> tuple[int, int]:
    """Return how many runs to compute at a time, and the threads of each."""
    joblib = require("joblib", "sweep", "sweep")
    backend, configured = joblib.parallel.get_active_backend()
    cores = joblib.cpu_count()
    jobs = jobs or configured or cores
    jobs = min(cores if jobs < 0 else jobs, runs)
    # Other backends than joblib's own have machines of their own.
    local = type(backend).__module__ == "joblib._parallel_backends"
    return jobs, max(1, cores // jobs) if local else 1


def _by_joblib(jobs: int, tasks: Sequence[Task], retries: int, store: Store) -> Iterator[Outcome]:
    """Yield the outcome of each task as it ends, in any order.

    When a worker dies, backends give up all that runs, and do not say where it happened. Runs that
    had been begun are then repeated alone, so that a run that kills its workers is told from those
    beside it.
    """
    deaths = _Deaths(tasks, store)
    todo, suspects = {task.index: task for task in tasks}, []
    while todo:
        remaining = len(todo)
        try:
            for outcome in _parallel(list(todo.values()), jobs):
                del todo[outcome.index]
                yield outcome
        except Exception:
            begun = [task for task in todo.values() if deaths.of(task) > 0]
            if not begun and len(todo) == remaining:  # not a run, but the backend itself
                raise
            suspects += begun
            for task in begun:
                del todo[task.index]
    for task in suspects:
        while True:
            try:
                yield from _parallel([task], 2)  # with 1 it would run in this process
                break
            except Exception:
                if deaths.of(task) > retries:
                    yield deaths.given_up(task)
                    break


def _parallel(tasks: Sequence[Task], jobs: int) -> Iterable[Outcome]:
    joblib = require("joblib", "sweep", "sweep")
    able = joblib.parallel.get_active_backend()[0].supports_return_generator
    # One task a batch: a run takes long, and a batch is lost as a whole.
    parallel = joblib.Parallel(
        n_jobs=jobs, batch_size=1, return_as="generator_unordered" if able else "list"
    )
    outcomes: Iterable[Outcome] = parallel(joblib.delayed(work)(task) for task in tasks)
    return outcomes


# ---- plans ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """The runs of a sweep: each once, by its key, and a few words that tell it from the others."""

    configs: dict[str, Config]
    labels: dict[str, str]


def planned(source: Any, data_dir: str | os.PathLike[str] | None) -> Plan:
    """Expand and check the configurations of a sweep; a ConfigError says which is wrong."""
    if isinstance(source, Plan):
        return source
    given = configs_of(source)
    if not given:
        raise ConfigError("sweep: configs must hold at least one configuration, got none")
    configs: dict[str, Config] = {}
    places, digest = Places.from_folder(data_dir), functools.cache(_storage.sha256)
    checked = set()
    for i, one in enumerate(given):
        try:
            config = with_digest(parse(one), places, digest)
            if (kind := canonical(_without_seeds(config.table()))) not in checked:
                check(config, places)
                checked.add(kind)
        except (ConfigError, MemoryError) as error:
            again = MemoryError if isinstance(error, MemoryError) else ConfigError
            raise again(f"sweep: config {i} of {len(given)}: {error}") from error
        configs.setdefault(Store.key(config.table()), config)
    tables = full_tables(list(configs.values()))
    names = varying(tables)
    labels = {
        key: " ".join(f"{short(n)}={table[n]}" for n in names if table[n] is not None)
        for key, table in zip(configs, tables, strict=True)
    }
    return Plan(configs, labels)


def _without_seeds(table: dict[str, Any]) -> dict[str, Any]:
    """Leave out valid seeds, which no check depends on."""
    return {
        name: value
        for name, value in flat(table).items()
        if name.rpartition(".")[2] not in ("seed", "rng") or type(value) is not int or value < 0
    }
