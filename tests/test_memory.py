"""max_memory: the same bits within a stated peak, refused where it cannot be; NTGOperator."""

from __future__ import annotations

import os
import subprocess
import sys

import asymfast as af
import bounds
import numpy as np
import oracles
import pytest
from asymfast import _core
from cases import (
    BACKENDS,
    DTYPES,
    assert_same_bits,
    assert_same_run,
    assert_within,
    problem,
    run_arrays,
)

SCIPY = pytest.importorskip("scipy.sparse.linalg")
SLOW = pytest.mark.slow


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n2", [None, 41])
def test_ntg_in_pieces_has_the_same_bits(dtype, n2):
    case = problem(n=77, d=5, m=1500, dtype=dtype)
    X2 = None if n2 is None else np.ascontiguousarray(case.X[:n2])
    n, other = len(case.X), n2 or len(case.X)
    v = case.net.lam * case.net.a.astype(np.float64) ** 2
    fixed, least = _core.planned_ntg_bytes(n, other, 5, v, case.net.dtype.itemsize)
    whole = case.net.ntg(case.X, X2)
    assert_same_bits(case.net.ntg(case.X, X2, max_memory=fixed + least), whole)
    assert_same_bits(case.net.ntg(case.X, X2, max_memory=fixed + 3 * least), whole)


def test_ntg_refuses_what_cannot_be_kept_to():
    case = problem(n=30, d=5, m=400)
    fixed, least = _core.planned_ntg_bytes(30, 30, 5, case.net.lam, 8)
    with pytest.raises(ValueError, match=f"must be at least {fixed + least:.0f} bytes for"):
        case.net.ntg(case.X, max_memory=fixed + least - 1)
    with pytest.raises(TypeError, match="max_memory must be a real number, got '1 GB'"):
        case.net.ntg(case.X, max_memory="1 GB")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("d", "m"), [(3, 333), (40, 333), (3, 1100), (40, 1100), (128, 1100)])
def test_a_run_without_slopes_has_the_same_bits(dtype, d, m):
    case = problem(n=101, d=d, m=m, dtype=dtype)
    bare = af.Record(every=5, eigmin=False, ntg=False)
    sizes = {"n": 101, "d": d, "m": m, "k": 1, "B": 1, "itemsize": case.net.dtype.itemsize}
    fixed = _core.planned_bytes("gradient_descent", **sizes, rows=6, threads=2)
    fixed += 6 * 4 * 8  # the rows' steps, times, losses and counts of evaluations

    def run(**limits):
        return af.gradient_descent(
            case.net, case.X, case.y, lr=0.1, steps=20, loss="mse", record=bare, threads=2, **limits
        )

    assert_same_run(run_arrays(run()), run_arrays(run(max_memory=fixed)))
    with pytest.raises(
        ValueError, match=r"gradient_descent: max_memory must be at least \d+ bytes"
    ):
        run(max_memory=fixed / 2)


MEASURE = """
import re, numpy as np, asymfast as af
from asymfast import _core

def peak():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])

n, d, m = 2500, 6, 6000
X = np.random.default_rng(0).standard_normal((n, d))
net = af.Network.init(d, m, 0.5, 0.7, rng=1)
net.ntg(X[:64].copy())                       # what the first call of all loads
fixed, least = _core.planned_ntg_bytes(n, n, d, net.lam, 8)
limit = int(fixed + 4 * least)
before = peak()
net.ntg(X, max_memory=limit)
print(limit, peak() - before)
"""


