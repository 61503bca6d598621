"""One network over many processes, by MPI: each rank has some of the nodes, and all samples.

Sums over nodes, which are the outputs and the neural tangent matrices, are added over the ranks by
an allreduce; weights and gradients stay with their nodes. docs/mpi.md states the cost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from . import _check
from ._device import How
from ._storage import blake2b
from .network import Network, NetworkPart
from .run import Run
from .scaling import node_scaling

__all__ = ["NetworkPart", "gather", "init", "split"]

_BLOCK = 1 << 16  # nodes that one stream of `init` draws


@_check.guarded
def split(net: Network, comm: Any) -> NetworkPart:
    """Return this rank's nodes of a network that all ranks have.

    Parameters
    ----------
    net : Network
        A single one; the same on all ranks. A `NetworkPart` is returned as it is.
    comm : mpi4py.MPI.Comm

    Raises
    ------
    TypeError, ValueError
        An ensemble; fewer nodes than ranks; no communicator.

    Examples
    --------
    >>> import asymfast as af
    >>> class Alone:  # as MPI.COMM_SELF
    ...     def Get_rank(self): return 0
    ...     def Get_size(self): return 1
    ...     def Allreduce(self, send, values): pass
    >>> net = af.Network.init(d=3, m=10, gamma=0.5, alpha=0.7, rng=0)
    >>> af.mpi.split(net, Alone())
    NetworkPart(0 to 10 of 10 nodes)
    """
    rank, size = _place("mpi.split", comm)
    if isinstance(net, NetworkPart):
        return net
    if not isinstance(net, Network) or net.B is not None:
        raise TypeError(f"mpi.split: net must be a single network, got {net!r}")
    first, last = _share("mpi.split", net.m, rank, size)
    share = slice(first, last)
    return NetworkPart(
        net.W[share], net.a[share], net.lam[share], first=first, total=net.m, **net._settings()
    )


@_check.arguments("mpi.init")
def init(
    d: int,
    m: int,
    gamma: float,
    alpha: float | None = None,
    activation: str = "swish",
    outputs: int = 1,
    *,
    seed: int,
    comm: Any,
    dtype: DTypeLike = "float64",
) -> NetworkPart:
    """Draw this rank's nodes of a network that is too large for one process; see `split`.

    Nodes 65536 b, 65536 b + 1, ... are drawn as by `Network.init` from
    ``default_rng(SeedSequence(seed, spawn_key=(b,)))``: the network depends on the seed and on the
    shape, not on the number of ranks, but is not that of `Network.init`. Memory: that of the part.

    Parameters
    ----------
    d, m, gamma, alpha, activation, outputs, dtype
        As in `Network.init`, with its errors; m are the nodes of all ranks, at least one each.
    seed : int
        At least 0; the same on all ranks.
    comm : mpi4py.MPI.Comm
    """
    fn = "mpi.init"
    rank, size = _place(fn, comm)
    node_scaling(1, gamma, alpha)  # checks the two
    if not is_alone(comm):
        settings = {"d": d, "m": m, "gamma": gamma, "alpha": alpha, "activation": activation}
        settings |= {"outputs": outputs, "seed": seed, "dtype": str(np.dtype(dtype))}
        require_agreement(fn, comm, **settings)
    first, last = _share(fn, m, rank, size)
    W = np.empty((last - first, d), dtype)
    a = np.empty((last - first, outputs), dtype)
    for block in range(first // _BLOCK, -(-last // _BLOCK)):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(block,)))
        begin, end = block * _BLOCK, min((block + 1) * _BLOCK, m)
        its_W = rng.standard_normal((end - begin, d))
        its_a = 2 * rng.integers(0, 2, (end - begin, outputs)) - 1
        low, high = max(begin, first), min(end, last)
        W[low - first : high - first] = its_W[low - begin : high - begin]
        a[low - first : high - first] = its_a[low - begin : high - begin]
    if gamma == 1 or alpha is None:
        lam = np.full(last - first, 1 / m)
    else:  # `node_scaling`, by blocks that do not depend on the number of ranks
        t = np.arange(first + 1, last + 1, dtype=np.float64) ** (-1 / alpha)
        lam = gamma / m + (1 - gamma) * (t / summed(np.array([t.sum()]), comm)[0])
    return NetworkPart(
        W,
        a[:, 0] if outputs == 1 else a,
        lam,
        first=first,
        total=m,
        activation=activation,
        gamma=gamma,
        alpha=alpha,
    )


@_check.arguments("mpi.gather", run=_check.instance_of(Run))
def gather(run: Run, comm: Any) -> Run:
    """Return a run with all nodes, on every rank, from the runs of the ranks' parts.

    Parameters
    ----------
    run : Run
        Of a training function with ``comm=``.
    comm : mpi4py.MPI.Comm
        The same.

    Returns
    -------
    Run
        Its networks, `weight_change` and `weights` have the nodes of all ranks, in their order.

    Raises
    ------
    TypeError
        The run was made without ``comm=``; no communicator.

    Examples
    --------
    With ``from mpi4py import MPI`` and ``comm = MPI.COMM_WORLD``, on every rank::

        run = asymfast.gradient_descent(net, X, y, steps=1000, comm=comm)
        whole = asymfast.mpi.gather(run, comm)

    >>> import asymfast as af
    >>> af.mpi.gather("a run", comm=None)
    Traceback (most recent call last):
        ...
    TypeError: mpi.gather: run must be a Run, got str
    """
    _place("mpi.gather", comm)
    if not isinstance(run.network, NetworkPart) or not isinstance(run.initial, NetworkPart):
        raise TypeError(f"mpi.gather: run must be that of a part of a network, got {run.network!r}")

    def joined(values: NDArray[Any], axis: int) -> NDArray[Any]:
        return np.concatenate(comm.allgather(values), axis=axis)

    def whole(part: NetworkPart) -> Network:
        arrays = (joined(values, 0) for values in (part.W, part.a, part.lam))
        return Network(*arrays, **Network._settings(part))

    return replace(
        run,
        initial=whole(run.initial),
        network=whole(run.network),
        weight_change=joined(run.weight_change, 1),
        weights=None if run.weights is None else joined(run.weights, 1),
        config={**run.config, "m": run.network.total},
    )


# ---- for the training functions and Network ------------------------------------------------------


def part_of(fn: str, net: Network, comm: Any) -> NetworkPart:
    """Return this rank's part; an error on all ranks unless their parts form a network."""
    part = split(net, comm)
    whole = "" if isinstance(net, NetworkPart) else _digest(net.W.data, net.a.data, net.lam.data)
    parts = comm.allgather((part.first, part.first + part.m, part.total, whole))
    starts, ends, totals, wholes = (list(of) for of in zip(*parts, strict=True))
    if starts != [0, *ends[:-1]] or set(totals) != {ends[-1]}:
        nodes = [nodes for *nodes, _ in parts]
        raise ValueError(f"{fn}: the ranks' parts must make up one network, got nodes {nodes}")
    if len(set(wholes)) > 1:
        raise ValueError(
            f"{fn}: net must be the same on all ranks, or their parts of one; draw it from the "
            "same rng, or by mpi.init"
        )
    return part


