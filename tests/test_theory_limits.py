"""Limits: Theta* to 1e-12, kappa_n, C_0, Eq. (7), draws of Proposition 3.1, the law of eig_min."""

from __future__ import annotations

import sys

import asymfast as af
import mpmath as mp
import numpy as np
import oracles
import oracles_theory
import pytest
import scipy.stats
from asymfast import theory

ACTIVATIONS = tuple(oracles.ACTIVATIONS)
ANALYTIC = tuple(name for name in ACTIVATIONS if name != "relu")


def rows(n=5, d=6, seed=0, scale=1.0):
    return scale * np.random.default_rng(seed).standard_normal((n, d))


@pytest.mark.parametrize("activation", ANALYTIC)
@pytest.mark.parametrize("scale", [pytest.param(0.05, marks=pytest.mark.slow), 0.4, 1.5])
def test_mean_ntg_to_twelve_digits(activation, scale):
    X = rows(3, 5, scale=scale)
    X = np.concatenate([X, X[:1] * (1 + 1e-9), -0.7 * X[:1], X[1:2] + 1e-5])  # near-singular pairs
    K, error = theory.mean_ntg(X, activation, return_error=True)
    exact = np.array([[oracles_theory.mean_ntg_entry(x, y, activation) for y in X] for x in X])
    largest = np.abs(exact).max()
    assert np.abs(K - exact).max() <= 1e-12 * largest
    assert error <= 1e-12 * largest
    assert np.abs(K - exact).max() <= error + 2e-14 * largest  # and the oracle's own rounding


def test_mean_ntg_of_relu():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((6, 4))
    K = af.mean_ntg(X, "relu")
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    angle = np.arccos(np.clip(unit @ unit.T, -1, 1))
    np.fill_diagonal(angle, 0)
    assert np.abs(K - X @ X.T / 4 * (np.pi - angle) / (2 * np.pi)).max() <= 1e-13


def test_mean_ntg_of_identity_and_its_symmetry():
    X = np.random.default_rng(2).standard_normal((7, 3))
    np.testing.assert_allclose(af.mean_ntg(X, "identity"), X @ X.T / 3, rtol=0, atol=1e-14)
    K = af.mean_ntg(X, "swish")
    assert np.array_equal(K, K.T)
    assert np.linalg.eigvalsh(K)[0] >= -1e-15 * np.trace(K)


@pytest.mark.slow
def test_mean_ntg_is_the_mean_of_draws():
    """400 networks of one node: within 6 standard errors at every entry."""
    X = np.random.default_rng(3).standard_normal((4, 5))
    draws = np.stack([af.Network.init(5, 50, 1.0, rng=s).ntg(X) for s in range(400)])
    error = np.abs(draws.mean(axis=0) - af.mean_ntg(X, "swish"))
    assert np.all(error <= 6 * draws.std(axis=0) / 20)


def test_mean_ntg_of_degenerate_rows():
    X = np.array([[1.0, 0.0], [1.0, 0.0], [-2.0, 0.0], [0.0, 0.0]])
    for activation in ("relu", "swish", "tanh", "erf"):
        K = af.mean_ntg(X, activation)
        assert np.all(np.isfinite(K))
        assert np.all(K[3] == 0)
        assert abs(K[0, 0] - K[0, 1]) <= 1e-13


@pytest.mark.parametrize("activation", ["swish", "tanh", "relu"])
def test_kappa_is_the_smallest_eigenvalue(activation):
    X = rows(4, 6, scale=0.5)
    kappa = theory.kappa_n(X, activation)
    exact = oracles.eigenvalues(theory.mean_ntg(X, activation))[0]
    assert abs(kappa.value - float(exact)) <= kappa.error
    assert kappa.positive


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_kappa_of_degenerate_rows(activation):
    x = rows(2, 3)
    for X in (np.stack([x[0], x[1], x[0]]), np.stack([x[0], 0 * x[0]])):
        kappa = theory.kappa_n(X, activation)
        assert abs(kappa.value) <= kappa.error <= 1e-12
        assert not kappa.positive
    one = theory.kappa_n(x[:1], activation)
    slope = oracles.ACTIVATIONS[activation].mpmath[1]
    s = np.sqrt(np.sum(x[0] ** 2) / 3)
    exact = s**2 * oracles_theory.gaussian_mean(lambda z: slope(z) ** 2, s)
    assert one.value == pytest.approx(float(exact), rel=1e-11)