@pytest.mark.xdist_group("memory")
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_peak_is_that_of_the_formula():
    """Within 20 %; the whole slopes, 120 MB, would more than double it."""
    printed = subprocess.run(
        [sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True
    ).stdout
    limit, peak = map(int, printed.split())
    assert 0.5 * limit <= peak <= 1.2 * limit


BOUNDED = """
import re, sys, numpy as np, asymfast as af

def peak():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])

n, d, m, k, dtype = 200_000, 4, 512, 10, np.float32
if sys.argv[1] in ("features", "pullback"):
    n, d, m, k, dtype = 50_000, 400, 8, 1, np.float64
X = np.random.default_rng(0).standard_normal((n, d), dtype=dtype)
y = X[:, [0] * k].copy() if k > 1 else X[:, 0].copy()
net = af.Network.init(d, m, 0.5, 0.7, outputs=k, rng=1, dtype=dtype)
call = {
    "forward": lambda X, y: net(X),
    "loss": lambda X, y: net.loss(X, y),
    "node_gradients": lambda X, y: net.node_gradients(X, y),
    "pullback": lambda X, y: net.pullback(X, y),
    "features": lambda X, y: net.features(X),
}[sys.argv[1]]
call(X[:64].copy(), y[:64].copy())           # what the first call of all loads
before = peak()
call(X, y)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.xdist_group("memory")
@pytest.mark.parametrize(
    "call",
    [
        "node_gradients",
        "features",
        *(pytest.param(call, marks=SLOW) for call in ("forward", "loss", "pullback")),
    ],
)
def test_the_work_space_of_a_call_is_bounded(call):
    """Not a sum of outputs for each share of the nodes (256 MB), nor a copy of X (160 MB).

    What is left: the checks' two bools for each number of X, n k outputs in double and the result.
    """
    printed = subprocess.run(
        [sys.executable, "-c", BOUNDED, call], capture_output=True, text=True, check=True
    ).stdout
    assert int(printed) <= 90e6


@pytest.mark.parametrize("dtype", DTYPES)
def test_samples_in_pieces_have_the_same_bits(dtype):
    """Pieces end at 4032 samples; those of a call with fewer samples end elsewhere."""
    case = problem(8200, 5, 70, 3, dtype=dtype)
    f, H = case.net(case.X), case.net.features(case.X)
    for rows in (slice(0, 37), slice(4000, 4100), slice(8000, 8200)):
        part = np.ascontiguousarray(case.X[rows])
        np.testing.assert_array_equal(case.net(part), f[rows])
        np.testing.assert_array_equal(case.net.features(part), H[rows])
    assert_within(
        case.net.node_gradients(case.X, case.y),
        oracles.node_gradients(case.model, case.x64, case.y64),
        bounds.node_gradients(case.model, case.x64, case.y64, "half_sse", case.eps),
    )


@pytest.mark.parametrize("rows", [10**9, 10**12])
def test_a_broadcast_that_no_memory_holds_is_refused_before_any_work(rows):
    """Not after a look at each of its numbers, which takes minutes."""
    case = problem(5, 11, 7)
    X = np.broadcast_to(case.X[:1], (rows, 11))
    y = np.broadcast_to(case.y[:1], (rows,))
    for call in (
        lambda: case.net(X),
        lambda: case.net.loss(X, y),
        lambda: case.net.node_gradients(X, y),
        lambda: case.net.features(X),
        lambda: case.net.ntg(X),
        lambda: case.net.ntg(case.X, X),
        lambda: af.gradient_descent(case.net, X, y, lr=0.1, steps=1),
        lambda: af.Network(X, np.broadcast_to(1.0, (rows,)), np.broadcast_to(1.0, (rows,))),
    ):
        with pytest.raises(MemoryError, match=f"a copy of [XW]2? of shape .{rows}, 11"):
            call()


def test_values_of_a_broadcast_are_looked_at_once():
    case = problem(5, 11, 7)
    row = case.X[:1].copy()
    row[0, 3] = np.nan
    with pytest.raises(ValueError, match=r"X must be finite, got nan at index \(0, 3\)"):
        case.net(np.broadcast_to(row, (40, 11)))
    np.testing.assert_array_equal(
        case.net(np.broadcast_to(case.X[:1], (40, 11))), case.net(np.repeat(case.X[:1], 40, axis=0))
    )


# In each process one run, whose arrays dwarf what the interpreter and NumPy take: (method, sizes,
# what it is called with beyond net, X and y).
RUN = """
import re, sys
import numpy as np, asymfast as af
from asymfast import _core

def memory_of(which):
    return 1024 * int(re.search(which + r":\\s+(\\d+) kB", open("/proc/self/status").read())[1])

train, n, d, m, settings = {train!r}, {n}, {d}, {m}, {settings!r}
rng = np.random.default_rng(0)
X, y = rng.standard_normal((n, d)), rng.standard_normal(n)
net = af.Network.init(d, m, 0.5, 0.7, rng=1)
record = af.Record(steps=[0], ntg=False, eigmin=False)
if train == "gradient_flow":
    record = af.Record(times=[0.0, settings["t_end"]], ntg=False, eigmin=False)
if settings.pop("tested", False):
    settings |= dict(X_test=X, y_test=y)
small = af.Network.init(d, 40, 0.5, 0.7, rng=1)
getattr(af, train)(small, X[:500].copy(), y[:500].copy(), loss="mse", record=record, **settings)
try:
    getattr(af, train)(net, X, y, loss="mse", record=record, max_memory=1, **settings)
except ValueError as error:
    limit = int(re.search(r"at least (\\d+) bytes", str(error))[1])
before = memory_of('VmRSS')
run = getattr(af, train)(net, X, y, loss="mse", record=record, max_memory=limit, **settings)
print(limit, memory_of('VmHWM') - before)
"""
RUNS = {
    "descent": ("gradient_descent", 300, 300, 20000, {"steps": 2, "lr": 1e-3}),
    "descent with a test set": (
        "gradient_descent",
        20000,
        100,
        8000,
        {"steps": 1, "lr": 1e-3, "tested": True},
    ),
    "descent on many samples": ("gradient_descent", 180000, 16, 5000, {"steps": 2, "lr": 1e-3}),
    "rk4": ("gradient_flow", 300, 300, 15000, {"t_end": 1e-3, "method": "rk4"}),
    "rk4 with dt": ("gradient_flow", 300, 300, 15000, {"t_end": 1e-3, "dt": 1e-3}),
    "dopri5": ("gradient_flow", 300, 200, 12000, {"t_end": 1e-3, "method": "dopri5"}),
    "tangent": (
        "gradient_flow",
        400,
        5,
        6000,
        {"t_end": 30.0, "method": "tangent", "rtol": 1e-8},
    ),
    "sgd": (
        "sgd",
        2000,
        100,
        20000,
        {"lr": 1e-3, "batch_size": 500, "epochs": 1, "train_output": True},
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.xdist_group("memory")
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in ("descent", "sgd") else SLOW) for name in RUNS],
)
def test_the_peak_of_a_run_is_that_of_the_formula(name):
    """Refused below it; and what is said to be needed is needed, within 20 %."""
    train, n, d, m, settings = RUNS[name]
    code = RUN.format(train=train, n=n, d=d, m=m, settings=settings)
    printed = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    ).stdout
    limit, peak = map(int, printed.split())
    print(f"{name}: {limit / 1e6:.1f} MB said, {peak / 1e6:.1f} MB taken")
    assert limit >= 5e7
    assert peak <= 1.2 * limit
    assert peak >= 0.8 * limit


def test_what_no_memory_holds_is_refused_at_once():
    case = problem()
    record = af.Record(every=1, weights=True)
    with pytest.raises(MemoryError, match=r"gradient_descent: needs .* GB for n = 23, d = 11"):
        af.gradient_descent(case.net, case.X, case.y, steps=10**12, record=record)
    with pytest.raises(MemoryError, match="sgd: needs"):
        af.sgd(case.net, case.X, case.y, lr=0.1, batch_size=1, epochs=10**9, record=record)
    with pytest.raises(MemoryError, match="gradient_flow: needs"):
        af.gradient_flow(case.net, case.X, case.y, t_end=1e12, dt=0.1, record=record)
    # it may end before that
    run = af.gradient_descent(
        case.net, case.X, case.y, lr=0.1, steps=10**12, record=record, callback=lambda now: False
    )
    assert run.stopped


LIMITED = """
import resource
import numpy as np, asymfast as af

X = np.random.default_rng(0).standard_normal((4000, 5))
net = af.Network.init(5, 3000, 0.5, 0.7, rng=1)
net.ntg(X[:100].copy(), threads=2)  # the team is there before the limit
used = 4096 * int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)
record = af.Record(every=1, ntg_matrix=True, ntg_on="all")
calls = {
    "ntg": lambda: net.ntg(X, threads=2),
    "features": lambda: net.features(X, threads=2),
    "descent": lambda: af.gradient_descent(
        net, X, X[:, 0].copy(), steps=3, record=record, threads=2, stop=af.Stop(time=1e9)),
    "flow": lambda: af.gradient_flow(
        net, X, X[:, 0].copy(), t_end=3.0, record=af.Record(log=3, ntg_on="all"), threads=2),
    "eigenvalue": lambda: af.min_eigenvalue(np.broadcast_to(1.0, (2600, 2600)), threads=2),
}
for name, call in calls.items():
    try:
        call()
    except MemoryError:
        print(name)
