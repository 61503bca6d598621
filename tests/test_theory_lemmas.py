"""Lemmas E.1 to E.5, H.2, H.3: their inequalities on networks, and their formulas."""

from __future__ import annotations

import math

import numpy as np
import oracles
import pytest
from asymfast import theory

N, D, M = 6, 4, 12
GAMMA = 0.4


def problem(activation, seed=0):
    """Unit rows, +-1 outputs, Eq. (1): what the lemmas assume."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((N, D))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y = rng.standard_normal(N)
    lam = oracles.node_scaling(M, GAMMA, 0.5)
    W, a = rng.standard_normal((M, D)), 2.0 * rng.integers(0, 2, M) - 1
    return oracles.Model(W, a, lam, activation), X, y, rng


def parts():
    return theory.node_scaling_parts(M, GAMMA, 0.5)


def part(model, lam):
    return model._replace(lam=lam)


def sup(name):
    L, M2 = theory.suprema(name)
    return max(1.0, L), M2


@pytest.mark.parametrize("activation", ["tanh", "swish", "softplus", "gelu"])
def test_lemma_e4_on_networks(activation):
    """Deterministic, so no W within the radii may break it; the worst tried are far moves."""
    model, X, _, rng = problem(activation)
    lam1, lam2 = parts()
    L, curvature = sup(activation)
    for size in (1e-3, 0.1, 1.0, 10.0):
        c = size * rng.uniform(0.5, 1.5, M)
        bound = theory.lemma_e4(c, lam1, lam2, n=N, d=D, M=curvature, L=L)
        np.testing.assert_allclose(bound.radius, c / 2)
        for _ in range(20):
            move = rng.standard_normal((M, D))
            move *= (bound.radius / np.linalg.norm(move, axis=1))[:, None]
            moved = model._replace(W=model.W + move)
            for lam, limit in zip((lam1, lam2), bound.ntg_change, strict=True):
                change = oracles.ntg(part(moved, lam), X) - oracles.ntg(part(model, lam), X)
                assert np.linalg.norm(change, 2) <= limit
            low = np.linalg.eigvalsh(oracles.ntg(part(model, lam1), X))[0] - bound.eigmin_loss
            assert np.linalg.eigvalsh(oracles.ntg(moved, X))[0] >= low - 1e-15


def test_lemma_e4_formula():
    rng = np.random.default_rng(3)
    c, (lam1, lam2) = rng.uniform(0, 2, M), parts()
    got = theory.lemma_e4(c, lam1, lam2, n=7, d=3, M=0.7, L=1.2)
    for lam, value in zip((lam1, lam2), got.ntg_change, strict=True):
        S = np.sum(lam * c**2)
        exact = 7 * 0.7**2 / (4 * 9) * S + 1.2 * 7 * 0.7 / 3**1.5 * np.sqrt(S)
        assert value == pytest.approx(exact, rel=1e-13)
    T = np.sum(c**2)
    exact = 7 * 0.49 * GAMMA / (4 * 9 * M) * T + 1.2 * 7 * 0.7 * GAMMA / (3**1.5 * M**0.5) * T**0.5
    assert got.eigmin_loss == pytest.approx(exact, rel=1e-13)


def test_lemma_e2_on_networks():
    """Probability 1 - delta over W_0, for moves that make sigma' jump wherever they can."""
    delta, failures, draws = 0.5, 0, 200
    lam1, lam2 = parts()
    for seed in range(draws):
        model, X, _, rng = problem("relu", seed)
        c = rng.uniform(0.5, 2, M)
        bound = theory.lemma_e2(c, lam1, lam2, n=N, d=D, delta=delta)
        # move every node over the nearest of its hyperplanes, as far as it may go
        Z = X @ model.W.T
        nearest = np.argmin(np.abs(Z), axis=0)
        move = -np.sign(Z[nearest, np.arange(M)])[:, None] * X[nearest] * bound.radius[:, None]
        moved = model._replace(W=model.W + move)
        for lam, limit in zip((lam1, lam2), bound.ntg_change, strict=True):
            change = oracles.ntg(part(moved, lam), X) - oracles.ntg(part(model, lam), X)
            failures += np.linalg.norm(change, 2) > limit
    assert failures <= delta * draws


def test_lemma_e2_formula():
    c, (lam1, lam2) = np.linspace(0.1, 2, M), parts()
    got = theory.lemma_e2(c, lam1, lam2, n=7, d=3, delta=0.3)
    np.testing.assert_allclose(got.radius, 0.3**2 * c / 4)
    S = np.sum(lam1 * c)
    assert got.ntg_change[0] == pytest.approx(7 / 3 * S + 14 / 3 * np.sqrt(S), rel=1e-13)
    T = c.sum()
    exact = 7 * GAMMA / (3 * M) * T + 14 * GAMMA / (3 * M**0.5) * T**0.5
    assert got.eigmin_loss == pytest.approx(exact, rel=1e-13)


