"""What a worker does for one run: lock it, carry out its stages, write down how it went."""

from __future__ import annotations

import os
import platform
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asymfast._storage import CheckpointError
from asymfast.study.config import Config, parse
from asymfast.study.data import Places, samples
from asymfast.study.stages import Arrays, Info, carry_out, stages
from asymfast.study.store import Store

_LOOK_EVERY = 0.2  # seconds between looks at the sweep, and at locks of other processes


@dataclass(frozen=True)
class Task:
    """A run, and how to carry it out; sent to the workers.

    Attributes
    ----------
    index : int
        Its place in the sweep.
    folder : str
        Of the store.
    config : mapping
    threads : int or None
    places : Places
    checkpoint_every : float
        Seconds.
    token : str
        Names the sweep.
    host, pid : str, int
        Of the sweep's process.
    wait : bool
        Wait for a run that another process is working on.
    """

    index: int
    folder: str
    config: Mapping[str, Any]
    threads: int | None
    places: Places
    checkpoint_every: float
    token: str
    host: str
    pid: int
    wait: bool = False

    @property
    def stop_file(self) -> Path:
        """A file whose existence asks the workers to stop."""
        return Path(self.folder) / "unfinished" / f".stop-{self.token}"


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    Attributes
    ----------
    index : int
        Of the task.
    status : {"finished", "diverged", "failed", "locked", "stopped"}
        Computed and saved; computed and saved up to where the loss left all bounds; an exception,
        which was recorded; another process is working on it; or the sweep was interrupted.
    text : str
        A few words on it.
    """

    index: int
    status: str
    text: str = ""


class _Watch:
    """Passed as ``progress=``: ends a run, as Ctrl-C would, when its sweep is interrupted or dead.

    So the run writes a checkpoint first.
    """

    _dead_sweeps: set[str] = set()  # noqa: RUF012

    def __init__(self, task: Task) -> None:
        self._task = task
        # A process of another host, or of another container, cannot be watched.
        local = sys.platform != "win32" and task.host == socket.gethostname()
        self._watched = local and task.pid != os.getpid() and _exists(task.pid)
        self._child = os.getppid() == task.pid
        if self._child and threading.current_thread() is threading.main_thread():
            # A terminal sends Ctrl-C to all processes; the sweep tells its own by the stop file.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._next = -1.0

    def __call__(self, fraction: float, loss: float) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _LOOK_EVERY
        # A dead process exists until its parent has asked for its exit code.
        alive = os.getppid() == self._task.pid if self._child else _exists(self._task.pid)
        if self._watched and not alive:
            self._dead_sweeps.add(self._task.token)
        if self._task.token in self._dead_sweeps or self._task.stop_file.exists():
            raise KeyboardInterrupt

    @property
    def orphaned(self) -> bool:
        """Whether this is a process of the sweep's own, which nobody will use any more."""
        return self._child and self._task.token in self._dead_sweeps


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def work(task: Task) -> Outcome:
    """Carry out the stages of a run that are not finished. Every exception becomes an outcome."""
    watch = _Watch(task)
    table: Mapping[str, Any] = task.config
    try:
        store = Store(task.folder, create=False)
        config = parse(task.config)
        began, result, text = time.monotonic(), "finished", ""
        for name, table in stages(config).items():
            while True:
                watch(0.0, 0.0)
                with store.lock(table) as ours:
                    if ours:
                        result, loss = _stage(name, table, task, store, config, watch)
                        text = text or loss
                        break
                if not task.wait:
                    return Outcome(task.index, "locked")
                time.sleep(_LOOK_EVERY)
                watch(0.0, 0.0)
            if result == "diverged":
                break
        return Outcome(task.index, result, f"{text}{time.monotonic() - began:.1f} s")
    except KeyboardInterrupt:
        if watch.orphaned:
            os._exit(1)
        return Outcome(task.index, "stopped")
    except Exception as error:
        with suppress(OSError):
            Store(task.folder, create=False).fail(table, traceback.format_exc())
        return Outcome(task.index, "failed", f"{type(error).__name__}: {error}")


def _stage(
    name: str, table: Mapping[str, Any], task: Task, store: Store, config: Config, watch: _Watch
) -> tuple[str, str]:
    """Carry out a stage unless it is finished; return its status and, of training, the loss."""
    if store.finished(table):
        return str(store.load(table)[1].get("status", "finished")), ""
    store.begin(table)
    wall, cpu = time.perf_counter(), time.process_time()
    data = samples(config, task.places, task.token)
    trained = None if name == "training" else store.load(stages(config)["training"])[0]
    checkpoint = store.checkpoint(table)

    def carried_out() -> tuple[Arrays, Info]:
        options = {"checkpoint": checkpoint, "checkpoint_every": task.checkpoint_every}
        options |= {"threads": task.threads, "progress": watch}
        return carry_out(name, config, data, trained, **options)

    try:
        arrays, info = carried_out()
    except CheckpointError:  # damaged, or of another version or instruction set
        checkpoint.unlink()
        arrays, info = carried_out()
    info["seconds"] = time.perf_counter() - wall
    info["cpu_seconds"] = time.process_time() - cpu
    info |= {"host": platform.node(), "pid": os.getpid()}
    store.save(table, arrays, info)
    loss = arrays["loss"][-1:] if name == "training" else ()
    return str(info.get("status", "finished")), "".join(f"loss {last:.4g}, " for last in loss)
