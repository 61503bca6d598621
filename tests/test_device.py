"""The CUDA backend against the CPU's: on the emulated device, and on a GPU where there is one.

What is promised: in float64 1e-12 a call and 1e-9 after 1000 steps, relative; the same bits in any
ensemble and for any number of blocks.
"""

from __future__ import annotations

from functools import partial

import asymfast as af
import emulated
import numpy as np
import pytest
from cases import (
    ACTIVATIONS,
    DTYPES,
    LOSSES,
    as_float32,
    assert_same_run,
    assert_within,
    problem,
    run_arrays,
    simulated,
)

CUDA = {"device": "cuda"}
PER_CALL = {"float64": 1e-12, "float32": 1e-5}
# Tails, single elements, whole tiles (8 on the emulated device, 64 on a GPU) and one more.
SIZES = [(1, 1, 1), (7, 3, 9), (8, 8, 8), (9, 17, 16), (65, 5, 130)]


@pytest.fixture
def emulation():
    """device="cuda" is the emulated one; how it is set: order of threads, blocks, shared memory."""
    if emulated.modules() is None:
        pytest.skip("no emulated device: CMake option ASYMFAST_EMULATED")
    with emulated.device() as extension:
        yield extension.emulation


@pytest.fixture(params=["emulated", "cuda"])
def on(request):
    """What a call is told to run on a device, first the emulated one, then a GPU."""
    if request.param == "emulated":
        request.getfixturevalue("emulation")
    elif not af.cuda.is_available():
        pytest.skip("no CUDA device")
    else:
        af.cuda.require("test")  # some tests call the compiled core by themselves
    return CUDA


def assert_close(got, exact, rtol):
    """Relative to the largest element: sums of either sign cancel."""
    exact = np.asarray(exact, dtype=np.float64)
    assert_within(got, exact, rtol * max(np.abs(exact).max(), 1e-300))


def assert_runs_close(got, exact, rtol):
    for name, values in run_arrays(exact).items():
        other = getattr(got.network, name) if name in ("W", "a") else getattr(got, name)
        if values is None or name in ("top_nodes", "diverged", "stopped"):
            continue
        finite = np.isfinite(values)
        np.testing.assert_array_equal(np.isfinite(other), finite, err_msg=name)
        # the change of an NTG is a difference of two: its error is that of the NTG
        assert_close(np.where(finite, other, 0), np.where(finite, values, 0), rtol)


# --- single calls --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(on, dtype, activation):
    z = np.concatenate([np.linspace(-12, 12, 401), [0, -0.0, 40, -40, 800, -800]]).astype(dtype)
    backend = on.get("backend", "cuda")
    eps = np.finfo(dtype).eps
    for order in range(3):
        near = [
            np.abs(af._core.activation(activation, z + shift, order, "cpu").astype(np.float64))
            for shift in (-z.dtype.type(0.5), z.dtype.type(0), z.dtype.type(0.5))
        ]
        exact = af._core.activation(activation, z, order, "cpu").astype(np.float64)
        got = af._core.activation(activation, z, order, backend)
        # Two results of a few roundings each; where terms cancel, of the size that it has nearby.
        assert_within(got, exact, 8 * eps * np.max(near, axis=0))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_single_calls(on, size, outputs, dtype):
    n, d, m = size
    case = problem(n, d, m, outputs, dtype=dtype)
    net, X, y, rtol = case.net, case.X, case.y, PER_CALL[dtype]
    X2 = problem(n + 2, d, m, dtype=dtype, seed=1).X
    assert_close(net(X, **on), net(X), rtol)
    for loss in ("half_sse", "mse"):
        assert_close(net.loss(X, y, loss, **on), net.loss(X, y, loss), rtol)
        exact = net.node_gradients(X, y, loss)
        assert_close(net.node_gradients(X, y, loss, **on), exact, rtol)
    assert_close(net.features(X, **on), net.features(X), rtol)
    K = net.ntg(X, **on)
    assert_close(K, net.ntg(X), rtol)
    np.testing.assert_array_equal(K, K.T)
    assert_close(net.ntg(X, part=2, **on), net.ntg(X, part=2), rtol)
    pair = (0, outputs - 1)
    assert_close(net.ntg(X, X2, output=pair, **on), net.ntg(X, X2, output=pair), rtol)
    theta = af.NTGOperator(net, X, **on)
    u = np.linspace(-1, 1, n).astype(dtype)
    assert_close(theta @ u, af.NTGOperator(net, X) @ u, rtol)


