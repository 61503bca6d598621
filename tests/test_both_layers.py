"""Full-batch training of both layers: descent, flows, records, ensembles, resuming, the NTG."""

from __future__ import annotations

from functools import cache

import asymfast as af
import numpy as np
import oracles
import pytest
from cases import (
    ACTIVATIONS,
    BACKENDS,
    DTYPES,
    LOSSES,
    SMOOTH,
    THREADS,
    as_float32,
    assert_same_run,
    assert_within,
    model_of,
    problem,
    run_arrays,
    simulated,
)

BARE = af.Record(every=1, weights=True, ntg=False, eigmin=False)
FLOWS = {
    "fixed": {"dt": 0.05},
    "rk4": {"method": "rk4"},
    "dopri5": {"method": "dopri5"},
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("kind", "outputs"), [("half_sse", 1), ("half_sse", 3), ("mse", 3), ("cross_entropy", 3)]
)
def test_every_step_of_descent(kind, outputs, dtype, backend):
    case = problem(outputs=outputs, loss=kind, dtype=dtype)
    settings = {"lr": 0.01, "steps": 10, "loss": kind, "record": BARE, "backend": backend}
    run = af.gradient_descent(case.net, case.X, case.y, train_output=True, **settings)
    at, eps = case.model, float(case.eps)
    for t in range(11):
        W = run.weights[t].astype(float)
        a = run.output_weights[t].astype(float).reshape(at.a.shape)
        assert_within(W, at.W, 100 * eps * np.abs(at.W).max())
        assert_within(a, at.a, 100 * eps * np.abs(at.a).max())
        exact = oracles.loss(oracles.forward(at, case.x64), case.y64, kind)
        assert abs(run.loss[t] - exact) <= 1000 * eps * max(1.0, exact)
        at = oracles.sgd_step(at, case.x64, case.y64, 0.01, kind, train_output=True)
    assert run.config["train_output"] is True
    np.testing.assert_array_equal(
        run.output_weights[-1].reshape(run.network.a.shape), run.network.a
    )
    assert not np.array_equal(run.network.a, case.net.a)


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (1, 3, 2, 2), (5, 1, 67, 1), (67, 17, 5, 3)])
def test_sizes(sizes):
    n, d, m, outputs = sizes
    case = problem(n=n, d=d, m=m, outputs=outputs)
    run = af.gradient_descent(
        case.net, case.X, case.y, lr=1e-3, steps=2, record=BARE, train_output=True
    )
    at = case.model
    for _ in range(2):
        at = oracles.sgd_step(at, case.X, case.y, 1e-3, train_output=True)
    assert_within(run.network.W, at.W, 1e-12 * np.abs(at.W).max())
    assert_within(run.network.a, at.a, 1e-12 * np.abs(at.a).max())


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation):
    case = problem(activation=activation, outputs=2)
    settings = {"lr": 0.01, "steps": 3, "record": BARE, "train_output": True}
    run = af.gradient_descent(case.net, case.X, case.y, **settings)
    at = case.model
    for _ in range(3):
        at = oracles.sgd_step(at, case.X, case.y, 0.01, train_output=True)
    assert_within(run.network.W, at.W, 1e-12)
    assert_within(run.network.a, at.a, 1e-12)


def test_gradients_are_those_of_the_loss():
    """Central differences of the recorded loss along the first step."""
    case = problem(outputs=2)
    run = af.gradient_descent(
        case.net, case.X, case.y, lr=1e-6, steps=1, record=BARE, train_output=True
    )
    W, a = run.network.W - case.net.W, run.network.a - case.net.a
    direction = -1e6 * W, -1e6 * a  # the gradient
    ahead, behind = (
        case.net.with_weights(case.net.W + s * direction[0], case.net.a + s * direction[1])
        for s in (1e-6, -1e-6)
    )
    slope = (ahead.loss(case.X, case.y) - behind.loss(case.X, case.y)) / 2e-6
    squares = sum(float((one**2).sum()) for one in direction)
    assert slope == pytest.approx(squares, rel=1e-4)


