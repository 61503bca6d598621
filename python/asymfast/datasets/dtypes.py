"""The two floating point types that the library computes in."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from asymfast import _check


def float_dtype(function: str, dtype: npt.DTypeLike) -> np.dtype[Any]:
    """The NumPy dtype of that name or type.

    Parameters
    ----------
    function : str
        Whose argument it is, for the message.
    dtype : dtype_like
        "float32", "float64" or what NumPy takes for them.

    Raises
    ------
    ValueError
        It is another type, or none.
    """
    try:
        name = np.dtype(dtype).name
    except (TypeError, ValueError):  # np.dtype(1e16) raises the latter
        name = str(dtype)
    return np.dtype(_check.choice(function, "dtype", name, ("float32", "float64")))
