"""Division into training, validation and test samples, and standardisation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


def split(rows: int, seed: int) -> tuple[Indices, Indices, Indices]:
    """A random split into 40 % training, 40 % validation and 20 % test samples.

    Parameters
    ----------
    rows : int
        How many samples.
    seed : int
        The permutation is ``default_rng(seed).permutation(rows)``; training, validation and test
        samples follow one another in it.

    Returns
    -------
    train, valid, test : int64 arrays
        Row numbers: 2 rows // 5, the same again, and the rest. Every row occurs once.

    Notes
    -----
    Source: the paper's Appendix J, where the validation samples serve the transfer experiments.
    """
    order = np.random.default_rng(seed).permutation(rows)
    train = 2 * rows // 5
    return order[:train], order[train : 2 * train], order[2 * train :]


def statistics(values: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of every column, made so that one can divide by the latter.

    Parameters
    ----------
    values : (n, ...) float64 array
        Columns along the first axis.

    Returns
    -------
    mean, std : float64 arrays without the first axis
        The standard deviation has divisor n. For a constant column the mean is its value exactly
        and the standard deviation is 1: the mean of equal numbers can be off by a rounding error,
        which division by an equally small standard deviation would blow up to order one.
    """
    constant = np.ptp(values, axis=0) == 0
    mean = np.where(constant, values[0], values.mean(axis=0))
    std = np.where(constant, 1.0, values.std(axis=0))
    return mean, std
