"""Sweeps: many runs, on one machine or on many, with the results on the disk."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asymfast import _check, _storage
from asymfast._device import MOST_THREADS
from asymfast.sweeps.backends import Backend, needs
from asymfast.sweeps.plan import Plan, planned
from asymfast.sweeps.store import Store
from asymfast.sweeps.work import Outcome, Task

if TYPE_CHECKING:
    import xarray

_LOOK_EVERY = 2.0  # seconds, at runs that are made elsewhere
Progress = Callable[[int, int, str], object]


@dataclass
class SweepResult:
    """What became of the runs of a sweep. Each is named by its key, see `Store.key`.

    Attributes
    ----------
    folder : pathlib.Path
        Where the results are.
    configs : dict of str to dict
        The runs that were asked for, by key.
    found : list of str
        Already there.
    made : list of str
        Made now, here or by others; those in `diverged` included.
    diverged : list of str
        Of those made here: ended because the loss left all bounds; recorded up to there.
    failed : dict of str to str
        Ended by an exception, or by the death of its workers; and what was said.
    left : list of str
        Not there yet: interrupted, or being made elsewhere, with ``wait=False``.

    Examples
    --------
    >>> import tempfile
    >>> import asymfast as af
    >>> config = {
    ...     "data": {"name": "simulated", "n": 10, "d": 3},
    ...     "network": {"m": 20, "gamma": 1.0},
    ...     "train": {"trainer": "gradient_descent", "steps": 50},
    ... }
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     af.sweep([config], out=folder, backend="threading")
    SweepResult(1 runs: 1 made; in ...)
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
        """Whether all results are there."""
        return not self.failed and not self.left

    def __repr__(self) -> str:
        counts = {
            "already there": len(self.found),
            "made": len(self.made),
            "of them diverged": len(self.diverged),
            "failed": len(self.failed),
            "left": len(self.left),
        }
        said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        return f"SweepResult({len(self.configs)} runs: {said}; in {self.folder})"

    def load(self) -> xarray.Dataset:
        """Return the results, see `load_sweep`; only those of this sweep."""
        from asymfast.sweeps.load import load_sweep

        return load_sweep(self.folder, list(self.configs.values()))


