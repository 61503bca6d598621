"""Data of the paper's experiments: the simulated problem, four UCI tables and MNIST."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asymfast import _check
from asymfast.datasets.files import MNIST, TABLES, read
from asymfast.datasets.tables import statistics

Array = npt.NDArray[Any]
_CLASSES = 10
_PARTS = ("train", "valid", "test")

NAMES = (*TABLES, "mnist")
"""Names that `load` knows."""


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Standardised training, validation and test samples; see `load`.

    Attributes
    ----------
    name : str
        As given to `asymfast.datasets.load`.
    X_train, X_valid, X_test : (n, d), (n_valid, d), (n_test, d) arrays
        Inputs, ``(raw - x_mean) / x_std``; float64 or float32 as asked for, C-contiguous.
    y_train, y_valid, y_test : arrays with the same numbers of rows
        Targets, ``(raw - y_mean) / y_std``: (n,) for regression, (n, 10) one-hot for mnist.
    feature_names : tuple of d str
        Names of the inputs, with their units.
    target_names : tuple of str
        Name of the target, or of the classes.
    x_mean, x_std : (d,) float64 arrays
        Statistics of the training inputs in the data's own units; the standard deviation (with
        divisor n) of a constant column is set to 1. For mnist they are taken over all pixels.
    y_mean, y_std : float
        Statistics of the training targets, likewise; 0 and 1 for one-hot targets.
    labels_train, labels_valid, labels_test : (n,) int64 arrays or None
        Class labels of classification data.
    """

    name: str
    X_train: Array
    y_train: Array
    X_valid: Array
    y_valid: Array
    X_test: Array
    y_test: Array
    feature_names: tuple[str, ...]
    target_names: tuple[str, ...]
    x_mean: npt.NDArray[np.float64]
    x_std: npt.NDArray[np.float64]
    y_mean: float
    y_std: float
    labels_train: npt.NDArray[np.int64] | None = None
    labels_valid: npt.NDArray[np.int64] | None = None
    labels_test: npt.NDArray[np.int64] | None = None

    def __repr__(self) -> str:
        n, d = self.X_train.shape
        return (
            f"Dataset({self.name}: {n} train, {len(self.X_valid)} valid, {len(self.X_test)} test, "
            f"d={d}, target {' '.join(self.target_names)}, {self.X_train.dtype})"
        )


