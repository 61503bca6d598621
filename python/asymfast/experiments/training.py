"""Training one network of an experiment, and condensing its run to what the figures need."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

import asymfast as af
from asymfast.experiments.config import Experiment, Recording, Setting, as_table
from asymfast.experiments.problem import Problem

Arrays = dict[str, npt.NDArray[Any]]


def training_config(
    experiment: Experiment, activation: str, setting: Setting, seed: int
) -> dict[str, Any]:
    """Everything that decides the numbers of a training run, as plain values."""
    return {
        "kind": "training",
        "activation": activation,
        **as_table(setting),
        "seed": seed,
        "data": as_table(experiment.data),
        "network": as_table(experiment.network),
        "training": as_table(experiment.training),
        "record": as_table(experiment.record),
    }


def train(
    experiment: Experiment,
    activation: str,
    setting: Setting,
    seed: int,
    samples: Problem,
    *,
    threads: int | None = None,
    device: str = "cpu",
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool | Callable[[float, float], object] = False,
) -> tuple[Arrays, dict[str, Any]]:
    """Train the network of one setting and one seed.

    Parameters
    ----------
    experiment, activation, setting, seed
        Which. The network is drawn from ``default_rng([seed, 1])``: from the stream that the data
        are drawn from, ``default_rng(seed)``, its first nodes would be parallel to the samples.
    samples : Problem
        Its data.
    threads, device, checkpoint, progress
        As in `asymfast.gradient_descent`.

    Returns
    -------
    arrays : dict of arrays
        See `condensed`; with the final network: W, a, lam.
    info : dict
        Versions and settings of the run; of a run that is compared with the convergence theorems
        the comparison, as ``certificate``.

    Raises
    ------
    DivergenceError, KeyboardInterrupt, OSError, RuntimeError
        As the trainers.
    """
    plan, network = experiment.training, experiment.network
    assert plan is not None
    assert network is not None
    assert experiment.record is not None
    initial = af.Network.init(
        d=samples.X.shape[1],
        m=network.width,
        gamma=setting.gamma,
        alpha=setting.alpha,
        activation=activation,
        outputs=samples.outputs,
        rng=np.random.default_rng([seed, 1]),
        dtype=network.dtype,
    )
    common: dict[str, Any] = {
        "lr": plan.lr,
        "loss": plan.loss,
        "X_test": samples.X_test,
        "y_test": samples.y_test,
        "threads": threads,
        "device": device,
        "checkpoint": checkpoint,
        "progress": progress,
    }
    if plan.method == "sgd":
        assert plan.batch_size is not None
        assert plan.epochs is not None
        batch = min(plan.batch_size, len(samples.X))
        every = experiment.record.every * -(-len(samples.X) // batch)
        run = af.sgd(
            initial,
            samples.X,
            samples.y,
            batch_size=batch,
            epochs=plan.epochs,
            train_output=plan.train_output,
            rng=np.random.SeedSequence([seed, 2]),
            record=_record(experiment.record, every, samples, network.dtype),
            **common,
        )
    else:
        assert plan.steps is not None
        every = min(experiment.record.every, plan.steps)
        run = af.gradient_descent(
            initial,
            samples.X,
            samples.y,
            steps=plan.steps,
            record=_record(experiment.record, every, samples, network.dtype),
            **common,
        )
    info = {"run": run.config}
    if experiment.record.certificate:
        info["certificate"] = af.theory.certify(run, samples.X, samples.y).to_dict()
    return condensed(run, samples, experiment.record), info


def _record(record: Recording, every: int, samples: Problem, dtype: str) -> af.Record:
    """The NTG of a float32 network is left for later: see `_ntg`."""
    now = record.ntg and dtype == "float64"
    return af.Record(
        every=every,
        ntg=now,
        eigmin=now,
        ntg_on=_ntg_samples(record, samples) if now else None,
        weights=record.ntg and not now,
        accuracy=samples.outputs > 1,
    )


def _ntg_samples(record: Recording, samples: Problem) -> int:
    n = len(samples.X)
    return n if record.ntg_on is None else min(record.ntg_on, n)


def condensed(run: af.Run, samples: Problem, record: Recording) -> Arrays:
    """What the figures and tables need of a run of T records.

    Returns
    -------
    dict of arrays
        steps, time, loss, and test_loss, accuracy, test_accuracy where there are such: (T,).
        weight_change (T, top_nodes): of the nodes that moved most, the farthest first.
        weight_change_rms (T,): ``sqrt(sum_j lam_j |w_tj - w_0j|^2)``; the lam_j sum to 1.
        node_change (m,): of every node at the end. W, a, lam: the final network.
        With the NTG: ntg_change and ntg_eigmin (T,), ntg_norm (), of the NTG at the start.
    """
    arrays: Arrays = {"steps": run.steps, "time": run.time, "loss": run.loss}
    for name in ("test_loss", "accuracy", "test_accuracy"):
        values = getattr(run, name)
        if values is not None:
            arrays[name] = values
    change, lam = run.weight_change, run.network.lam
    order = np.argsort(-change[-1], kind="stable")[: record.top_nodes]
    arrays["weight_change"] = change[:, order]
    arrays["weight_change_rms"] = np.sqrt(change**2 @ lam)
    arrays["node_change"] = change[-1]
    if record.ntg:
        arrays.update(_ntg(run, samples.X[: _ntg_samples(record, samples)]))
    return {**arrays, "W": run.network.W, "a": run.network.a, "lam": lam}


def _ntg(run: af.Run, X: npt.NDArray[Any]) -> Arrays:
    """Change and smallest eigenvalue of the NTG, in float64 whatever the network's dtype is.

    Between float32 slopes the smallest eigenvalue drowns in rounding, so a float32 run records its
    weights, and the NTG at those very weights is formed here.
    """
    initial = run.initial
    if run.ntg_change is not None and run.ntg_eigmin is not None:
        norm = np.linalg.norm(np.asarray(initial.ntg(X), dtype=np.float64))
        return {
            "ntg_change": run.ntg_change,
            "ntg_eigmin": run.ntg_eigmin,
            "ntg_norm": np.asarray(norm),
        }
    assert run.weights is not None
    X = X.astype(np.float64)
    changes, smallest = [], []
    start: npt.NDArray[Any] = np.zeros(())
    for t, W in enumerate(run.weights):
        network = af.Network(
            W.astype(np.float64),
            initial.a.astype(np.float64),
            initial.lam,
            activation=initial.activation,
        )
        K = network.ntg(X, threads=1)
        start = start if t else K
        changes.append(np.linalg.norm(K - start))
        smallest.append(af.min_eigenvalue(K))
    return {
        "ntg_change": np.array(changes),
        "ntg_eigmin": np.array(smallest),
        "ntg_norm": np.asarray(np.linalg.norm(start)),
    }