@cache
def case_and_end(kind, outputs):
    """A problem and its model at time 2, by 400 steps of RK4: the same for every flow and dtype."""
    case = simulated(outputs=outputs, loss=kind)
    at, h = case.model, 2.0 / 400

    def slope(model):
        of = (model, case.X, case.y, kind)
        return -oracles.node_gradients(*of), -oracles.output_gradients(*of)

    def ahead(step, k):
        return at._replace(W=at.W + step * k[0], a=at.a + step * k[1])

    for _ in range(400):
        k1 = slope(at)
        k2 = slope(ahead(h / 2, k1))
        k3 = slope(ahead(h / 2, k2))
        k4 = slope(ahead(h, k3))
        slopes = zip(k1, k2, k3, k4, strict=True)
        at = ahead(h / 6, [a + 2 * b + 2 * c + d for a, b, c, d in slopes])
    return case, at


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kind", "outputs"), [("half_sse", 1), ("mse", 3), ("cross_entropy", 3)])
def test_flows(flow, dtype, kind, outputs):
    """Against RK4 of the oracle with 400 steps."""
    case, at = case_and_end(kind, outputs)
    mine = case if dtype == "float64" else as_float32(case)
    settings = {"t_end": 2.0, "loss": kind, "rtol": 1e-8, **FLOWS[flow]}
    if dtype == "float32":
        settings["rtol"] = 1e-4
    run = af.gradient_flow(mine.net, mine.X, mine.y, train_output=True, **settings)
    bound = 1e-6 if dtype == "float64" else 3e-4
    assert_within(run.network.W, at.W, bound)
    assert_within(run.network.a, at.a, bound)
    assert run.config["method_taken"] == {"fixed": "rk4"}.get(flow, flow)
    assert (np.diff(run.loss) <= 1e-6 * run.loss[0]).all()


def test_order_of_fixed_steps():
    case = simulated(n=8, m=20)
    ends = [
        af.gradient_flow(case.net, case.X, case.y, t_end=4.0, dt=dt, train_output=True).network
        for dt in (0.5, 0.25, 0.125, 1 / 64)
    ]
    errors = [
        np.hypot(np.abs(one.W - ends[-1].W).max(), np.abs(one.a - ends[-1].a).max())
        for one in ends[:-1]
    ]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (np.abs(orders - 4) < 0.3).all(), orders


CALLS = {
    "descent": lambda net, X, y, **more: af.gradient_descent(
        net, X, y, lr=0.05, steps=600, train_output=True, **more
    ),
    "fixed flow": lambda net, X, y, **more: af.gradient_flow(
        net, X, y, t_end=12.0, dt=0.1, train_output=True, **more
    ),
    "rk4 flow": lambda net, X, y, **more: af.gradient_flow(
        net, X, y, t_end=12.0, method="rk4", train_output=True, **more
    ),
    "dopri5 flow": lambda net, X, y, **more: af.gradient_flow(
        net, X, y, t_end=12.0, train_output=True, **more
    ),
}
calls = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


@calls
@pytest.mark.parametrize("dtype", DTYPES)
def test_members_and_threads_have_the_same_bits(call, dtype):
    cases = [simulated(seed=seed, outputs=2) for seed in range(3)]
    if dtype == "float32":
        cases = [as_float32(case) for case in cases]
    nets, X, y = af.Network.stack([case.net for case in cases]), cases[0].X, cases[0].y
    times = af.Record(times=[0.0, 4.0, 8.0, 12.0])
    whole = call(nets, X, y, record=times, threads=1)
    for threads in THREADS:
        assert_same_run(
            run_arrays(call(nets, X, y, record=times, threads=threads)), run_arrays(whole)
        )
    for b, case in enumerate(cases):
        single = call(case.net, X, y, record=times)
        skip = ("steps",)  # of an ensemble whose members step differently, the most
        assert_same_run(run_arrays(whole, b), run_arrays(single), skip)


