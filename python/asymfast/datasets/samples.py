"""A user's table as training and test samples: choice of the target, split, standardisation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from asymfast.datasets.csv import Table, read_csv
from asymfast.datasets.split import statistics

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Samples:
    """Standardised samples and what it takes to go back to the user's units.

    Attributes
    ----------
    X_train, X_test : (n, d) and (n_test, d) float64 arrays
        Inputs, each column shifted and scaled by the mean and the standard deviation of its
        training rows.
    y_train, y_test : (n,) and (n_test,) float64 arrays
        Target, likewise: ``y = (value - target_mean) / target_scale``.
    columns : tuple of str
        Names of the d inputs.
    target : str
        Name of the target.
    input_mean, input_scale : (d,) float64 arrays
        Training statistics of the inputs; the scale of a constant column is 1.
    target_mean, target_scale : float
        Training statistics of the target.
    """

    X_train: Floats
    y_train: Floats
    X_test: Floats
    y_test: Floats
    columns: tuple[str, ...]
    target: str
    input_mean: Floats
    input_scale: Floats
    target_mean: float
    target_scale: float

    @property
    def constant_columns(self) -> tuple[str, ...]:
        """Inputs that take one value on all training rows and so become zero."""
        by_name = zip(self.columns, self.X_train.T, strict=True)
        return tuple(name for name, values in by_name if not values.any())


def read_samples(path: Path, target: str, test_fraction: float, seed: int) -> Samples:
    """Read a CSV file and prepare its rows for training.

    Parameters
    ----------
    path : pathlib.Path
        A file with a header line and numbers below it.
    target : str
        The column to learn; all others are inputs.
    test_fraction : float
        Part of the rows, in [0, 1), that is kept for the test loss; rounded to whole rows.
    seed : int
        The test rows are the first ones of ``default_rng([seed, 1]).permutation(rows)``, the
        training rows are the rest in that order. The extra 1 keeps this stream apart from the
        one that draws the network from the same seed.

    Returns
    -------
    Samples
        With ``n_test`` = 0 when ``test_fraction`` rounds to no row.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        The file is not a table of numbers, has no such column or no other column, leaves fewer
        than two training rows, has a target (or only inputs) that does not vary, or numbers whose
        standard deviation overflows.
    """
    table = read_csv(path)
    if target not in table.columns:
        raise ValueError(
            f"{path} has no column {target!r}; its columns are {', '.join(table.columns)}"
        )
    if len(table.columns) < 2:
        raise ValueError(f"{path} has only the target column {target!r}, and no inputs")
    rows = len(table.values)
    held_out = round(test_fraction * rows)
    if rows - held_out < 2:
        raise ValueError(
            f"{path} has {rows} rows, and a test fraction of {test_fraction:g} "
            f"leaves {rows - held_out} of them for training; at least 2 are needed"
        )
    order = np.random.default_rng([seed, 1]).permutation(rows)
    place = table.columns.index(target)
    try:
        samples = _standardised(table, place, train=order[held_out:], test=order[:held_out])
    except FloatingPointError:
        raise ValueError(f"{path} has numbers too large, or too small, to standardise") from None
    if not samples.y_train.any():
        raise ValueError(f"the target {target!r} has one value in all training rows of {path}")
    if len(samples.constant_columns) == len(samples.columns):
        raise ValueError(f"no input varies over the training rows of {path}")
    return samples


def _standardised(table: Table, place: int, train: Rows, test: Rows) -> Samples:
    """Split off the column at ``place`` and standardise; `FloatingPointError` on overflow."""
    inputs, outputs = np.delete(table.values, place, axis=1), table.values[:, place]
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        input_mean, input_scale = statistics(inputs[train])
        target_mean, target_scale = statistics(outputs[train])
        return Samples(
            X_train=(inputs[train] - input_mean) / input_scale,
            y_train=(outputs[train] - target_mean) / target_scale,
            X_test=(inputs[test] - input_mean) / input_scale,
            y_test=(outputs[test] - target_mean) / target_scale,
            columns=table.columns[:place] + table.columns[place + 1 :],
            target=table.columns[place],
            input_mean=input_mean,
            input_scale=input_scale,
            target_mean=float(target_mean),
            target_scale=float(target_scale),
        )
