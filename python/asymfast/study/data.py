"""The samples that a configuration names: training, test, and those held out for transfer."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from asymfast import _check, _storage
from asymfast.datasets import load, load_mnist, simulated
from asymfast.datasets.tables import read_samples
from asymfast.study.config import Config, ConfigError, Csv, Mnist, Npz, Simulated

_FN = "sweep"
_ENVIRONMENT = "ASYMFAST_DATA"
Array = NDArray[Any]
PathLike = str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class Samples:
    """Samples in the network's dtype.

    Attributes
    ----------
    X, y : (n, d) and (n,) or (n, k) arrays
        Training samples; y may be integer labels where the loss is cross_entropy.
    X_test, y_test : arrays, or None
        Test samples.
    X_held, y_held, X_held_test, y_held_test : arrays, or None
        Samples on which external networks are trained and tested.
    """

    X: Array
    y: Array
    X_test: Array | None = None
    y_test: Array | None = None
    X_held: Array | None = None
    y_held: Array | None = None
    X_held_test: Array | None = None
    y_held_test: Array | None = None

    @property
    def outputs(self) -> int:
        """Number of columns of y; of integer labels, the number of classes."""
        if self.y.ndim == 1 and self.y.dtype.kind in "iu":
            tested = [] if self.y_test is None else [self.y_test.max()]
            return int(max([self.y.max(), *tested])) + 1
        return 1 if self.y.ndim == 1 else int(self.y.shape[1])


class Places(NamedTuple):
    """Where data are: the folder of the data sets, and those that paths of files are relative to.

    Absolute, so that they mean the same in every process.
    """

    data_sets: str | None
    files: tuple[str, ...]

    @classmethod
    def of(cls, data_dir: PathLike | None) -> Places:
        """Return the folder given; else files are in the current one, or in ASYMFAST_DATA."""
        if data_dir is not None:
            folder = os.path.abspath(data_dir)
            return cls(folder, (folder,))
        environment = os.environ.get(_ENVIRONMENT)
        more = (os.path.abspath(environment),) if environment else ()
        return cls(None, (os.getcwd(), *more))

    def fixed(self) -> Places:
        """Return the same without ASYMFAST_DATA, which may differ in another process."""
        return self._replace(data_sets=self.files[1] if len(self.files) > 1 else self.data_sets)


def samples(config: Config, places: Places, token: str | None = None) -> Samples:
    """Return the samples of a configuration.

    Parameters
    ----------
    config : Config
    places : Places
    token : str, optional
        Names a sweep, whose runs share the samples that were read last. Without it, files are read
        afresh: their names do not tell what they hold.

    Raises
    ------
    OSError, ImportError, TypeError, ValueError
        As `asymfast.datasets.load`; or a file has changed since the configuration was made.
    """
    seed = _check.integer(_FN, "data.seed", config.seed_of(config.data), low=0)
    read = _remembered if token is not None else _read
    return read(config.data, seed, config.network.dtype, places, token)


def _read(data: Any, seed: int, dtype: str, places: Places, token: str | None) -> Samples:
    if isinstance(data, Simulated):
        return _simulated(data, seed, dtype)
    if isinstance(data, (Csv, Npz)):
        path = data_file(data, places)
        if data.sha256 not in (None, sha256(path)):
            raise ValueError(f"{_FN}: {path} has changed since the configuration was made")
        return _csv(path, data, seed, dtype) if isinstance(data, Csv) else _npz(path, data, dtype)
    if isinstance(data, Mnist):
        return _mnist(data, dtype, places.data_sets)
    return _table(data, dtype, places.data_sets)


_remembered = lru_cache(maxsize=2)(_read)


# ---- files ----------------------------------------------------------------------------------


def with_digest(config: Config, places: Places) -> Config:
    """Add the SHA-256 of a file of the user's to the configuration: results depend on its content.

    Raises
    ------
    ConfigError
        The path is not valid, or the file has changed.
    OSError
        It cannot be read.
    """
    data = config.data
    if not isinstance(data, (Csv, Npz)):
        return config
    found = sha256(data_file(data, places))
    if data.sha256 not in (None, found):
        raise ConfigError(f"{data.path} has changed: its SHA-256 is {found}")
    return structs.replace(config, data=structs.replace(data, sha256=found))


def data_file(data: Csv | Npz, places: Places) -> Path:
    """Return the file of a table ``data``; its path may be a pattern that exactly one file matches.

    Raises
    ------
    ConfigError
        The path is not valid, matches several files, or is not that of a regular file.
    FileNotFoundError
        There is no such file.
    """
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


def regular_file(path: Path) -> Path:
    """Return a path that is that of a regular file, not a device or pipe without an end.

    Raises
    ------
    ConfigError
        It is something else.
    OSError
        It does not exist.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ConfigError(f"{path} must be a regular file, not a folder, device or pipe")
    return path


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ---- kinds of data --------------------------------------------------------------------------


