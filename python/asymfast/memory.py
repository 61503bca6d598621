"""Peak memory: what a call allocates, its result included, and what `max_memory` leaves for slopes.

Everything but the slopes sigma'(Z) is fixed by the sizes. Slopes are kept, or gathered, as far as
memory allows; the rest is computed again, to the same bits. With s bytes an element of the
network's dtype, n, n2, m padded to full blocks of 32, and a d of samples that is a multiple of 512
bytes to 64 more:

    ntg     s n n2 (+ 8 n n2 if s = 4, at most) + (8 + s) (n + n2) d + 8 h (n + n2) + 64 m
            + slopes, 256 nodes (n + n2) s at least
            with h nodes of more than 4 times their even share of v (float32 only)
    descent B [s (2 m d + n d + m k + n k) + 8 (c + 2) n k + slopes (0, or s n m)]
            or, if n >= 768, d <= 16, s m <= 43 690 and no other rank has nodes,
            B [s (34 m d + n d + m k + n k) + 16 n k
               + (560 000 + 6 s m + 7400 k) of each thread]
            + 2 s B m d + records: 8 B (q^2 + T m) + B' (36 q^2 + 1200 q + 8 q d), and what the
            other columns of T rows take
            with c <= 128 partial sums of the outputs, q samples of the NTG and B' members at once
    test    B' s (n' d + m d + m k) + 8 B' (c + 1) n' k + 8 B' n_test k of a forward pass over test
            data, n' = min(n_test, 4096) samples at a time
    flow    descent, and for each member: 8 c n k where those are not in it, and 2 (rk4 with dt), 6
            (rk4) or 11 (dopri5) copies of the weights, s m d each; of tangent s m d + 10 s n m
            + 8 (14 (n k)^2 + 512 n k)
    leaps   descent, and for each member: 3 s m d + 13 s n m + 8 (30 (n k)^2 + 2100 n k) + 8 c n k
    sgd     B [s (2 m d + 3 m k + 2 b d + 2 b k + b m) + 8 (c + 1) b k + s m (d + k) + 16 n k]
            with batches of b; b m twice if both layers train; + test on n samples + 2 s B m d
            + records
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _check

_BLOCK = 32  # nodes or samples in two AVX-512 vectors of floats: no padding is coarser
_GROUP = 256  # nodes whose slopes an NTG gathers at least, for the same bits with fewer at a time
_CHUNKS = 128  # partial sums of the outputs at most
_SLOPES = 32_000_000  # what an NTG gathers unless told otherwise
_PIECE = 4096  # samples of a forward pass over test data
# Many samples of few inputs are gone through in so many parts, each with a gradient of its own; a
# thread keeps the slopes of some samples for all nodes.
_MANY_SAMPLES, _FEW_INPUTS, _MOST_NODES, _PARTS = 768, 16, 43_690, 32
_FRAMES = 10  # points in time that the tangent method keeps
_COPIES = {"rk4 with dt": 2, "rk4": 6, "dopri5": 11}  # of the weights


def ntg_bytes(n: int, n2: int, d: int, v: NDArray[np.float64], itemsize: int) -> tuple[int, int]:
    """Bytes of an NTG without slopes, and the least for its slopes.

    Parameters
    ----------
    n, n2, d : int
        Samples on both sides and inputs.
    v : (m,) array
        Weights of the sum over nodes.
    itemsize : int
        4 or 8, of the network's dtype.
    """
    samples = _padded(n) + _padded(n2)
    heavy = _heavy_nodes(v) if itemsize == 4 else 0
    result = (8 + (4 if itemsize == 4 else 0)) * n * n2
    fixed = result + samples * ((8 + itemsize) * d + 8 * heavy) + 64 * v.size
    return fixed, samples * itemsize * _GROUP


def _heavy_nodes(v: NDArray[np.float64]) -> int:
    sizes = np.abs(v)
    shares = sizes / (sizes.max() or 1.0)  # so that no sum overflows
    return int((shares * v.size > 4 * shares.sum()).sum())


def descent_bytes(
    n: int,
    d: int,
    m: int,
    k: int,
    B: int,
    q: int,
    rows: int,
    threads: int,
    itemsize: int,
    alone: bool = True,
) -> int:
    """Bytes of a run of gradient descent that keeps no slopes.

    Parameters
    ----------
    n, d, m, k, B : int
        Sizes.
    q : int
        Samples of the recorded NTG, 0 without one.
    rows : int
        Records.
    threads : int
        Of the team, each of which may measure a member.
    itemsize : int
        4 or 8, of the network's dtype.
    alone : bool
        Whether no other rank has nodes of the network.
    """
    nodes = _padded(m)
    engine = itemsize * (2 * nodes * d + n * _stride(d, itemsize) + nodes * k + n * k)
    engine += 16 * n * k
    if alone and _goes_through_samples(n, d, m, itemsize):
        tile = 560_000 + 6 * itemsize * nodes + 7400 * k
        engine += itemsize * _PARTS * nodes * d + tile * threads
    if not (alone and _goes_through_samples(n, d, nodes, itemsize)):  # padded, it may just not
        engine += _partial_sums(n, m, k, itemsize)
    return B * (engine + 2 * itemsize * m * d) + _records(d, m, B, q, rows, threads, itemsize)


def flow_bytes(method: str, n: int, d: int, m: int, k: int, B: int, itemsize: int) -> int:
    """Bytes of a gradient flow beyond those of gradient descent, without slopes.

    Parameters
    ----------
    method : {"rk4 with dt", "rk4", "dopri5", "tangent"}
        Of the flow.
    n, d, m, k, B, itemsize : int
        As in `descent_bytes`.
    """
    weights, N = itemsize * _padded(m) * d, n * k
    more = product_bytes(n, d, m, k, itemsize)
    if method != "tangent":
        return B * (_COPIES[method] * weights + more)
    frames = _FRAMES * itemsize * n * _padded(m)
    return B * (weights + frames + 8 * ((_FRAMES + 4) * N * N + 512 * N) + more)


def both_layers_bytes(n: int, d: int, m: int, k: int, B: int, itemsize: int) -> int:
    """Bytes of a run that trains both layers beyond those of gradient descent.

    Parameters
    ----------
    n, d, m, k, B, itemsize : int
        As in `descent_bytes`.
    """
    weights, product = m * (d + k), 4 * n * d + 2 * m * d
    return B * (8 * 11 * weights + itemsize * (3 * weights + 2 * product + n * k))


def leap_bytes(n: int, d: int, m: int, k: int, B: int, itemsize: int) -> int:
    """Bytes of gradient descent in leaps beyond those of single steps, without slopes.

    Parameters
    ----------
    n, d, m, k, B, itemsize : int
        As in `descent_bytes`.
    """
    nodes, N = itemsize * _padded(m), n * k
    held = 3 * nodes * d + (_FRAMES + 3) * nodes * n
    return B * (held + 8 * (30 * N * N + 2100 * N) + product_bytes(n, d, m, k, itemsize))


def product_bytes(n: int, d: int, m: int, k: int, itemsize: int) -> int:
    """Bytes of a product with the tangent matrix of all outputs beyond those of gradient descent.

    Parameters
    ----------
    n, d, m, k, itemsize : int
        As in `descent_bytes`.
    """
    through_samples = _goes_through_samples(n, d, _padded(m), itemsize)
    return _partial_sums(n, m, k, itemsize) if through_samples else 0


def _partial_sums(n: int, m: int, k: int, itemsize: int) -> int:
    return 8 * _chunks(m, itemsize) * n * k


def _goes_through_samples(n: int, d: int, m: int, itemsize: int) -> bool:
    return n >= _MANY_SAMPLES and d <= _FEW_INPUTS and itemsize * m <= _MOST_NODES


def sgd_bytes(
    n: int,
    d: int,
    m: int,
    k: int,
    B: int,
    q: int,
    rows: int,
    threads: int,
    itemsize: int,
    batch_size: int,
    train_output: bool,
) -> int:
    """Bytes of a run of sgd.

    Parameters
    ----------
    n, d, m, k, B, q, rows, threads, itemsize : int
        As in `descent_bytes`.
    batch_size : int
        Samples of a step.
    train_output : bool
        Whether both layers are trained.
    """
    nodes, b = _padded(m), batch_size
    engine = itemsize * (2 * nodes * d + 3 * nodes * k + 2 * b * (_stride(d, itemsize) + k))
    engine += itemsize * b * nodes * (2 if train_output else 1)
    engine += 8 * (_chunks(m, itemsize) + 1) * b * k + itemsize * m * (d + k) + 16 * n * k
    engine += 2 * itemsize * m * d
    records = _records(d, m, B, q, rows, threads, itemsize)
    return B * engine + records + test_bytes(n, d, m, k, min(B, threads), itemsize)


def test_bytes(n_test: int, d: int, m: int, k: int, members: int, itemsize: int) -> int:
    """Bytes of a forward pass over test data by so many members at once."""
    nodes, piece = _padded(m), min(n_test, _PIECE)
    arrays = itemsize * (piece * _stride(d, itemsize) + nodes * (d + k))
    return members * (arrays + 8 * (_chunks(m, itemsize) + 1) * piece * k + 8 * n_test * k)


def _records(d: int, m: int, B: int, q: int, rows: int, threads: int, itemsize: int) -> int:
    records = 8 * B * (q * q + rows * m)
    if q:
        slopes = min(_SLOPES, itemsize * _padded(q) * m)
        records += min(B, threads) * (36 * q * q + 1200 * q + (8 + 2 * itemsize) * q * d + slopes)
    return records


def slopes_allowed(fn: str, max_memory: Any, fixed: int, least: int, sizes: str) -> float:
    """Bytes that `max_memory` leaves for slopes; 0.0 means as many as the call likes.

    Raises
    ------
    TypeError, ValueError
        Not a number, or less than what the call needs.
    """
    if max_memory is None:
        return 0.0
    allowed = _check.number(fn, "max_memory", max_memory, low=0, low_open=True)
    if allowed < fixed + least:
        raise ValueError(
            f"{fn}: max_memory must be at least {fixed + least} bytes for {sizes}, got {allowed:g}"
        )
    return max(1.0, allowed - fixed)


def _chunks(m: int, itemsize: int) -> int:
    return min(_CHUNKS, math.ceil(_padded(m) / (4 * (64 // itemsize))))


def _stride(d: int, itemsize: int) -> int:
    """Of samples in memory: rows a multiple of 512 bytes apart would share a part of the cache."""
    return d if d * itemsize % 512 else d + 64 // itemsize


def _padded(count: int) -> int:
    return -(-count // _BLOCK) * _BLOCK
