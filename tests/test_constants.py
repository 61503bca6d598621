"""Constants in the C++ sources, derived and compared to the last bit."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

mp = pytest.importorskip("mpmath")

RADAU = Path(__file__).parents[1] / "cpp/src/train/polynomials.hpp"


def numbers(path, name):
    """The numbers of an array in a header."""
    found = re.search(rf"\b{name}(?:\[\w+\])+ = (\{{.*?\}});", path.read_text(), re.S)
    return [float(one) for one in re.findall(r"[-+\d.e]+", found[1])]


def radau(count):
    """Nodes of Radau's right-hand formula on [0, 1], and integrals of their Lagrange polynomials.

    The nodes are the roots of P_count - P_(count - 1) in 2 x - 1, of which the last is 1; row i of
    the integrals is over [0, node i].
    """
    starts = np.polynomial.legendre.legroots([0.0] * (count - 1) + [-1.0, 1.0])
    roots = [
        mp.findroot(lambda x: mp.legendre(count, x) - mp.legendre(count - 1, x), start)
        for start in starts
    ]
    nodes = sorted((1 + root) / 2 for root in roots)
    vandermonde = mp.matrix(count, count)
    for p in range(count):
        for j in range(count):
            vandermonde[p, j] = nodes[j] ** p
    rows = []
    for node in nodes:
        moments = mp.matrix([node ** (p + 1) / (p + 1) for p in range(count)])
        rows.append(list(mp.lu_solve(vandermonde, moments)))
    return nodes, rows


def test_radau_formula():
    with mp.workdps(60):
        nodes, rows = radau(8)
        assert numbers(RADAU, "kRadauNodes") == [float(node) for node in nodes]
        assert numbers(RADAU, "kRadauUntil") == [float(value) for row in rows for value in row]
        for degree in range(15):  # of order 15 over [0, 1]
            total = mp.fsum(w * node**degree for w, node in zip(rows[-1], nodes, strict=True))
            assert abs(total - mp.mpf(1) / (degree + 1)) < mp.mpf(10) ** -40
        assert numbers(RADAU, "kRadau12Nodes") == [float(node) for node in radau(12)[0]]