@_check.arguments(noise=_check.NON_NEGATIVE)
def simulated(
    n: int = 100,
    d: int = 50,
    rng: Any = None,
    *,
    noise: float = 1.0,
    dtype: npt.DTypeLike = "float64",
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Draw inputs on the unit sphere and a noisy additive response.

    y_i = (5 / d) sum_j sin(pi x_ij) + noise * e_i,   e_i ~ N(0, 1),  x_i uniform on the sphere.

    Draw order: X as ``standard_normal((n, d))``, then the noise as ``standard_normal(n)``; the
    noise is drawn even when its factor is 0. Source: the paper's Appendix J. Cost: O(n d).

    Parameters
    ----------
    n, d : int
        Samples and inputs, at least 1.
    rng : None, int, sequence of ints, SeedSequence, BitGenerator or Generator
        What `numpy.random.default_rng` takes.
    noise : float
        Standard deviation of the noise, at least 0; 1 in the paper.
    dtype : {"float64", "float32"}
        Of the result. Everything is drawn and computed in float64 and rounded at the end, so that
        both types show the same problem.

    Returns
    -------
    X : (n, d) array
        Rows of length 1.
    y : (n,) array

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type, or out of range.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=100, d=50, rng=0)
    >>> X.shape, y.shape, float(round((X**2).sum(axis=1).max(), 12))
    ((100, 50), (100,), 1.0)
    """
    generator = _check.generator("simulated", rng)
    _check.require_room("simulated", 8 * n * d, f"n = {n}, d = {d}", "take fewer")
    X = generator.standard_normal((n, d))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y = 5 / d * np.sum(np.sin(np.pi * X), axis=1) + noise * generator.standard_normal(n)
    return X.astype(dtype), y.astype(dtype)


@_check.arguments(name=_check.one_of(*NAMES))
def load(
    name: str,
    data_dir: str | Path | None = None,
    *,
    split_seed: int = 0,
    target: str | None = None,
    dtype: npt.DTypeLike = "float64",
) -> Dataset:
    """Load one of the paper's real data sets, split and standardised.

    Every file is verified each time by the SHA-256 of its values. Source: the paper's Appendix J.
    Licences: UCI tables CC BY 4.0, MNIST CC BY-SA 3.0; neither is part of this package.

    Parameters
    ----------
    name : {"concrete", "energy", "airfoil", "plant", "mnist"}
        UCI tables with 1030, 768, 1503 and 9568 samples of 8, 8, 5 and 4 inputs, and images of
        handwritten digits.
    data_dir : str or pathlib.Path, optional
        Folder with ``concrete.csv`` and so on, and ``mnist/train-images-idx3-ubyte[.gz]`` and so
        on. Without it, the folder named by the environment variable ASYMFAST_DATA; without that,
        the user's cache, into which the original is downloaded when first needed.
    split_seed : int
        Seed of the 40/40/20 split of a table into training, validation and test samples; see
        `asymfast.datasets.paper.split`. Without effect on mnist, which is split by position: see
        `asymfast.datasets.load_mnist`.
    target : str, optional
        energy has two: "heating_load" (the default) and "cooling_load".
    dtype : {"float64", "float32"}
        Of inputs and targets. Standardisation is done in float64.

    Returns
    -------
    Dataset
        Inputs and regression targets are standardised by the statistics of the training samples.

    Raises
    ------
    FileNotFoundError
        The folder given lacks the file; the message names the path expected.
    ImportError
        A download needs the extra ``data``.
    OSError
        A file cannot be read or downloaded.
    TypeError, ValueError
        An argument is out of range; a file, on disk or downloaded, is not the original data.

    Examples
    --------
    >>> import asymfast as af
    >>> af.datasets.load("concrete", data_dir="no_such_folder")
    Traceback (most recent call last):
        ...
    FileNotFoundError: load: concrete needs ...concrete.csv, which does not exist ...
    """
    if name == "mnist":
        if target is not None:
            raise ValueError(f"load: mnist has no choice of target, got {target!r}")
        return load_mnist(data_dir, dtype=dtype)
    table = TABLES[name]
    targets = table.columns[-table.targets :]
    target = targets[0] if target is None else _check.choice("load", "target", target, targets)
    values = read(table, data_dir)
    inputs = values[:, : -table.targets]
    outputs = values[:, table.columns.index(target)]
    parts = dict(zip(_PARTS, split(len(values), split_seed), strict=True))
    x_mean, x_std = statistics(inputs[parts["train"]])
    y_mean, y_std = statistics(outputs[parts["train"]])
    X = np.ascontiguousarray((inputs - x_mean) / x_std, dtype=dtype)
    y = ((outputs - y_mean) / y_std).astype(dtype)
    return Dataset(
        name=name,
        **{f"X_{part}": X[rows] for part, rows in parts.items()},
        **{f"y_{part}": y[rows] for part, rows in parts.items()},
        feature_names=table.columns[: -table.targets],
        target_names=(target,),
        x_mean=x_mean,
        x_std=x_std,
        y_mean=float(y_mean),
        y_std=float(y_std),
    )


def split(rows: int, seed: int) -> tuple[npt.NDArray[np.int64], ...]:
    """Split samples at random into 40 % for training, 40 % for validation and 20 % for testing.

    They follow one another in ``default_rng(seed).permutation(rows)``, and are 2 rows // 5, the
    same again, and the rest. Source: the paper's Appendix J, where the validation samples serve the
    transfer experiments.
    """
    order = np.random.default_rng(seed).permutation(rows)
    train = 2 * rows // 5
    return order[:train], order[train : 2 * train], order[2 * train :]


@_check.arguments()
def load_mnist(
    data_dir: str | Path | None = None,
    *,
    n_train: int = 5000,
    n_valid: int = 5000,
    n_test: int = 10000,
    dtype: npt.DTypeLike = "float64",
) -> Dataset:
    """Load MNIST with one-hot targets.

    Source: the paper's Appendix J, and the authors' scripts for what it leaves open. Cost: half a
    second, most of it for unpacking and verifying the training images.

    Parameters
    ----------
    n_train, n_valid : int
        The first ``n_train`` images of the training file are for training, the following
        ``n_valid`` for validation; at most 60000 together.
    n_test : int
        The first images of the test file, at most 10000.
    data_dir, dtype
        As in `asymfast.datasets.load`.

    Returns
    -------
    Dataset
        Inputs (n, 784): grey levels, standardised by the mean and the standard deviation of all
        pixels of all training images together. Targets (n, 10): one-hot. Labels (n,): int64.

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        As `asymfast.datasets.load`; a number of images is out of range.

    Examples
    --------
    >>> import asymfast as af
    >>> af.datasets.load_mnist(n_train=59_000, n_valid=5000)
    Traceback (most recent call last):
        ...
    ValueError: load_mnist: n_train + n_valid must be at most 60000, got 64000
    """
    available, available_test = (MNIST[f"{part} labels"].shape[0] for part in ("train", "test"))
    _check.integer("load_mnist", "n_train + n_valid", n_train + n_valid, high=available)
    _check.integer("load_mnist", "n_test", n_test, high=available_test)

    pixels, labels, test_pixels, test_labels = (read(file, data_dir) for file in MNIST.values())
    train, valid = slice(n_train), slice(n_train, n_train + n_valid)
    mean = float(pixels[train].mean(dtype=np.float64))
    std = float(pixels[train].std(dtype=np.float64)) or 1.0

    def part(images: Array, digits: Array, name: str) -> dict[str, Array]:
        return {
            f"X_{name}": ((images.reshape(len(images), -1) - mean) / std).astype(dtype),
            f"y_{name}": np.eye(_CLASSES, dtype=dtype)[digits],
            f"labels_{name}": digits.astype(np.int64),
        }

    rows, columns = pixels.shape[1:]
    fields: Any = part(pixels[train], labels[train], "train")
    fields |= part(pixels[valid], labels[valid], "valid")
    fields |= part(test_pixels[:n_test], test_labels[:n_test], "test")
    return Dataset(
        name="mnist",
        **fields,
        feature_names=tuple(f"pixel_{i}_{j}" for i in range(rows) for j in range(columns)),
        target_names=tuple(map(str, range(_CLASSES))),
        x_mean=np.full(rows * columns, mean),
        x_std=np.full(rows * columns, std),
        y_mean=0.0,
        y_std=1.0,
    )
