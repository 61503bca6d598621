"""A library in a process of its own: it prepares programs and runs them when told to.

Libraries bring their own thread pools and OpenMP run times; in one process the first import would
decide for all. Only one worker runs at a time.
"""

from __future__ import annotations

import gc
import importlib
import os
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any


def serve(pipe: Connection, module: str, cores: list[int], dtype: str, device: str) -> None:
    """Answer requests (name, arguments) until the pipe closes; errors are answers, too."""
    os.sched_setaffinity(0, cores)  # before the import: pools are as large as what may be used
    gc.disable()
    try:
        library = importlib.import_module(f"contenders.{module}")
        getattr(library, "set_up", lambda *_: None)(len(cores), dtype, device)
        pipe.send(("ok", getattr(library, "VERSION", "")))
    except Exception as error:
        pipe.send(("failed", f"{type(error).__name__}: {error}"))
        return
    prepared: dict[str, Any] = {}
    requests = {"prepare": prepare, "check": check, "measure": measure}
    while True:
        try:
            name, arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(("ok", requests[name](library, prepared, *arguments)))
        except Exception as error:
            pipe.send(("failed", f"{type(error).__name__}: {error}".splitlines()[0][:300]))


def prepare(library: Any, prepared: dict, workload: Any, path: Path) -> list[str]:
    """Make the programs for a workload from the arrays in a file; their names."""
    import numpy as np

    prepared.clear()
    gc.collect()
    makers = library.programs.get(workload.kind, {})
    if makers:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        for name, maker in makers.items():
            prepared[name] = (maker, arrays, workload)
    return list(prepared)


def check(library: Any, prepared: dict, name: str, repeat: int) -> Any:
    """What the program computes; the first time it is made and, maybe, compiled."""
    import numpy as np

    if isinstance(prepared[name], tuple):
        maker, arrays, workload = prepared[name]
        prepared[name] = maker(arrays, workload)
    return np.asarray(prepared[name](repeat), dtype=np.float64)


def measure(library: Any, prepared: dict, name: str, repeat: int) -> tuple[float, Any]:
    """Seconds that so many repetitions take, and the evaluations of the gradient if counted."""
    program = prepared[name]
    if repeat >= 8:
        program(repeat // 8)  # its own threads and caches are awake again
    start = time.perf_counter()
    program(repeat)
    return time.perf_counter() - start, getattr(program, "evaluations", None)
