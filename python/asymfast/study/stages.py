"""What a worker does for one run: its stages, training, pruning and transfer, and their results."""

from __future__ import annotations

import os
import platform
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from asymfast._storage import CheckpointError, process_exists
from asymfast.network import Network, in_float64
from asymfast.pruning import pruning_curve
from asymfast.record import Record
from asymfast.run import DivergenceError
from asymfast.study.config import Config, Transfer, as_table, parse
from asymfast.study.store import Arrays, Store
from asymfast.study.train import Places, Samples, samples, train
from asymfast.train import sgd

Info = dict[str, Any]
Progress = Callable[[float, float], object]
_LOOK_EVERY = 0.2  # seconds between looks at the sweep, and at locks of other processes


def stages(config: Config) -> dict[str, dict[str, Any]]:
    """Return the stages of a run in their order, each with the table that its result is named by.

    Training depends on nothing of the other two, which depend on the training that they use.
    """
    training = structs.replace(config, pruning=None, transfer=None).table()
    result = {"training": training}
    for name in ("pruning", "transfer"):
        if (part := getattr(config, name)) is not None:
            result[name] = {"kind": name, "of": training, name: as_table(part)}
    return result


# ---- a task ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """A run, and how to carry it out; sent to the workers."""

    index: int  # its place in the sweep
    folder: str  # of the store
    config: Mapping[str, Any]
    threads: int | None
    places: Places
    checkpoint_every: float  # seconds
    token: str  # names the sweep
    host: str  # of the sweep's process
    pid: int
    wait: bool = False  # for a run that another process is working on

    @property
    def stop_file(self) -> Path:
        """A file whose existence asks the workers to stop."""
        return Path(self.folder) / "unfinished" / f".stop-{self.token}"


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    Its status is "finished", "diverged" (saved up to where the loss left all bounds), "failed" (by
    an exception, which was recorded), "locked" (another process is working on the run) or "stopped"
    (the sweep was interrupted).
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
        self._watched = local and task.pid != os.getpid() and process_exists(task.pid)
        self._child = os.getppid() == task.pid
        if self._child and threading.current_thread() is threading.main_thread():
            # A terminal sends Ctrl-C to all processes; the sweep tells its own by the stop file.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._next = -1.0

    def __call__(self, fraction: float = 0.0, loss: float = 0.0) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _LOOK_EVERY
        # A dead process exists until its parent has asked for its exit code.
        alive = os.getppid() == self._task.pid if self._child else process_exists(self._task.pid)
        if self._watched and not alive:
            self._dead_sweeps.add(self._task.token)
        if self._task.token in self._dead_sweeps or self._task.stop_file.exists():
            raise KeyboardInterrupt

    @property
    def orphaned(self) -> bool:
        """Whether this is a worker process of a sweep that has died."""
        return self._child and self._task.token in self._dead_sweeps


def work(task: Task) -> Outcome:
    """Carry out the stages of a run that are not finished. Every exception becomes an outcome."""
    watch = _Watch(task)
    table: Mapping[str, Any] = task.config
    try:
        store = Store(task.folder, create=False)
        config = parse(task.config)
        began, status, text = time.monotonic(), "finished", ""
        for name, table in stages(config).items():
            while True:
                watch()
                with store.lock(table) as ours:
                    if ours:
                        status, loss = _stage(name, table, task, store, config, watch)
                        text = text or loss
                        break
                if not task.wait:
                    return Outcome(task.index, "locked")
                time.sleep(_LOOK_EVERY)
            if status == "diverged":
                break
        return Outcome(task.index, status, f"{text}{time.monotonic() - began:.1f} s")
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
    loss = ""
    if name == "training":
        checkpoint = store.checkpoint(table)
        options = {"checkpoint": checkpoint, "checkpoint_every": task.checkpoint_every}
        options |= {"threads": task.threads, "progress": watch}
        try:
            arrays, info = _training(config, data, options)
        except CheckpointError:  # damaged, or of another version or instruction set
            checkpoint.unlink()
            arrays, info = _training(config, data, options)
        loss = f"loss {arrays['loss'][-1]:.4g}, " if len(arrays["loss"]) else ""
    else:
        trained, _ = store.load(stages(config)["training"])
        network = Network._from_arrays(trained, structs.asdict(config.network))
        if config.pruning is not None and name == "pruning":
            arrays, info = _pruning(network, data, config, task.threads)
        else:
            assert config.transfer is not None
            seed = config.seed_of(config.network)
            arrays, info = transfer(
                network, data, config.transfer, seed, threads=task.threads, progress=watch
            )
    info["seconds"] = time.perf_counter() - wall
    info["cpu_seconds"] = time.process_time() - cpu
    info |= {"host": platform.node(), "pid": os.getpid()}
    store.save(table, arrays, info)
    return str(info.get("status", "finished")), loss


# ---- training and pruning -------------------------------------------------------------------