def test_cross_entropy_calls(on):
    case = problem(outputs=4, loss="cross_entropy")
    kind = "cross_entropy"
    exact = case.net.node_gradients(case.X, case.y, kind)
    assert_close(case.net.node_gradients(case.X, case.y, kind, **on), exact, 1e-12)
    assert_close(
        case.net.loss(case.X, case.y, kind, **on), case.net.loss(case.X, case.y, kind), 1e-12
    )


# --- whole runs ----------------------------------------------------------------------------------

EVERYTHING = {
    "ntg_change_2norm": True,
    "eigmax": True,
    "alignment": True,
    "effective_rank": True,
    "ntg_matrix": True,
    "weights": True,
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("outputs", [1, 3])
def test_gradient_descent(on, loss, outputs):
    if loss == "cross_entropy" and outputs == 1:
        outputs = 2
    case = simulated(outputs=outputs, loss=loss)
    test = simulated(n=5, outputs=outputs, loss=loss, seed=3)
    settings = {
        "lr": 0.5,
        "steps": 40,
        "loss": loss,
        "record": af.Record(every=20, **EVERYTHING),
        "X_test": test.X,
        "y_test": test.y,
    }
    got = af.gradient_descent(case.net, case.X, case.y, **settings, **on)
    exact = af.gradient_descent(case.net, case.X, case.y, **settings)
    assert_runs_close(got, exact, 1e-11)


@pytest.mark.slow
def test_thousand_steps(on):
    case = simulated(n=6, d=4, m=17)
    settings = {"lr": 0.5, "steps": 1000, "record": af.Record(every=250)}
    got = af.gradient_descent(case.net, case.X, case.y, **settings, **on)
    assert_runs_close(got, af.gradient_descent(case.net, case.X, case.y, **settings), 1e-9)


@pytest.mark.slow
def test_thousand_steps_in_float32(on):
    case = simulated(n=6, d=4, m=17)
    settings = {"lr": 0.05, "steps": 1000, "record": af.Record(every=250, eigmin=False)}
    exact = af.gradient_descent(case.net, case.X, case.y, **settings)
    case = as_float32(case)
    got = af.gradient_descent(case.net, case.X, case.y, **settings, **on)
    np.testing.assert_allclose(got.loss, exact.loss, rtol=1e-5)


@pytest.mark.parametrize("flow", [{"dt": 0.5}, {"method": "rk4"}, {"method": "dopri5"}], ids=str)
def test_flows(on, flow):
    case = simulated(n=9, d=4, m=17)
    settings = {"t_end": 8.0, "record": af.Record(times=[0, 3.3, 8]), **flow}
    got = af.gradient_flow(case.net, case.X, case.y, **settings, **on)
    exact = af.gradient_flow(case.net, case.X, case.y, **settings)
    # Chosen steps follow an error estimate, a difference that rounding touches: h varies by 1e-8.
    assert_runs_close(got, exact, 1e-11 if "dt" in flow else 1e-7)


def test_flow_in_float32(on):
    case = as_float32(simulated(n=9, d=4, m=17))
    settings = {"t_end": 20.0, "dt": 0.5, "record": af.Record(times=[0, 20], eigmin=False)}
    got = af.gradient_flow(case.net, case.X, case.y, **settings, **on)
    exact = af.gradient_flow(case.net, case.X, case.y, **settings)
    np.testing.assert_allclose(got.loss, exact.loss, rtol=1e-5)


# Of runs along Jacobians of the past: a descent in leaps and a flow by the tangent method.
LONG = {"leap": {"lr": 0.5, "steps": 150}, "tangent": {"t_end": 60.0}}


def long_run(method, case, on, **settings):
    """A run with records on the way, whose steps are the method's own choice."""
    train = af.gradient_descent if method == "leap" else af.gradient_flow
    end = LONG[method].get("steps") or LONG[method]["t_end"]
    at = {"steps" if method == "leap" else "times": [0, 1, 40, end]}
    settings = {
        **LONG[method],
        "method": method,
        "record": af.Record(**at, weights=True),
    } | settings
    return train(case.net, case.X, case.y, **settings, **on)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("method", "size"),
    [
        ("leap", (2, 3, 9, 3)),
        ("tangent", (4, 2, 9, 1)),
        pytest.param("tangent", (2, 3, 9, 3), marks=pytest.mark.slow),
        *(
            pytest.param(method, size, marks=pytest.mark.slow)
            for method in ("leap", "tangent")
            for size in [(5, 2, 33, 1), (1, 1, 1, 1)]
        ),
    ],
    ids=str,
)
def test_jacobians_of_the_past(on, method, size, dtype):
    case = simulated(*size)
    if dtype == "float32":
        case = as_float32(case)
    # Where rounding decides on one leap more or less, runs differ by a part of rtol.
    rtol = 1e-11 if dtype == "float64" else 1e-6
    got, exact = (long_run(method, case, how, rtol=rtol) for how in (on, {}))
    assert got.config["method_taken"] == method
    assert_close(got.loss, exact.loss, 1e-12 if dtype == "float64" else 1e-5)
    for name in ("weights", "weight_change", "ntg_change", "ntg_eigmin"):
        # float32: late in a run weights move by what rounding makes of the loss
        assert_close(
            getattr(got, name), getattr(exact, name), 1e-12 if dtype == "float64" else 1e-4
        )