@calls
def test_resumed_runs_have_the_same_bits(call, tmp_path):
    case = simulated(outputs=2)
    record = af.Record(times=np.linspace(0, 12, 7))
    whole = call(case.net, case.X, case.y, record=record)
    seen = []

    def stop(now):
        seen.append(now)
        return len(seen) < 3

    settings = {"record": record, "checkpoint": tmp_path / "run.ckpt"}
    part = call(case.net, case.X, case.y, callback=stop, **settings)
    assert len(part.loss) == 3
    again = call(case.net, case.X, case.y, **settings)
    assert_same_run(run_arrays(again), run_arrays(whole))
    with pytest.raises(af.CheckpointError):
        af.gradient_descent(case.net, case.X, case.y, lr=0.05, steps=600, **settings)


def test_record_and_files(tmp_path):
    case = simulated()
    X_test, y_test = case.X[:5] + 0.1, case.y[:5]
    run = CALLS["descent"](case.net, case.X, case.y, X_test=X_test, y_test=y_test)
    now, start = run.network, case.net
    np.testing.assert_allclose(run.loss[-1], now.loss(case.X, case.y), rtol=1e-12)
    np.testing.assert_allclose(run.test_loss[-1], now.loss(X_test, y_test), rtol=1e-12)
    K, K0 = now.ntg(case.X), start.ntg(case.X)
    np.testing.assert_allclose(run.ntg_change[-1], np.linalg.norm(K - K0), rtol=1e-10)
    np.testing.assert_allclose(run.ntg_eigmin[-1], np.linalg.eigvalsh(K)[0], rtol=1e-6)
    run.save(tmp_path / "run.npz")
    again = af.Run.load(tmp_path / "run.npz")
    np.testing.assert_array_equal(again.network.a, now.a)
    np.testing.assert_array_equal(again.initial.a, start.a)


# ---- the NTG of both layers, and the largest stable step -----------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_ntg(activation, dtype):
    """J J^T with the Jacobian by both layers."""
    case = problem(n=9, m=30, outputs=3, activation=activation, dtype=dtype)
    X2 = case.X[:4]
    model = model_of(case.net)
    H = oracles.features(model, case.x64)
    for output in (0, 2, (1, 1), (0, 2)):
        p, q = output if isinstance(output, tuple) else (output, output)
        exact = oracles.ntg(model, case.x64, None, output) + (p == q) * H @ H.T
        size = np.abs(exact).max()
        K = case.net.ntg(case.X, output=output, layers="both")
        assert K.dtype == dtype
        assert_within(K, exact, 100 * float(case.eps) * size)
        if p == q:
            np.testing.assert_array_equal(K, K.T)
        cross = case.net.ntg(case.X, X2, output=output, layers="both")
        assert_within(cross, exact[:, :4], 100 * float(case.eps) * size)
    stacked = af.Network.stack([case.net, case.net])
    np.testing.assert_array_equal(
        stacked.ntg(case.X, layers="both")[1], K if p == q else case.net.ntg(case.X, layers="both")
    )


@pytest.mark.parametrize(
    ("loss", "outputs"), [*((one, 3) for one in LOSSES), ("half_sse", 1), ("mse", 1)]
)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ["swish", "erf", "sin"])
def test_stable_step(loss, outputs, dtype, activation):
    """2 / eig_max of J J^T of all outputs, by both layers: what the core's products must be."""
    case = problem(n=9, outputs=outputs, dtype=dtype, activation=activation)
    model, n = model_of(case.net), 9
    K = np.zeros((n, outputs, n, outputs))
    H = oracles.features(model, case.x64)
    for p in range(outputs):
        for q in range(outputs):
            K[:, p, :, q] = oracles.ntg(model, case.x64, None, (p, q)) + (p == q) * H @ H.T
    largest = np.linalg.eigvalsh(K.reshape(n * outputs, -1))[-1]
    curvature = {"half_sse": 1.0, "mse": 2 / (n * outputs), "cross_entropy": 0.5 / n}[loss]
    for backend in BACKENDS:
        step = case.net.stable_step(case.X, loss, layers="both", backend=backend)
        assert step == pytest.approx(2 / (1.01 * curvature * largest), rel=0.02)


