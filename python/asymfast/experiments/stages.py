"""What there is to do for an experiment, and doing one part of it: train, prune, transfer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import asymfast as af
from asymfast.experiments.config import Experiment, Setting, as_table
from asymfast.experiments.problem import Problem, problem
from asymfast.experiments.training import Arrays, train, training_config
from asymfast.experiments.transfer import transfer, transfer_config
from asymfast.sweeps.store import Store

Progress = Callable[[float, float], object]

# Loading MNIST and verifying it takes as long as some runs.
_problem = lru_cache(maxsize=2)(problem)


@dataclass(frozen=True)
class Task:
    """One network of an experiment: it is trained, and then pruned and used for transfer."""

    experiment: Experiment
    activation: str
    setting: Setting
    seed: int

    def stages(self) -> dict[str, dict[str, Any]]:
        """Config of each stage, in the order in which they are done."""
        experiment = self.experiment
        first = training_config(experiment, self.activation, self.setting, self.seed)
        stages = {"training": first}
        if experiment.pruning is not None:
            stages["pruning"] = {
                "kind": "pruning",
                "of": first,
                "pruning": as_table(experiment.pruning),
            }
        if experiment.transfer is not None:
            stages["transfer"] = transfer_config(first, experiment.transfer)
        return stages


def tasks(experiment: Experiment, activation: str) -> list[Task]:
    """All networks of an experiment: every setting with one seed, then with the next."""
    return [
        Task(experiment, activation, setting, seed)
        for seed in range(experiment.seeds)
        for setting in experiment.settings
    ]


def carry_out(
    task: Task,
    store: Store,
    *,
    data_dir: Path | None = None,
    threads: int | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> float | None:
    """Do the stages of a task that are not in the store yet.

    Parameters
    ----------
    task : Task
    store : Store
        Gets the results; keeps the checkpoint of a training run that does not end.
    data_dir, threads, device
        See `asymfast.experiments.problem` and the trainers.
    progress : callable(fraction, loss), optional
        Of the training, by far the longest stage; 1 during the others. What it raises ends all.

    Returns
    -------
    float or None
        Seconds of work; None where another process has a stage in hand.

    Raises
    ------
    DivergenceError
        It is also written down in the store, as a failure.
    """
    started = time.perf_counter()
    for name, config in task.stages().items():
        if store.finished(config):
            continue
        with store.claim(config) as ours:
            if not ours:
                if store.finished(config):
                    continue
                return None
            begun, used = time.perf_counter(), time.process_time()
            arrays, info = _stage(name, task, store, config, data_dir, threads, device, progress)
            info |= {
                "experiment": task.experiment.name,
                "seconds": time.perf_counter() - begun,
                "cpu_seconds": time.process_time() - used,
                "build": af.build_config(),
            }
            store.save(config, arrays, info)
    return time.perf_counter() - started


def _stage(
    name: str,
    task: Task,
    store: Store,
    config: dict[str, Any],
    data_dir: Path | None,
    threads: int | None,
    device: str,
    progress: Progress | None,
) -> tuple[Arrays, dict[str, Any]]:
    experiment = task.experiment
    assert experiment.data is not None
    assert experiment.network is not None
    samples = _problem(experiment.data, task.seed, experiment.network.dtype, data_dir)
    if name == "training":
        try:
            return train(
                experiment,
                task.activation,
                task.setting,
                task.seed,
                samples,
                threads=threads,
                device=device,
                checkpoint=store.checkpoint(config),
                progress=progress or False,
            )
        except af.DivergenceError as left:
            store.fail(config, str(left))
            raise
    trained, _ = store.load(task.stages()["training"])
    network = af.Network(trained["W"], trained["a"], trained["lam"], activation=task.activation)
    if name == "pruning":
        return _pruned(network, samples, experiment, threads), {}
    assert experiment.transfer is not None
    plan = experiment.transfer

    def pulse(fraction: float, loss: float) -> None:  # the training was the whole, as bars show it
        if progress is not None:
            progress(1.0, loss)

    return transfer(network, samples, plan, task.seed, threads=threads, progress=pulse), {}


def _pruned(
    network: af.Network, samples: Problem, experiment: Experiment, threads: int | None
) -> Arrays:
    """Pruning curves on training and test samples."""
    assert experiment.pruning is not None
    assert experiment.training is not None
    assert samples.X_test is not None
    assert samples.y_test is not None
    arrays: Arrays = {}
    parts = {"": (samples.X, samples.y), "test_": (samples.X_test, samples.y_test)}
    for prefix, (X, y) in parts.items():
        curve = af.pruning_curve(
            network,
            X,
            y,
            experiment.training.loss,
            importance=experiment.pruning.importance,
            threads=threads,
        )
        arrays[f"{prefix}loss"] = curve.loss
        if curve.accuracy is not None:
            arrays[f"{prefix}accuracy"] = curve.accuracy
    return {**arrays, "kept": curve.kept}