# More than 200 outputs: products with some vectors, by way of the matrix where inputs are many.
@pytest.mark.parametrize("d", [2, pytest.param(12, marks=pytest.mark.slow)])
def test_leaps_of_many_outputs(on, d):
    case = simulated(n=70, d=d, m=8, outputs=3)
    record = af.Record(steps=[0, 60, 80], weights=True, ntg=False, eigmin=False)
    settings = {"loss": "mse", "lr": 2.0, "steps": 80, "record": record, "rtol": 1e-6}
    got, exact = long_run("leap", case, on, **settings), long_run("leap", case, {}, **settings)
    assert got.evaluations[-1] != 80  # steps alone
    assert_close(got.loss, exact.loss, 1e-12)
    assert_close(got.weights, exact.weights, 1e-10)


def test_automatic_methods_on_a_device(on):
    """Leaps only where they are asked for, the tangent method where it takes less."""
    case = simulated(n=9, d=4, m=17)
    run = af.gradient_descent(case.net, case.X, case.y, lr=0.5, steps=100, method="auto", **on)
    assert run.config["method_taken"] == "step"
    run = af.gradient_flow(case.net, case.X, case.y, t_end=5.0, **on)
    assert run.config["method_taken"] == "dopri5"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("train_output", [False, True])
def test_sgd(on, dtype, train_output):
    case = simulated(outputs=3, loss="cross_entropy")
    if dtype == "float32":
        case = as_float32(case)
    settings = {
        "lr": lambda epoch: [0.5, 0.5, 0.2, 0.1][epoch],
        "batch_size": 6,
        "epochs": 4,
        "loss": "cross_entropy",
        "train_output": train_output,
        "rng": 5,
        "record": af.Record(every=4, accuracy=True),
    }
    got = af.sgd(case.net, case.X, case.y, **settings, **on)
    exact = af.sgd(case.net, case.X, case.y, **settings)
    np.testing.assert_array_equal(got.time, exact.time)
    assert_runs_close(got, exact, 1e-11 if dtype == "float64" else 1e-4)


# --- bits ----------------------------------------------------------------------------------------


