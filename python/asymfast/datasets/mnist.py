"""MNIST as the paper's classification problem."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from asymfast import _check
from asymfast.datasets.dataset import Dataset
from asymfast.datasets.idx import read_idx
from asymfast.datasets.locate import locate
from asymfast.datasets.mnist_files import MNIST, verify

_CLASSES = 10
Bytes = npt.NDArray[np.uint8]


def load_mnist(
    data_dir: str | Path | None = None,
    *,
    n_train: int = 5000,
    n_valid: int = 5000,
    n_test: int = 10000,
    dtype: npt.DTypeLike = "float64",
) -> Dataset:
    """Load MNIST with one-hot targets.

    Parameters
    ----------
    data_dir : str or pathlib.Path, optional
        Folder that has the four files in a folder ``mnist``, with or without ``.gz``; see
        `asymfast.datasets.load` for what happens without it.
    n_train, n_valid : int
        The first ``n_train`` images of the training file are for training, the following
        ``n_valid`` for validation; at most 60000 together.
    n_test : int
        So many images of the test file, at most 10000.
    dtype : {"float64", "float32"}
        Of inputs and targets.

    Returns
    -------
    Dataset
        Inputs (n, 784): grey levels, standardised by the mean and the standard deviation of all
        pixels of all training images together. Targets (n, 10): one-hot. Labels (n,): int64.

    Raises
    ------
    FileNotFoundError
        The folder lacks a file.
    TypeError, ValueError
        A number of images is not an integer or out of range; a file is not the original.

    Notes
    -----
    Source: the paper's Appendix J, and the authors' scripts for what it leaves open. Cost: half a
    second, most of it for unpacking and verifying the training images.

    Examples
    --------
    >>> from asymfast import datasets
    >>> try:
    ...     datasets.load_mnist(n_train=59_000, n_valid=5000)
    ... except ValueError as error:
    ...     print(error)
    ...
    load_mnist: n_train + n_valid must be at most 60000, got 64000
    """
    counts = {"n_train": n_train, "n_valid": n_valid, "n_test": n_test}
    n_train, n_valid, n_test = (
        _check.integer("load_mnist", name, count, low=1) for name, count in counts.items()
    )
    dtype = _check.float_dtype("load_mnist", dtype)
    available, available_test = (MNIST[f"{part} labels"].shape[0] for part in ("train", "test"))
    if n_train + n_valid > available:
        raise ValueError(
            f"load_mnist: n_train + n_valid must be at most {available}, got {n_train + n_valid}"
        )
    if n_test > available_test:
        raise ValueError(f"load_mnist: n_test must be at most {available_test}, got {n_test}")

    pixels, labels = _read("train images", data_dir), _read("train labels", data_dir)
    test_pixels, test_labels = _read("test images", data_dir), _read("test labels", data_dir)
    train, valid, test = slice(n_train), slice(n_train, n_train + n_valid), slice(n_test)
    mean = float(pixels[train].mean(dtype=np.float64))
    std = float(pixels[train].std(dtype=np.float64)) or 1.0

    def inputs(images: Bytes) -> npt.NDArray[np.floating]:
        return ((images.reshape(len(images), -1) - mean) / std).astype(dtype)

    def one_hot(digits: Bytes) -> npt.NDArray[np.floating]:
        return np.eye(_CLASSES, dtype=dtype)[digits]

    rows, columns = pixels.shape[1:]
    return Dataset(
        name="mnist",
        X_train=inputs(pixels[train]),
        y_train=one_hot(labels[train]),
        X_valid=inputs(pixels[valid]),
        y_valid=one_hot(labels[valid]),
        X_test=inputs(test_pixels[test]),
        y_test=one_hot(test_labels[test]),
        feature_names=tuple(f"pixel_{i}_{j}" for i in range(rows) for j in range(columns)),
        target_names=tuple(map(str, range(_CLASSES))),
        x_mean=np.full(rows * columns, mean),
        x_std=np.full(rows * columns, std),
        y_mean=0.0,
        y_std=1.0,
        labels_train=labels[train].astype(np.int64),
        labels_valid=labels[valid].astype(np.int64),
        labels_test=test_labels[test].astype(np.int64),
    )


def _read(part: str, data_dir: str | Path | None) -> Bytes:
    facts = MNIST[part]
    path = locate("mnist", data_dir, facts.file, facts.file + ".gz")
    array = read_idx(path)
    verify(facts, array, str(path))
    return array
