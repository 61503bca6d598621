"""Transfer learning: external networks on the most important features of a trained network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

import asymfast as af
from asymfast.datasets.tables import statistics
from asymfast.experiments import external
from asymfast.experiments.config import Transfer, as_table
from asymfast.experiments.problem import Problem

Arrays = dict[str, npt.NDArray[Any]]
Array = npt.NDArray[Any]


def transfer_config(training: dict[str, Any], plan: Transfer) -> dict[str, Any]:
    """Everything that decides the numbers: the run that gave the features, and the plan."""
    return {"kind": "transfer", "of": training, "transfer": as_table(plan)}


def transfer(
    network: af.Network,
    samples: Problem,
    plan: Transfer,
    seed: int,
    *,
    threads: int | None = None,
    progress: Callable[[float, float], object] | None = None,
) -> Arrays:
    """Train one external network for every number of features.

    Parameters
    ----------
    network : Network
        Its scaled hidden layer, sqrt(lam_j) sigma(Z_j), gives the features.
    samples : Problem
        With held-out samples to train the external networks, and others to test them.
    plan : Transfer
        Which external networks, and how they are trained.
    seed : int
        Of the repetition; the external network of k features is drawn from
        ``default_rng([seed, 3, k])``, the same for every node scaling.
    threads : int, optional
    progress : callable(fraction, loss), optional
        Called now and then, also while an external network with one hidden layer is trained. What
        it raises ends the work.

    Returns
    -------
    dict of arrays
        features, loss, test_loss, and of several outputs accuracy, test_accuracy: one number for
        every external network. Losses are infinite where training diverged.

    Raises
    ------
    ValueError
        The samples have none held out, or the plan wants more features than there are nodes.

    Notes
    -----
    One hidden layer: the network of Eq. (2) with equal scalings, trained in both layers by full
    batches. Several: see `asymfast.experiments.external`.
    """
    parts = (samples.X_held, samples.y_held, samples.X_held_test, samples.y_held_test)
    if any(part is None for part in parts):
        raise ValueError("transfer: samples must have some held out")
    X_held, y_held, X_test, y_test = (np.asarray(part) for part in parts)
    if max(plan.features) > network.m:
        raise ValueError(
            f"transfer: features must be at most m = {network.m}, got {max(plan.features)}"
        )
    order = np.argsort(-network.node_importance(plan.importance), kind="stable")
    order = order[: max(plan.features)]
    top = af.Network(
        network.W[order], network.a[order], network.lam[order], activation=network.activation
    )
    train, test = top.features(X_held, threads=threads), top.features(X_test, threads=threads)
    if plan.standardise:
        mean, std = statistics(train.astype(np.float64))
        train, test = (((part - mean) / std).astype(train.dtype) for part in (train, test))
    learn = _one_layer if len(plan.hidden) == 1 else _several_layers
    rows = []
    for count in plan.features:
        F, F_test = (np.ascontiguousarray(part[:, :count]) for part in (train, test))
        rng = np.random.default_rng([seed, 3, count])
        outputs = learn(F, y_held, F_test, plan, rng, threads, progress)
        rows.append(
            [
                number
                for f, y in zip(outputs, (y_held, y_test), strict=True)
                for number in _risk(f, y)
            ]
        )
    loss, accuracy, test_loss, test_accuracy = np.array(rows).T
    arrays = {"features": np.array(plan.features), "loss": loss, "test_loss": test_loss}
    if y_held.ndim == 2:
        arrays |= {"accuracy": accuracy, "test_accuracy": test_accuracy}
    return arrays


def _one_layer(
    F: Array,
    y: Array,
    F_test: Array,
    plan: Transfer,
    rng: np.random.Generator,
    threads: int | None,
    progress: Callable[[float, float], object] | None,
) -> tuple[Array, Array]:
    """Outputs on both samples; not a number where training diverged."""
    net = af.Network.init(
        d=F.shape[1],
        m=plan.hidden[0],
        gamma=1.0,
        activation="relu",
        outputs=1 if y.ndim == 1 else y.shape[1],
        rng=rng,
        dtype=F.dtype,
    )
    try:
        run = af.sgd(
            net,
            F,
            y,
            lr=plan.lr,
            batch_size=len(F),
            epochs=plan.steps,
            loss=plan.loss,
            train_output=True,
            record=af.Record(steps=[plan.steps], ntg=False, eigmin=False),
            threads=threads,
            progress=progress or False,
        )
    except af.DivergenceError:
        return np.full(y.shape, np.nan), np.full((len(F_test), *y.shape[1:]), np.nan)
    return run.network(F, threads=threads), run.network(F_test, threads=threads)


def _several_layers(
    F: Array,
    y: Array,
    F_test: Array,
    plan: Transfer,
    rng: np.random.Generator,
    threads: int | None,
    progress: Callable[[float, float], object] | None,
) -> tuple[Array, Array]:
    if progress is not None:
        progress(0.0, np.nan)
    target = y.reshape(len(y), -1)
    sizes = (F.shape[1], *plan.hidden, target.shape[1])
    layers = external.trained(external.drawn(sizes, rng, F.dtype), F, target, plan.lr, plan.steps)
    return layers(F).reshape(y.shape), layers(F_test).reshape(len(F_test), *y.shape[1:])


def _risk(f: Array, y: Array) -> tuple[float, float]:
    """Mean squared error, infinite where there is none, and accuracy."""
    if not np.isfinite(f).all():
        return np.inf, 0.0 if y.ndim == 2 else np.nan
    loss = float(np.mean((f.astype(np.float64) - y) ** 2))
    if y.ndim == 1:
        return loss, np.nan
    return loss, float(np.mean(f.argmax(axis=1) == y.argmax(axis=1)))
