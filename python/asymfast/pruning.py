"""Pruning curves: loss and accuracy while the least important nodes are removed one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check
from ._check import inputs, targets
from .network import Network, row, sum_of_losses

Floats = NDArray[np.float64]

_BLOCK_BYTES = 1 << 25  # of features held at a time


@dataclass(frozen=True, eq=False)
class PruningCurve:
    """Performance with only the most important nodes; see `pruning_curve`.

    Attributes
    ----------
    kept : (m,) int64 array
        1, 2, ..., m: number of nodes kept.
    loss : (m,) or (B, m) float64 array
        Loss with that many nodes.
    accuracy : (m,) or (B, m) float64 array, or None
        Share of samples whose largest output belongs to the largest target; None for one output.
    order : (m,) or (B, m) int64 array
        The nodes, the most important first.
    """

    kept: NDArray[np.int64]
    loss: Floats
    accuracy: Floats | None
    order: NDArray[np.int64]


@_check.arguments(net=_check.instance_of(Network))
def pruning_curve(
    net: Network,
    X: ArrayLike,
    y: ArrayLike,
    loss: str = "half_sse",
    *,
    kind: str = "paper",
    threads: int | None = None,
) -> PruningCurve:
    """Loss and accuracy for every number of nodes kept, from one forward pass.

    The outputs of the k most important nodes are prefix sums over nodes in the order of their
    importance, f_k(x) = sum_{i <= k} sqrt(lam_j(i)) a_j(i) sigma(w_j(i).x / sqrt d), so that all m
    pruned networks cost no more than the whole one, and their losses.

    Source: Appendix J, MNIST and CIFAR. Cost: 2 n m d flop and n m activations for the features,
    O(n m k) for the sums and losses; memory some 32 MB or one sample's features, and O(n k).

    Parameters
    ----------
    net : Network
        Usually a trained one; single or an ensemble.
    X, y, loss, threads
        As in `Network.loss`.
    kind : {"paper", "authors"}
        Kind of importance, see `Network.node_importance`. Of nodes of equal importance the earlier
        one stays.

    Returns
    -------
    PruningCurve
        ``curve.loss[k - 1]`` is ``net.prune(k).loss(X, y, loss)`` up to rounding: its outputs are
        summed in float64, one node after another, from features in the network's dtype.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type, dtype or shape, or values that are not finite.
    OverflowError
        A loss exceeds the range of float64.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=100, d=50, rng=0)
    >>> net = af.Network.init(d=50, m=200, gamma=0.5, alpha=0.5, rng=1)
    >>> curve = af.pruning_curve(net, X, y)
    >>> curve.kept[:3], bool(abs(curve.loss[-1] - net.loss(X, y)) < 1e-10)
    (array([1, 2, 3]), True)
    """
    fn = "pruning_curve"
    x = inputs(fn, net, X)
    t = targets(fn, net, y, x.shape[1], loss)
    members = [net] if net.B is None else list(net)
    curves = [
        _curve(member, row(x, b), row(t, b), loss, kind, threads)
        for b, member in enumerate(members)
    ]
    losses, hits, orders = (np.stack(part) for part in zip(*curves, strict=True))
    _check.in_range(fn, losses)
    if net.B is None:
        losses, hits, orders = losses[0], hits[0], orders[0]
    return PruningCurve(
        kept=np.arange(1, net.m + 1),
        loss=losses,
        accuracy=hits / x.shape[1] if net.k > 1 else None,
        order=orders,
    )


def _curve(
    net: Network, X: NDArray[Any], y: NDArray[Any], loss: str, kind: str, threads: int | None
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Losses, numbers of hits and the order of the nodes of a single network."""
    order = net._ranked(kind)
    a = net.a.reshape(net.m, net.k).astype(np.float64)[order]
    n, m = len(X), net.m
    losses, hits = np.zeros(m), np.zeros(m)
    block = max(1, _BLOCK_BYTES // (8 * m))
    for start in range(0, n, block):
        rows = slice(start, start + block)
        features = net.features(X[rows], threads=threads).astype(np.float64)
        by_node = np.ascontiguousarray(features.T[order])
        target = y[rows].astype(np.float64)
        best = target.argmax(axis=1)
        f = np.zeros_like(target)
        with np.errstate(over="ignore", invalid="ignore"):  # the caller looks at the sums
            for i in range(m):
                f += by_node[i, :, None] * a[i]
                losses[i] += sum_of_losses(f, target, loss)
                if net.k > 1:
                    hits[i] += np.count_nonzero(f.argmax(axis=1) == best)
    if loss == "mse":
        losses /= n * net.k
    elif loss == "cross_entropy":
        losses /= n
    return losses, hits, order