print(net(X[:50].copy()).shape)
"""


@pytest.mark.xdist_group("memory")
@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_allocations_that_fail_raise_memory_error():
    """From any thread, and the process goes on."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["ntg", "features", "descent", "flow", "eigenvalue", "(50,)"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("part", "output"), [(None, 0), (None, 2), (1, 1), (2, 0)])
def test_operator_is_the_matrix(dtype, backend, part, output):
    case = problem(n=67, d=7, m=143, outputs=3, dtype=dtype)
    theta = af.NTGOperator(case.net, case.X, part=part, output=output, backend=backend)
    u = np.random.default_rng(5).standard_normal((67, 3)).astype(dtype)
    K = case.net.ntg(case.X, part=part, output=output).astype(np.float64)
    # The matrix' own bound, met by factors in dtype: J and J^T round each product as often.
    whole = bounds.ntg(case.model, case.x64, 4 * case.eps, output=output)
    allowed = (whole + 4 * (67 + 143) * case.eps * np.abs(K)) @ np.abs(u)
    for given in (u, np.ascontiguousarray(u[:, 0]), np.asfortranarray(u)):
        got = theta @ given
        assert got.dtype == case.net.dtype
        exact = K @ given.astype(np.float64)
        columns = np.atleast_2d(got.T).shape[0]
        assert np.all(np.abs(got - exact) <= allowed[:, :columns].reshape(got.shape))


