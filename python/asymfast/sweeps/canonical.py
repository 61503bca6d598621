"""Settings as JSON: one text, and so one hash, for what means the same."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def plain(fn: str, name: str, value: Any, *, finite: bool = True) -> Any:
    """Return a value as JSON has it: NumPy's scalars as Python's, tuples and arrays as lists.

    Parameters
    ----------
    fn, name : str
        The function called and the argument, for the message.
    value : object
        Mappings with text as keys, sequences, numbers, text, booleans, None.
    finite : bool
        Whether NaN and infinities are refused: they are equal to nothing, or written in no JSON.

    Raises
    ------
    TypeError
        Something else; the message says where.
    ValueError
        A number that is not finite.
    """
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if finite and not math.isfinite(value):
            raise ValueError(f"{fn}: {name} must be finite, got {value}")
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{fn}: {name} must have text as keys, got {key!r}")
        return {
            key: plain(fn, f"{name}.{key}", entry, finite=finite) for key, entry in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [plain(fn, f"{name}[{i}]", entry, finite=finite) for i, entry in enumerate(value)]
    raise TypeError(
        f"{fn}: {name} must be a number, text, True, False, None, a list or a dict of such, "
        f"got {type(value).__name__}"
    )


def canonical(config: Any) -> str:
    """Return the one JSON text of a plain value: keys sorted, 1.0 written as 1."""
    return json.dumps(_whole(config), sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(config: Any) -> str:
    """Return 16 hex digits of the SHA-256 of the canonical text.

    Two of 10^6 different configs share them with a probability of 3 in 10^8.
    """
    return hashlib.sha256(canonical(config).encode()).hexdigest()[:16]


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_whole(entry) for entry in value]
    return value
