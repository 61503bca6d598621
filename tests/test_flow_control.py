"""Error control of gradient flows: no step is wrong in silence, none is given up for rounding."""

from __future__ import annotations

import functools

import asymfast as af
import numpy as np
import oracles
import pytest
from cases import assert_within, model_of, simulated

METHODS = ("rk4", "dopri5", "tangent")
RTOL = 1e-6


def flow(net, X, y, t_end, method, times, rtol=RTOL, **settings):
    record = af.Record(times=times, ntg=False, eigmin=False)
    settings = {"method": method, "rtol": rtol, "record": record, "threads": 1, **settings}
    return af.gradient_flow(net, X, y, t_end=t_end, **settings)


def residuals(run):
    return np.sqrt(2 * run.loss)


def small_problem(seed):
    """One to three nodes, often saturated or beside a ridge of the loss at the start."""
    rng = np.random.default_rng(seed)
    m, d, n = (int(rng.integers(1, high)) for high in (4, 4, 5))
    k = 1 if rng.random() < 0.8 else 2
    smooth = ["swish", "tanh", "gelu", "sigmoid", "softplus", "erf", "sin", "cos"]
    W = rng.normal(size=(m, d)) * 10 ** rng.uniform(-0.5, 0.8)
    a = rng.normal(size=(m, k)) if rng.random() < 0.5 else np.sign(rng.normal(size=(m, k)))
    lam = rng.random(m) + 0.05
    X, y = rng.normal(size=(n, d)), rng.normal(size=(n, k)) * 10 ** rng.uniform(-1, 0.7)
    if k == 1:
        a, y = a[:, 0], y[:, 0]
    t_end = 10 ** rng.uniform(0, 3)
    times = [0.0, *np.geomspace(1e-3 * t_end, t_end, 7)[:-1].tolist(), t_end]
    net = af.Network(W, a, lam / lam.sum(), activation=smooth[seed % len(smooth)])
    return net, X, y, t_end, times


@functools.cache
def exact_and_condition(seed):
    """How much a small change of W_0 is worth at most, in the relative residual."""
    net, X, y, t_end, times = small_problem(seed)
    exact = residuals(flow(net, X, y, t_end, "dopri5", times, 1e-11))
    most = 1.0
    for draw in range(3):
        change = np.random.default_rng(draw).normal(size=net.W.shape)
        other = net.with_weights(net.W + 1e-6 * change / np.linalg.norm(change))
        moved = residuals(flow(other, X, y, t_end, "dopri5", times, 1e-11))
        most = max(most, float(np.max(np.abs(moved - exact) / (1e-6 * exact + 1e-18))))
    return exact, most


@pytest.mark.parametrize("method", METHODS)
def test_a_saturated_step_is_not_believed(method):
    """The slope is small at the start; far away, where a long step would end, it is 0."""
    net = af.Network(np.array([[1.2]]), np.ones(1), np.ones(1), activation="swish")
    X, y = np.array([[-1.0]]), np.array([1.0])
    run = flow(net, X, y, 100.0, method, [0.0, 1.0, 100.0])
    exact = oracles.gradient_flow(model_of(net), X, y, [1.0, 100.0])
    assert_within(run.network.W, exact[1], 1e-5)
    assert np.all(np.diff(run.loss) < 0)
    assert run.loss[-1] < 1e-12


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "seeds", [range(25), pytest.param(range(25, 100), marks=pytest.mark.slow)], ids=str
)
def test_small_problems(method, seeds):
    """Each error is at most 50 rtol times the problem's own condition; the loss never rises."""
    for seed in seeds:
        net, X, y, t_end, times = small_problem(seed)
        run = flow(net, X, y, t_end, method, times)
        rounding = 1e-13 * (np.linalg.norm(net(X)) + np.linalg.norm(y))
        assert np.all(np.diff(run.loss) <= 1e-9 * run.loss[:-1] + rounding**2), seed
        exact, worst = exact_and_condition(seed)
        assert_within(residuals(run), exact, 50 * RTOL * worst * exact + 10 * rounding)


@pytest.mark.parametrize("seed", [113, 133, 233])
def test_loose_tolerances(seed):
    """The first steps of dopri5 end where nodes are saturated; at 1e-3 they erred by 130 rtol."""
    net, X, y, t_end, times = small_problem(seed)
    exact, worst = exact_and_condition(seed)
    run = flow(net, X, y, t_end, "dopri5", times, 1e-3)
    assert_within(residuals(run), exact, 50 * 1e-3 * worst * exact)


@pytest.mark.parametrize("seed", [81, 233, 446, 636, 825])
@pytest.mark.parametrize("method", METHODS)
def test_against_dop853(method, seed):
    """Independent of the library: SciPy's method of order 8 at 1e-12."""
    net, X, y, t_end, times = small_problem(seed)
    weights = oracles.gradient_flow(model_of(net), X, y, times)
    exact = np.array([net.with_weights(W).loss(X, y) for W in weights])
    run = flow(net, X, y, t_end, method, times)
    assert_within(run.loss, exact, 100 * RTOL * exact + 1e-24)


def wide(activation, m, n, scale, d=5, dtype="float64"):
    X, y = af.datasets.simulated(n=20, d=d, rng=0)
    net = af.Network.init(d=d, m=m, gamma=1.0, rng=1, activation=activation)
    if dtype == "float32":
        net = af.Network(net.W.astype(dtype), net.a.astype(dtype), net.lam, activation=activation)
    return net, X[:n].astype(dtype), (scale * y[:n]).astype(dtype)


