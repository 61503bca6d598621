"""The oracles judge the library, so they are judged first: derivatives, stability, closed forms."""

from __future__ import annotations

import bounds
import mpmath as mp
import numpy as np
import oracles
import pytest

EPS = np.finfo(np.float64).eps
NAMES = sorted(oracles.ACTIVATIONS)
POINTS = (-745.2, -40.1, -8.3, -1.28, -1e-9, 0.37, 1.9, 17.3, 52.7, 713.4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("order", [0, 1, 2])
def test_stable_activations_equal_mpmath(name, order):
    z = np.array([*POINTS, *np.linspace(-6, 6, 49)])
    exact = np.array([float(oracles.activation_mp(name, each, order)) for each in z])
    # results below the normal range keep only their absolute accuracy
    allowed = bounds.ACTIVATION_EPS * EPS * bounds.activation_scale(name, z, order) + 1e-305
    assert np.all(np.abs(oracles.activation(name, z, order) - exact) <= allowed)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("order", [1, 2])
def test_each_order_is_the_derivative_of_the_one_before(name, order):
    for z in (-3.3, -0.7, 0.4, 2.9):
        with mp.workdps(40):
            slope = mp.diff(lambda t: oracles.ACTIVATIONS[name].mpmath[order - 1](t), mp.mpf(z))
            assert abs(slope - oracles.activation_mp(name, z, order)) <= mp.mpf("1e-15")


@pytest.mark.parametrize("name", NAMES)
def test_suprema_bound_the_derivatives(name):
    z = np.linspace(-20, 20, 200_001)  # softplus' comes within 2e-9 of its supremum there
    for order, supremum in enumerate(bounds.SUPREMA[name], start=1):
        largest = np.abs(oracles.activation(name, z, order)).max()
        # a grid of step h misses a maximum by at most sup|f''| h^2 / 8 = 5e-9 sup|f''|
        assert largest <= supremum + 1e-15
        assert largest >= supremum - 2e-8


def small_model(outputs):
    rng = np.random.default_rng(3)
    shape = (6,) if outputs == 1 else (6, outputs)
    lam = oracles.node_scaling(6, 0.5, 0.7)
    model = oracles.Model(rng.standard_normal((6, 4)), rng.standard_normal(shape), lam, "swish")
    return model, rng.standard_normal((5, 4)), rng.standard_normal((5, *shape[1:]))


def differences(function, W, h=1e-5):
    """Central differences of `function` over every entry of W, appended as last axes."""
    steps = h * np.eye(W.size).reshape(W.size, *W.shape)
    slopes = [(function(W + step) - function(W - step)) / (2 * h) for step in steps]
    return np.stack(slopes, axis=-1)


# h = 1e-5: truncation h^2/6 |f'''| and rounding eps |f| / h, each below 5e-10 while |f| <= 20 and
# |f'''| <= 30
DIFFERENCE_ERROR = 1e-9


@pytest.mark.parametrize("output", [0, 1, 2])
def test_jacobian_and_ntg_against_differences(output):
    model, X, _ = small_model(3)
    J = differences(lambda W: oracles.forward(model._replace(W=W), X)[:, output], model.W)
    assert np.abs(J - oracles.jacobian(model, X, output)).max() <= DIFFERENCE_ERROR
    K = oracles.ntg(model, X, output=output)
    J = oracles.jacobian(model, X, output)
    assert np.abs(K - J @ J.T).max() <= 4 * J.shape[1] * EPS * np.abs(J @ J.T).max()


@pytest.mark.parametrize("kind", ["half_sse", "mse", "cross_entropy"])
def test_node_gradients_against_differences(kind):
    model, X, y = small_model(3)
    y = np.array([0, 2, 1, 1, 0]) if kind == "cross_entropy" else y
    slope = differences(
        lambda W: oracles.loss(oracles.forward(model._replace(W=W), X), y, kind), model.W
    )
    gradients = oracles.node_gradients(model, X, y, kind)
    assert np.abs(slope - gradients.ravel()).max() <= DIFFERENCE_ERROR


def test_flow_and_rk4_agree():
    model, X, y = small_model(1)
    (W,) = oracles.gradient_flow(model, X, y, [2.0])
    # RK4's global error is about t (L dt)^5 / (120 dt), L = |dv/dW| <= 2: below 1e-9 for dt = 0.01
    assert np.abs(W - oracles.rk4(model, X, y, 0.01, 200)).max() <= 1e-9


def test_known_spectrum():
    spectrum = np.geomspace(1e-6, 1.0, 12)
    K = oracles.symmetric_with_spectrum(spectrum, np.random.default_rng(0))
    found = np.array([float(each) for each in oracles.eigenvalues(K)])
    assert np.abs(found - spectrum).max() <= EPS / 2 * np.linalg.norm(K)