@pytest.mark.parametrize("activation", ["tanh", "swish"])
def test_lemma_e1_along_the_flow(activation):
    model, X, y, _ = problem(activation)
    times = np.linspace(0.5, 20, 9)
    path = oracles.gradient_flow(model, X, y, times)
    run = oracles.trajectory(model, np.concatenate([[model.W], path]), X, y)
    residual = np.linalg.norm(y - oracles.forward(model, X))
    for t, loss, change, zeta in zip(
        times,
        run.loss[1:],
        run.weight_change[1:],
        2 * np.minimum.accumulate(run.ntg_eigmin)[1:] * 0.999,  # between the times a little less
        strict=True,
    ):
        bound = theory.lemma_e1(t, zeta, residual=residual, n=N, d=D, L=sup(activation)[0])
        assert loss <= bound.loss
        assert np.all(change <= bound.weight_change(model.lam))


def test_lemma_e1_formula():
    got = theory.lemma_e1(3.0, 0.2, residual=5.0, n=7, d=2, L=1.1)
    assert got.loss == pytest.approx(12.5 * math.exp(-0.6), rel=1e-14)
    assert got.weight_factor == pytest.approx(1.1 * math.sqrt(3.5) * 5 * 10, rel=1e-14)


@pytest.mark.parametrize("activation", ["tanh", "swish", "relu", "erf"])
def test_lemma_h2_on_networks(activation):
    for seed in range(20):
        model, X, y, _ = problem(activation, seed)
        gradients = oracles.node_gradients(model, X, y)
        residual = np.linalg.norm(y - oracles.forward(model, X))
        bound = theory.lemma_h2(model.lam, residual, n=N, d=D, L=sup(activation)[0])
        assert np.all(np.linalg.norm(gradients, axis=1) <= bound)


def test_swish_breaks_lemma_h2_as_printed():
    """n = m = d = 1 where swish' is largest: off by exactly the supremum, and right with it."""
    model = oracles.Model(np.array([[2.39935728]]), np.array([1.0]), np.array([1.0]), "swish")
    X, y = np.ones((1, 1)), np.zeros(1)
    gradient = np.abs(oracles.node_gradients(model, X, y)).item()
    residual = abs(oracles.forward(model, X).item())
    printed = theory.lemma_h2([1.0], residual, n=1, d=1).item()
    assert gradient / printed == pytest.approx(1.0998393201288670, rel=1e-12)
    L = theory.suprema("swish")[0]
    corrected = theory.lemma_h2([1.0], residual, n=1, d=1, L=L).item()
    assert gradient == pytest.approx(corrected, rel=1e-12)


@pytest.mark.parametrize("activation", ["tanh", "swish", "sin", "erf"])
@pytest.mark.parametrize("eta", [1e-3, 0.1, 1.0, 10.0])
def test_lemma_h3_for_a_step(activation, eta):
    L, curvature = sup(activation)
    for seed in range(20):
        model, X, y, _ = problem(activation, seed)
        residual = np.linalg.norm(y - oracles.forward(model, X))
        stepped = model._replace(W=oracles.gradient_descent(model, X, y, eta, [1])[0])
        after = np.sum((y - oracles.forward(stepped, X)) ** 2)
        eigmin = np.linalg.eigvalsh(oracles.ntg(model, X))[0]
        factor = theory.lemma_h3(residual, eigmin, eta=eta, n=N, d=D, M=curvature, L=L)
        assert after <= factor * residual**2


def test_lemma_h3_formula():
    got = theory.lemma_h3(3.0, 0.01, eta=0.2, n=5, d=7, M=0.5, L=1.3)
    exact = 1 - 2 * 0.2 * 0.01 + 2 * 0.04 * 1.3**2 * 0.5 * 5**1.5 * 3 / 49 + 0.04 * 1.3**4 * 25 / 49
    assert got == pytest.approx(exact, rel=1e-14)


def test_lemma_e5_and_e3_with_a_node_without_scaling():
    """lam_j = 0: the node never moves, so R'_j = 0 stands against any R_j, also 0."""
    lam = np.array([0.7, 0.3, 0.0])
    k = {"n": 3, "d": 2, "kappa": 0.1, "gamma": 0.2, "delta": 0.1, "residual": 1e-7}
    for condition in (
        theory.lemma_e3([1.0, 1.0, 0.0], lam, **k),
        theory.lemma_e5([1.0, 1.0, 0.0], lam, **k, M=0.5),
    ):
        assert condition.reached[2] == 0.0
        assert condition.reached_is_allowed
        assert not condition.width_met


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.lemma_e1(1.0, 0.0, residual=1.0, n=2, d=2), "zeta must be in"),
        (lambda: theory.lemma_e1(-1.0, 1.0, residual=1.0, n=2, d=2), "t must be in"),
        (lambda: theory.lemma_e4([1.0], [0.0], [0.0], n=1, d=1, M=1.0), "must not be all zero"),
        (lambda: theory.lemma_e4([1.0, 2.0], [1.0], [0.0], n=1, d=1, M=1.0), "must have shape"),
        (lambda: theory.lemma_e2([-1.0], [0.5], [0.5], n=1, d=1, delta=0.1), "c must be >= 0"),
        (lambda: theory.lemma_h2([0.5], math.nan, n=1, d=1), "residual must be in"),
        (lambda: theory.lemma_h3(1.0, 0.1, eta=0.0, n=1, d=1, M=1.0), "eta must be in"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