def cancelling(dtype="float64"):
    """Pairs of equal nodes with opposite output weights: f is 0 among terms of size 1."""
    W = np.random.default_rng(0).normal(size=(200, 5))
    a, lam = np.repeat([1.0, -1.0], 200).astype(dtype), np.full(400, 1 / 400)
    X, y = af.datasets.simulated(n=20, d=5, rng=0)
    net = af.Network(np.vstack([W, W]).astype(dtype), a, lam, activation="softplus")
    return net, X.astype(dtype), (1e-6 * y).astype(dtype)


CLOSE_TO_ROUNDING = {
    "tiny targets": (lambda: wide("swish", 5000, 3, 1e-4), 1000.0, {}),
    "tight": (lambda: wide("swish", 500, 20, 1e-4), 300.0, {"rtol": 1e-10}),
    "one sample": (lambda: wide("cos", 5000, 1, 1e-2), 1000.0, {}),
    "no targets": (lambda: wide("erf", 10, 1, 0.0), 1000.0, {}),
    "cancelling": (cancelling, 1000.0, {}),
    "float32": (lambda: wide("swish", 2000, 3, 1e-4, dtype="float32"), 1000.0, {}),
    "float32 no targets": (lambda: wide("erf", 10, 1, 0.0, dtype="float32"), 1000.0, {}),
    "float32 cancelling": (lambda: cancelling("float32"), 100.0, {}),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", CLOSE_TO_ROUNDING.values(), ids=CLOSE_TO_ROUNDING.keys())
def test_rounding_is_not_divergence(case, method):
    """What cancels in f does not cancel in its rounding; the loss falls to that floor."""
    problem, t_end, settings = case
    net, X, y = problem()
    run = flow(net, X, y, t_end, method, [0.0, t_end / 10, t_end], **settings)
    terms = np.abs(net.features(X)) @ np.abs(net.a) + np.abs(y)
    floor = 0.5 * np.sum((100 * np.finfo(net.dtype).eps * terms) ** 2)
    assert not run.diverged
    assert run.loss[-1] <= max(run.loss[1] * (1 + 1e-12), floor)
    expected = flow(net, X, y, t_end, "tangent", [0.0, t_end / 10, t_end], **settings)
    rtol = 1e-3 if net.dtype == np.float32 else 1e-5
    np.testing.assert_allclose(run.loss, expected.loss, rtol=rtol, atol=floor)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("power", "of_inputs"), [(-440, 0), (440, 0), (440, -340)])
def test_outputs_and_inputs_of_any_size(method, power, of_inputs):
    """a and y times s, X and 1 / W times x: the same flow, 1 / (s x)^2 times as fast, although
    NTG times f or the square of a step's weights is beyond all floats.
    """
    case, s, x = simulated(n=5, d=3, m=20), 2.0**power, 2.0**of_inputs
    net = case.net
    scaled = af.Network(net.W / x, net.a * s, net.lam, activation=net.activation)
    times = np.array([0.0, 1.0, 10.0])
    plain = flow(net, case.X, case.y, 10.0, method, times)
    unit = (s * x) ** 2
    run = flow(scaled, case.X * x, case.y * s, 10.0 / unit, method, times / unit)
    np.testing.assert_array_equal(run.loss, plain.loss * s**2)


def test_the_last_steps_do_not_shrink_for_ever():
    """Where only rounding is left of the error, a step fitted to the end is not halved again."""
    case = simulated(n=60, d=3, m=5)
    times = [0.0, 5.0, 50.0]
    run = flow(case.net, case.X, case.y, 50.0, "tangent", times, 1e-11)
    weights = oracles.gradient_flow(case.model, case.X, case.y, times)
    exact = oracles.trajectory(case.model, weights, case.X, case.y).loss
    assert_within(run.loss, exact, 1e-10 * exact)
    assert run.steps[-1] < 1000


def test_relu_comes_to_an_end():
    """Nodes slide along their kinks, where no step is short enough for rtol: 30 rows to t = 50."""
    X, y = af.datasets.simulated(n=30, d=4, rng=0)
    net = af.Network.init(d=4, m=200, gamma=0.5, alpha=0.7, rng=1, activation="relu")
    fine = flow(net, X, y, 50.0, "rk4", [0.0, 25.0, 50.0], dt=2e-3)
    for method in ("auto", "dopri5"):
        run = flow(net, X, y, 50.0, method, [0.0, 25.0, 50.0])
        assert run.time[-1] == 50.0
        assert run.evaluations[-1] < 300_000
        np.testing.assert_allclose(run.loss, fine.loss, rtol=5e-3)


def test_relu_with_three_outputs():
    """The default against equal steps of a tenth of its shortest ones."""
    X, _ = af.datasets.simulated(n=12, d=4, rng=0)
    y = np.random.default_rng(0).normal(size=(12, 3))
    settings = {"gamma": 0.2, "alpha": 0.8, "rng": 1, "activation": "relu"}
    net = af.Network.init(d=4, m=40, outputs=3, **settings)
    run = flow(net, X, y, 20.0, "auto", [0.0, 20.0])
    fine = flow(net, X, y, 20.0, "rk4", [0.0, 20.0], dt=4e-4)
    assert run.config["method_taken"] == "rk4"
    error = np.linalg.norm(run.network(X) - fine.network(X))
    assert error <= 1e-4 * np.linalg.norm(fine.network(X) - y)


@pytest.mark.parametrize("count", [1000, 4000])
def test_many_recorded_times(count):
    """Each time is recorded once, whatever the number; the next one is found by bisection."""
    net = af.Network(np.array([[0.5]]), np.ones(1), np.ones(1), activation="tanh")
    times = np.linspace(0.0, 10.0, count)
    run = flow(net, np.ones((1, 1)), np.ones(1), 10.0, "dopri5", times.tolist())
    assert run.time.tolist() == times.tolist()
