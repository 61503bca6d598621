"""Peak memory: what a call allocates, its result included, and what `max_memory` leaves for slopes.

Everything but the slopes sigma'(Z) is fixed by the sizes. Slopes are kept, or gathered, as far as
memory allows; the rest is computed again, to the same bits. With s bytes an element of the
network's dtype, and n, n2, m padded to full blocks of 32:

    ntg     s n n2 (+ 8 n n2 if s = 4, at most) + (8 + s) (n + n2) d + 8 h (n + n2) + 64 m
            + slopes, 64 nodes (n + n2) s at least
            with h nodes of more than 4 times their even share of v (float32 only)
    descent B [s (2 m d + n d + m k + n k) + 8 (c + 2) n k + slopes (0, or s n m)]
            + 2 s B m d + records: 8 B (q^2 + T m) + B' (40 q^2 + 1200 q + 8 q d)
            with c <= 128 partial sums of the outputs, q samples of the NTG and B' members at once
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _check

_BLOCK = 32  # nodes or samples in two AVX-512 vectors of floats: no padding is coarser
_CHUNKS = 128  # partial sums of the outputs at most
_SLOPES = 32_000_000  # what an NTG gathers unless told otherwise


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
    heavy = int((np.abs(v) * v.size > 4 * np.abs(v).sum()).sum()) if itemsize == 4 else 0
    result = (8 + (4 if itemsize == 4 else 0)) * n * n2
    fixed = result + samples * ((8 + itemsize) * d + 8 * heavy) + 64 * v.size
    return fixed, samples * itemsize * 64


def descent_bytes(
    n: int, d: int, m: int, k: int, B: int, q: int, rows: int, threads: int, itemsize: int
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
    """
    nodes = _padded(m)
    chunks = min(_CHUNKS, math.ceil(nodes / (4 * (64 // itemsize))))
    engine = itemsize * (2 * nodes * d + n * d + nodes * k + n * k) + 8 * (chunks + 2) * n * k
    records = 8 * B * (q * q + rows * m)
    if q:
        slopes = min(_SLOPES, itemsize * _padded(q) * m)
        records += min(B, threads) * (40 * q * q + 1200 * q + (8 + 2 * itemsize) * q * d + slopes)
    return B * engine + 2 * itemsize * B * m * d + records


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


def _padded(count: int) -> int:
    return -(-count // _BLOCK) * _BLOCK
