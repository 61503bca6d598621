"""One run: from its configuration to the training function, and the checks before."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from asymfast import _check
from asymfast._run_loop import checks_only
from asymfast.network import Network
from asymfast.ntg import min_eigenvalue
from asymfast.record import Record, Stop
from asymfast.run import Run
from asymfast.scaling import node_scaling
from asymfast.study.config import TRAINERS, Config, ConfigError, parse
from asymfast.study.data import Places, Samples, samples

PathLike = str | os.PathLike[str]


def train_config(
    config: Mapping[str, Any],
    *,
    threads: int | None = None,
    data_dir: PathLike | None = None,
    checkpoint: PathLike | None = None,
    checkpoint_every: float = 60.0,
    progress: bool | Callable[[float, float], object] = False,
) -> Run:
    """Train the network of one configuration of a `sweep`, here and now.

    Parameters
    ----------
    config : mapping
        See `sweep`. Its tables pruning and transfer are ignored.
    threads, checkpoint, checkpoint_every, progress
        As in `gradient_descent`.
    data_dir : path-like, optional
        As in `sweep`.

    Returns
    -------
    Run
        Identical to the bit with the run of the sweep (on the same instruction set).

    Raises
    ------
    ConfigError
        A ValueError: the configuration has an unknown key, or lacks one.
    Exception
        Whatever the training function raises.

    Notes
    -----
    With the seed s of a table, or else that of the configuration, the network is
    ``Network.init(..., rng=default_rng([s, 1]))``, the data are ``simulated(..., rng=s)``, with
    test samples from ``rng=[s, 3]``, the rows of a CSV file are split as by ``asymfast train``,
    and sgd has ``rng=default_rng([s, 2])`` unless ``train.rng`` is given. So one seed serves for
    all, and no two of them use the same numbers. Files are read at every call.

    Examples
    --------
    >>> import asymfast as af
    >>> config = {
    ...     "data": {"name": "simulated", "n": 10, "d": 3},
    ...     "network": {"m": 20, "gamma": 1.0},
    ...     "train": {"trainer": "gradient_descent", "steps": 50},
    ... }
    >>> run = af.train_config(config)
    >>> bool(run.loss[-1] < run.loss[0])
    True
    """
    parsed = parse(config)
    return train(
        parsed,
        samples(parsed, Places.of(data_dir)),
        threads=threads,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        progress=progress,
    )


def train(config: Config, data: Samples, **options: Any) -> Run:
    """Train the network of a configuration; `options` are keywords of the trainer."""
    run = _call(config, _network(config, data), data, **options)
    return _with_ntg(run, _record(config), data.X) if _ntg_later(config) else run


def check(config: Config, places: Places) -> None:
    """Make all the checks of a run, on its own data, but do not run it.

    Raises
    ------
    ConfigError
        Something is wrong; the message is that of the function that would have raised it.
    OSError, ImportError
        The data are not available.
    """
    try:
        data = samples(config, places)
        with checks_only():
            _call(config, _blank_network(config, data), data)
        _check_stages(config, data)
    except ConfigError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(str(error)) from error


def _check_stages(config: Config, data: Samples) -> None:
    if config.transfer is not None:
        most = max(config.transfer.features, default=0)
        if not 1 <= min(config.transfer.features, default=0) <= most <= config.network.m:
            raise ConfigError(
                "transfer.features must be numbers from 1 to network.m = "
                f"{config.network.m}, got {list(config.transfer.features)}"
            )
        if data.X_held is None:
            raise ConfigError(
                "transfer needs held-out samples: data must be a data set with validation samples"
            )
    if config.pruning is not None and data.X_test is None:
        raise ConfigError("pruning needs test samples: data.n_test must be at least 1")


def scaling(config: Config) -> NDArray[np.float64]:
    """Return the node scalings lam (m,) of a configuration."""
    net = config.network
    start = _check.integer("sweep", "network.zipf_start", net.zipf_start, low=1)
    if start == 1:
        return node_scaling(net.m, net.gamma, net.alpha)
    alpha = _check.number("sweep", "network.alpha", net.alpha, low=0, high=1, low_open=True)
    ranks = np.arange(start, start + net.m, dtype=np.float64)
    return node_scaling(net.m, net.gamma, weights=ranks ** (-1 / alpha))


def _network(config: Config, data: Samples) -> Network:
    net = config.network
    seed = _check.integer("sweep", "network.seed", config.seed_of(net), low=0)
    drawn = Network.init(
        d=data.X.shape[1],
        m=net.m,
        gamma=net.gamma,
        alpha=net.alpha,
        activation=net.activation,
        outputs=data.outputs,
        rng=np.random.default_rng([seed, 1]),
        dtype=net.dtype,
        bias=net.bias,
    )
    if net.zipf_start == 1:
        return drawn
    return Network(
        drawn.W,
        drawn.a,
        scaling(config),
        activation=net.activation,
        gamma=net.gamma,
        bias=net.bias,
    )


def _blank_network(config: Config, data: Samples) -> Network:
    """Return a network of the right shape without random weights, whose draws take time."""
    net, k = config.network, data.outputs
    _check.integer("sweep", "network.seed", config.seed_of(net), low=0)
    m = _check.integer("sweep", "network.m", net.m, low=1)
    return Network(
        np.zeros((m, data.X.shape[1] + net.bias), net.dtype),
        np.zeros((m,) if k == 1 else (m, k), net.dtype),
        scaling(config),
        activation=net.activation,
        gamma=net.gamma,
        alpha=net.alpha,
        bias=net.bias,
    )


def _call(config: Config, net: Network, data: Samples, **options: Any) -> Run:
    trainer = str(config.train.__struct_config__.tag)
    keywords = structs.asdict(config.train)
    if "rng" in keywords and keywords["rng"] is None:
        keywords["rng"] = np.random.default_rng([config.seed, 2])
    stop = structs.asdict(config.stop)
    if any(value is not None for value in stop.values()):
        keywords["stop"] = Stop(**stop)
    record = _record(config)
    if _ntg_later(config):
        record = replace(record, weights=True, ntg=False, eigmin=False)
    run: Run = TRAINERS[trainer](
        net,
        data.X,
        data.y,
        X_test=data.X_test,
        y_test=data.y_test,
        record=record,
        **keywords,
        **options,
    )
    return run


def _record(config: Config) -> Record:
    fields = structs.asdict(config.record)
    del fields["ntg_dtype"], fields["network"]
    return Record(**fields)


def _ntg_later(config: Config) -> bool:
    """Whether the NTG is computed after the run, in float64, from its recorded weights.

    Between float32 slopes the smallest eigenvalue drowns in rounding.
    """
    record = config.record
    return bool(record.ntg_dtype and record.ntg and config.network.dtype == "float32")


def _with_ntg(run: Run, record: Record, X: NDArray[Any]) -> Run:
    """Return the run with change and smallest eigenvalue of the NTG instead of the weights."""
    assert run.weights is not None
    initial = run.initial
    X = X[record.samples("sweep", len(X))].astype(np.float64)
    a = initial.a.astype(np.float64)
    change, smallest = [], []
    start: NDArray[Any] | None = None
    for W in run.weights:
        W = np.asarray(W, dtype=np.float64)
        net = Network(W, a, initial.lam, activation=initial.activation, bias=initial.bias)
        K = net.ntg(X, threads=1)
        start = K if start is None else start
        change.append(np.linalg.norm(K - start))
        smallest.append(min_eigenvalue(K) if record.eigmin else np.nan)
    return replace(
        run,
        weights=run.weights if record.weights else None,
        ntg_change=np.array(change),
        ntg_eigmin=np.array(smallest) if record.eigmin else None,
    )
