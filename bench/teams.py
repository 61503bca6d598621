"""The contenders as the timing loop sees them: one worker, or two that share the work."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import worker
from contenders import LIBRARIES, ON_CUDA
from workloads import Workload

_PATIENCE = 300  # seconds for compiling and one run


class TeamError(Exception):
    """A contender that is not there or could not do it; the message says why."""


class Team:
    """One process with a library, on all the cores."""

    def __init__(self, library: str, cores: list[int], dtype: str, device: str = "cpu") -> None:
        modules = ON_CUDA if device == "cuda" else LIBRARIES
        if library not in modules:
            raise TeamError(f"not on {device}")
        if importlib.util.find_spec(library) is None:
            raise TeamError("not installed")
        context = multiprocessing.get_context("spawn")
        self.library = library
        self._pipe, theirs = context.Pipe()
        with _environment(OMP_NUM_THREADS=len(cores), OPENBLAS_NUM_THREADS=len(cores)):
            self._process = context.Process(
                target=worker.serve,
                args=(theirs, modules[library], cores, dtype, device),
                daemon=True,
            )
            self._process.start()
        theirs.close()
        self.version: str = self.answer()

    def ask(self, name: str, *arguments: Any) -> None:
        try:
            self._pipe.send((name, arguments))
        except ConnectionError:
            raise TeamError("its process died") from None

    def answer(self) -> Any:
        try:
            if not self._pipe.poll(_PATIENCE):
                raise TeamError(f"no answer for {_PATIENCE} s")
            state, content = self._pipe.recv()
        except (EOFError, ConnectionError):
            raise TeamError("its process died") from None
        if state != "ok":
            raise TeamError(content)
        return content

    def prepare(self, workload: Workload, path: Path) -> list[str]:
        """Names of its programs for this kind of work."""
        self.ask("prepare", workload, path)
        names: list[str] = self.answer()
        return names

    def check(self, name: str, repeat: int) -> np.ndarray:
        """What the program computes."""
        self.ask("check", name, repeat)
        found: np.ndarray = self.answer()
        return found

    def measure(self, name: str, repeat: int) -> tuple[float, int | None]:
        """Seconds taken, and evaluations of the gradient where they are counted."""
        self.ask("measure", name, repeat)
        taken: tuple[float, int | None] = self.answer()
        return taken

    def close(self) -> None:
        self._pipe.close()
        self._process.join()


class Pair:
    """Two processes of one core each, half of an ensemble in each of them."""

    def __init__(self, library: str, cores: list[int], dtype: str, device: str = "cpu") -> None:
        self.library = library
        self._teams = [Team(library, [core], dtype, device) for core in cores]
        self.version = self._teams[0].version

    def prepare(self, workload: Workload, path: Path) -> list[str]:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        shares = np.array_split(arrays["W"], len(self._teams))
        for number, (team, share) in enumerate(zip(self._teams, shares, strict=True)):
            part = path.with_name(f"part-{number}.npz")
            np.savez(part, **{**arrays, "W": share})
            names = team.prepare(workload, part)
        return names

    def check(self, name: str, repeat: int) -> np.ndarray:
        return np.concatenate(self._all("check", name, repeat))

    def measure(self, name: str, repeat: int) -> tuple[float, int | None]:
        start = time.perf_counter()
        self._all("measure", name, repeat)
        return time.perf_counter() - start, None

    def _all(self, *request: Any) -> list[Any]:
        for team in self._teams:
            team.ask(*request)
        return [team.answer() for team in self._teams]

    def close(self) -> None:
        for team in self._teams:
            team.close()


class _environment:  # noqa: N801 - reads as a verb
    """Set environment variables for what is started within the block."""

    def __init__(self, **values: Any) -> None:
        self._values = {name: str(value) for name, value in values.items()}

    def __enter__(self) -> None:
        self._before = {name: os.environ.get(name) for name in self._values}
        os.environ.update(self._values)

    def __exit__(self, *_: object) -> None:
        for name, value in self._before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
