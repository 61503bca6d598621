"""Forward, features, losses, node gradients and NTG of both backends against the oracle."""

from __future__ import annotations

import asymfast as af
import bounds
import numpy as np
import oracles
import pytest
from cases import ACTIVATIONS, BACKENDS, DTYPES, LOSSES, assert_same_bits, assert_within, problem

pytestmark = pytest.mark.parametrize("backend", BACKENDS)
kinds = pytest.mark.parametrize("kind", LOSSES)
# Every activation in every dtype, the number of outputs taking turns.
EVERY_CASE = [
    (dtype, activation, (1, 3, 10)[(i + shift) % 3])
    for shift, dtype in enumerate(DTYPES)
    for i, activation in enumerate(ACTIVATIONS)
]
over_every_case = pytest.mark.parametrize(("dtype", "activation", "outputs"), EVERY_CASE)


@over_every_case
def test_forward(backend, dtype, activation, outputs):
    case = problem(outputs=outputs, activation=activation, dtype=dtype)
    f = case.net(case.X, backend=backend)
    assert f.dtype == dtype
    exact = oracles.forward(case.model, case.x64)
    assert_within(f, exact, bounds.forward(case.model, case.x64, case.eps))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_features(backend, dtype, activation):
    case = problem(activation=activation, dtype=dtype)
    got = case.net.features(case.X, backend=backend)
    assert got.dtype == dtype
    exact = oracles.features(case.model, case.x64)
    assert_within(got, exact, bounds.features(case.model, case.x64, case.eps))


@kinds
@over_every_case
def test_loss(backend, kind, dtype, activation, outputs):
    if kind == "cross_entropy" and outputs == 1:
        outputs = 2
    case = problem(outputs=outputs, activation=activation, dtype=dtype, loss=kind)
    got = case.net.loss(case.X, case.y, loss=kind, backend=backend)
    exact = oracles.loss(oracles.forward(case.model, case.x64), case.y64, kind)
    assert_within(got, exact, bounds.loss(case.model, case.x64, case.y64, kind, case.eps))


@kinds
@over_every_case
def test_node_gradients(backend, kind, dtype, activation, outputs):
    if kind == "cross_entropy" and outputs == 1:
        outputs = 2
    case = problem(outputs=outputs, activation=activation, dtype=dtype, loss=kind)
    got = case.net.node_gradients(case.X, case.y, loss=kind, backend=backend)
    assert got.dtype == dtype
    exact = oracles.node_gradients(case.model, case.x64, case.y64, kind)
    bound = bounds.node_gradients(case.model, case.x64, case.y64, kind, case.eps)
    assert_within(got, exact, bound)


@over_every_case
def test_ntg(backend, dtype, activation, outputs):
    case = problem(outputs=outputs, activation=activation, dtype=dtype)
    for output in (0, outputs - 1, (0, outputs - 1)):
        K = case.net.ntg(case.X, output=output, backend=backend)
        assert K.dtype == dtype
        exact = oracles.ntg(case.model, case.x64, output=output)
        assert_within(K, exact, bounds.ntg(case.model, case.x64, case.eps, output=output))


def test_default_loss_is_half_the_sum_of_squares(backend):
    case = problem()
    assert case.net.loss(case.X, case.y, backend=backend) == case.net.loss(
        case.X, case.y, loss="half_sse", backend=backend
    )


def test_probability_rows_generalise_labels(backend):
    case = problem(outputs=4, loss="cross_entropy")
    rows = np.eye(4)[case.y]
    bound = bounds.loss(case.model, case.X, case.y, "cross_entropy", case.eps)
    labels = case.net.loss(case.X, case.y, loss="cross_entropy", backend=backend)
    assert_within(case.net.loss(case.X, rows, loss="cross_entropy", backend=backend), labels, bound)

    # rows that do not sum to 1 weigh their samples
    soft = (0.7 * rows + 0.3 / 4) * np.linspace(0.5, 2, len(rows))[:, None]
    got = case.net.loss(case.X, soft, loss="cross_entropy", backend=backend)
    exact = oracles.loss(oracles.forward(case.model, case.X), soft, "cross_entropy")
    assert_within(
        got, exact, 2 * bounds.loss(case.model, case.X, case.y, "cross_entropy", case.eps)
    )
    got = case.net.node_gradients(case.X, soft, loss="cross_entropy", backend=backend)
    exact = oracles.node_gradients(case.model, case.X, soft, "cross_entropy")
    bound = bounds.node_gradients(case.model, case.X, soft, "cross_entropy", case.eps)
    assert_within(got, exact, 2 * bound)


def test_cross_entropy_of_huge_outputs_is_finite(backend):
    """f of size 1e4: exp(f) overflows, logsumexp(f) - f[y] does not."""
    case = problem(outputs=3, loss="cross_entropy", activation="identity")
    net = af.Network(case.net.W, 1e4 * case.net.a, case.net.lam, activation="identity")
    model = case.model._replace(a=1e4 * case.model.a)
    got = net.loss(case.X, case.y, loss="cross_entropy", backend=backend)
    exact = oracles.loss(oracles.forward(model, case.X), case.y, "cross_entropy")
    assert_within(got, exact, bounds.loss(model, case.X, case.y, "cross_entropy", case.eps))


@pytest.mark.parametrize("outputs", [1, 3])
def test_promised_agreement_with_numpy(backend, outputs):
    """The design promises 1e-13 relative (in norm) at the sizes of the paper."""
    n = 10 if backend == "reference" else 100  # it is slow
    case = problem(n=n, d=50, m=2000, outputs=outputs)
    pairs = (
        (case.net(case.X, backend=backend), oracles.forward(case.model, case.X)),
        (
            case.net.node_gradients(case.X, case.y, backend=backend),
            oracles.node_gradients(case.model, case.X, case.y),
        ),
        (case.net.ntg(case.X, backend=backend), oracles.ntg(case.model, case.X)),
    )
    for got, exact in pairs:
        assert np.linalg.norm(got - exact) <= 1e-13 * np.linalg.norm(exact)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("shared", [True, False])
def test_ensemble_equals_its_members(backend, dtype, outputs, shared):
    cases = [problem(outputs=outputs, dtype=dtype, seed=seed) for seed in range(3)]
    stack = af.Network.stack([case.net for case in cases])
    data = [cases[0] if shared else case for case in cases]
    X, y = (
        (data[0].X, data[0].y)
        if shared
        else (np.stack([case.X for case in data]), np.stack([case.y for case in data]))
    )
    calls = {
        "forward": lambda net, X, y: net(X, backend=backend),
        "features": lambda net, X, y: net.features(X, backend=backend),
        "loss": lambda net, X, y: net.loss(X, y, backend=backend),
        "node_gradients": lambda net, X, y: net.node_gradients(X, y, backend=backend),
        "ntg": lambda net, X, y: net.ntg(X, backend=backend),
        "part": lambda net, X, y: net.ntg(X, part=1, backend=backend),
    }
    for call in calls.values():
        whole = call(stack, X, y)
        assert len(whole) == 3
        for b, case in enumerate(cases):
            single = call(case.net, data[b].X, data[b].y)
            assert_same_bits(whole[b], np.asarray(single, dtype=np.asarray(whole).dtype))