def require_agreement(fn: str, comm: Any, **given: Any) -> None:
    """Raise ValueError, on all ranks, if something that must be the same differs between them.

    Ranks that take different paths would wait for each other forever.
    """
    digests = {
        name: _digest(value.data if isinstance(value, np.ndarray) else repr(value).encode())
        for name, value in given.items()
    }
    everywhere = comm.allgather(digests)
    differing = [name for name in given if len({each[name] for each in everywhere}) > 1]
    if differing:
        what = f"{', '.join(differing)} differ{'s' * (len(differing) == 1)}"
        raise ValueError(f"{fn}: with comm all ranks must agree, but {what}")


def _digest(*buffers: Any) -> str:
    digest = blake2b()
    for buffer in buffers:
        digest.update(buffer)
    return digest.hexdigest()


def summing(comm: Any) -> Callable[[NDArray[np.float64]], object] | None:
    """Return a function that sums an array over the ranks in place (same bits: MPI 4, 6.9.6).

    It contains no Python code, which Ctrl-C could interrupt. None if there is a single rank.
    """
    return None if is_alone(comm) else partial(comm.Allreduce, _in_place(comm))


def is_alone(comm: Any) -> bool:
    """Whether there is a single rank."""
    return comm is None or comm.Get_size() == 1


def require_cpu(fn: str, how: How) -> None:
    """Raise ValueError unless the call runs on the CPU, where sums over ranks are computed."""
    if (device := how.get("device", "cpu")) != "cpu":
        raise ValueError(f"{fn}: device must be 'cpu' with comm, got {device!r}")


@_check.guarded
def summed(values: NDArray[Any], comm: Any) -> NDArray[Any]:
    """Return the sum of arrays over the ranks, added in float64."""
    total = np.array(values, np.float64)
    comm.Allreduce(_in_place(comm), total)
    return total.astype(values.dtype)


def _in_place(comm: Any) -> Any:
    try:
        from mpi4py import MPI
    except ImportError:  # a communicator of something else, such as a test's
        return None
    return MPI.IN_PLACE


def _place(fn: str, comm: Any) -> tuple[int, int]:
    needed = ("Get_rank", "Get_size", "Allreduce")
    if not all(hasattr(comm, name) for name in needed):
        raise TypeError(f"{fn}: comm must be a communicator of mpi4py (extra 'mpi'), got {comm!r}")
    return comm.Get_rank(), comm.Get_size()


def _share(fn: str, m: int, rank: int, size: int) -> tuple[int, int]:
    """Return the first node of a rank and the one after its last, in equal shares."""
    if m < size:
        raise ValueError(f"{fn}: m must be at least the number of ranks, {size}, got {m}")
    return rank * m // size, (rank + 1) * m // size
