"""What a worker does for one config: claim it, make the run, write down how it went."""

from __future__ import annotations

import os
import platform
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from asymfast._storage import CheckpointError
from asymfast.run import DivergenceError, Run
from asymfast.sweeps.store import Store
from asymfast.sweeps.train import train_config


@dataclass(frozen=True)
class Task:
    """A run to make, and how; sent to the workers."""

    folder: str
    config: Mapping[str, Any]
    threads: int | None
    data_dir: str | None
    checkpoint_every: float
    stale_after: float


@dataclass(frozen=True)
class Outcome:
    """How it went.

    Attributes
    ----------
    status : {"finished", "diverged", "failed", "elsewhere"}
        Made and saved; made and saved up to where its loss left all bounds; an exception, which
        was written down; or somebody else has it, or had it.
    text : str
        A few words on it.
    """

    status: str
    text: str = ""


def work(task: Task) -> Outcome:
    """Make one run, unless it is made elsewhere.

    Exceptions of the run are written into the store, so that one that comes from here is about the
    worker: it was interrupted, or cannot even write that.
    """
    store = Store(task.folder, create=False, stale_after=task.stale_after)
    with store.claim(task.config) as ours:
        if not ours:
            return Outcome("elsewhere")
        began = time.monotonic()
        try:
            run = _train(store, task)
        except DivergenceError as left:
            run = left.run
            status, message = "diverged", str(left)
        except Exception as error:
            store.fail(task.config, traceback.format_exc())
            return Outcome("failed", f"{type(error).__name__}: {error}")
        else:
            status, message = "finished", ""
        seconds = time.monotonic() - began
        columns = run.columns()
        store.save(
            task.config,
            {name: values for name, (_, values) in columns.items()},
            {
                "axes": {name: axes for name, (axes, _) in columns.items()},
                "status": status,
                "message": message,
                "stopped_by": run.stopped_by,
                "run": run.config,
                "seconds": seconds,
                "host": platform.node(),
                "pid": os.getpid(),
            },
        )
    loss = f"loss {run.loss[-1]:.4g}" if len(run.loss) else "no record"
    return Outcome(status, f"{loss}, {seconds:.1f} s")


def _train(store: Store, task: Task) -> Run:
    options: dict[str, Any] = {
        "threads": task.threads,
        "data_dir": task.data_dir,
        "checkpoint": store.checkpoint(task.config),
        "checkpoint_every": task.checkpoint_every,
    }
    try:
        return train_config(task.config, **options)
    except CheckpointError:
        # Damaged, or of another version or instruction set: the run begins anew.
        store.checkpoint(task.config).unlink()
        return train_config(task.config, **options)
