"""Inputs and targets as the kernels take them: (1 or B, n, d) and (1 or B, n, k)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check

if TYPE_CHECKING:
    from .network import Network

LOSSES = ("half_sse", "mse", "cross_entropy")


def inputs(fn: str, net: Network, X: ArrayLike, name: str = "X") -> NDArray[Any]:
    """Return X (n, d) or, of an ensemble, (B, n, d), with a leading axis of length 1 or B."""
    given = _check.plain(fn, name, X)
    if given.ndim in (2, 3) and given.shape[-1] != net.d:
        raise ValueError(
            f"{fn}: W has {net.d} columns but {name} has {given.shape[-1]}; "
            "both must have d columns"
        )
    shapes: list[tuple[int | str, ...]] = [("n", net.d)]
    if net.B is not None:
        shapes.append((net.B, "n", net.d))
    _check.require_shape(fn, name, given.shape, *shapes)
    checked = _check.array(fn, name, given, dtype=net.dtype)
    return checked if checked.ndim == 3 else checked[None]


def targets(
    fn: str, net: Network, y: ArrayLike, n: int, loss: str, name: str = "y"
) -> NDArray[Any]:
    """Return y with a leading axis of length 1 or B and k columns; class labels as one-hot rows."""
    given = _check.plain(fn, name, y)
    require_outputs(fn, net, loss)
    if loss == "cross_entropy" and given.dtype.kind in "iu":
        given = _one_hot(fn, net, given, n, name)
    elif loss == "cross_entropy" and given.ndim < 2:
        raise TypeError(
            f"{fn}: {name} must hold integer labels or (n, k) probabilities for cross_entropy, "
            f"got {given.dtype} of shape {given.shape}"
        )
    columns: tuple[int, ...] = () if net.a.ndim == net.W.ndim - 1 else (net.k,)
    shapes: list[tuple[int, ...]] = [(n, *columns)]
    if net.B is not None:
        shapes.append((net.B, n, *columns))
    _check.require_shape(fn, name, given.shape, *shapes)
    checked = _check.array(fn, name, given, dtype=net.dtype)
    if loss == "cross_entropy" and (checked < 0).any():
        raise ValueError(f"{fn}: {name} must hold probabilities >= 0, got {checked.min()}")
    return checked.reshape(-1, n, net.k)


def require_outputs(fn: str, net: Network, loss: str) -> None:
    """Raise ValueError where the loss needs more outputs than the network has."""
    if loss == "cross_entropy" and net.k < 2:
        raise ValueError(f"{fn}: cross_entropy needs a network with k >= 2 outputs, got k = 1")


def _one_hot(fn: str, net: Network, labels: NDArray[Any], n: int, name: str) -> NDArray[Any]:
    shapes: list[tuple[int, ...]] = [(n,)]
    if net.B is not None:
        shapes.append((net.B, n))
    _check.require_shape(fn, name, labels.shape, *shapes)
    for label in (labels.min(), labels.max()):
        if not 0 <= label < net.k:
            raise ValueError(f"{fn}: {name} must hold labels from 0 to {net.k - 1}, got {label}")
    hot = labels[..., None] == np.arange(net.k, dtype=labels.dtype)
    return np.asarray(hot.astype(net.dtype))
