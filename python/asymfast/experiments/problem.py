"""The samples of an experiment: training, test, and those held out for transfer learning."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asymfast.datasets.paper import load, load_mnist, simulated
from asymfast.experiments.config import Data
from asymfast.experiments.feature_file import load_features

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Problem:
    """Samples in the networks' dtype.

    Attributes
    ----------
    X, y : (n, d) and (n,) or (n, k) arrays
        Training samples; y integer labels where the loss is cross_entropy.
    outputs : int
        k.
    X_test, y_test : arrays, or None
        Test samples.
    X_held, y_held, X_held_test, y_held_test : arrays, or None
        What external networks are trained and tested on.
    """

    X: Array
    y: Array
    outputs: int = 1
    X_test: Array | None = None
    y_test: Array | None = None
    X_held: Array | None = None
    y_held: Array | None = None
    X_held_test: Array | None = None
    y_held_test: Array | None = None


def problem(data: Data, seed: int, dtype: str, data_dir: Path | None = None) -> Problem:
    """Draw or load the samples of one repetition.

    Parameters
    ----------
    data : Data
        Which.
    seed : int
        Of the repetition; simulated data are drawn with it.
    dtype : {"float64", "float32"}
    data_dir : pathlib.Path, optional
        See `asymfast.datasets.load`.

    Raises
    ------
    FileNotFoundError
        The folder lacks the data.
    ImportError, OSError, ValueError
        See `asymfast.datasets.load`.
    """
    if data.source == "simulated":
        assert data.samples is not None
        assert data.inputs is not None
        X, y = simulated(data.samples, data.inputs, rng=seed, dtype=dtype)
        return Problem(X, y)
    if data.source == "table":
        assert data.name is not None
        return _table(data, dtype, data_dir)
    if data.source == "mnist":
        return _mnist(data, dtype, data_dir)
    return _features(data, dtype, data_dir)


def _table(data: Data, dtype: str, data_dir: Path | None) -> Problem:
    """The validation samples are held out: one half to train external networks, one to test."""
    table = load(str(data.name), data_dir, split_seed=data.split_seed, dtype=dtype)
    half = len(table.X_valid) // 2
    return Problem(
        X=table.X_train,
        y=table.y_train,
        X_test=table.X_test,
        y_test=table.y_test,
        X_held=table.X_valid[:half],
        y_held=table.y_valid[:half],
        X_held_test=table.X_valid[half:],
        y_held_test=table.y_valid[half:],
    )


def _mnist(data: Data, dtype: str, data_dir: Path | None) -> Problem:
    """External networks are trained on as many further images and tested on the test images."""
    images = data.samples or 5000
    mnist = load_mnist(
        data_dir,
        n_train=images,
        n_valid=images,
        n_test=data.test_samples or 10_000,
        dtype=dtype,
    )
    return Problem(
        X=mnist.X_train,
        y=mnist.y_train,
        outputs=mnist.y_train.shape[1],
        X_test=mnist.X_test,
        y_test=mnist.y_test,
        X_held=mnist.X_valid,
        y_held=mnist.y_valid,
        X_held_test=mnist.X_test,
        y_held_test=mnist.y_test,
    )


def _features(data: Data, dtype: str, data_dir: Path | None) -> Problem:
    file = load_features(data, data_dir)
    train, test = slice(data.samples), slice(data.test_samples)
    return Problem(
        X=np.ascontiguousarray(file.x_train[train], dtype=dtype),
        y=file.y_train[train],
        outputs=file.classes,
        X_test=np.ascontiguousarray(file.x_test[test], dtype=dtype),
        y_test=file.y_test[test],
    )