def test_default_step_is_stable():
    case = simulated(outputs=2)
    y = 0.75 * case.y  # not far larger than the outputs
    run = af.gradient_descent(case.net, case.X, y, steps=200, train_output=True)
    assert run.loss.max() == run.loss[0] > 100 * run.loss[-1]
    expected = 0.2 * case.net.stable_step(case.X, layers="both")
    assert run.config["lr"] == pytest.approx(expected, rel=1e-2)
    with pytest.raises(af.DivergenceError) as caught:
        af.gradient_descent(
            case.net, case.X, y, steps=2000, lr=100 * run.config["lr"], train_output=True
        )
    assert caught.value.bound == pytest.approx(5 * expected, rel=0.05)


@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize("activation", ["swish", "tanh"])
def test_default_step_suits_the_weights_that_large_targets_need(activation, scale):
    """The tangent matrix of both layers grows with them: a fifth of the first bound diverged."""
    X, y = af.datasets.simulated(n=40, d=20, rng=0)
    net = af.Network.init(20, 100, 0.5, 0.7, activation, rng=1)
    still = {"train_output": True, "record": af.Record(ntg=False, eigmin=False)}
    for run in (
        af.gradient_descent(net, X, scale * y, steps=300, **still),
        af.sgd(net, X, scale * y, batch_size=4, epochs=30, **still),
    ):
        assert run.loss[-1] < 0.8 * run.loss[0]


def test_default_step_of_small_batches_suits_all_of_them():
    """That of one sample, whose nodes may be saturated, was up to 1e11 times too large."""
    X, y = af.datasets.simulated(n=20, d=5, rng=0)
    X[::2] *= 30
    for seed in range(5):
        net = af.Network.init(5, 10, 0.5, 0.7, "softplus", rng=seed)
        run = af.sgd(net, X, y, batch_size=1, epochs=20, rng=seed)
        assert run.loss[-1] <= 1.01 * run.loss[0]


# ---- what is refused -----------------------------------------------------------------------------


class Alone:
    """A communicator of one rank."""

    def Get_rank(self):
        return 0

    def Get_size(self):
        return 1

    def Allreduce(self, send, values):
        values[:] = send


def refused(call, message, **settings):
    case = simulated()
    with pytest.raises(ValueError, match=message):
        call(case.net, case.X, case.y, train_output=True, **settings)


def test_refused():
    leap = r"gradient_descent: method 'leap' is for W alone, not for train_output; use 'step'"
    refused(af.gradient_descent, leap, steps=10, method="leap")
    tangent = r"gradient_flow: method 'tangent' is for W alone, not for train_output; use 'dopri5'"
    refused(af.gradient_flow, tangent, t_end=1.0, method="tangent")
    communicator = r"train_output=True needs device='cpu' and comm=None, got .* a communicator"
    refused(af.gradient_descent, communicator, steps=10, comm=Alone())
    case = simulated()
    with pytest.raises(TypeError, match="gradient_flow: train_output must be True or False, got 1"):
        af.gradient_flow(case.net, case.X, case.y, t_end=1.0, train_output=1)
    run = af.gradient_descent(
        case.net, case.X, case.y, steps=50, method="auto", lr=0.01, train_output=True
    )
    assert run.config["method_taken"] == "step"
    with pytest.raises(ValueError, match=r"part and max_memory must be None with layers='both'"):
        case.net.ntg(case.X, part=1, layers="both")
    with pytest.raises(ValueError, match=r"layers must be one of first, both, got 'all'"):
        case.net.ntg(case.X, layers="all")


def test_smooth_activations_take_dopri5():
    assert "relu" not in SMOOTH
    case = simulated(activation="relu")
    run = af.gradient_flow(case.net, case.X, case.y, t_end=1.0, train_output=True)
    assert run.config["method_taken"] == "rk4"


def test_an_ntg_of_both_beyond_the_range_is_refused_without_a_warning():
    """Products of features of both signs: inf - inf is NaN."""
    net = af.Network(1e160 * np.eye(2), np.ones(2), np.ones(2), activation="identity")
    with pytest.raises(OverflowError, match="exceeds the range of float64"):
        net.ntg(np.array([[1.0, 1.0], [1.0, -1.0]]), layers="both")
