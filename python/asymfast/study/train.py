"""One run: the samples and the network of its configuration, the checks before, the training."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from asymfast import _check, _storage
from asymfast._run_loop import checks_only
from asymfast.datasets import load, load_mnist, read_samples, simulated
from asymfast.network import Network, in_float64
from asymfast.ntg import min_eigenvalue
from asymfast.record import Record, Stop
from asymfast.run import Run
from asymfast.scaling import node_scaling
from asymfast.study.config import (
    TRAINERS,
    Config,
    ConfigError,
    Csv,
    Mnist,
    Npz,
    Simulated,
    as_table,
    parse,
    regular_file,
)

_FN = "sweep"
_ENVIRONMENT = "ASYMFAST_DATA"
Array = NDArray[Any]
PathLike = str | os.PathLike[str]


@_check.guarded
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
    >>> config = {"data.name": "simulated", "network.m": 20, "network.gamma": 1.0}
    >>> config |= {"train.trainer": "gradient_descent", "train.steps": 50}
    >>> run = af.train_config(config)
    >>> bool(run.loss[-1] < run.loss[0])
    True
    """
    parsed = parse(config)
    options: dict[str, Any] = {"threads": threads, "progress": progress}
    options |= {"checkpoint": checkpoint, "checkpoint_every": checkpoint_every}
    return train(parsed, samples(parsed, Places.from_folder(data_dir)), **options)


def train(config: Config, data: Samples, **options: Any) -> Run:
    """Train the network of a configuration; `options` are keywords of the trainer."""
    trainer = str(config.train.__struct_config__.tag)
    keywords = structs.asdict(config.train) | options
    if "rng" in keywords and keywords["rng"] is None:
        keywords["rng"] = np.random.default_rng([config.seed, 2])
    if as_table(config.stop):
        keywords["stop"] = Stop(**structs.asdict(config.stop))
    fields = structs.asdict(config.record)
    kind, _ = fields.pop("ntg_dtype"), fields.pop("network")
    record = recorded = Record(**fields)
    # Between float32 slopes the smallest eigenvalue of the NTG drowns in rounding.
    ntg_later = kind and record.ntg and config.network.dtype == "float32"
    if ntg_later:
        recorded = replace(record, weights=True, ntg=False, eigmin=False)
    net = _network(config, data)
    keywords |= {"X_test": data.X_test, "y_test": data.y_test, "record": recorded}
    run: Run = TRAINERS[trainer](net, data.X, data.y, **keywords)
    return _with_ntg(run, record, data.X) if ntg_later else run


def _network(config: Config, data: Samples) -> Network:
    net = config.network
    seed = _check.integer(_FN, "network.seed", config.seed_of(net), low=0)
    options = {name: getattr(net, name) for name in ("activation", "dtype", "bias")}
    return Network.init(
        d=data.X.shape[1],
        outputs=data.outputs(config.train.loss),
        rng=np.random.default_rng([seed, 1]),
        **_of_scaling(config),
        **options,
    )


def _of_scaling(config: Config) -> dict[str, Any]:
    """Arguments of `node_scaling`: from j = zipf_start > 1 on, the weights j^(-1/alpha)."""
    net = config.network
    start = _check.integer(_FN, "network.zipf_start", net.zipf_start, low=1)
    if start == 1:
        return {"m": net.m, "gamma": net.gamma, "alpha": net.alpha}
    alpha = _check.number(_FN, "network.alpha", net.alpha, "(0, 1]")
    ranks = np.arange(start, start + net.m, dtype=np.float64)
    return {"m": net.m, "gamma": net.gamma, "weights": ranks ** (-1 / alpha)}


def scaling(config: Config) -> NDArray[np.float64]:
    """Return the node scalings lam (m,) of a configuration."""
    return node_scaling(**_of_scaling(config))


def _with_ntg(run: Run, record: Record, X: Array) -> Run:
    """Replace the recorded weights by change and smallest eigenvalue of their NTG in float64."""
    assert run.weights is not None
    X = X[record.samples(_FN, len(X))].astype(np.float64)
    change, smallest = [], []
    start: Array | None = None
    for W in run.weights:
        K = in_float64(run.initial.with_weights(W)).ntg(X, threads=1)
        start = K if start is None else start
        change.append(np.linalg.norm(K - start))
        smallest.append(min_eigenvalue(K) if record.eigmin else np.nan)
    asked = {"ntg": True, "eigmin": record.eigmin, "weights": record.weights}
    return replace(
        run,
        config={**run.config, "record": {**run.config["record"], **asked}},
        weights=run.weights if record.weights else None,
        ntg_change=np.array(change),
        ntg_eigmin=np.array(smallest) if record.eigmin else None,
    )


