"""The stages of a run, each with a result of its own: training, pruning, transfer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from asymfast.datasets.tables import statistics
from asymfast.network import Network
from asymfast.pruning import pruning_curve
from asymfast.record import Record
from asymfast.run import DivergenceError, Run
from asymfast.study.config import Config, Transfer, as_table
from asymfast.study.data import Samples
from asymfast.study.train import train
from asymfast.train import sgd

Array = NDArray[Any]
Arrays = dict[str, Array]
Info = dict[str, Any]
Progress = Callable[[float, float], object]


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


def carry_out(
    stage: str, config: Config, data: Samples, trained: Arrays | None, **options: Any
) -> tuple[Arrays, Info]:
    """Carry out one stage.

    Parameters
    ----------
    stage : {"training", "pruning", "transfer"}
    config : Config
    data : Samples
    trained : dict of arrays, or None
        What the training has saved, for the other stages.
    **options
        threads, checkpoint, checkpoint_every, progress; only training has checkpoints.

    Returns
    -------
    arrays : dict of arrays
    info : dict
        ``axes`` of the arrays, and of training its settings and versions, how it ended, the norm of
        the NTG at the start, and the certificate if asked for.
    """
    if trained is None:
        return _training(config, data, options)
    W, a, lam = (trained[name] for name in ("W", "a", "lam"))
    net = config.network
    network = Network(W, a, lam, activation=net.activation, bias=net.bias)
    threads, progress = options["threads"], options["progress"]
    if stage == "pruning":
        return pruning(network, data, config, threads)
    seed, plan = config.seed_of(config.network), config.transfer
    assert plan is not None
    return transfer(network, data, plan, seed, threads=threads, progress=progress)


def _training(config: Config, data: Samples, options: dict[str, Any]) -> tuple[Arrays, Info]:
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
    if config.record.ntg:
        info["ntg_norm"] = _ntg_norm(run.initial, data.X, config)
    if config.certificate and not message:
        from asymfast.theory import certify

        info["certificate"] = certify(run, data.X, data.y).to_dict()
    return {name: values for name, (_, values) in columns.items()}, info


def _ntg_norm(initial: Network, X: Array, config: Config) -> float:
    """Frobenius norm of the NTG at the start, of which the recorded change is a part."""
    rows = Record(ntg_on=config.record.ntg_on).samples("sweep", len(X))
    double = Network(
        initial.W.astype(np.float64),
        initial.a.astype(np.float64),
        initial.lam,
        activation=initial.activation,
    )
    return float(np.linalg.norm(double.ntg(X[rows].astype(np.float64))))


# ---- pruning --------------------------------------------------------------------------------


def pruning(
    network: Network, data: Samples, config: Config, threads: int | None = None
) -> tuple[Arrays, Info]:
    """Pruning curves: loss and accuracy on training and test samples by the nodes kept.

    Returns
    -------
    arrays : dict of (m,) arrays
        kept, loss, test_loss, and of several outputs accuracy, test_accuracy.
    info : dict
        Their axes.
    """
    assert config.pruning is not None
    arrays: Arrays = {}
    for prefix, X, y in (("", data.X, data.y), ("test_", data.X_test, data.y_test)):
        assert X is not None
        assert y is not None
        curve = pruning_curve(
            network,
            X,
            y,
            getattr(config.train, "loss", "half_sse"),
            kind=config.pruning.importance,
            threads=threads,
        )
        arrays["kept"] = curve.kept
        arrays[f"{prefix}loss"] = curve.loss
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
    """Train one external network for every number of features.

    Parameters
    ----------
    network : Network
        Its scaled hidden layer, sqrt(lam_j) sigma(Z_j), gives the features.
    data : Samples
        With held-out samples to train the external networks, and others to test them.
    plan : Transfer
    seed : int
        The external network of k features is drawn from ``default_rng([seed, 3, k])``, the same for
        every node scaling.
    threads : int, optional
    progress : callable(fraction, loss), optional
        Called while an external network is trained. What it raises ends the work.

    Returns
    -------
    arrays : dict of arrays
        features, loss, test_loss, and of several outputs accuracy, test_accuracy: one number for
        every external network. Losses are infinite where training diverged.
    info : dict
        Their axes.

    Raises
    ------
    ValueError
        No samples are held out, or the plan asks for more features than there are nodes.

    Notes
    -----
    The external network is that of Eq. (2) with equal scalings and ReLU, trained in both layers by
    full batches.
    """
    parts = (data.X_held, data.y_held, data.X_held_test, data.y_held_test)
    if any(part is None for part in parts):
        raise ValueError("transfer: data must have held-out samples")
    X_held, y_held, X_test, y_test = (np.asarray(part) for part in parts)
    most = max(plan.features)
    if most > network.m:
        raise ValueError(f"transfer: features must be at most m = {network.m}, got {most}")
    order = np.argsort(-network.node_importance(plan.importance), kind="stable")[:most]
    top = Network(
        network.W[order], network.a[order], network.lam[order], activation=network.activation
    )
    train_features = top.features(X_held, threads=threads)
    test_features = top.features(X_test, threads=threads)
    if plan.standardise:
        mean, std = statistics(train_features.astype(np.float64))
        train_features, test_features = (
            ((part - mean) / std).astype(part.dtype) for part in (train_features, test_features)
        )
    rows = []
    for count in plan.features:
        F, F_test = (
            np.ascontiguousarray(part[:, :count]) for part in (train_features, test_features)
        )
        rng = np.random.default_rng([seed, 3, count])
        external = _trained(F, y_held, plan, rng, threads, progress)
        rows.append([*_risk(external, F, y_held), *_risk(external, F_test, y_test)])
    loss, accuracy, test_loss, test_accuracy = np.array(rows).T
    arrays: Arrays = {"features": np.array(plan.features), "loss": loss, "test_loss": test_loss}
    if y_held.ndim == 2:
        arrays |= {"accuracy": accuracy, "test_accuracy": test_accuracy}
    return arrays, {"axes": dict.fromkeys(arrays, ("features",))}


def _trained(
    F: Array,
    y: Array,
    plan: Transfer,
    rng: np.random.Generator,
    threads: int | None,
    progress: Progress | None,
) -> Network | None:
    """The external network; None where training diverged."""
    start = Network.init(
        d=F.shape[1],
        m=plan.m,
        gamma=1.0,
        activation="relu",
        outputs=1 if y.ndim == 1 else y.shape[1],
        rng=rng,
        dtype=F.dtype,
    )
    try:
        run: Run = sgd(
            start,
            F,
            y,
            lr=plan.lr,
            batch_size=len(F),
            epochs=plan.steps,
            loss=plan.loss,
            train_output=True,
            record=Record(steps=[plan.steps], ntg=False, eigmin=False),
            threads=threads,
            progress=progress or False,
        )
    except DivergenceError:
        return None
    return run.network


def _risk(network: Network | None, F: Array, y: Array) -> tuple[float, float]:
    """Mean squared error, infinite where training diverged, and accuracy."""
    f = np.full(y.shape, np.nan) if network is None else network(F)
    if not np.isfinite(f).all():
        return np.inf, 0.0 if y.ndim == 2 else np.nan
    loss = float(np.mean((f.astype(np.float64) - y) ** 2))
    if y.ndim == 1:
        return loss, np.nan
    return loss, float(np.mean(f.argmax(axis=1) == y.argmax(axis=1)))
