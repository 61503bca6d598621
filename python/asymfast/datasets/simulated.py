"""The paper's simulated regression problem."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from asymfast import _check


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
    TypeError
        n or d is not an integer.
    ValueError
        n, d, noise or dtype is out of range.

    Notes
    -----
    Draw order: X as ``standard_normal((n, d))``, then the noise as ``standard_normal(n)``; the
    noise is drawn even when its factor is 0. Source: the paper's Appendix J. Cost: O(n d).

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=100, d=50, rng=0)
    >>> X.shape, y.shape, float(round((X**2).sum(axis=1).max(), 12))
    ((100, 50), (100,), 1.0)
    """
    n = _check.integer("simulated", "n", n, low=1)
    d = _check.integer("simulated", "d", d, low=1)
    noise = _check.number("simulated", "noise", noise, low=0)
    dtype = _check.float_dtype("simulated", dtype)
    generator = _check.generator("simulated", rng)
    X = generator.standard_normal((n, d))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y = 5 / d * np.sum(np.sin(np.pi * X), axis=1) + noise * generator.standard_normal(n)
    return X.astype(dtype), y.astype(dtype)
