"""Where the runs of a sweep are made: local processes, Dask, or what joblib knows.

A backend is a context manager with one method, ``run(tasks)``, which yields the number of a task
and its outcome as they end, in any order. What a worker that died was at is tried again; what
cannot be done in the end has the outcome "failed" and is written into the store.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Protocol

from asymfast.sweeps.store import Store
from asymfast.sweeps.work import Outcome, Task


class Backend(Protocol):
    """What `sweep` needs of a backend."""

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
        """Do the tasks."""

    def __enter__(self) -> Backend:
        """Start."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End; on an exception without waiting for what is running."""


def failed(task: Task, message: str) -> Outcome:
    """Write down that a run could not be made, if that can be written."""
    with suppress(OSError):
        Store(task.folder, create=False).fail(task.config, message)
    return Outcome("failed", message)


def died(task: Task, times: int) -> Outcome:
    """Write down that a run was given up because its workers died."""
    return failed(
        task,
        f"its worker process died {times} times: killed from outside, perhaps for want of memory, "
        "or crashed",
    )


def needs(what: str, package: str, extra: str) -> ImportError:
    """Say how to get a package that is missing."""
    return ImportError(
        f"sweep: {what} needs {package}; install it with: pip install 'asymfast[{extra}]'"
    )
