"""Theorems 4.3 and 4.4, g_1, g_2 and Theta^(3): quadrature, closed forms, simulation, the flow."""

from __future__ import annotations

import numpy as np
import oracles
import oracles_theory
import pytest
from asymfast import theory

SLOW = pytest.mark.slow
SMOOTH = tuple(name for name in oracles.ACTIVATIONS if name != "relu")


def rows(n=4, d=5, seed=0, scale=0.6):
    return scale * np.random.default_rng(seed).standard_normal((n, d))


@pytest.mark.parametrize("activation", tuple(oracles.ACTIVATIONS))
@pytest.mark.parametrize(
    "scale", [pytest.param(1e-3, marks=SLOW), 0.14, 1.0, pytest.param(4.0, marks=SLOW)]
)
def test_g_1(activation, scale):
    value, slope, _ = oracles.ACTIVATIONS[activation].mpmath
    got, error = theory.g_1(np.array([[scale]]), activation, return_error=True)
    exact = float(oracles_theory.gaussian_mean(lambda z: value(z) * slope(z), scale))
    assert abs(got[0] - exact) <= error + 1e-13
    assert error <= 1e-12 * max(1.0, scale)


def test_g_1_by_steins_identity():
    """E[sigma sigma'](s) = E[z sigma(s z)^2] / (2 s)."""
    swish = oracles.ACTIVATIONS["swish"].mpmath[0]
    for s in (0.2, 1.5):
        # the oracle's mean is over s z; z itself is that over s
        exact = oracles_theory.gaussian_mean(lambda u, s=s: u / s * swish(u) ** 2, s) / (2 * s)
        assert theory.g_1(np.array([[s]]))[0] == pytest.approx(float(exact), rel=1e-12)


def test_g_1_of_relu_and_of_odd_or_even_activations():
    X = rows(3, 5)
    exact = np.linalg.norm(X, axis=1) / np.sqrt(2 * np.pi * 5)
    np.testing.assert_allclose(theory.g_1(X, "relu"), exact, rtol=1e-14)
    for name in ("tanh", "erf", "sin", "cos", "identity"):
        assert np.all(theory.g_1(X, name) == 0)
    assert theory.g_1(np.zeros((1, 2)), "relu") == 0


@pytest.mark.parametrize(
    "activation",
    ["swish", *(pytest.param(name, marks=SLOW) for name in ("relu", "softplus", "tanh"))],
)
def test_theorem_4_3_against_simulation(activation):
    X, lam = np.abs(rows(4, 3)), oracles.node_scaling(3, 0.3, 0.5)
    y = 0.2 * np.random.default_rng(9).standard_normal(4)
    expected = theory.theorem_4_3(X, lam, activation)
    estimate = theory.simulated_drift(X, y, lam, activation, draws=6000, rng=1)
    z = estimate.z(expected)
    assert np.all(np.abs(z) <= 4.5)  # 9 normal variables
    if activation != "tanh":  # the signal is there: zero would have been noticed
        assert np.abs(estimate.z(0)).max() >= 8


def test_simulated_drift_is_the_mean_of_gradients():
    """The simulation itself, draw by draw, against the oracle's gradients."""
    X, y, lam = rows(4, 3), np.ones(4), oracles.node_scaling(3, 0.3, 0.5)
    rng = np.random.default_rng(2)
    drifts = []
    for _ in range(10):
        W = rng.standard_normal((3, 3))
        a = 2.0 * rng.integers(0, 2, 3) - 1
        drifts.append(-oracles.node_gradients(oracles.Model(W, a, lam, "swish"), X, y))
    estimate = theory.simulated_drift(X, y, lam, draws=10, rng=2)
    np.testing.assert_allclose(estimate.mean, np.mean(drifts, axis=0), atol=1e-15)
    np.testing.assert_allclose(
        estimate.standard_error, np.std(drifts, axis=0, ddof=1) / 10**0.5, atol=1e-15
    )


@pytest.mark.parametrize("activation", SMOOTH)
@pytest.mark.parametrize("scale", [pytest.param(0.2, marks=SLOW), 0.8])
def test_g_2_by_another_quadrature(activation, scale):
    x = rows(3, 4, seed=1, scale=scale)
    got, error = theory.g_2(*x, activation, return_error=True)
    # steps of 0.12 leave exp(-(2 pi / 0.12 - waves)^2 / 2) and, for tanh, exp(-pi^2 / (0.12 s))
    exact = oracles_theory.g_2(*x, activation, step=0.12)
    assert abs(got - exact) <= error + 1e-12


@pytest.mark.parametrize("case", ["equal", "parallel", "zero", "plane", "line"])
def test_g_2_of_singular_covariances(case):
    x = rows(3, 4, seed=2)
    if case == "equal":
        x[1] = x[2] = x[0]
    elif case == "parallel":
        x[1] = -0.3 * x[2]
    elif case == "zero":
        x[0] = 0
    elif case == "plane":
        x = x[:, :2]
    else:
        x = x[:, :1]
    for activation in ("swish", "tanh"):
        got, error = theory.g_2(*x, activation, return_error=True)
        exact = oracles_theory.g_2(*x, activation, step=0.12)
        assert abs(got - exact) <= error + 1e-12


def test_g_2_in_closed_form():
    for seed, scale in ((3, 0.1), (4, 1.0), (5, 2.0)):
        x = rows(3, 6, seed=seed, scale=scale)
        got, error = theory.g_2(*x, "sin", return_error=True)
        assert abs(got - oracles_theory.g_2_sin(*x)) <= min(error, 1e-12)