def test_relu_tells_opposite_rows_apart():
    """x_2 = -x_1 fails Assumption 2.1(b), and yet kappa = |x|^2 / (2 d) > 0."""
    X = np.array([[0.6, 0.8], [-0.6, -0.8]])
    assert theory.kappa_n(X, "relu").value == pytest.approx(0.25, rel=1e-14)
    assert not theory.check_assumptions(X, activation="relu").hold


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_c_0_by_sampling(activation):
    X = rows(4, 3, seed=1, scale=0.8)
    mean, se = oracles_theory.c_0_by_sampling(X, activation, 100_000, np.random.default_rng(2))
    assert abs(theory.c_0(X, activation) - mean) <= 5 * se + 1e-15


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_c_0_of_one_row_by_mpmath(activation):
    """|x|^4 / d^2 (E[s'^4] - E[s'^2]^2), in one dimension."""
    X = rows(1, 3, seed=4)
    s = float(np.sqrt(np.sum(X**2) / 3))
    slope = oracles.ACTIVATIONS[activation].mpmath[1]
    fourth, second = (oracles_theory.gaussian_mean(lambda z, p=p: slope(z) ** p, s) for p in (4, 2))
    exact = float(s**4 * (fourth - second**2))
    assert theory.c_0(X, activation) == pytest.approx(exact, rel=1e-10, abs=1e-14)


@pytest.mark.slow
def test_variance_of_a_finite_network():
    """E |Theta_m - Theta*|_F^2 = C_0 sum lam^2 exactly, for every m; Eq. (7) is its limit."""
    X, lam = rows(4, 3, scale=0.7), oracles.node_scaling(6, 0.3, 0.6)
    mean, rng = theory.mean_ntg(X, "swish"), np.random.default_rng(0)
    squares = []
    for _ in range(4000):
        model = oracles.Model(rng.standard_normal((6, 3)), np.ones(6), lam, "swish")
        squares.append(np.sum((oracles.ntg(model, X) - mean) ** 2))
    expected = theory.c_0(X, "swish") * np.sum(lam**2)
    assert abs(np.mean(squares) - expected) <= 5 * np.std(squares) / np.sqrt(4000)
    lam = oracles.node_scaling(10**6, 0.3, 0.4)  # 2 gamma (1 - gamma) / m and less from the limit
    finite = theory.c_0(X, "swish") * np.sum(lam**2)
    assert theory.ntg_variance(X, 0.3, 0.4) == pytest.approx(finite, rel=1e-5)


def test_limiting_ntg_is_where_networks_of_that_seed_go():
    """Almost sure convergence: with the same w_j, only the gamma part is still random at width m.

    Its variance is gamma^2 C_0 / m, and the cross terms of lam^2 add 2 gamma (1 - gamma) C_0 / m.
    """
    X = rows(5, 4, scale=0.5)
    gamma, alpha = 0.4, 0.5
    limit = af.limiting_ntg(X, gamma, alpha, "tanh", 11, tol=1e-6)
    c_0 = theory.c_0(X, "tanh")
    for m in (100, 10_000, 100_000):
        net = af.Network.init(4, m, gamma, alpha, activation="tanh", rng=11)
        allowed = 4 * np.sqrt(c_0 * gamma * (2 - gamma) / m) + 2 * np.sqrt(c_0) / m
        assert np.linalg.norm(net.ntg(X) - limit) <= allowed


@pytest.mark.slow
def test_mean_of_limiting_ntg_is_theta_star():
    X = rows(3, 3, scale=0.8)
    draws = np.stack([theory.limiting_ntg(X, 0.2, 0.6, "relu", s, terms=8) for s in range(2000)])
    se = draws.std(axis=0) / np.sqrt(2000)
    assert np.all(np.abs(draws.mean(axis=0) - theory.mean_ntg(X, "relu")) <= 5 * se)


