"""Every size from 1 to 67 on each axis, every k from 1 to 19: remainder lanes and odd tiles."""

from __future__ import annotations

import bounds
import oracles
import pytest
from cases import BACKENDS, DTYPES, assert_within, problem

SIZES = range(1, 68)
AXES = [{axis: size} for axis in ("n", "d", "m") for size in SIZES]
OUTPUTS = [{"outputs": k} for k in range(1, 20)]
# The plain loops of the reference have neither lanes nor tiles.
PLAIN = [{axis: size} for axis in ("n", "d", "m", "outputs") for size in (1, 2, 9, 16)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("size", "backend"),
    [*((size, "cpu") for size in AXES + OUTPUTS), *((size, "reference") for size in PLAIN)],
    ids=lambda given: (
        given if isinstance(given, str) else "{}={}".format(*next(iter(given.items())))
    ),
)
def test_size(size, dtype, backend):
    case = problem(**{"n": 23, "d": 11, "m": 37, "outputs": 3, **size}, dtype=dtype)
    net, model, X, y, eps = case.net, case.model, case.x64, case.y64, case.eps
    numbers = {"backend": backend, "threads": 2}
    assert_within(net(case.X, **numbers), oracles.forward(model, X), bounds.forward(model, X, eps))
    assert_within(
        net.loss(case.X, case.y, **numbers),
        oracles.loss(oracles.forward(model, X), y),
        bounds.loss(model, X, y, "half_sse", eps),
    )
    assert_within(
        net.node_gradients(case.X, case.y, **numbers),
        oracles.node_gradients(model, X, y),
        bounds.node_gradients(model, X, y, "half_sse", eps),
    )
    assert_within(net.ntg(case.X, **numbers), oracles.ntg(model, X), bounds.ntg(model, X, eps))
    other = problem(n=13, d=X.shape[1], m=1, dtype=dtype, seed=1)
    assert_within(
        net.ntg(case.X, other.X, **numbers),
        oracles.ntg(model, X, other.x64),
        bounds.ntg(model, X, eps, other.x64),
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_everything_of_size_one(dtype, backend):
    case = problem(n=1, d=1, m=1, dtype=dtype)
    exact = oracles.forward(case.model, case.x64)
    got = case.net(case.X, backend=backend)
    assert_within(got, exact, bounds.forward(case.model, case.x64, case.eps))
