"""The C interface: the numbers of Python to the bit, errors as codes, callbacks, resumed runs."""

from __future__ import annotations

import ctypes as c
import threading

import asymfast as af
import numpy as np
import pytest
from c_interface import (
    DIVERGED,
    INTERRUPTED,
    INVALID_ARGUMENT,
    OUT_OF_MEMORY,
    CError,
    Checkpoint,
    Interface,
    example,
    execution,
    options,
)
from cases import DTYPES, problem


@pytest.fixture(scope="module")
def interface():
    return Interface()


@pytest.fixture(params=DTYPES)
def case(request):
    return problem(n=23, d=5, m=70, outputs=2, dtype=request.param)


def outputs(case):
    return case.y.reshape(len(case.X), case.net.k)


def test_versions(interface):
    assert interface.text("version") == af.__version__
    assert interface.text("isa") == af.build_config()["isa"]
    oldest, newest = interface.lib.asymfast_oldest_abi_version(), 2
    assert oldest <= newest <= interface.lib.asymfast_abi_version()
    assert interface.lib.asymfast_max_threads() == af.build_config()["threads"]


def test_network_calls(interface, case):
    net, X, y = case.net, case.X, outputs(case)
    n, handle = len(X), interface.network(net)
    f, G = np.empty((n, net.k), net.dtype), np.empty_like(net.W)
    H, K, value = np.empty((n, net.m), net.dtype), np.empty((n, n)), c.c_double()
    threads = execution(threads=2)
    interface("forward", handle, n, X, f, c.byref(threads))
    np.testing.assert_array_equal(f, net(X))
    interface("loss", handle, n, X, y, b"mse", c.byref(value), None)
    assert value.value == net.loss(X, y, loss="mse")
    interface("node_gradients", handle, n, X, y, None, G, None)
    np.testing.assert_array_equal(G, net.node_gradients(X, y))
    interface("features", handle, n, X, H, None)
    np.testing.assert_array_equal(H, net.features(X))
    interface("ntg", handle, 0, 1, n, X, n, None, K, None)
    np.testing.assert_array_equal(K.astype(net.dtype), net.ntg(X, output=(0, 1)))
    cross = np.empty((n, 3))
    X2 = np.ascontiguousarray(X[:3])
    interface("ntg", handle, 1, 1, n, X, 3, X2, cross, None)
    np.testing.assert_array_equal(cross.astype(net.dtype), net.ntg(X, X2, output=1))
    interface.lib.asymfast_network_free(handle)


def test_the_reference_backend_is_another_one(interface, case):
    net, X, handle = case.net, case.X, interface.network(case.net)
    f = np.empty((len(X), net.k), net.dtype)
    reference = execution(backend=b"reference")
    interface("forward", handle, len(X), X, f, c.byref(reference))
    np.testing.assert_array_equal(f, net(X, backend="reference"))
    interface.lib.asymfast_network_free(handle)


def test_weights_come_back(interface, case):
    net, handle = case.net, interface.network(case.net)
    m, d, k, dtype = c.c_int64(), c.c_int64(), c.c_int64(), c.c_int32()
    interface("network_shape", handle, *map(c.byref, (m, d, k, dtype)))
    assert (m.value, d.value, k.value) == (net.m, net.d, net.k)
    assert dtype.value == (net.dtype == np.float32)
    W, a, lam = np.empty_like(net.W), np.empty((net.m, net.k), net.dtype), np.empty(net.m)
    interface("network_weights", handle, W, a, lam)
    np.testing.assert_array_equal(W, net.W)
    np.testing.assert_array_equal(a, net.a)
    np.testing.assert_array_equal(lam, net.lam)
    interface.lib.asymfast_network_free(handle)


def test_min_eigenvalue_and_node_scaling(interface):
    A = np.random.default_rng(0).standard_normal((30, 30))
    K, value, lam = A @ A.T, c.c_double(), np.empty(50)
    interface("min_eigenvalue", 30, K, c.byref(value), None)
    assert value.value == af.min_eigenvalue(K)
    interface("node_scaling", 50, 0.5, 0.7, lam)
    # The sum of 50 terms in another order, and two powers: 60 roundings at most.
    np.testing.assert_allclose(lam, af.node_scaling(50, 0.5, 0.7), rtol=60 * 2.3e-16)


