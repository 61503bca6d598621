"""One run of a sweep: from its config to the training function, and what is checked before."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from asymfast import _check
from asymfast._run_loop import checks_only
from asymfast.network import Network
from asymfast.record import Record, Stop
from asymfast.run import Run
from asymfast.scaling import node_scaling
from asymfast.sweeps.config import TRAINERS, ConfigError, default, spelled_out
from asymfast.sweeps.data import Samples, samples

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
    """Make the run of one config of a `sweep`, here and now.

    Parameters
    ----------
    config : mapping
        See `sweep`.
    threads, checkpoint, checkpoint_every, progress
        As in `gradient_descent`.
    data_dir : path-like, optional
        As in `sweep`.

    Returns
    -------
    Run
        To the bits of the run that the sweep makes (on the same instruction set).

    Raises
    ------
    ConfigError
        A ValueError: the config has a key that is unknown, or lacks one.
    Exception
        Whatever the training function raises.

    Notes
    -----
    With the seed s of a section, or else that of the config, the network is
    ``Network.init(..., rng=default_rng([s, 1]))``, the data are ``simulated(..., rng=s)``, with
    test samples from ``rng=[s, 3]``, the rows of a CSV file are split as by ``asymfast train``,
    and sgd has ``rng=default_rng([s, 2])`` unless ``train.rng`` is given: so one seed serves for
    all, and no two of them see the same numbers.

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
    config = spelled_out(config)
    data = _samples(config, data_dir)
    net = _network(config, data)
    return _call(
        config,
        net,
        data,
        threads=threads,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        progress=progress,
    )


def check(config: Mapping[str, Any], data_dir: PathLike | None) -> None:
    """Make all the checks of the run of a config, on its own data, but do not run it.

    Raises
    ------
    ConfigError
        Something is wrong; the message is that of the function that would have complained.
    OSError, ImportError
        The data cannot be had.
    """
    try:
        config = spelled_out(config)
        data = _samples(config, data_dir)
        with checks_only():
            _call(config, _blank_network(config, data), data)
    except ConfigError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(str(error)) from error


def _samples(config: Mapping[str, Any], data_dir: PathLike | None) -> Samples:
    seed = _check.integer("sweep", "seed", config.get("seed", 0), low=0)
    dtype = _check.choice(
        "sweep", "network.dtype", _network_value(config, "dtype"), ("float64", "float32")
    )
    return samples(config["data"], seed, dtype, data_dir)


def _network_value(config: Mapping[str, Any], key: str) -> Any:
    value = config["network"].get(key)
    return default(f"network.{key}", config) if value is None else value


def _network(config: Mapping[str, Any], data: Samples) -> Network:
    seed = _check.integer("sweep", "network.seed", _network_value(config, "seed"), low=0)
    return Network.init(
        d=data.X.shape[1],
        m=config["network"]["m"],
        gamma=config["network"]["gamma"],
        alpha=_network_value(config, "alpha"),
        activation=_network_value(config, "activation"),
        outputs=data.outputs,
        rng=np.random.default_rng([seed, 1]),
        dtype=_network_value(config, "dtype"),
    )


def _blank_network(config: Mapping[str, Any], data: Samples) -> Network:
    """Return a network of the right shape without weights, whose draws are most of the time."""
    _check.integer("sweep", "network.seed", _network_value(config, "seed"), low=0)
    m = _check.integer("sweep", "network.m", config["network"]["m"], low=1)
    gamma, alpha = config["network"]["gamma"], _network_value(config, "alpha")
    dtype, k = _network_value(config, "dtype"), data.outputs
    return Network(
        np.zeros((m, data.X.shape[1]), dtype),
        np.zeros((m,) if k == 1 else (m, k), dtype),
        node_scaling(m, gamma, alpha),
        activation=_network_value(config, "activation"),
        gamma=gamma,
        alpha=alpha,
    )


def _call(config: Mapping[str, Any], net: Network, data: Samples, **more: Any) -> Run:
    keywords = {name: value for name, value in config["train"].items() if name != "trainer"}
    trainer = config["train"]["trainer"]
    if trainer == "sgd" and keywords.get("rng") is None:
        keywords["rng"] = np.random.default_rng([config.get("seed", 0), 2])
    if config["stop"]:
        keywords["stop"] = Stop(**config["stop"])
    run: Run = TRAINERS[trainer](
        net,
        data.X,
        data.y,
        X_test=data.X_test,
        y_test=data.y_test,
        record=Record(**config["record"]),
        **keywords,
        **more,
    )
    return run