def runs_of_every_kind(**on):
    """Arrays of a descent, a flow and a run on batches, all of an ensemble of two."""
    cases = [as_float32(simulated(n=11, d=5, m=20, outputs=2, seed=seed)) for seed in range(2)]
    net = af.Network.stack([case.net for case in cases])
    X, y = cases[0].X, cases[0].y
    record = af.Record(every=3, eigmin=False)
    runs = [
        af.gradient_descent(net, X, y, lr=0.5, steps=7, record=record, **on),
        af.gradient_flow(net, X, y, t_end=2.0, dt=0.4, record=af.Record(times=[0, 2]), **on),
        af.sgd(net, X, y, lr=0.3, batch_size=4, epochs=2, train_output=True, rng=1, **on),
    ]
    wide = as_float32(simulated(n=17, d=5, m=24))
    runs.append(af.gradient_descent(wide.net, wide.X, wide.y, lr=0.5, steps=3, **on))
    runs += [long_run(method, simulated(n=5, d=2, m=10), on) for method in LONG]
    return net, X, y, [run_arrays(run) for run in runs]


# Room for small problems in shared memory, and none, so that tiles pass through it.
@pytest.mark.slow
@pytest.mark.parametrize("shared", [1 << 16, 3000])
def test_no_result_depends_on_blocks_or_on_the_order_of_threads(emulation, shared):
    """Where the order of threads between two barriers matters, one of them is missing."""
    emulation(shared_memory=shared)
    usual = runs_of_every_kind(**CUDA)[-1]
    for order, blocks in (("descending", 1), ("shuffled", 7)):
        emulation(order, blocks, shared)
        for one, two in zip(usual, runs_of_every_kind(**CUDA)[-1], strict=True):
            assert_same_run(one, two)