# --- runs ----------------------------------------------------------------------------------------

RECORD_ALL = (1 << 8) - 1  # but for accuracy and output weights
STEPS = np.array([0, 3, 10], np.int64)


def recorded(**fields):
    given = options(record=RECORD_ALL, top_nodes=4, **fields)
    given.record_steps = STEPS.ctypes.data_as(c.POINTER(c.c_int64))
    given.n_record_steps = len(STEPS)
    return given


RECORD = af.Record(
    steps=STEPS.tolist(),
    ntg_change_2norm=True,
    eigmax=True,
    alignment=True,
    effective_rank=True,
    ntg_matrix=True,
    weights=True,
    top_nodes=4,
)
COLUMNS = [
    *("loss", "test_loss", "weight_change", "top_nodes", "ntg_matrix", "weights"),
    *("ntg_change", "ntg_change_2norm", "ntg_eigmin", "ntg_eigmax"),
    *("alignment", "effective_rank"),
]


def assert_same_records(interface, run, expected):
    assert interface.lib.asymfast_run_records(run) == len(expected.time)
    for name in ("time", *COLUMNS):
        values = getattr(expected, name)
        if values is not None:
            np.testing.assert_array_equal(interface.column(run, name), values, err_msg=name)


def test_gradient_descent(interface, case):
    net, X, y, handle = case.net, case.X, outputs(case), interface.network(case.net)
    X_test, y_test = X[:7].copy() / 2, y[:7].copy()
    given = recorded(X_test=X_test.ctypes.data, y_test=y_test.ctypes.data, n_test=7)
    run, after = c.c_void_p(), c.c_void_p()
    arguments = (handle, len(X), X, y, 0.1, 10, c.byref(given), None, c.byref(run))
    interface("gradient_descent", *arguments)
    expected = af.gradient_descent(
        net, X, y, lr=0.1, steps=10, record=RECORD, X_test=X_test, y_test=y_test
    )
    assert_same_records(interface, run, expected)
    assert interface.text("run_outcome", run) == "finished"
    assert interface.text("run_stopped_by", run) == ""
    W = np.empty_like(net.W)
    interface("run_network", run, c.byref(after))
    interface("network_weights", after, W, None, None)
    np.testing.assert_array_equal(W, expected.network.W)
    for free, one in (("run", run), ("network", after), ("network", handle)):
        getattr(interface.lib, f"asymfast_{free}_free")(one)


@pytest.mark.parametrize(("method", "dt"), [("rk4", 0.01), ("dopri5", 0.0), ("tangent", 0.0)])
def test_gradient_flow(interface, method, dt):
    case = problem(n=20, d=4, m=60)
    X, y, handle, run = case.X, outputs(case), interface.network(case.net), c.c_void_p()
    times = np.array([0, 0.5, 1.0])
    given = options(record=4)
    given.record_times, given.n_record_times = times.ctypes.data_as(c.POINTER(c.c_double)), 3
    flow = (method.encode(), 1.0, dt, 1e-7)
    interface("gradient_flow", handle, 20, X, y, *flow, c.byref(given), None, c.byref(run))
    expected = af.gradient_flow(
        case.net,
        X,
        case.y,
        t_end=1.0,
        method=method,
        dt=dt or None,
        rtol=1e-7,
        record=af.Record(times=times.tolist(), ntg=False),
    )
    if dt:  # Python turns times into the steps nearest to them
        np.testing.assert_allclose(interface.column(run, "loss"), expected.loss, rtol=1e-12)
    else:
        np.testing.assert_array_equal(interface.column(run, "loss"), expected.loss)
    interface.lib.asymfast_run_free(run)
    interface.lib.asymfast_network_free(handle)