def sweep(
    configs: str | os.PathLike[str] | Mapping[str, Any] | Iterable[Mapping[str, Any]],
    *,
    out: str | os.PathLike[str],
    backend: str = "local",
    address: Any = None,
    jobs: int | None = None,
    threads: int | None = None,
    retries: int = 2,
    wait: bool = True,
    data_dir: str | os.PathLike[str] | None = None,
    checkpoint_every: float = 60.0,
    stale_after: float = 180.0,
    progress: bool | Progress = False,
) -> SweepResult:
    """Make many runs, several at a time, and keep each in a file of its own.

    All configs are checked before the first run begins. Runs whose results are in the folder are
    not made again; those that were interrupted go on from their last checkpoint. Several sweeps,
    also on several hosts, may share a folder, and share the work then.

    Parameters
    ----------
    configs : list of dict, or grid: path of a TOML file or dict
        A config is a dict of the tables data, network, train, record and stop, and a seed; a grid
        has the parts base, grid, variants and runs. See docs/sweeps.md for all keys.
    out : path-like
        The folder; made if it does not exist. On the backends' machines, it must be the same one.
    backend : str
        "local": processes of this machine. "dask": a Dask cluster. Else the name of a backend
        registered with joblib, as "ray". All need the extra ``sweep``.
    address : str or distributed.Client, optional
        Of a Dask scheduler, as "tcp://host:8786". None: workers of this machine.
    jobs : int, optional
        Runs at a time. Default: as many as cores, but not more than runs. Without effect on a
        cluster that is already there.
    threads : int, optional
        Of each run. Default: the cores, shared out among the jobs; 1 on other backends than
        "local". No result depends on it.
    retries : int
        How often a run is tried again whose worker process died, >= 0; "dask" with an address
        leaves that to the scheduler. Runs that raise an exception are not tried again by this
        sweep, but by the next.
    wait : bool
        Whether to wait for runs that other sweeps are at, and to make them if those die.
    data_dir : path-like, optional
        Where the data sets are, see `asymfast.datasets.load`; paths of files are relative to it.
    checkpoint_every : float
        Seconds between the checkpoints of a run, > 0.
    stale_after : float
        Seconds without a sign of life after which a run of another host is taken over, > 0.
        Runs of dead processes of this host are taken over at once.
    progress : bool or callable(done, total, text)
        Called after every run; True prints that on stderr.

    Returns
    -------
    SweepResult
        Whose ``load()`` gives an `xarray.Dataset`.

    Raises
    ------
    ConfigError
        A ValueError: a config cannot be run, as it has a key that is unknown or a value that is out
        of range. Nothing was run.
    TypeError, ValueError
        Another argument of the wrong kind or range.
    StoreError
        A ValueError: the folder holds other things.
    ImportError
        joblib or dask.distributed is missing.
    OSError
        A file or data set cannot be had; the folder cannot be written to.
    KeyboardInterrupt
        Ctrl-C: what is finished is kept, local runs write a checkpoint first. With the result so
        far in its attribute ``result``.

    Notes
    -----
    A run's numbers are those of `train_config`, whatever the backend. In a script, processes of
    Dask need the call to be under ``if __name__ == "__main__":``.

    Examples
    --------
    >>> import tempfile
    >>> import asymfast as af
    >>> config = {
    ...     "data": {"name": "simulated", "n": 10, "d": 3},
    ...     "network": {"m": 20, "gamma": 1.0},
    ...     "train": {"trainer": "gradient_descent", "steps": 50},
    ... }
    >>> grid = {"base": config, "grid": {"seed": [0, 1], "network.m": [20, 40]}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = af.sweep(grid, out=folder, backend="threading")
    ...     again = af.sweep(grid, out=folder, backend="threading")
    >>> len(result.made), len(again.found), again.complete
    (4, 4, True)
    """
    fn = "sweep"
    out = _storage.path(fn, "out", out)
    data_dir = None if data_dir is None else _storage.path(fn, "data_dir", data_dir)
    jobs = None if jobs is None else _check.integer(fn, "jobs", jobs, low=1)
    if threads is not None:
        threads = _check.integer(fn, "threads", threads, low=1, high=MOST_THREADS)
    retries = _check.integer(fn, "retries", retries, low=0)
    checkpoint_every = _check.number(fn, "checkpoint_every", checkpoint_every, low=0, low_open=True)
    if not isinstance(backend, str):
        raise TypeError(f"{fn}: backend must be a name, got {backend!r}")
    if address is not None and backend != "dask":
        raise ValueError(f"{fn}: address needs backend='dask', got backend={backend!r}")
    tell = _teller(progress)
    plan = planned(configs, data_dir)
    store = Store(out, stale_after=stale_after)
    result = SweepResult(store.folder, {store.key(config): config for config in plan.configs})
    pending = []
    for i, (key, config) in enumerate(result.configs.items()):
        if store.finished(config):
            result.found.append(key)
        else:
            pending.append(i)
    if not pending:
        return result
    cores = _cores(backend)
    jobs = min(jobs or cores, len(pending))
    if threads is None:
        threads = max(1, cores // jobs) if backend == "local" else 1
    tasks = [
        Task(
            str(store.folder),
            config,
            threads,
            None if data_dir is None else os.path.realpath(data_dir),
            checkpoint_every,
            stale_after,
        )
        for config in plan.configs
    ]
    try:
        with _backend(backend, address, jobs, threads, retries) as workers:
            _make(workers, tasks, pending, store, plan, result, wait, tell)
    except KeyboardInterrupt as stop:
        settled = {*result.found, *result.made, *result.failed}
        result.left = [key for key in result.configs if key not in settled]
        stop.result = result  # type: ignore[attr-defined]
        raise
    return result


def _make(
    workers: Backend,
    tasks: list[Task],
    pending: list[int],
    store: Store,
    plan: Plan,
    result: SweepResult,
    wait: bool,
    tell: Progress,
) -> None:
    """Have the pending runs made, and look again after those that others are at."""
    keys = list(result.configs)
    while pending:
        elsewhere = []
        for place, outcome in workers.run([tasks[i] for i in pending]):
            i = pending[place]
            if outcome.status == "elsewhere" and store.finished(plan.configs[i]):
                outcome = Outcome("finished", "made elsewhere")
            if outcome.status == "elsewhere":
                elsewhere.append(i)
                continue
            if outcome.status == "failed":
                result.failed[keys[i]] = outcome.text
            else:
                result.made.append(keys[i])
            if outcome.status == "diverged":
                result.diverged.append(keys[i])
            done = len(result.found) + len(result.made) + len(result.failed)
            tell(done, len(keys), f"{plan.labels[i]}: {outcome.status}, {outcome.text}")
        pending = sorted(elsewhere)
        if pending and not wait:
            result.left = [keys[i] for i in pending]
            return
        if pending:
            time.sleep(_LOOK_EVERY)


def _backend(name: str, address: Any, jobs: int, threads: int, retries: int) -> Backend:
    if name == "local":
        from asymfast.sweeps.backends.local import LocalProcesses

        return LocalProcesses(jobs, threads, retries)
    if name == "dask":
        from asymfast.sweeps.backends.dask import DaskCluster

        return DaskCluster(jobs, retries, address)
    from asymfast.sweeps.backends.joblib import JoblibBackend

    return JoblibBackend(name, jobs, retries)


def _cores(backend: str) -> int:
    """Return the number of cores that we may use, which may be less than there are."""
    try:
        from joblib import cpu_count
    except ImportError:
        if backend == "dask":
            return os.cpu_count() or 1
        raise needs(f"backend={backend!r}", "joblib", "sweep") from None
    return int(cpu_count())


def _teller(progress: bool | Progress) -> Progress:
    if progress is True:
        return lambda done, total, text: print(f"[{done}/{total}] {text}", file=sys.stderr)
    if progress is False or progress is None:
        return lambda done, total, text: None
    if not callable(progress):
        raise TypeError(f"sweep: progress must be True, False or callable, got {progress!r}")
    return progress