@pytest.mark.parametrize(
    "activation", ["swish", pytest.param("tanh", marks=SLOW), pytest.param("softplus", marks=SLOW)]
)
def test_theorem_4_4_is_its_sum(activation):
    """Entry by entry from g_2, with the prefactor d^-2."""
    X, Q, lam = rows(3, 4), rows(2, 4, seed=7), oracles.node_scaling(5, 0.2, 0.6)
    V, error = theory.theorem_4_4(X, lam, activation, X_eval=Q, return_error=True)
    for k in range(2):
        for m in range(2):
            total = sum(
                oracles_theory.g_2(Q[k], Q[m], x, activation) * (Q[k] @ x)
                + oracles_theory.g_2(Q[m], Q[k], x, activation) * (Q[m] @ x)
                for x in X
            )
            exact = -(Q[k] @ Q[m]) / 16 * total * np.sum(lam**2)
            assert abs(V[k, m] - exact) <= error + 1e-13
    assert np.array_equal(V, V.T)


@SLOW
@pytest.mark.parametrize("activation", ["swish", "tanh", "softplus"])
def test_theorem_4_4_against_simulation(activation):
    """With d^-2: the printed d^(-3/2) would be off by a factor of 2, far outside the errors."""
    X, lam = rows(3, 4, seed=3, scale=0.8), oracles.node_scaling(2, 0.0, 0.4)
    y = np.zeros(3)  # targets only add noise
    V = theory.theorem_4_4(X, lam, activation)
    estimate = theory.simulated_ntg_velocity(X, y, lam, activation, draws=20_000, rng=4)
    upper = np.triu_indices(3)
    assert np.all(np.abs(estimate.z(V)[upper]) <= 4.5)
    assert np.abs(estimate.z(2 * V)[upper]).max() >= 8


@pytest.mark.parametrize("activation", ["swish", "tanh", "erf"])
def test_theta_3_and_velocity_by_finite_differences_of_the_flow(activation):
    """Theta along the oracle's flow: central differences at two steps, extrapolated."""
    rng = np.random.default_rng(6)
    X, Q, y = rows(4, 5), rows(3, 5, seed=8), rng.standard_normal(4)
    lam = oracles.node_scaling(6, 0.5, 0.5)
    model = oracles.Model(rng.standard_normal((6, 5)), rng.uniform(0.5, 2, 6), lam, activation)

    def after(h):
        return oracles.ntg(model._replace(W=oracles.rk4(model, X, y, h, 1)), Q)

    def difference(h):
        return (after(h) - after(-h)) / (2 * h)

    exact = (4 * difference(1e-3) - difference(2e-3)) / 3
    args = (model.W, model.a, model.lam, X)
    velocity = theory.ntg_velocity(*args, y, Q, activation)
    scale = np.abs(exact).max()
    # rounding of the differences 1e-16 / 1e-3, and h^4
    np.testing.assert_allclose(velocity, exact, rtol=0, atol=3e-10 * scale)
    theta = theory.theta_3(*args, Q, activation)
    residual = y - oracles.forward(model, X)
    np.testing.assert_allclose(theta @ residual, velocity, rtol=0, atol=1e-13 * scale)
    assert np.array_equal(theta, theta.transpose(1, 0, 2))


def test_theta_3_is_an_inner_product_of_gradients():
    """<grad Theta(x_k, x_l), grad f(x_i)>, both by the oracle: Theta's gradient by differences."""
    rng = np.random.default_rng(7)
    X = rows(2, 3)
    model = oracles.Model(
        rng.standard_normal((4, 3)), 2.0 * rng.integers(0, 2, 4) - 1, np.full(4, 0.25), "swish"
    )
    J = oracles.jacobian(model, X)
    gradient = np.empty((2, 2, 12))
    for p in range(12):
        step = np.zeros(12)
        step[p] = 1e-5
        step = step.reshape(4, 3)
        up, down = (oracles.ntg(model._replace(W=model.W + s * step), X) for s in (1, -1))
        gradient[:, :, p] = (up - down) / 2e-5
    exact = gradient @ J.T
    got = theory.theta_3(model.W, model.a, model.lam, X)
    np.testing.assert_allclose(got, exact, rtol=0, atol=1e-9 * np.abs(exact).max())


def test_zero_rows_and_one_sample():
    X = np.array([[0.0, 0.0], [0.5, 0.1]])
    lam = np.ones(1)
    assert np.all(theory.theorem_4_4(X, lam)[0] == 0)
    assert np.all(np.isfinite(theory.theorem_4_3(X, lam)))
    assert theory.theorem_4_4(X[1:], lam).shape == (1, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.g_2(*rows(3, 2), "relu"), "second derivative"),
        (lambda: theory.theorem_4_4(rows(), [1.0], "relu"), "second derivative"),
        (lambda: theory.theta_3(np.ones((2, 3)), [1.0, 1], [1.0, 1], rows()), "must have shape"),
        (lambda: theory.g_2([1.0], [1.0, 2.0], [1.0]), "x_2 must have shape"),
        (lambda: theory.g_2([100.0], [1.0], [1.0]), "must be at most 30"),
        (lambda: theory.g_2([2.0], [1.0], [1.0], tol=1e-18), "pass a larger tol"),
        (lambda: theory.theorem_4_3(rows(), [-1.0]), "lam must be >= 0"),
        (lambda: theory.theorem_4_3(rows(), [0.0]), "lam must not be all zero"),
        (lambda: theory.simulated_drift(rows(), np.zeros(3), [1.0]), "y must have shape"),
        (lambda: theory.simulated_drift(rows(), np.zeros(4), [1.0], draws=1), "draws must be"),
        (lambda: theory.g_1(np.array([[1e3]])), "must be at most 100"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
