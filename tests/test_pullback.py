"""Vector-Jacobian products and the largest stable step, against plain NumPy."""

from __future__ import annotations

import asymfast as af
import numpy as np
import oracles
import pytest
from cases import (
    ACTIVATIONS,
    BACKENDS,
    DTYPES,
    LOSSES,
    THREADS,
    assert_same_bits,
    assert_within,
    problem,
)

SIZES = [(1, 1, 1), (7, 3, 5), (23, 11, 37), (65, 17, 40), (40, 2, 67)]  # n, d, m


def exact(case, u):
    """The three gradients of sum u f with their sums of absolute terms, in float64."""
    model, X, d = case.model, case.x64, case.X.shape[1]
    u = u.astype(np.float64).reshape(len(X), -1)
    Z = X @ model.W.T / np.sqrt(d)
    sigma, slope = (oracles.ACTIVATIONS[model.activation][0][order](Z) for order in (0, 1))
    c = np.sqrt(model.lam)[:, None] * model.a.reshape(len(model.W), -1)
    terms = {
        "W": ((u @ c.T * slope).T / np.sqrt(d), X),
        "X": ((u @ c.T * slope) / np.sqrt(d), model.W),
        "a": (np.sqrt(model.lam)[:, None] * sigma.T, u),
    }
    # |u_i|.|c_j|, not |u_i.c_j|: the sum over outputs cancels as well
    pair = np.abs(u) @ np.abs(c).T * np.abs(slope) / np.sqrt(d)
    sizes = {
        "W": pair.T @ np.abs(X),
        "X": pair @ np.abs(model.W),
        "a": np.abs(terms["a"][0]) @ np.abs(u),
    }
    return {name: (left @ right, sizes[name]) for name, (left, right) in terms.items()}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize(("n", "d", "m"), SIZES)
def test_against_numpy(backend, dtype, outputs, n, d, m):
    case = problem(n, d, m, outputs=outputs, dtype=dtype)
    u = np.random.default_rng(3).standard_normal(case.y.shape).astype(dtype)
    expected = exact(case, u)
    # Of a sum of s terms at most s roundings; of Z, d of them, which move sigma and sigma' by at
    # most 1.1 and 0.5 a unit; a dozen for the activation, sqrt(lam), sqrt(d) and the products.
    moved = np.abs(case.x64) @ np.abs(case.model.W).T / np.sqrt(d) * (d + 2)
    for wrt, (value, size) in expected.items():
        got = case.net.pullback(case.X, u, wrt, backend=backend)
        assert got.dtype == case.net.dtype
        bound = (n + m + outputs + 12) * case.eps * size
        spread = case.eps * moved.max() * _largest_terms(case, u, wrt)
        assert_within(got, value.reshape(got.shape), (bound + spread).reshape(got.shape))


def _largest_terms(case, u, wrt):
    """What a change of all Z by 1 could do: |sigma'| <= 1.1 and |sigma''| <= 0.5 for swish."""
    model, X, d = case.model, np.abs(case.x64), case.X.shape[1]
    u = np.abs(u.astype(np.float64)).reshape(len(X), -1)
    c = np.abs(np.sqrt(model.lam)[:, None] * model.a.reshape(len(model.W), -1))
    if wrt == "a":
        return 1.1 * np.sqrt(model.lam)[:, None] * u.sum(axis=0)
    pair = 0.5 * (u @ c.T) / np.sqrt(d)
    return pair.T @ X if wrt == "W" else pair @ np.abs(model.W)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("wrt", ["W", "a", "X"])
def test_backends_agree(activation, wrt):
    case = problem(n=19, d=6, m=33, outputs=2, activation=activation)
    fast, plain = (case.net.pullback(case.X, case.y, wrt, backend=b) for b in ("cpu", "reference"))
    np.testing.assert_allclose(fast, plain, rtol=0, atol=1e-13 * np.abs(plain).max())


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_derivatives_of_a_loss_give_node_gradients(loss, backend):
    case = problem(outputs=3, loss=loss)
    f, y = case.net(case.X), case.y
    n = len(f)
    if loss == "cross_entropy":
        p = np.exp(f - f.max(axis=1, keepdims=True))
        u = (p / p.sum(axis=1, keepdims=True) - np.eye(3)[y]) / n
    else:
        u = (f - y) * (1 if loss == "half_sse" else 2 / f.size)
    expected = case.net.node_gradients(case.X, y, loss, backend=backend)
    got = case.net.pullback(case.X, u, backend=backend)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-13 * np.abs(expected).max())