def test_sgd_learns_both_layers(interface):
    """Whole batches do not depend on the sampler: they are gradient descent of the mean loss."""
    case = problem(n=16, d=4, m=50, outputs=3)
    X, y = case.X, np.eye(3)[np.arange(16) % 3]
    handle, run, rates = interface.network(case.net), c.c_void_p(), np.array([0.5, 0.25])
    given = options(loss=b"cross_entropy", record=(1 << 9) | (1 << 8))
    interface(
        *("sgd", handle, 16, X, y, rates, 2, 2, 16, c.c_int32(1), c.c_uint64(9)),
        *(c.byref(given), None, c.byref(run)),
    )
    expected = af.sgd(
        *(case.net, X, y),
        lr=lambda epoch: rates[epoch],
        batch_size=16,
        epochs=2,
        loss="cross_entropy",
        train_output=True,
        rng=0,
        record=af.Record(steps=[2], ntg=False, eigmin=False, accuracy=True),
    )
    # Another order of the batch's 16 samples in each of two steps.
    np.testing.assert_allclose(interface.column(run, "loss"), expected.loss, rtol=1e-13)
    assert interface.column(run, "accuracy") == expected.accuracy
    assert interface.column(run, "output_weights").shape == (1, 50, 3)
    interface.lib.asymfast_run_free(run)
    interface.lib.asymfast_network_free(handle)


def descend(interface, case, steps, given=None, exec=None, lr=0.1, accept=()):
    handle, run = interface.network(case.net), c.c_void_p()
    arguments = (handle, len(case.X), case.X, outputs(case), lr, steps)
    by = [None if one is None else c.byref(one) for one in (given, exec)]
    try:
        status = interface("gradient_descent", *arguments, *by, c.byref(run), accept=accept)
    finally:
        interface.lib.asymfast_network_free(handle)
    return status, run


def test_a_progress_callback_interrupts_and_the_records_stay(interface):
    case = problem(n=23, d=5, m=70)
    seen = []
    progress = example.Progress(lambda fraction, loss, user: seen.append((fraction, loss)) or 0)
    status, run = descend(
        *(interface, case, 10**9, options(record_every=10), execution(progress=progress)),
        lr=1e-9,
        accept=[INTERRUPTED],
    )
    assert status == INTERRUPTED
    assert "interrupted" in interface.text("last_error")
    assert interface.text("run_outcome", run) == "interrupted"
    assert len(interface.column(run, "loss")) >= 1
    assert len(seen) == 1
    assert 0 <= seen[0][0] < 1
    interface.lib.asymfast_run_free(run)


def test_a_callback_at_records_stops(interface):
    case, steps = problem(n=23, d=5, m=70), []
    on_record = example.OnRecord(lambda step, *rest: (steps.append(step), step < 4)[1])
    _, run = descend(interface, case, 10, options(record_every=2, on_record=on_record))
    assert steps == [0, 2, 4]
    assert interface.text("run_outcome", run) == "stopped"
    assert interface.text("run_stopped_by", run) == "callback"
    interface.lib.asymfast_run_free(run)


def test_stops(interface):
    case = problem(n=23, d=5, m=70)
    _, run = descend(interface, case, 10, options(record_every=1, stop_time=0.35))
    assert interface.text("run_stopped_by", run) == "time"
    assert interface.column(run, "steps")[-1] == 4
    interface.lib.asymfast_run_free(run)


def test_a_resumed_run_ends_with_the_same_bits(interface):
    case, states = problem(n=23, d=5, m=70), []
    keep = Checkpoint(lambda data, size, user: states.append(c.string_at(data, size)) or 1)
    pointer = c.cast(keep, c.c_void_p).value
    _, first = descend(interface, case, 40, options(checkpoint=pointer, checkpoint_every=1e-9))
    assert len(states) >= 2  # at the start and at the end
    for state in states:
        kept = c.create_string_buffer(state, len(state))
        given = options(resume_from=c.addressof(kept), resume_from_bytes=len(state))
        _, again = descend(interface, case, 40, given)
        np.testing.assert_array_equal(
            interface.column(again, "loss"), interface.column(first, "loss")
        )
        interface.lib.asymfast_run_free(again)
    kept = c.create_string_buffer(states[0][:-3])
    given = options(resume_from=c.addressof(kept), resume_from_bytes=len(states[0]) - 3)
    with pytest.raises(CError, match="does not fit this run"):
        descend(interface, case, 40, given)
    interface.lib.asymfast_run_free(first)