@pytest.mark.slow
def test_truncation_bound():
    """What 16 terms leave out of 1024, from the same draws, is as large as the bound says."""
    X, gamma, alpha, seeds = rows(3, 3, scale=0.8), 0.25, 0.7, 400
    squares = []
    for seed in range(seeds):
        short, bound = theory.limiting_ntg(X, gamma, alpha, rng=seed, terms=16, return_bound=True)
        long, rest = theory.limiting_ntg(X, gamma, alpha, rng=seed, terms=1024, return_bound=True)
        squares.append(np.sum((short - long) ** 2))
        assert np.abs(short - long).max() <= bound.sure
    expected = bound.rms**2 - rest.rms**2
    assert abs(np.mean(squares) - expected) <= 5 * np.std(squares) / np.sqrt(seeds)
    assert (bound.terms, rest.terms) == (16, 1024)
    exact = np.sqrt(0.75**2 * theory.c_0(X) * theory.zipf_tail(alpha, 16, 2.0))
    assert bound.rms == pytest.approx(exact, rel=1e-12)


def test_the_number_of_terms_follows_the_tolerance():
    X = rows(3, 3)
    for tol in (1e-2, 1e-4):
        K, bound = theory.limiting_ntg(X, 0.5, 0.7, rng=0, tol=tol, return_bound=True)
        assert bound.rms <= tol * np.linalg.norm(theory.mean_ntg(X))
        assert np.array_equal(K, K.T)
        assert np.linalg.eigvalsh(K)[0] >= -1e-15
    with pytest.raises(ValueError, match="more than 16777216 terms"):
        theory.limiting_ntg(X, 0.0, 0.9, tol=1e-13)


def test_short_rows_take_as_many_terms():
    """C_0 of relu scales as X^4 and underflows; that of cos is Var(u v) there: no digits cancel."""
    X, s = rows(3, 3), 2.0**-300
    K, bound = theory.limiting_ntg(X, 0.5, 0.7, "relu", rng=0, tol=0.01, return_bound=True)
    tiny, small = theory.limiting_ntg(s * X, 0.5, 0.7, "relu", rng=0, tol=0.01, return_bound=True)
    assert small == (bound.terms, s**2 * bound.rms, s**2 * bound.sure)
    assert (tiny == s**2 * K).all()
    G = 1e-6 * X @ X.T * 1e-6 / 3
    exact = np.sum(G**2 * (np.outer(np.diag(G), np.diag(G)) + G**2))
    assert theory.c_0(1e-6 * X, "cos") == pytest.approx(exact, rel=1e-9)


def test_limiting_ntg_without_randomness():
    X = rows(3, 3)
    np.testing.assert_array_equal(theory.limiting_ntg(X, 1.0), theory.mean_ntg(X))
    _, bound = theory.limiting_ntg(X, 1.0, rng=0, return_bound=True)
    assert bound == (0, 0.0, 0.0)


def test_limiting_ntg_of_finitely_many_weights():
    """t = (3, 1): nothing is left out."""
    X = rows(3, 3)
    K, bound = theory.limiting_ntg(X, 0.5, weights=[3, 1, 0], rng=5, return_bound=True)
    assert (bound.rms, bound.sure) == (0.0, 0.0)
    W = np.random.default_rng(5).standard_normal((3, 3))
    model = oracles.Model(W, np.ones(3), np.array([0.75, 0.25, 0.0]), "swish")
    np.testing.assert_allclose(
        K, 0.5 * theory.mean_ntg(X) + 0.5 * oracles.ntg(model, X), atol=1e-14
    )


def test_limiting_ntg_is_linear_in_gamma():
    """From the same draws, also where all but two of the terms are replaced by their mean."""
    X, settings = rows(3, 3), {"alpha": 0.6, "activation": "tanh", "rng": 5, "terms": 2}
    lazy, free = theory.mean_ntg(X, "tanh"), theory.limiting_ntg(X, 0.0, **settings)
    K = theory.limiting_ntg(X, 0.2, **settings)
    np.testing.assert_allclose(K, 0.2 * lazy + 0.8 * free, atol=1e-14)


