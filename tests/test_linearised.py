"""linearised_flow against fine integration of its linear equation, limits, and the true flow."""

from __future__ import annotations

import dataclasses

import asymfast as af
import numpy as np
import oracles
import pytest
from cases import assert_same_bits, assert_within, problem, simulated
from scipy.integrate import solve_ivp
from scipy.linalg import expm

TIMES = [0.0, 0.03, 1.0, 20.0, 500.0]


def whole_jacobian(model, X):
    """(n k, m d) of all outputs, sample by sample."""
    k = model.a.reshape(len(model.a), -1).shape[1]
    return np.stack([oracles.jacobian(model, X, q) for q in range(k)], axis=1).reshape(
        len(X) * k, -1
    )


def integrated(case, times, s, ridge, X_test):
    """Outputs on X and X_test of dw/dt = -s J^T (r + J w) - ridge w by its matrix exponential."""
    J, J_test = (whole_jacobian(case.model, x) for x in (case.X, X_test))
    r = (oracles.forward(case.model, case.X) - case.y).ravel()
    size = J.shape[1]
    generator = np.zeros((size + 1, size + 1))
    generator[:size, :size] = -s * J.T @ J - ridge * np.eye(size)
    generator[:size, size] = -s * J.T @ r
    steps = np.array([expm(generator * t)[:size, size] for t in times])
    shape = case.y.shape[1:]
    f = oracles.forward(case.model, case.X) + (steps @ J.T).reshape(len(times), -1, *shape)
    f_test = oracles.forward(case.model, X_test) + (steps @ J_test.T).reshape(
        len(times), -1, *shape
    )
    return f, f_test, steps


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("kind", ["half_sse", "mse"])
@pytest.mark.parametrize("ridge", [0.0, 0.02])
def test_the_linear_equation(outputs, kind, ridge):
    case = problem(n=9, d=4, m=13, outputs=outputs)
    X_test = np.random.default_rng(5).standard_normal((6, 4))
    s = 1.0 if kind == "half_sse" else 2 / case.y.size
    f, f_test, steps = integrated(case, TIMES, s, ridge, X_test)
    got = af.linearised_flow(
        case.net, case.X, case.y, TIMES, X_test=X_test, loss=kind, ridge=ridge, weights=True
    )
    # expm of norm t |generator| <= 500 * 60 squares 16 times; each squaring rounds by size eps
    J = whole_jacobian(case.model, case.X)
    bound = 16 * J.shape[1] * case.eps * max(1.0, np.abs(f).max()) * 10
    assert_within(got.f, f, bound)
    assert_within(got.f_test, f_test, bound)
    moved = got.W - case.net.W
    assert_within(moved.reshape(len(TIMES), -1), steps, bound)
    assert_within(got.weight_change, np.linalg.norm(moved, axis=2), bound)
    assert_within(got.loss, [oracles.loss(one, case.y, kind) for one in f], 4 * bound * len(f[0]))
    assert_within(got.eigenvalues, np.linalg.eigvalsh(J @ J.T), 1e-12 * got.eigenvalues[-1])


def test_fine_integration():
    """A second witness beside the matrix exponential: DOP853 on the outputs alone."""
    case = simulated(n=12, d=6, m=40)
    K = oracles.ntg(case.model, case.X)
    r0 = oracles.forward(case.model, case.X) - case.y
    solution = solve_ivp(
        lambda _, r: -K @ r, (0, 40.0), r0, "DOP853", [1.0, 40.0], rtol=1e-12, atol=1e-14
    )
    got = af.linearised_flow(case.net, case.X, case.y, [1.0, 40.0])
    assert_within(got.f - case.y, solution.y.T, 1e-10 * np.abs(r0).max())


def test_slope_at_the_start_by_finite_differences():
    """df/dt = -K r and dW/dt = -J^T r at t = 0."""
    case = simulated(n=12, d=6, m=40)
    h = 1e-6
    got = af.linearised_flow(case.net, case.X, case.y, [0.0, h], weights=True)
    r0 = oracles.forward(case.model, case.X) - case.y
    K = oracles.ntg(case.model, case.X)
    # the second derivative K^2 r times h / 2, and rounding of f over h
    bound = (
        h * np.linalg.norm(K, 2) ** 2 * np.linalg.norm(r0) + 4 * case.eps * np.abs(got.f).max() / h
    )
    assert_within((got.f[1] - got.f[0]) / h, -K @ r0, bound)
    slope = -oracles.node_gradients(case.model, case.X, case.y)
    assert_within((got.W[1] - got.W[0]) / h, slope, bound + 8 * case.eps / h)


