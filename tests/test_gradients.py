"""node_gradients against central differences of net.loss: no formula in common."""

from __future__ import annotations

import asymfast as af
import bounds
import numpy as np
import pytest
from cases import BACKENDS, EPS, LOSSES, SMOOTH, problem


def directional_difference(function, W, direction, step):
    return (function(W + step * direction) - function(W - step * direction)) / (2 * step)


def assert_is_gradient(function, gradient, W, value_error, directions=6):
    """Check `gradient` of a scalar `function` at W along random directions of unit norm.

    The tolerance is measured, not chosen: with D(h) = slope + c h^2 + O(h^4) the truncation error
    of D(h) is (D(2h) - D(h)) / 3, taken three times larger; rounding adds `value_error` / h.
    """
    rng = np.random.default_rng(0)
    h = 1e-4
    for direction in rng.standard_normal((directions, *W.shape)):
        direction /= np.linalg.norm(direction)
        fine, coarse = (directional_difference(function, W, direction, s) for s in (h, 2 * h))
        slope = np.sum(gradient * direction)
        # W +- h direction rounds each entry of W by eps / 2
        steps = EPS * np.abs(W).max() * np.abs(gradient).sum() / h
        rounding = value_error / h + steps + gradient.size * EPS * np.abs(gradient).max()
        assert abs(fine - slope) <= abs(coarse - fine) + rounding


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("activation", SMOOTH)  # across relu's kink differences mean nothing
@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("outputs", [1, 3])
def test_central_differences(backend, activation, kind, outputs):
    if kind == "cross_entropy" and outputs == 1:
        outputs = 2
    case = problem(n=9, d=5, m=13, outputs=outputs, activation=activation, loss=kind)

    def loss(W):
        net = af.Network(W, case.net.a, case.net.lam, activation=activation)
        return net.loss(case.X, case.y, loss=kind, backend=backend)

    gradient = case.net.node_gradients(case.X, case.y, loss=kind, backend=backend)
    value_error = bounds.loss(case.model, case.X, case.y, kind, case.eps)
    assert_is_gradient(loss, gradient, case.net.W, value_error)


@pytest.mark.parametrize("kind", LOSSES)
def test_ensemble_central_differences(kind):
    """Each member's slice is the gradient of its own loss."""
    cases = [problem(outputs=3, loss=kind, seed=seed) for seed in range(3)]
    stack = af.Network.stack([case.net for case in cases])
    X, y = cases[0].X, cases[0].y
    gradients = stack.node_gradients(X, y, loss=kind)
    for case, gradient in zip(cases, gradients, strict=True):

        def loss(W, case=case):
            net = af.Network(W, case.net.a, case.net.lam)
            return net.loss(X, y, loss=kind)

        value_error = bounds.loss(case.model, X, y, kind, case.eps)
        assert_is_gradient(loss, gradient, case.net.W, value_error, directions=2)
