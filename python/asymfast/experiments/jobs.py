"""Carrying out many tasks, in this process or in several, until all are done or it is stopped."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asymfast.experiments.stages import Task, carry_out
from asymfast.run import DivergenceError
from asymfast.sweeps.store import Store

_LOOK_EVERY = 0.2  # seconds


@dataclass(frozen=True)
class Done:
    """What became of a task: seconds of work, or None and a sentence saying why not."""

    task: Task
    seconds: float | None
    failure: str | None = None


@dataclass(frozen=True)
class How:
    """How tasks are carried out; no result depends on it.

    Attributes
    ----------
    store : str
        Folder of the results.
    data_dir : pathlib.Path or None
    processes : int
    threads : int or None
        Of each process.
    device : {"cpu", "cuda"}
    """

    store: str
    data_dir: Path | None = None
    processes: int = 1
    threads: int | None = None
    device: str = "cpu"


def carry_out_all(
    tasks: Sequence[Task], how: How, progress: Callable[[float, float | None], object]
) -> Iterator[Done]:
    """Carry out tasks that are not finished, and give each as it is done.

    Parameters
    ----------
    tasks : sequence of Task
    how : How
    progress : callable(fraction, loss)
        Told how far all of them are; the loss is None with several processes.

    Raises
    ------
    KeyboardInterrupt
        Everything finished is in the store, and what was begun has left a checkpoint there.
    """
    if how.processes == 1:
        yield from _here(tasks, how, progress)
    else:
        yield from _in_processes(tasks, how, progress)


def _here(
    tasks: Sequence[Task], how: How, progress: Callable[[float, float | None], object]
) -> Iterator[Done]:
    store = Store(how.store)
    for place, task in enumerate(tasks):

        def report(fraction: float, loss: float, place: int = place) -> None:
            progress((place + fraction) / len(tasks), loss)

        yield _attempt(task, store, how, report)


def _attempt(task: Task, store: Store, how: How, report: Callable[[float, float], object]) -> Done:
    try:
        seconds = carry_out(
            task,
            store,
            data_dir=how.data_dir,
            threads=how.threads,
            device=how.device,
            progress=report,
        )
    except DivergenceError as left:
        return Done(task, None, f"training diverged at step {left.step}")
    return Done(task, seconds, None if seconds is not None else "another process is at it")


def _in_processes(
    tasks: Sequence[Task], how: How, progress: Callable[[float, float | None], object]
) -> Iterator[Done]:
    # Not forked: the parent may have used OpenMP, whose threads a child would wait for in vain.
    context = multiprocessing.get_context("spawn")
    stop, fractions = context.Event(), context.Array("d", len(tasks), lock=False)
    with ProcessPoolExecutor(
        how.processes, context, _begin, (how, stop, fractions, os.getpid())
    ) as pool:
        try:
            with _environment(how.threads or 1):
                waiting: set[Future[Done]] = {
                    pool.submit(_work, task, place) for place, task in enumerate(tasks)
                }
            while waiting:
                finished, waiting = wait(waiting, _LOOK_EVERY, FIRST_COMPLETED)
                progress(sum(fractions) / len(tasks), None)
                for future in finished:
                    yield future.result()
        finally:  # also on Ctrl-C, and when nobody wants the rest
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _environment(threads: int) -> Iterator[None]:
    """Let processes that are started now take so many threads, NumPy's libraries included."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class _Process:
    """What a worker process knows; set once, when it begins."""

    how: How
    stop: Any
    fractions: Any


def _begin(how: How, stop: Any, fractions: Any, parent: int) -> None:
    # Ctrl-C goes to every process of a terminal; the parent tells its workers by `stop` instead.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _Process.how, _Process.stop, _Process.fractions = how, stop, fractions
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """Do not outlive a parent that was killed; what is on the disk is complete at any time."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _work(task: Task, place: int) -> Done:
    def report(fraction: float, loss: float) -> None:
        if _Process.stop.is_set():
            raise KeyboardInterrupt
        _Process.fractions[place] = fraction

    if _Process.stop.is_set():
        return Done(task, None, "stopped")
    try:
        done = _attempt(task, Store(_Process.how.store), _Process.how, report)
    except KeyboardInterrupt:
        return Done(task, None, "stopped")
    _Process.fractions[place] = 1.0
    return done