@pytest.mark.parametrize("wrt", ["W", "a", "X"])
def test_members_and_threads_change_no_bit(wrt):
    cases = [problem(n=40, d=7, m=130, outputs=2, seed=seed) for seed in range(3)]
    stack = af.Network.stack([case.net for case in cases])
    X, u = cases[0].X, cases[0].y
    whole = stack.pullback(X, u, wrt)
    for case, part in zip(cases, whole, strict=True):
        for threads in THREADS:
            assert_same_bits(case.net.pullback(X, u, wrt, threads=threads), part)


def test_wrong_arguments_are_refused():
    case = problem(n=7, d=5, m=6)
    with pytest.raises(ValueError, match=r"Network.pullback: wrt must be one of W, a, X, got 'b'"):
        case.net.pullback(case.X, case.y, "b")
    with pytest.raises(ValueError, match=r"Network.pullback: u must have shape \(7,\), got \(6,\)"):
        case.net.pullback(case.X, case.y[1:])
    with pytest.raises(
        TypeError, match=r"Network.pullback: u: expected dtype float64, got complex128"
    ):
        case.net.pullback(case.X, case.y + 0j)
    with pytest.raises(ValueError, match=r"Network.pullback: u must be finite"):
        case.net.pullback(case.X, case.y * np.nan)


# ---- stable_step ---------------------------------------------------------------------------------


def gauss_newton_eig_max(case, loss):
    """Largest eigenvalue of J^T C J with the upper bound C of d^2 L / df^2 as a number."""
    net, n, k = case.net, len(case.X), case.net.k
    blocks = [[net.ntg(case.X, output=(p, q)) for q in range(k)] for p in range(k)]
    curvature = {"half_sse": 1, "mse": 2 / (n * k), "cross_entropy": 0.5 / n}[loss]
    return curvature * np.linalg.eigvalsh(np.block(blocks))[-1]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_stable_step(loss, dtype, backend):
    case = problem(outputs=3, dtype=dtype)
    step = case.net.stable_step(case.X, loss, backend=backend)
    assert isinstance(step, float)
    assert step == pytest.approx(2 / 1.01 / gauss_newton_eig_max(case, loss), rel=0.01)


def test_stable_step_is_the_bound_that_divergence_names():
    case = problem(n=12, d=4, m=30)
    with pytest.raises(af.DivergenceError) as caught:
        af.gradient_descent(case.net, case.X, case.y, lr=1e6, steps=200)
    assert caught.value.bound == case.net.stable_step(case.X)


def test_stable_steps_of_an_ensemble():
    cases = [problem(seed=seed) for seed in range(3)]
    stack = af.Network.stack([case.net for case in cases])
    steps = stack.stable_step(cases[0].X)
    assert_same_bits(steps, np.array([case.net.stable_step(cases[0].X) for case in cases]))


def test_stable_step_of_what_cannot_move():
    case = problem()
    assert case.net.stable_step(np.zeros_like(case.X)) == np.inf


def test_stable_step_refuses():
    case = problem()
    with pytest.raises(
        ValueError, match=r"Network.stable_step: cross_entropy needs a network with"
    ):
        case.net.stable_step(case.X, "cross_entropy")
    with pytest.raises(ValueError, match=r"Network.stable_step: loss must be one of"):
        case.net.stable_step(case.X, "hinge")


@pytest.mark.parametrize("wrt", ["W", "a", "X"])
def test_what_exceeds_the_range_is_refused(wrt):
    """sqrt(lam) a leaves the range of float32 before a kernel is called. Found by a fuzz target."""
    one = np.ones((1, 1), np.float32)
    net = af.Network(one, one * np.float32(1e30), np.array([1e30]), activation="identity")
    with pytest.raises(OverflowError, match="exceeds the range of float32"):
        net.pullback(one * np.float32(1e20), one * np.float32(1e20), wrt)