def _training(config: Config, data: Samples, options: Mapping[str, Any]) -> tuple[Arrays, Info]:
    """The record and, if asked for, the network; how it ended, the certificate, the NTG's norm."""
    message = ""
    try:
        run = train(config, data, **options)
    except DivergenceError as error:
        run, message = error.run, str(error)
    columns = run.columns()
    if config.record.network:
        outputs = () if run.network.a.ndim == 1 else ("output",)
        columns["W"] = ("node", "input"), run.network.W
        columns["a"] = ("node", *outputs), run.network.a
        columns["lam"] = ("node",), run.network.lam
    info: Info = {
        "axes": {name: axes for name, (axes, _) in columns.items()},
        "status": "diverged" if message else "finished",
        "message": message,
        "stopped_by": run.stopped_by,
        "run": run.config,
    }
    if config.record.ntg:  # its norm at the start, of which the recorded change is a part
        rows = Record(ntg_on=config.record.ntg_on).samples("sweep", len(data.X))
        K = in_float64(run.initial).ntg(data.X[rows].astype(np.float64))
        info["ntg_norm"] = float(np.linalg.norm(K))
    if config.certificate and not message:
        from asymfast.theory import certify

        info["certificate"] = certify(run, data.X, data.y).to_dict()
    return {name: values for name, (_, values) in columns.items()}, info


def _pruning(
    network: Network, data: Samples, config: Config, threads: int | None
) -> tuple[Arrays, Info]:
    """Loss, and accuracy of several outputs, on training and test samples by the nodes kept."""
    assert config.pruning is not None
    options: dict[str, Any] = {"kind": config.pruning.kind, "threads": threads}
    loss = getattr(config.train, "loss", "half_sse")
    arrays: Arrays = {}
    for prefix, X, y in (("", data.X, data.y), ("test_", data.X_test, data.y_test)):
        curve = pruning_curve(network, X, y, loss, **options)  # type: ignore[arg-type]
        arrays |= {"kept": curve.kept, f"{prefix}loss": curve.loss}
        if curve.accuracy is not None:
            arrays[f"{prefix}accuracy"] = curve.accuracy
    return arrays, {"axes": dict.fromkeys(arrays, ("kept",))}


# ---- transfer -------------------------------------------------------------------------------


def transfer(
    network: Network,
    data: Samples,
    plan: Transfer,
    seed: int,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> tuple[Arrays, Info]:
    """Train one external network for every number of features, sqrt(lam_j) sigma(Z_j).

    The external network is that of Eq. (2) with equal scalings and ReLU, trained in both layers by
    full batches. That of k features is drawn from ``default_rng([seed, 3, k])``, the same for every
    node scaling. Losses are infinite where training diverged.
    """
    parts = (data.X_held, data.y_held, data.X_held_test, data.y_held_test)
    if any(part is None for part in parts):
        raise ValueError("transfer: data must have held-out samples")
    X_held, y_held, X_test, y_test = (np.asarray(part) for part in parts)
    most = max(plan.features)
    if most > network.m:
        raise ValueError(f"transfer: features must be at most m = {network.m}, got {most}")
    top = network._select(network._ranked()[:most])
    features, test_features = (top.features(X, threads=threads) for X in (X_held, X_test))
    rows = []
    for count in plan.features:
        F, F_test = (np.ascontiguousarray(part[:, :count]) for part in (features, test_features))
        start = Network.init(
            d=count,
            m=plan.m,
            gamma=1.0,
            activation="relu",
            outputs=1 if y_held.ndim == 1 else y_held.shape[1],
            rng=np.random.default_rng([seed, 3, count]),
            dtype=F.dtype,
        )
        try:
            external = sgd(
                start,
                F,
                y_held,
                lr=plan.lr,
                batch_size=len(F),
                epochs=plan.steps,
                loss="mse",
                train_output=True,
                record=Record(steps=[plan.steps], ntg=False, eigmin=False),
                threads=threads,
                progress=progress or False,
            ).network
            rows.append([*_risk(external, F, y_held), *_risk(external, F_test, y_test)])
        except DivergenceError:
            rows.append([np.inf, 0.0, np.inf, 0.0])
    loss, accuracy, test_loss, test_accuracy = np.array(rows).T
    arrays: Arrays = {"features": np.array(plan.features), "loss": loss, "test_loss": test_loss}
    if y_held.ndim == 2:
        arrays |= {"accuracy": accuracy, "test_accuracy": test_accuracy}
    return arrays, {"axes": dict.fromkeys(arrays, ("features",))}


def _risk(network: Network, F: NDArray[Any], y: NDArray[Any]) -> tuple[float, float]:
    """Mean squared error and accuracy."""
    f = network(F)
    right = f.argmax(axis=-1) == y.argmax(axis=-1)  # of one output: not used
    return float(np.mean((f.astype(np.float64) - y) ** 2)), float(np.mean(right))
