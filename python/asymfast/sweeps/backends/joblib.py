"""The backends that are registered with joblib, such as Ray's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

from asymfast.sweeps.backends import died, needs
from asymfast.sweeps.store import Store
from asymfast.sweeps.work import Outcome, Task, work


class JoblibBackend:
    """A backend by its name with joblib.

    Parameters
    ----------
    name : str
        As registered: "loky", "multiprocessing", "threading", or by another package.
    jobs : int
        How many runs at a time.
    retries : int
        How often a run is tried again that was begun when the backend broke down.
    """

    def __init__(self, name: str, jobs: int, retries: int) -> None:
        try:
            import joblib
        except ImportError:
            raise needs(f"backend={name!r}", "joblib", "sweep") from None
        if name not in joblib.parallel.BACKENDS:
            known = ", ".join(["local", "dask", *joblib.parallel.BACKENDS])
            raise ValueError(
                f"sweep: backend must be one of {known}, or registered with joblib, got {name!r}"
            )
        self._joblib, self._name, self._jobs, self._retries = joblib, name, jobs, retries

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
        """Do the tasks.

        When a worker dies, most backends give up all that is going on and do not say what it was
        at. Whatever had been begun, as the claims tell, is then tried again, after the others.
        """
        if not tasks:
            return
        store = Store(tasks[0].folder, create=False)
        todo, deaths = list(range(len(tasks))), dict.fromkeys(range(len(tasks)), 0)
        while todo:
            attempts = {i: store.attempts(tasks[i].config) for i in todo}
            try:
                for i, outcome in self._parallel([(i, tasks[i]) for i in todo]):
                    todo.remove(i)
                    yield i, outcome
            except Exception:
                made = [i for i in todo if store.finished(tasks[i].config)]
                # Who died between its result and the end of its claim is not to be done again.
                left = [i for i in todo if i not in made]
                begun = [i for i in left if store.attempts(tasks[i].config) > attempts[i]]
                if not made and not begun:  # not a run, but the backend itself
                    raise
                for i in made:
                    todo.remove(i)
                    yield i, Outcome("finished")
                for i in begun:
                    deaths[i] += 1
                    todo.remove(i)
                    if deaths[i] > self._retries:
                        yield i, died(tasks[i], deaths[i])
                    else:
                        todo.append(i)

    def _parallel(self, numbered: Sequence[tuple[int, Task]]) -> Any:
        with self._joblib.parallel_config(backend=self._name, n_jobs=self._jobs):
            able = self._joblib.parallel.get_active_backend()[0].supports_return_generator
            # One task a batch: a run takes long, and a batch is lost as a whole.
            parallel = self._joblib.Parallel(
                batch_size=1, return_as="generator_unordered" if able else "list"
            )
            return parallel(self._joblib.delayed(_numbered)(i, task) for i, task in numbered)

    def __enter__(self) -> JoblibBackend:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass


def _numbered(i: int, task: Task) -> tuple[int, Outcome]:
    return i, work(task)
