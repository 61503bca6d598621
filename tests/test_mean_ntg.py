"""The mean NTG against dense Gauss-Hermite quadrature written here, and its structure."""

from __future__ import annotations

import asymfast as af
import numpy as np
import oracles
import pytest


def by_quadrature(X, slope, nodes=100):
    """E[s'(u) s'(v)] over correlated normals by a tensor rule, exact to 1e-13 for these slopes."""
    z, w = np.polynomial.hermite_e.hermegauss(nodes)
    w = w / w.sum()
    n, d = X.shape
    K = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            a, b = np.linalg.norm(X[i]) / d**0.5, np.linalg.norm(X[j]) / d**0.5
            c = X[i] @ X[j] / d
            rho = np.clip(c / (a * b), -1, 1)
            v = b * (rho * z[:, None] + np.sqrt(1 - rho**2) * z[None, :])
            K[i, j] = c * (w @ (slope(a * z)[:, None] * slope(v)) @ w)
    return K


@pytest.mark.parametrize("activation", ["swish", "softplus", "sigmoid", "erf", "sin", "cos"])
def test_against_quadrature(activation):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((5, 8)) * 0.6
    K = af.mean_ntg(X, activation)
    exact = by_quadrature(X, oracles.ACTIVATIONS[activation][0][1])
    assert np.abs(K - exact).max() <= 1e-12 * np.abs(exact).max()


def test_relu_closed_form():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((6, 4))
    K = af.mean_ntg(X, "relu")
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    angle = np.arccos(np.clip(unit @ unit.T, -1, 1))
    np.fill_diagonal(angle, 0)
    assert np.abs(K - X @ X.T / 4 * (np.pi - angle) / (2 * np.pi)).max() <= 1e-13


def test_identity_and_symmetry():
    X = np.random.default_rng(2).standard_normal((7, 3))
    np.testing.assert_allclose(af.mean_ntg(X, "identity"), X @ X.T / 3, rtol=0, atol=1e-14)
    K = af.mean_ntg(X, "swish")
    assert np.array_equal(K, K.T)
    assert np.linalg.eigvalsh(K)[0] >= -1e-15 * np.trace(K)


@pytest.mark.slow
def test_is_the_mean_of_draws():
    """400 networks of one node: within 6 standard errors at every entry."""
    X = np.random.default_rng(3).standard_normal((4, 5))
    draws = np.stack([af.Network.init(5, 50, 1.0, rng=s).ntg(X) for s in range(400)])
    error = np.abs(draws.mean(axis=0) - af.mean_ntg(X, "swish"))
    assert np.all(error <= 6 * draws.std(axis=0) / 20)


def test_degenerate_rows():
    X = np.array([[1.0, 0.0], [1.0, 0.0], [-2.0, 0.0], [0.0, 0.0]])
    for activation in ("relu", "swish", "tanh", "erf"):
        K = af.mean_ntg(X, activation)
        assert np.all(np.isfinite(K))
        assert np.all(K[3] == 0)
        assert abs(K[0, 0] - K[0, 1]) <= 1e-13
