"""Pruning curves: every point is the loss and accuracy of the network pruned by hand."""

from __future__ import annotations

import asymfast as af
import numpy as np
import oracles
import pytest
from cases import DTYPES, LOSSES, problem


def slowly(net, X, y, loss, keep):
    """Loss and accuracy of the `keep` most important nodes, by the oracle in float64."""
    importance = net.lam * np.square(net.W, dtype=np.float64).sum(axis=1)
    nodes = np.sort(np.argsort(-importance, kind="stable")[:keep])
    a = net.a.reshape(net.m, -1).astype(np.float64)[nodes]
    Z = X.astype(np.float64) @ net.W[nodes].T.astype(np.float64) / np.sqrt(net.d)
    f = (np.sqrt(net.lam[nodes]) * oracles.activation(net.activation, Z)) @ a
    if loss == "cross_entropy":
        shifted = f - f.max(axis=1, keepdims=True)
        of_label = shifted[np.arange(len(f)), y]
        return np.mean(np.log(np.exp(shifted).sum(axis=1)) - of_label), np.mean(
            f.argmax(axis=1) == y
        )
    target = y.reshape(len(y), -1).astype(np.float64)
    squares = np.sum((f - target) ** 2)
    value = squares / 2 if loss == "half_sse" else squares / target.size
    return value, np.mean(f.argmax(axis=1) == target.argmax(axis=1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("outputs", [1, 3])
def test_every_point_is_that_of_slow_pruning(outputs, loss, dtype):
    if loss == "cross_entropy" and outputs == 1:
        outputs = 2
    case = problem(n=19, d=7, m=23, outputs=outputs, dtype=dtype, loss=loss)
    curve = af.pruning_curve(case.net, case.X, case.y, loss)
    assert curve.kept.tolist() == list(range(1, 24))
    for keep in curve.kept:
        expected, accuracy = slowly(case.net, case.X, case.y, loss, keep)
        # Features carry a few roundings of the dtype; the outputs are sums of 23 of size one, the
        # losses of 57 squares of outputs at most about 5, so 1e3 roundings cover them.
        assert abs(curve.loss[keep - 1] - expected) <= 1e3 * case.eps * max(1, expected)
        if outputs == 3:
            assert curve.accuracy[keep - 1] == accuracy
    if outputs == 1:
        assert curve.accuracy is None


@pytest.mark.parametrize("loss", LOSSES)
def test_points_are_those_of_prune(loss):
    case = problem(n=12, d=5, m=17, outputs=4, loss=loss)
    curve = af.pruning_curve(case.net, case.X, case.y, loss)
    for keep in (1, 2, 9, 16, 17):
        pruned = case.net.prune(keep).loss(case.X, case.y, loss)
        assert abs(curve.loss[keep - 1] - pruned) <= 1e3 * case.eps * max(1, pruned)


def test_ensemble_is_its_members():
    nets = [problem(m=13, outputs=2, seed=seed).net for seed in (1, 2)]
    case = problem(outputs=2)
    together = af.pruning_curve(af.Network.stack(nets), case.X, case.y)
    for b, net in enumerate(nets):
        single = af.pruning_curve(net, case.X, case.y)
        np.testing.assert_array_equal(together.loss[b], single.loss)
        np.testing.assert_array_equal(together.accuracy[b], single.accuracy)
        np.testing.assert_array_equal(together.order[b], single.order)


def test_blocks_of_samples_change_rounding_only(monkeypatch):
    case = problem(n=50, m=9, outputs=2)
    whole = af.pruning_curve(case.net, case.X, case.y)
    monkeypatch.setattr("asymfast.pruning._BLOCK_BYTES", 8 * 9 * 7)  # 7 samples at a time
    blocks = af.pruning_curve(case.net, case.X, case.y)
    np.testing.assert_allclose(blocks.loss, whole.loss, rtol=100 * case.eps)
    np.testing.assert_array_equal(blocks.accuracy, whole.accuracy)


def test_authors_importance():
    case = problem(m=13)
    curve = af.pruning_curve(case.net, case.X, case.y, kind="authors")
    expected = np.argsort(-case.net.lam * case.net.a**2, kind="stable")
    np.testing.assert_array_equal(curve.order, expected)


@pytest.mark.parametrize("exponent", [-600, 600])
def test_the_order_of_weights_whose_squares_leave_the_range(exponent):
    net = problem(m=13).net
    scaled = net.with_weights(net.W * 2.0**exponent)
    X, y = np.zeros((1, net.d)), np.zeros(1)
    order, expected = (af.pruning_curve(one, X, y).order for one in (scaled, net))
    np.testing.assert_array_equal(order, expected)
    np.testing.assert_array_equal(scaled.prune(5).lam, net.prune(5).lam)
    both = af.Network.stack([scaled, net]).prune(5)
    np.testing.assert_array_equal(both.lam[0], both.lam[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "huber"}, "pruning_curve: loss must be one of"),
        ({"kind": "size"}, "pruning_curve: kind must be one of paper, authors"),
        ({"X": np.ones((3, 99))}, "W has 11 columns but X has 99"),
        ({"y": np.ones(99)}, r"pruning_curve: y must have shape \(23,\), got \(99,\)"),
    ],
)
def test_wrong_arguments(change, message):
    case = problem()
    arguments = {"X": case.X, "y": case.y, **change}
    with pytest.raises(ValueError, match=message):
        af.pruning_curve(case.net, **arguments)


def test_not_a_network():
    with pytest.raises(TypeError, match="pruning_curve: net must be a Network, got int"):
        af.pruning_curve(3, np.ones((2, 2)), np.ones(2))


def test_losses_beyond_the_range_are_refused():
    """Found by a fuzz target: the square of a residual overflows, its outputs do not."""
    net = af.Network.init(1, 3, 1.0, rng=0)
    with pytest.raises(OverflowError, match="pruning_curve: the result exceeds the range"):
        af.pruning_curve(net, np.ones((1, 1)), np.array([1e200]))