def _simulated(data: Simulated, seed: int, dtype: str) -> Samples:
    X, y = simulated(data.n, data.d, rng=seed, noise=data.noise, dtype=dtype)
    n_test = _check.integer(_FN, "data.n_test", data.n_test, low=0)
    if not n_test:
        return Samples(X, y)
    # Another stream, so that the training samples do not depend on the number of test samples.
    test = simulated(n_test, data.d, rng=[seed, 3], noise=data.noise, dtype=dtype)
    return Samples(X, y, *test)


def _csv(path: Path, data: Csv, seed: int, dtype: str) -> Samples:
    fraction = _check.number(
        _FN, "data.test_fraction", data.test_fraction, low=0, high=1, high_open=True
    )
    options = {name: getattr(data, name) for name in ("one_hot", "missing", "decimal")}
    read = read_samples(path, data.target, fraction, seed, drop=data.drop, **options)
    X, y, X_test, y_test = (
        values.astype(dtype) for values in (read.X_train, read.y_train, read.X_test, read.y_test)
    )
    return Samples(X, y, X_test, y_test) if len(X_test) else Samples(X, y)


def _npz(path: Path, data: Npz, dtype: str) -> Samples:
    """X, y, X_test and y_test; x_train and so on, as files of features have them, will do too."""
    try:
        arrays = _storage.read_npz(path, compressed=True)
    except ValueError as error:
        raise ValueError(f"{_FN}: {path} is not an .npz file of arrays: {error}") from error
    names = {"x_train": "X", "y_train": "y", "x_test": "X_test"}
    arrays = {names.get(name, name): values for name, values in arrays.items()}
    arrays.pop("i_train", None)  # in files of features: which images they are of
    if not {"X", "y"} <= set(arrays) <= {"X", "y", "X_test", "y_test"} or len(arrays) == 3:
        raise ValueError(
            f"{_FN}: {path} must hold the arrays X and y, and X_test and y_test or neither, "
            f"got {', '.join(sorted(arrays))}"
        )
    for name, values in arrays.items():
        if values.dtype.kind == "f":
            if not np.isfinite(values).all():
                raise ValueError(f"{_FN}: {name} in {path} must be finite")
            arrays[name] = np.ascontiguousarray(values, dtype=dtype)
        elif name.startswith("X") or values.dtype.kind not in "iu":  # labels stay integers
            raise ValueError(
                f"{_FN}: {name} in {path} must hold floating-point numbers, got {values.dtype}"
            )
    _require_labels(path, arrays)
    X, y = _first("n", data.n, arrays["X"], arrays["y"])
    if "X_test" not in arrays:
        return Samples(X, y)
    return Samples(X, y, *_first("n_test", data.n_test, arrays["X_test"], arrays["y_test"]))


def _require_labels(path: Path, arrays: Mapping[str, Array]) -> None:
    for part in ("", "_test"):
        y = arrays.get(f"y{part}")
        if y is None:
            continue
        if len(y) != len(arrays[f"X{part}"]):
            raise ValueError(
                f"{_FN}: y{part} in {path} must have a row for each of the "
                f"{len(arrays[f'X{part}'])} rows of X{part}, got {len(y)}"
            )
        if y.dtype.kind in "iu" and y.size and y.min() < 0:
            raise ValueError(f"{_FN}: y{part} in {path} must hold class labels >= 0, got {y.min()}")


def _table(data: Any, dtype: str, data_dir: str | None) -> Samples:
    """The validation samples are held out: one half to train external networks, one to test."""
    name = str(data.__struct_config__.tag)
    read = load(name, data_dir, split_seed=data.split_seed, target=data.target, dtype=dtype)
    half = len(read.X_valid) // 2
    X, y = _first("n", data.n, read.X_train, read.y_train)
    X_test, y_test = _test(data.n_test, read.X_test, read.y_test)
    held = read.X_valid[:half], read.y_valid[:half], read.X_valid[half:], read.y_valid[half:]
    return Samples(X, y, X_test, y_test, *held)


def _mnist(data: Mnist, dtype: str, data_dir: str | None) -> Samples:
    """External networks are trained on as many further images and tested on the test images."""
    n = 5000 if data.n is None else _check.integer(_FN, "data.n", data.n, low=1, high=59_999)
    read = load_mnist(data_dir, n_train=n, n_valid=min(n, 60_000 - n), dtype=dtype)
    X_test, y_test = _test(data.n_test, read.X_test, read.y_test)
    held_test = _first("n_test", data.n_test or None, read.X_test, read.y_test)
    held = read.X_valid, read.y_valid, *held_test
    return Samples(read.X_train, read.y_train, X_test, y_test, *held)


def _test(n_test: int | None, X: Array, y: Array) -> tuple[Array, Array] | tuple[None, None]:
    return (None, None) if n_test == 0 else _first("n_test", n_test, X, y)


def _first(name: str, count: int | None, X: Array, y: Array) -> tuple[Array, Array]:
    if count is None:
        return X, y
    count = _check.integer(_FN, f"data.{name}", count, low=1, high=len(X))
    return X[:count], y[:count]