def check(config: Config, places: Places) -> None:
    """Make all the checks of a run, on its own data, but do not run it.

    The message of a ConfigError is that of the function that would have raised it.
    """
    try:
        data = samples(config, places)
        with checks_only():
            train(config, data)
        if config.transfer is not None:
            features, m = config.transfer.features, config.network.m
            if not features or min(features) < 1 or max(features) > m:
                raise ConfigError(
                    f"transfer.features must be numbers from 1 to network.m = {m}, "
                    f"got {list(features)}"
                )
            if data.X_held is None:
                raise ConfigError(
                    "transfer needs held-out samples: data must be a data set with validation "
                    "samples"
                )
        if config.pruning is not None and data.X_test is None:
            raise ConfigError("pruning needs test samples: data.n_test, or data.test_fraction")
    except ConfigError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(str(error)) from error


# ---- samples --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples in the network's dtype.

    X (n, d) and y (n,) or (n, k) to train on, where y may be integer labels if the loss is
    cross_entropy; X_test and y_test; the held ones are for external networks, to train and to test.
    """

    X: Array
    y: Array
    X_test: Array | None = None
    y_test: Array | None = None
    X_held: Array | None = None
    y_held: Array | None = None
    X_held_test: Array | None = None
    y_held_test: Array | None = None

    def outputs(self, loss: str) -> int:
        """Number of columns of y; of labels, integers for cross_entropy, the number of classes."""
        if loss == "cross_entropy" and self.y.ndim == 1 and self.y.dtype.kind in "iu":
            tested = [] if self.y_test is None else [self.y_test.max()]
            return int(max([self.y.max(), *tested])) + 1
        return 1 if self.y.ndim == 1 else int(self.y.shape[1])


class Places(NamedTuple):
    """Where data are: the folder of the data sets, and those that paths of files are relative to.

    Absolute, and without ASYMFAST_DATA, so that they mean the same in every process.
    """

    data_sets: str | None
    files: tuple[str, ...]

    @classmethod
    def from_folder(cls, data_dir: PathLike | None) -> Places:
        """Return the folder given; else files are in the current one, or in ASYMFAST_DATA."""
        if data_dir is not None:
            folder = os.path.abspath(data_dir)
            return cls(folder, (folder,))
        environment = os.environ.get(_ENVIRONMENT)
        more = (os.path.abspath(environment),) if environment else ()
        return cls(next(iter(more), None), (os.getcwd(), *more))


def samples(config: Config, places: Places, token: str | None = None) -> Samples:
    """Return the samples of a configuration.

    Runs of the sweep that `token` names share the samples that were read last. Without it, files
    are read afresh: their names do not tell what they hold.
    """
    seed = _check.integer(_FN, "data.seed", config.seed_of(config.data), low=0)
    read = _remembered if token is not None else _read
    return read(config.data, seed, config.network.dtype, places, token)


def _read(data: Any, seed: int, dtype: str, places: Places, token: str | None) -> Samples:
    if isinstance(data, Simulated):
        return _simulated(data, seed, dtype)
    if isinstance(data, (Csv, Npz)):
        path = _data_file(data, places)
        if data.sha256 not in (None, _storage.sha256(path)):
            raise ValueError(f"{_FN}: {path} has changed since the configuration was made")
        return _csv(path, data, seed, dtype) if isinstance(data, Csv) else _npz(path, data, dtype)
    return _data_set(data, dtype, places.data_sets)


_remembered = lru_cache(maxsize=2)(_read)


def _simulated(data: Simulated, seed: int, dtype: str) -> Samples:
    X, y = simulated(data.n, data.d, rng=seed, noise=data.noise, dtype=dtype)
    n_test = _check.integer(_FN, "data.n_test", data.n_test, low=0)
    if not n_test:
        return Samples(X, y)
    # Another stream, so that the training samples do not depend on the number of test samples.
    test = simulated(n_test, data.d, rng=[seed, 3], noise=data.noise, dtype=dtype)
    return Samples(X, y, *test)


def _csv(path: Path, data: Csv, seed: int, dtype: str) -> Samples:
    fraction = _check.number(_FN, "data.test_fraction", data.test_fraction, "[0, 1)")
    names = ("drop", "one_hot", "missing", "decimal")
    options = {name: getattr(data, name) for name in names}
    read = read_samples(path, data.target, fraction, seed, **options)
    parts = read.X_train, read.y_train, read.X_test, read.y_test
    return Samples(*(part.astype(dtype) for part in (parts if len(read.X_test) else parts[:2])))


def _npz(path: Path, data: Npz, dtype: str) -> Samples:
    """X, y, X_test and y_test; or x_train and so on, the names in files of features."""
    try:
        arrays = _storage.read_npz(path, compressed=True)
    except ValueError as error:
        raise ValueError(f"{_FN}: {path} is not an .npz file of arrays: {error}") from error
    arrays.pop("i_train", None)  # in files of features: which images they are of
    given = sorted(arrays)
    names = {"x_train": "X", "y_train": "y", "x_test": "X_test"}
    arrays = {names.get(name, name): values for name, values in arrays.items()}
    known = {"X", "y"} <= set(arrays) <= {"X", "y", "X_test", "y_test"}
    if not known or len(arrays) == 3 or len(arrays) < len(given):  # X and x_train
        raise ValueError(
            f"{_FN}: {path} must hold the arrays X and y, and X_test and y_test or neither, "
            f"got {', '.join(given)}"
        )
    if data.n_test and "X_test" not in arrays:
        raise ValueError(f"{_FN}: data.n_test needs X_test and y_test in {path}")
    for name, values in arrays.items():  # labels stay integers; the trainer checks the rest
        if not values.size or (values.ndim != 2 and not name.startswith("y")):
            shape = "(n,) or (n, k)" if name.startswith("y") else "(n, d)"
            raise ValueError(f"{_FN}: {name} in {path} must have shape {shape}, got {values.shape}")
        if values.dtype.kind == "f":
            arrays[name] = np.ascontiguousarray(values, dtype=dtype)
        elif values.dtype.kind not in "iu":
            raise ValueError(f"{_FN}: {name} in {path} must hold numbers, got {values.dtype}")
    test: tuple[Array, ...] = ()
    if "X_test" in arrays and data.n_test != 0:
        test = _first("n_test", data.n_test, arrays["X_test"], arrays["y_test"])
    return Samples(*_first("n", data.n, arrays["X"], arrays["y"]), *test)


def _data_set(data: Any, dtype: str, folder: str | None) -> Samples:
    """Samples of `datasets.load`, with those held out for external networks.

    Of a table, one half of the validation samples is to train these and one to test them. Of MNIST
    as many further images as there are for training, and the test images.
    """
    if isinstance(data, Mnist):
        n = 5000 if data.n is None else _check.integer(_FN, "data.n", data.n, low=1, high=59_999)
        read = load_mnist(folder, n_train=n, n_valid=min(n, 60_000 - n), dtype=dtype)
        held_test = _first("n_test", data.n_test or None, read.X_test, read.y_test)
        held = read.X_valid, read.y_valid, *held_test
    else:
        options = {"split_seed": data.split_seed, "target": data.target, "dtype": dtype}
        read = load(str(data.__struct_config__.tag), folder, **options)
        half = len(read.X_valid) // 2
        held = read.X_valid[:half], read.y_valid[:half], read.X_valid[half:], read.y_valid[half:]
    tested = data.n_test != 0
    X_test, y_test = (
        _first("n_test", data.n_test, read.X_test, read.y_test) if tested else (None, None)
    )
    X, y = _first("n", data.n, read.X_train, read.y_train)
    return Samples(X, y, X_test, y_test, *held)


def _first(name: str, count: int | None, X: Array, y: Array) -> tuple[Array, Array]:
    if count is None:
        return X, y
    count = _check.integer(_FN, f"data.{name}", count, low=1, high=len(X))
    return X[:count], y[:count]


# ---- files of the user's --------------------------------------------------------------------


def with_digest(config: Config, places: Places, digest: Callable[[Path], str]) -> Config:
    """Add the SHA-256 of the user's file to the configuration: results depend on its content."""
    data = config.data
    if not isinstance(data, (Csv, Npz)):
        return config
    found = digest(_data_file(data, places))
    if data.sha256 not in (None, found):
        raise ConfigError(f"{data.path} has changed: its SHA-256 is {found}")
    return structs.replace(config, data=structs.replace(data, sha256=found))


def _data_file(data: Csv | Npz, places: Places) -> Path:
    """Return the file of a table ``data``; its path may be a pattern that one file matches."""
    if not data.path or "\0" in data.path:
        raise ConfigError(f"data.path must be the path of a file, got {data.path!r}")
    for folder in map(Path, places.files):
        if folder.is_file():  # the file itself was given instead of its folder
            return folder
        path = folder / data.path
        if path.exists():
            return regular_file(path)
        found = sorted(folder.glob(data.path)) if re.search(r"[*?[]", data.path) else []
        if len(found) > 1:
            raise ConfigError(
                f"several files match data.path: {', '.join(map(str, found))}; keep one of them"
            )
        if found:
            return regular_file(found[0])
    raise FileNotFoundError(
        f"the file {data.path} of a configuration does not exist; looked in "
        f"{' and '.join(places.files)} (see data_dir and {_ENVIRONMENT})"
    )
