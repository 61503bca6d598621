"""The workers of a Dask cluster, one task a run."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from types import TracebackType
from typing import Any

from asymfast.sweeps.backends import died, failed, needs
from asymfast.sweeps.work import Outcome, Task, work


class DaskCluster:
    """A Dask cluster: that of a scheduler's address or a client, or processes of this machine.

    Parameters
    ----------
    jobs : int
        Processes of a cluster of this machine, with one run each at a time.
    retries : int
        How often a run whose process died is tried again, by a cluster of this machine. That of an
        address does as ``distributed.scheduler.allowed-failures`` there says.
    address : str or distributed.Client, optional
        None: start a cluster of this machine, and end it with the sweep.
    """

    def __init__(self, jobs: int, retries: int, address: Any = None) -> None:
        try:
            import dask
            import distributed
        except ImportError:
            raise needs("backend='dask'", "dask.distributed", "sweep") from None
        self._killed = distributed.KilledWorker
        self._as_completed = distributed.as_completed
        self._closing = ExitStack()
        # When a worker dies, Dask counts that against all tasks it had, the waiting ones too: a
        # cluster of ours is given no more runs than it has workers.
        self._at_once = None if address is not None else jobs
        if isinstance(address, distributed.Client):
            self._client = address
            return
        if address is None:
            self._closing.enter_context(
                dask.config.set({"distributed.scheduler.allowed-failures": retries})
            )
            address = self._closing.enter_context(
                distributed.LocalCluster(
                    n_workers=jobs, threads_per_worker=1, processes=True, dashboard_address=":0"
                )
            )
        self._client = self._closing.enter_context(
            distributed.Client(address, set_as_default=False)
        )

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
        """Do the tasks."""
        waiting = iter(enumerate(tasks))
        futures = dict(self._submitted(islice(waiting, self._at_once)))
        try:
            arriving = self._as_completed(list(futures), loop=self._client.loop)
            for future in arriving:
                yield futures[future], self._outcome(future, tasks[futures[future]])
                for following, i in self._submitted(islice(waiting, 1)):
                    futures[following] = i
                    arriving.add(following)
        finally:
            self._client.cancel(list(futures))

    def _submitted(self, numbered: Iterable[tuple[int, Task]]) -> Iterator[tuple[Any, int]]:
        for i, task in numbered:
            key = f"asymfast-{uuid.uuid4()}"
            yield self._client.submit(work, task, key=key, pure=False), i

    def _outcome(self, future: Any, task: Task) -> Outcome:
        error = future.exception()
        if error is None:
            outcome: Outcome = future.result()
            return outcome
        if isinstance(error, self._killed):
            return died(task, error.allowed_failures + 1)
        return failed(task, f"{type(error).__name__}: {error}")

    def __enter__(self) -> DaskCluster:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.close()
