"""The workers of a Dask cluster, one task a run."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
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
        futures = {
            self._client.submit(work, task, key=f"asymfast-{uuid.uuid4()}", pure=False): i
            for i, task in enumerate(tasks)
        }
        try:
            for future in self._as_completed(list(futures), loop=self._client.loop):
                yield futures[future], self._outcome(future, tasks[futures[future]])
        finally:
            self._client.cancel(list(futures))

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
