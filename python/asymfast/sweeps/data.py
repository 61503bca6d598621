"""The samples that a config names."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from asymfast import _check
from asymfast._storage import read_npz
from asymfast.datasets.paper import load, simulated
from asymfast.datasets.tables import read_samples
from asymfast.sweeps.canonical import canonical
from asymfast.sweeps.config import ConfigError

_FN = "sweep"


class Samples(NamedTuple):
    """Training and test samples; `X_test` and `y_test` are None where there are none."""

    X: NDArray[Any]
    y: NDArray[Any]
    X_test: NDArray[Any] | None
    y_test: NDArray[Any] | None

    @property
    def outputs(self) -> int:
        """Columns of y; of labels, which are integers, the number of classes."""
        if self.y.ndim == 1 and self.y.dtype.kind in "iu":
            tested = [] if self.y_test is None else [self.y_test.max()]
            return int(max([self.y.max(), *tested])) + 1
        return 1 if self.y.ndim == 1 else int(self.y.shape[1])


def samples(
    data: Mapping[str, Any], seed: int, dtype: str, data_dir: str | os.PathLike[str] | None
) -> Samples:
    """Return the samples of the section ``data`` of a config; the last ones are remembered.

    Parameters
    ----------
    data : mapping
        The section.
    seed : int
        Of the config, for where the section has none.
    dtype : str
        Of the result.
    data_dir : path-like, optional
        Where data sets are, and what the paths of files are relative to.

    Raises
    ------
    OSError, ImportError, TypeError, ValueError
        As `asymfast.datasets.load`; or a file has changed since the config was made.
    """
    settings = {**data, "seed": seed if data.get("seed") is None else data["seed"]}
    return _samples(canonical(settings), dtype, None if data_dir is None else os.fspath(data_dir))


@lru_cache(maxsize=2)
def _samples(settings: str, dtype: str, data_dir: str | None) -> Samples:
    data = json.loads(settings)
    name = data["name"]
    if name == "simulated":
        return _simulated(data, dtype)
    if name in ("csv", "npz"):
        path = data_file(data, data_dir)
        if data.get("sha256") not in (None, digest(path)):
            raise ValueError(f"{_FN}: {path} has changed since the config was made")
        return _csv(path, data, dtype) if name == "csv" else _npz(path, dtype)
    options = {key: data[key] for key in ("split_seed", "target") if data.get(key) is not None}
    loaded = load(name, data_dir, dtype=dtype, **options)
    X, y = _first("n", data, loaded.X_train, loaded.y_train)
    if data.get("n_test") == 0:
        return Samples(X, y, None, None)
    return Samples(X, y, *_first("n_test", data, loaded.X_test, loaded.y_test))


def data_file(data: Mapping[str, Any], data_dir: str | os.PathLike[str] | None) -> Path:
    """Return the file that a section ``data`` names.

    Raises
    ------
    ConfigError
        Its path is none.
    """
    path = data["path"]
    if not isinstance(path, str) or not path or "\0" in path:
        raise ConfigError(f"data.path must be the path of a file, got {path!r}")
    return Path(data_dir or "") / path


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex digits."""
    with path.open("rb") as file:
        hashed = hashlib.sha256()
        while piece := file.read(1 << 20):
            hashed.update(piece)
    return hashed.hexdigest()


def _simulated(data: Mapping[str, Any], dtype: str) -> Samples:
    given = {key: data[key] for key in ("d", "noise") if key in data}
    seed = _check.integer(_FN, "data.seed", data["seed"], low=0)
    X, y = simulated(data.get("n", 100), rng=seed, dtype=dtype, **given)
    n_test = _check.integer(_FN, "data.n_test", data.get("n_test", 0), low=0)
    if not n_test:
        return Samples(X, y, None, None)
    # Another stream, so that the training samples do not depend on the number of others.
    return Samples(X, y, *simulated(n_test, rng=[seed, 3], dtype=dtype, **given))


def _csv(path: Path, data: Mapping[str, Any], dtype: str) -> Samples:
    fraction = _check.number(
        _FN, "data.test_fraction", data.get("test_fraction", 0.2), low=0, high=1, high_open=True
    )
    seed = _check.integer(_FN, "data.seed", data["seed"], low=0)
    read = read_samples(path, data["target"], fraction, seed)
    X, y, X_test, y_test = (
        values.astype(dtype) for values in (read.X_train, read.y_train, read.X_test, read.y_test)
    )
    return Samples(X, y, X_test, y_test) if len(X_test) else Samples(X, y, None, None)


def _npz(path: Path, dtype: str) -> Samples:
    try:
        arrays = read_npz(path, compressed=True)
    except ValueError as error:
        raise ValueError(f"{_FN}: {path} is not an .npz file of arrays: {error}") from error
    names = set(arrays)
    if not {"X", "y"} <= names <= {"X", "y", "X_test", "y_test"} or len(names) == 3:
        raise ValueError(
            f"{_FN}: {path} must hold the arrays X and y, and X_test and y_test or neither, "
            f"got {', '.join(sorted(names))}"
        )
    for name, values in arrays.items():
        if values.dtype.kind == "f":  # labels stay integers: the loss says what they mean
            arrays[name] = values.astype(dtype)
    return Samples(arrays["X"], arrays["y"], arrays.get("X_test"), arrays.get("y_test"))


def _first(
    name: str, data: Mapping[str, Any], X: NDArray[Any], y: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    if data.get(name) is None:
        return X, y
    count = _check.integer(_FN, f"data.{name}", data[name], low=1, high=len(X))
    return X[:count], y[:count]