@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_limit_is_kernel_regression(ridge):
    case = simulated(n=12, d=6, m=40)
    X_test = np.random.default_rng(3).standard_normal((5, 6))
    K, K_test = oracles.ntg(case.model, case.X), oracles.ntg(case.model, X_test, case.X)
    r0 = oracles.forward(case.model, case.X) - case.y
    pull = np.linalg.solve(K + ridge * np.eye(12), r0)
    got = af.linearised_flow(case.net, case.X, case.y, np.inf, X_test=X_test, ridge=ridge)
    bound = 100 * case.eps * np.linalg.cond(K + ridge * np.eye(12)) * np.abs(r0).max()
    assert_within(got.f, oracles.forward(case.model, case.X) - K @ pull, bound)
    assert_within(got.f_test, oracles.forward(case.model, X_test) - K_test @ pull, bound)
    late = af.linearised_flow(case.net, case.X, case.y, 1e12, X_test=X_test, ridge=ridge)
    assert_within(late.f_test, got.f_test, bound)
    assert np.ndim(got.loss) == 0


def test_singular_kernels():
    """Samples given twice, with different targets: a kernel of half rank, f their mean."""
    case = simulated(n=8, d=6, m=40)
    X, y = np.concatenate([case.X, case.X]), np.concatenate([case.y, case.y + 2])
    got = af.linearised_flow(case.net, X, y, [1e3, 1e15, np.inf], X_test=case.X, weights=True)
    assert np.isfinite(got.W).all()
    K = oracles.ntg(case.model, case.X)
    bound = 1000 * case.eps * np.linalg.cond(K) * (np.abs(y).max() + 2)
    assert_within(got.f[2], np.concatenate([case.y + 1, case.y + 1]), bound)
    assert_within(got.f_test[1:], np.stack([case.y + 1] * 2), bound)
    assert_within(got.f[:, :8], got.f[:, 8:], bound)


def test_tiny_eigenvalues_keep_their_digits():
    """(1 - exp(-mu t)) / mu at mu t = 1e-12: by expm1 to rounding, naively to 1e-4."""
    case = simulated(n=5, d=4, m=30)
    t = 1e-12
    got = af.linearised_flow(case.net, case.X, case.y, t, weights=True)
    slope = oracles.node_gradients(case.model, case.X, case.y)
    assert_within((got.W - case.net.W) / t, -slope, 1e-3)  # W itself rounds by 1e-16 / t
    assert_within(got.weight_change / t, np.linalg.norm(slope, axis=1), 1e-11)


def test_weight_changes_whose_squares_underflow():
    """J and the residual of relu are as large as X and y, to the bit by a power of two."""
    X, y = af.datasets.simulated(n=5, d=3, rng=0)
    net, s = af.Network.init(3, 7, 0.5, 0.7, activation="relu", rng=1), 2.0**-300
    tiny = af.linearised_flow(net, s * X, s * y, t=1.0, weights=True).weight_change
    slope = np.linalg.norm(net.node_gradients(X, y), axis=1)
    np.testing.assert_allclose(tiny / s**2, slope, rtol=1e-12)
    assert slope.max() > 0


def test_wide_networks_follow_their_linearisation():
    """Theorem 4.1: with gamma = 1 the distance to the linearised flow falls with m."""
    X, y = af.datasets.simulated(n=10, d=5, rng=0)
    gaps = []
    for m in (100, 10000):
        net = af.Network.init(d=5, m=m, gamma=1.0, rng=1)
        run = af.gradient_flow(net, X, y, t_end=50.0, record=af.Record(times=[50.0]))
        lazy = af.linearised_flow(net, X, y, 50.0)
        gaps.append(np.abs(run.network(X) - lazy.f).max())
    assert gaps[1] < gaps[0] / 3  # by sqrt(100) = 10 in the mean


def test_identity_is_its_own_linearisation():
    case = simulated(activation="identity")
    times = [0.0, 1.0, 100.0]
    run = af.gradient_flow(
        case.net, case.X, case.y, t_end=100.0, method="tangent", rtol=1e-9,
        record=af.Record(times=times),
    )  # fmt: skip
    lazy = af.linearised_flow(case.net, case.X, case.y, times, weights=True)
    assert_within(run.loss, lazy.loss, 1e-8 * lazy.loss)
    assert_within(run.weight_change, lazy.weight_change, 1e-8 * lazy.weight_change.max())


