"""What the loaders return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """A data set, split into training, validation and test samples and standardised.

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

    Examples
    --------
    >>> import numpy as np
    >>> from asymfast.datasets import Dataset
    >>> X, y = np.ones((4, 2)), np.ones(4)
    >>> data = Dataset(
    ...     "mine", X, y, X[:2], y[:2], X[:1], y[:1],
    ...     ("a", "b"), ("c",), np.zeros(2), np.ones(2), 0.0, 1.0,
    ... )
    >>> data
    Dataset(mine: 4 train, 2 valid, 1 test, d=2, target c, float64)
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