@pytest.mark.slow
def test_law_of_the_smallest_eigenvalue():
    X = rows(3, 4, scale=0.5)
    law = theory.min_eigenvalue_law(X, 0.3, 0.5, "tanh", draws=300, rng=0)
    assert np.all(np.diff(law.values) >= 0)
    assert law.kappa == theory.kappa_n(X, "tanh").value
    # Theta_infinity >= gamma Theta*, and the smallest eigenvalue is concave
    assert law.values[0] >= 0.3 * law.kappa * (1 - 1e-12)
    assert law.mean <= law.kappa + 5 * law.standard_error
    assert law.quantile(0.0) == law.values[0]
    wide = theory.min_eigenvalue_law(X, 0.3, 0.5, "tanh", m=3000, draws=300, rng=1)
    assert abs(wide.mean - law.mean) <= 5 * np.hypot(wide.standard_error, law.standard_error)
    symmetric = theory.min_eigenvalue_law(X, 1.0, activation="tanh", draws=2)
    assert np.all(symmetric.values == law.kappa)


def test_confidence_interval_is_clopper_and_pearsons():
    values = np.arange(40.0)
    law = theory.MinEigenvalueLaw(values=values, kappa=1.0, gamma=0.5)
    for x, below in ((-1.0, 0), (6.5, 7), (100.0, 40)):
        got = law.probability_below(x, 0.9)
        exact = scipy.stats.binomtest(below, 40).proportion_ci(0.9, method="exact")
        assert got.estimate == below / 40
        assert (got.low, got.high) == pytest.approx((exact.low, exact.high), abs=1e-12)


def test_scipy_missing_is_said_clearly(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    law = theory.MinEigenvalueLaw(values=np.arange(4.0), kappa=1.0, gamma=0.5)
    with pytest.raises(ImportError, match=r"pip install 'asymfast\[theory\]'"):
        law.probability_below(0.5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("scale", [0.0, 1e-4, 0.14, 1.0, 3.0])
def test_output_moment(activation, scale):
    value = oracles.ACTIVATIONS[activation].mpmath[0]
    with mp.workdps(30):
        exact = oracles_theory.gaussian_mean(lambda z: value(z) ** 2, scale)
    got = float(theory.output_moment(activation, scale))
    assert got == pytest.approx(float(exact), rel=1e-12, abs=1e-30)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("d", [1, 7, 50])
def test_c_1_is_the_supremum(activation, d):
    """Over a grid of c, by an independent rule; cos comes near its 1 for c to 0 only."""
    z, w = np.polynomial.hermite_e.hermegauss(120)
    w = w / w.sum()
    value = oracles.ACTIVATIONS[activation].numpy[0]
    grid = [w @ value(c * z / np.sqrt(d)) ** 2 for c in np.linspace(1e-6, 1, 201)]
    got = theory.c_1(activation, d)
    assert np.max(grid) == pytest.approx(got, rel=1e-6)
    assert np.max(grid) <= got * (1 + 1e-6)


def test_d_0_and_target_bound():
    assert theory.d_0(2.0, 8) == pytest.approx(np.sqrt(8.25))
    assert theory.d_0(0.0, 2) == pytest.approx(1.0)
    assert theory.target_bound(np.array([1.0, -3.0])) == 3.0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: theory.kappa_n(np.zeros((0, 2))), ValueError, "X must not be empty"),
        (lambda: theory.kappa_n(np.ones((2, 2), bool)), TypeError, "expected dtype float64"),
        (lambda: theory.kappa_n(np.array([[np.nan]])), ValueError, "X must be finite"),
        (lambda: theory.c_0(rows(), "step"), ValueError, "activation must be one of"),
        (lambda: af.limiting_ntg(rows(), 0.5, 1.0), ValueError, r"alpha must be in \(0, 1\)"),
        (lambda: af.limiting_ntg(rows(), 0.5), ValueError, "either alpha or weights"),
        (lambda: af.limiting_ntg(rows(), 1.5, 0.5), ValueError, r"gamma must be in \[0, 1\]"),
        (lambda: af.limiting_ntg(rows(), 0.5, 0.5, terms=0), ValueError, "terms must be at least"),
        (lambda: theory.c_1("swish", 0), ValueError, "d must be at least 1"),
        (lambda: theory.output_moment("swish", -1.0), ValueError, "scale must be in"),
        (lambda: theory.target_bound([np.inf]), ValueError, "y must be finite"),
        (lambda: theory.min_eigenvalue_law(rows(), 0.5, 0.5, draws=1), ValueError, "draws"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