def test_members_equal_single_networks():
    X, y = af.datasets.simulated(n=10, d=5, rng=0)
    nets = af.Network.init(d=5, m=20, gamma=0.5, alpha=0.6, rng=[0, 1, 2])
    together = af.linearised_flow(nets, X, y, TIMES, X_test=X[:3], y_test=y[:3], weights=True)
    assert together.f.shape == (5, 3, 10)
    assert together.test_loss.shape == (5, 3)
    for b, net in enumerate(nets):
        alone = af.linearised_flow(net, X, y, TIMES, X_test=X[:3], y_test=y[:3], weights=True)
        for name in ("f", "loss", "f_test", "test_loss", "W", "weight_change"):
            assert_same_bits(getattr(together, name)[:, b], getattr(alone, name))


def test_shapes_follow_the_arguments():
    case = simulated(n=8, d=4, m=10, outputs=2)
    got = af.linearised_flow(case.net, case.X, case.y, 2)
    assert got.f.shape == (8, 2)
    assert isinstance(got.loss, float)
    assert got.time == 2.0
    assert got.f_test is None
    assert got.W is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"t": -1.0}, r"t must be in \[0, inf\], got -1"),
        ({"t": [[1.0]]}, r"t must be a number or have shape \(T,\), got \(1, 1\)"),
        ({"t": [float("nan")]}, r"t must be in \[0, inf\], got nan"),
        ({"ridge": -0.1}, r"ridge must be in \[0, inf\), got -0.1"),
        ({"loss": "cross_entropy"}, "loss must be half_sse or mse, whose flow is linear"),
        ({"loss": "mae"}, "loss must be one of half_sse, mse, got 'mae'"),
        ({"y_test": np.zeros(8)}, "y_test needs X_test, got none"),
    ],
)
def test_errors_name_the_argument(change, message):
    case = simulated(n=8, d=4, m=10)
    settings = {"t": 1.0, **change}
    with pytest.raises(ValueError, match=f"linearised_flow: {message}"):
        af.linearised_flow(case.net, case.X, case.y, **settings)


def test_types_are_checked():
    case = simulated(n=8, d=4, m=10)
    with pytest.raises(TypeError, match="net must be a Network, got str"):
        af.linearised_flow("net", case.X, case.y, 1.0)
    with pytest.raises(TypeError, match="t must be a real number or an array of them, got 'late'"):
        af.linearised_flow(case.net, case.X, case.y, "late")


@pytest.mark.parametrize("t", [1.0, [1.0, 10.0]])
@pytest.mark.parametrize("rng", [1, [1, 2]])
@pytest.mark.parametrize("outputs", [1, 3])
def test_columns_and_files_hold_everything(t, rng, outputs, tmp_path):
    case = problem(n=7, d=4, outputs=outputs)
    net = af.Network.init(4, 9, 0.5, 0.7, outputs=outputs, rng=rng)
    lazy = af.linearised_flow(
        net, case.X, case.y, t, X_test=case.X[:3], y_test=case.y[:3], weights=True
    )
    sizes = {"sample": 7, "test_sample": 3, "node": 9, "input": 4, "eigenvalue": 7 * outputs}
    sizes |= {"record": 2, "member": 2, "output": 3}
    assert list(lazy.columns()) == [field.name for field in dataclasses.fields(lazy)]
    for name, (axes, values) in lazy.columns().items():
        assert values.shape == tuple(sizes[axis] for axis in axes), name
        assert np.array_equal(values, getattr(lazy, name))
    lazy.save(tmp_path / "lazy.npz")
    with np.load(tmp_path / "lazy.npz", allow_pickle=False) as stored:
        assert sorted(stored) == sorted(lazy.columns())
        for name in stored:
            assert np.array_equal(stored[name], getattr(lazy, name))


def test_saving_says_what_is_wrong(tmp_path):
    case = problem(n=7, d=4)
    lazy = af.linearised_flow(case.net, case.X, case.y, 1.0)
    with pytest.raises(TypeError, match=r"LinearisedFlow\.save: path must be a path, got 3"):
        lazy.save(3)
    with pytest.raises(FileNotFoundError):
        lazy.save(tmp_path / "no" / "lazy.npz")