@pytest.mark.parametrize("size", [(33, 5, 40), (6, 11, 70), (50, 20, 17)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_tiles_and_shared_memory_give_the_same_run(emulation, size, dtype):
    n, d, m = size
    case = simulated(n=n, d=d, m=m, outputs=2)
    if dtype == "float32":
        case = as_float32(case)
    settings = {"lr": 0.3, "steps": 5, "record": af.Record(every=2)}
    exact = af.gradient_descent(case.net, case.X, case.y, **settings)
    for shared in (1 << 16, 3000):
        emulation(shared_memory=shared)
        got = af.gradient_descent(case.net, case.X, case.y, **settings, **CUDA)
        if dtype == "float64":
            assert_runs_close(got, exact, 1e-11)
        else:
            np.testing.assert_allclose(got.loss, exact.loss, rtol=1e-5)
            assert_close(got.network.W, exact.network.W, 1e-5)


def test_eigenvalues_are_those_of_the_instruction_set_in_force(isa, emulation):
    """Which the device leaves to the CPU: not those of the set at its first call."""
    case = simulated(n=80, d=5, m=20)
    record = af.Record(every=3, ntg_matrix=True)
    run = af.gradient_descent(case.net, case.X, case.y, lr=0.5, steps=3, record=record, **CUDA)
    assert [af.min_eigenvalue(K) for K in run.ntg_matrix] == list(run.ntg_eigmin)


def test_gradients_of_many_samples_are_summed_in_pieces(emulation):
    case = problem(4100, 1, 3)
    got = case.net.node_gradients(case.X, case.y, **CUDA)
    assert_close(got, case.net.node_gradients(case.X, case.y), PER_CALL["float64"])


def test_a_member_has_the_bits_of_its_single_run(on):
    net, X, y, (descent, *_) = runs_of_every_kind(**on)
    record = af.Record(every=3, eigmin=False)
    for b in range(2):
        alone = af.gradient_descent(net[b], X, y, lr=0.5, steps=7, record=record, **on)
        member = {
            name: values if values is None or name in ("steps", "time", "stopped") else values[b]
            for name, values in descent.items()
            if name in ("W", "a", "diverged")
        }
        assert_same_run({k: v for k, v in run_arrays(alone).items() if k in member}, member)
        np.testing.assert_array_equal(alone.loss, descent["loss"][:, b])


@pytest.mark.parametrize("method", ["descent", "dopri5", "sgd", *LONG])
def test_a_resumed_run_has_the_same_bits(on, method, tmp_path):
    case = as_float32(simulated(n=11, d=5, m=20))

    def train(**settings):
        if method in LONG:
            return long_run(method, case, on, **settings)
        if method == "sgd":
            settings |= {"lr": 0.3, "batch_size": 4, "epochs": 4, "train_output": True, "rng": 1}
            return af.sgd(case.net, case.X, case.y, record=af.Record(every=3), **settings, **on)
        if method == "dopri5":
            settings |= {"t_end": 9.0, "record": af.Record(times=[0, 3, 6, 9]), "method": method}
            return af.gradient_flow(case.net, case.X, case.y, **settings, **on)
        settings |= {"lr": 0.5, "steps": 12, "record": af.Record(every=4)}
        return af.gradient_descent(case.net, case.X, case.y, **settings, **on)

    whole = train()
    seen = []
    part = train(checkpoint=tmp_path / "run", callback=lambda at: seen.append(at) or len(seen) < 2)
    assert part.stopped
    assert len(part.loss) == 2
    again = train(checkpoint=tmp_path / "run")
    assert_same_run(run_arrays(again), run_arrays(whole))


@pytest.mark.parametrize("method", ["step", "leap"])
def test_divergence_is_found_at_the_same_step(on, method):
    case = simulated(n=9, d=4, m=17)
    caught = []
    for how in ({"method": method}, {"method": method, **on}):
        with pytest.raises(af.DivergenceError) as error:
            af.gradient_descent(case.net, case.X, case.y, lr=300.0, steps=2000, **how)
        caught.append(error.value)
    assert caught[0].step == caught[1].step
    np.testing.assert_allclose(caught[1].last_loss, caught[0].last_loss, rtol=1e-6)
    np.testing.assert_allclose(caught[1].bound, caught[0].bound, rtol=1e-6)


def test_of_an_ensemble_only_the_divergent_member_stops(on):
    cases = [simulated(n=9, d=4, m=17, seed=seed) for seed in range(2)]
    # The second member's outputs, and so its curvature, are a thousand times larger.
    nets = [cases[0].net, af.Network(cases[1].net.W, 1000 * cases[1].net.a, cases[1].net.lam)]
    net = af.Network.stack(nets)
    with pytest.raises(af.DivergenceError) as error:
        af.gradient_descent(net, cases[0].X, cases[0].y, lr=0.5, steps=60, **on)
    run = error.value.run
    assert run.diverged.tolist() == [False, True]
    alone = af.gradient_descent(nets[0], cases[0].X, cases[0].y, lr=0.5, steps=60, **on)
    np.testing.assert_array_equal(run.network.W[0], alone.network.W)


@pytest.mark.parametrize("method", ["leap", pytest.param("tangent", marks=pytest.mark.slow)])
def test_members_of_an_ensemble_take_their_own_leaps(on, method):
    """Their methods run in threads of their own; calls of the device come one after the other."""
    cases = [simulated(n=4, d=2, m=6, seed=seed) for seed in range(2)]
    stack = cases[0]._replace(net=af.Network.stack([case.net for case in cases]))
    together = long_run(method, stack, on, threads=2)
    for b, case in enumerate(cases):
        alone = long_run(method, cases[0]._replace(net=case.net), on)
        np.testing.assert_array_equal(alone.loss, together.loss[:, b])
        np.testing.assert_array_equal(alone.network.W, together.network.W[b])


# --- memory --------------------------------------------------------------------------------------


def planned_bytes(method, n, d, m, k, dtype, small):
    """The table of docs/cuda.md for one member, with tiles of 8 nodes as on the emulated device."""
    e = np.dtype(dtype).itemsize
    N, M, is_float = n * k, m * d, e == 4
    total = (
        e * (n * d + N + M + 2 * n * m + m * k + N) + 8 * N * (-(-m // 8) + 1) + is_float * e * M
    )
    if small:
        total += e * N * m // 8 + (is_float * e * M if method != "tangent" else 0)
    if method == "rk4":
        total += (4 if small else 2) * e * M
    if method in LONG:
        frames = 13 if method == "leap" else 10
        total += e * ((3 + is_float) * M + frames * n * m)
        matrix = 8 * (N * N + 2 * N * m)
        call = e * (n * d + (1 + is_float) * M + 3 * n * m + m * k + m + N) + 8 * N * (
            -(-m // 8) + 1
        )
        total += small * e * M + matrix if method == "leap" else max(matrix, call)
    return total


@pytest.mark.parametrize(
    ("dtype", "small"),
    [
        ("float32", False),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in (("float32", True), ("float64", True), ("float64", False))
        ),
    ],
)
def test_memory_is_what_the_page_says(emulation, dtype, small):
    emulation(shared_memory=1 << 16 if small else 2800)
    case = simulated(n=12, d=5, m=32)
    if dtype == "float32":
        case = as_float32(case)
    data, bare = (case.net, case.X, case.y), {"ntg": False, "eigmin": False}
    descend = partial(af.gradient_descent, *data, steps=200, record=af.Record(steps=[200], **bare))
    flow = partial(af.gradient_flow, *data, t_end=30.0, record=af.Record(times=[30], **bare))
    runs = {
        "step": partial(descend, lr=0.5, **CUDA),
        "leap": partial(descend, lr=0.5, method="leap", **CUDA),
        "rk4": partial(flow, dt=1.0, **CUDA),
        # so exact that it looks at rounding, which takes memory
        "tangent": partial(flow, method="tangent", rtol=1e-10, **CUDA),
    }
    for method, run in runs.items():
        emulated.modules()[1].most_memory()
        run()
        expected = planned_bytes(method, 12, 5, 32, 1, dtype, small)
        assert_within(emulated.modules()[1].most_memory(), expected, 0.02 * expected + 100)


# --- what is said --------------------------------------------------------------------------------


@pytest.mark.skipif(af.cuda.is_available(), reason="there is a CUDA device")
def test_asking_for_cuda_says_what_is_missing():
    case = problem(n=3, d=2, m=4)
    calls = {
        "gradient_descent": lambda: af.gradient_descent(
            case.net, case.X, case.y, steps=1, device="cuda"
        ),
        "Network": lambda: case.net(case.X, device="cuda"),
        "Network.ntg": lambda: case.net.ntg(case.X, device="cuda"),
        "NTGOperator": lambda: af.NTGOperator(case.net, case.X, device="cuda"),
    }
    missing = af.cuda.what_is_missing()
    for fn, call in calls.items():
        with pytest.raises(RuntimeError) as error:
            call()
        assert str(error.value) == f"{fn}: device='cuda' needs {missing}"


@pytest.mark.parametrize(
    ("changed", "missing"),
    [
        ({}, None),
        ({"driver_version": 0}, "an NVIDIA driver; there is none"),
        ({"driver_version": 12040}, "a driver for CUDA 13.0 or newer; this one supports 12.4"),
        ({"device_error": "no device"}, "a device; the driver says: no device"),
        ({"devices": []}, "a device; the driver finds none"),
        (
            {"devices": [{"name": "Old", "compute_capability": (7, 5)}]},
            "compute capability 8.0 or newer; Old has 7.5",
        ),
    ],
)
def test_each_thing_that_may_be_missing_is_named(emulation, monkeypatch, changed, missing):
    for name, value in changed.items():
        monkeypatch.setattr(af.cuda.module(), name, lambda value=value: value)
    assert af.cuda.what_is_missing() == missing


def test_device_and_backend_are_checked():
    case = problem(n=3, d=2, m=4)
    with pytest.raises(ValueError, match="device must be one of cpu, cuda, got 'gpu'"):
        case.net(case.X, device="gpu")
    with pytest.raises(ValueError, match="backend must be None on device 'cuda', got 'cpu'"):
        case.net(case.X, device="cuda", backend="cpu")
