"""Processes of this machine, by loky: each has a thread here that feeds it one run at a time.

A pool of one process for each thread, rather than one pool: when a process dies, loky gives up its
pool, and so it is only the run that the process was at that is lost, and known which.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

from asymfast.sweeps.backends import died, failed, needs
from asymfast.sweeps.work import Outcome, Task, work

_GRACE = 10.0  # seconds for a run that is to end: to write its checkpoint


class LocalProcesses:
    """Processes of this machine.

    Parameters
    ----------
    jobs : int
        How many.
    threads : int
        Of each, for libraries that look at the environment.
    retries : int
        How often a run whose process died is tried again.
    """

    def __init__(self, jobs: int, threads: int, retries: int) -> None:
        self._workers = [_Worker(threads) for _ in range(jobs)]
        self._retries = retries
        self._ended = threading.Event()

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
        """Do the tasks."""
        todo: queue.SimpleQueue[int] = queue.SimpleQueue()
        done: queue.SimpleQueue[tuple[int, Outcome]] = queue.SimpleQueue()
        for i in range(len(tasks)):
            todo.put(i)

        def feed(worker: _Worker) -> None:
            while not self._ended.is_set():
                try:
                    i = todo.get_nowait()
                except queue.Empty:
                    return
                outcome = self._outcome(worker, tasks[i])
                if outcome is not None:
                    done.put((i, outcome))

        for worker in self._workers:
            threading.Thread(target=feed, args=(worker,), daemon=True).start()
        for _ in tasks:
            yield done.get()

    def _outcome(self, worker: _Worker, task: Task) -> Outcome | None:
        deaths = 0
        while not self._ended.is_set():
            try:
                return worker.do(task)
            except (worker.Broken, KeyboardInterrupt):
                deaths += 1
                if not self._ended.is_set() and deaths > self._retries:
                    return died(task, deaths)
            except Exception as error:  # the store cannot be written to, the process not started
                return failed(task, f"{type(error).__name__}: {error}")
        return None

    def __enter__(self) -> LocalProcesses:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        for worker in self._workers:
            worker.interrupt()
        end = time.monotonic() + _GRACE
        for worker in self._workers:
            worker.close(end)


class _Worker:
    """One process, started when it is needed, and again after it died."""

    def __init__(self, threads: int) -> None:
        try:
            from joblib.externals import loky
        except ImportError:
            raise needs("backend='local'", "joblib", "sweep") from None
        self.Broken = loky.process_executor.BrokenProcessPool
        self._new = loky.ProcessPoolExecutor
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        self._env = dict.fromkeys(names, str(threads))
        self._executor: Any = None
        self._pid = 0
        self._idle = threading.Event()
        self._idle.set()

    def do(self, task: Task) -> Outcome:
        """Have a task done and wait for it."""
        try:
            if self._executor is None:
                self._executor = self._new(
                    1, initializer=_prepare, initargs=(os.getpid(),), env=self._env
                )
                self._pid = self._executor.submit(os.getpid).result()
            self._idle.clear()
            outcome: Outcome = self._executor.submit(work, task).result()
            return outcome
        except self.Broken:
            self._executor.shutdown(wait=False, kill_workers=True)
            self._executor = None
            raise
        finally:
            self._idle.set()

    def interrupt(self) -> None:
        """Let its run, if it has one, end as by Ctrl-C."""
        if not self._idle.is_set():
            try:
                os.kill(self._pid, signal.SIGTERM)
            except OSError:  # it has gone meanwhile
                return

    def close(self, end: float) -> None:
        """Wait until its run has ended, but not beyond a time, and end the process."""
        self._idle.wait(max(0.0, end - time.monotonic()))
        if self._executor is not None:
            self._executor.shutdown(wait=True, kill_workers=True)


def _prepare(parent: int) -> None:
    """In the process: end a run on SIGTERM, as for Ctrl-C; leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent: int) -> None:
    """End when the parent has been killed: nobody else would end this process."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os._exit(1)