def test_operator_against_the_oracle_and_for_any_threads():
    case = problem(n=50, d=20, m=300)
    u = np.random.default_rng(1).standard_normal(50)
    exact = oracles.ntg(case.model, case.x64) @ u
    products = [af.NTGOperator(case.net, case.X, threads=t) @ u for t in (1, 2, 3)]
    assert np.abs(products[0] - exact).max() <= 1e-12 * np.abs(exact).max()
    for other in products[1:]:
        assert_same_bits(products[0], other)


def test_operator_without_room_for_slopes_has_the_same_bits():
    case = problem(n=90, d=30, m=500)
    fixed = _core.planned_bytes("NTGOperator", n=90, d=30, m=500, k=1, B=1, itemsize=8)
    one, other = (af.NTGOperator(case.net, case.X, max_memory=b) for b in (None, fixed))
    assert_same_bits(one @ case.y, other @ case.y)
    with pytest.raises(ValueError, match="NTGOperator: max_memory must be at least"):
        af.NTGOperator(case.net, case.X, max_memory=fixed - 1)


def test_operator_serves_scipy():
    case = problem(n=60, d=9, m=400)
    largest = SCIPY.eigsh(
        af.NTGOperator(case.net, case.X).to_scipy(), k=1, return_eigenvectors=False, v0=case.y
    )
    exact = np.linalg.eigvalsh(case.net.ntg(case.X))[-1]
    assert abs(largest[0] - exact) <= 1e-10 * exact


def test_operator_outlives_the_arrays_it_was_made_of():
    case = problem(n=20, d=4, m=30)
    for backend in BACKENDS:
        X = case.X.copy()
        theta = af.NTGOperator(case.net, X, backend=backend)
        before = theta @ case.y
        X[:] = np.nan
        assert_same_bits(theta @ case.y, before)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"output": 1}, ValueError, "NTGOperator: output must be at most 0, got 1"),
        ({"part": 3}, ValueError, "part must be at most 2, got 3"),
        ({"threads": 0}, ValueError, "NTGOperator: threads must be at least 1, got 0"),
    ],
)
def test_operator_refuses(arguments, error, message):
    case = problem()
    with pytest.raises(error, match=message):
        af.NTGOperator(case.net, case.X, **arguments)


def test_operator_refuses_ensembles_and_wrong_vectors():
    case = problem()
    stack = af.Network.stack([case.net, case.net])
    with pytest.raises(ValueError, match="net must be a single network, got an ensemble of 2"):
        af.NTGOperator(stack, case.X)
    with pytest.raises(TypeError, match="NTGOperator: net must be a Network, got int"):
        af.NTGOperator(3, case.X)
    theta = af.NTGOperator(case.net, case.X)
    with pytest.raises(ValueError, match=r"NTGOperator: u must have shape \(23,\) or \(23, r\)"):
        theta @ np.zeros(22)
    with pytest.raises(TypeError, match="NTGOperator: u: expected dtype float64, got complex128"):
        theta @ np.zeros(23, complex)