def test_divergence(interface):
    case = problem(n=23, d=5, m=70)
    status, run = descend(interface, case, 500, lr=1e6, accept=[DIVERGED])
    assert status == DIVERGED
    step, last, bound = c.c_int64(), c.c_double(), c.c_double()
    interface("run_divergence", run, c.byref(step), c.byref(last), c.byref(bound))
    with pytest.raises(af.DivergenceError) as diverged:
        af.gradient_descent(case.net, case.X, case.y, lr=1e6, steps=500)
    assert step.value == diverged.value.step
    assert (last.value, bound.value) == (diverged.value.last_loss, diverged.value.bound)
    interface.lib.asymfast_run_free(run)


# --- errors --------------------------------------------------------------------------------------


def test_every_mistake_is_a_code_and_a_sentence(interface):
    case = problem(n=23, d=5, m=70)
    net, X, y = case.net, case.X, outputs(case)
    n, handle, made, f = len(X), interface.network(net), c.c_void_p(), np.empty((23, 1))
    W, a, lam, null = net.W, net.a, net.lam, None
    create, train = "network_create", "gradient_descent"
    real, sizes = c.c_int32(0), (70, 5, 1)
    out = c.byref(made)
    wrong = execution()
    wrong.struct_size = 8
    steps = np.array([3, 3], np.int64)
    late, times = np.array([3, 6], np.int64), (c.c_double * 2)(0.5, 1.5)
    same = options(n_record_steps=2, record_steps=steps.ctypes.data_as(c.POINTER(c.c_int64)))
    mistakes = {
        "dtype must be": (create, c.c_int32(7), *sizes, W, a, lam, b"relu", out),
        "m must be at least 1, got 0": (create, real, 0, 5, 1, W, a, lam, b"relu", out),
        "W must not be null": (create, real, *sizes, null, a, lam, b"relu", out),
        "lam must not be null": (create, real, *sizes, W, a, null, b"relu", out),
        "network must not be null": (create, real, *sizes, W, a, lam, b"relu", null),
        "lam must be >= 0": (create, real, *sizes, W, a, -lam, b"relu", out),
        "activation must be one of": (create, real, *sizes, W, a, lam, b"abacus", out),
        "too many elements": (create, real, 1 << 40, 1 << 40, 1, W, a, lam, b"relu", out),
        "forward: network must not be null": ("forward", null, n, X, f, null),
        "forward: n must be at least 1": ("forward", handle, 0, X, f, null),
        "forward: X must not be null": ("forward", handle, n, null, f, null),
        "f must not be null": ("forward", handle, n, X, null, null),
        "execution->struct_size must be": ("forward", handle, n, X, f, c.byref(wrong)),
        r"threads must be in \[0, 1024\]": (
            *("forward", handle, n, X, f),
            c.byref(execution(threads=-1)),
        ),
        "backend must be": ("forward", handle, n, X, f, c.byref(execution(backend=b"gpu"))),
        "loss must be": ("loss", handle, n, X, y, b"hinge", c.byref(c.c_double()), null),
        "outputs must be below 1": ("ntg", handle, 0, 1, n, X, n, null, np.empty((23, 23)), null),
        "n2 must be n": ("ntg", handle, 0, 0, n, X, 4, null, np.empty((23, 23)), null),
        r"lr must be in \(0, inf\)": (train, handle, n, X, y, 0.0, 5, null, null, out),
        "steps must be at least 1": (train, handle, n, X, y, 0.1, 0, null, null, out),
        "steps must be >= 0 and increase": (
            train,
            handle,
            n,
            X,
            y,
            0.1,
            5,
            c.byref(same),
            null,
            out,
        ),
        "bits that are not": (
            *(train, handle, n, X, y, 0.1, 5),
            *(c.byref(options(record=1 << 40)), null, out),
        ),
        "y_test must not be null": (
            *(train, handle, n, X, y, 0.1, 5),
            *(c.byref(options(X_test=X.ctypes.data, n_test=3)), null, out),
        ),
        **{
            message: (train, handle, n, X, y, 0.1, 5, c.byref(options(**wrong)), null, out)
            for message, wrong in {
                "stop_loss must be a number": {"stop_loss": np.nan},
                "stop_time must be >= 0": {"stop_time": np.nan},
                "stop_wall_seconds must be >= 0": {"stop_wall_seconds": -1.0},
                "checkpoint_every must be >= 0": {"checkpoint_every": np.nan},
                "an empty state is none": {"resume_from": X.ctypes.data},
                "n_ntg_on must be 0 without": {"n_ntg_on": 2},
                "record steps must end by": {
                    "n_record_steps": 2,
                    "record_steps": late.ctypes.data_as(c.POINTER(c.c_int64)),
                },
            }.items()
        },
        "record times must end by": (
            *("gradient_flow", handle, n, X, y, b"rk4", 1.0, 0.1, 0.0),
            *(c.byref(options(n_record_times=2, record_times=times)), null, out),
        ),
        "dt is for method 'rk4'": (
            *("gradient_flow", handle, n, X, y, b"dopri5", 1.0, 0.1, 0.0, null, null, out),
        ),
        r"at most 2\^53 steps": (
            *("gradient_flow", handle, n, X, y, b"rk4", 1e300, 1e-300, 0.0, null, null, out),
        ),
        "lam must be >= 0 and finite": (
            *(create, real, *sizes, W, a, np.where(lam > 0, np.inf, lam), b"relu", out),
        ),
        "reserved must be 0": ("forward", handle, n, X, f, c.byref(execution(reserved=1))),
        "run must not be null": (train, handle, n, X, y, 0.1, 5, null, null, null),
        "name must be one of what was recorded": None,
        "ASYMFAST_ISA must be one of": ("use_isa", b"v9"),
    }
    _, run = descend(interface, case, 3)
    column = c.byref(example.Column(c.sizeof(example.Column)))
    mistakes["name must be one of what was recorded"] = ("run_column", run, b"ntg_eigmin", column)
    for message, call in mistakes.items():
        with pytest.raises(CError, match=message) as error:
            interface(*call)
        assert error.value.status == INVALID_ARGUMENT, message
        assert made.value is None, message
    interface.lib.asymfast_run_free(run)
    interface.lib.asymfast_network_free(handle)


def test_memory_that_is_not_there_is_a_code(interface):
    made = c.c_void_p()
    huge = (c.c_int32(0), 1 << 44, 64, 1, 1.0, 1.0, b"relu", c.c_uint64(0), c.byref(made))
    with pytest.raises(CError, match="not enough memory") as error:
        interface("network_init", *huge)
    assert error.value.status == OUT_OF_MEMORY
    assert made.value is None


def test_null_handles_are_harmless(interface):
    for kind in ("network", "run"):
        getattr(interface.lib, f"asymfast_{kind}_free")(None)
    assert interface.text("run_outcome", None) == ""
    assert interface.lib.asymfast_run_records(None) == 0


def test_messages_belong_to_threads_and_networks_to_all(interface):
    case = problem(n=23, d=5, m=70)
    net, X, handle = case.net, case.X, interface.network(case.net)
    expected, wrong = net(X).reshape(-1, 1), []

    def work(number):
        f = np.empty((len(X), 1))
        for _ in range(50):
            interface("forward", handle, len(X), X, f, None)
            with pytest.raises(CError, match=f"got '{number}'"):
                interface("loss", handle, len(X), X, f, str(number).encode(), f, None)
            if not np.array_equal(f, expected):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    interface.lib.asymfast_network_free(handle)
