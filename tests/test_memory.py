"""max_memory: the same bits within a stated peak, refused where it cannot be; NTGOperator."""

from __future__ import annotations

import subprocess
import sys

import asymfast as af
import bounds
import numpy as np
import oracles
import pytest
from asymfast import memory
from cases import BACKENDS, DTYPES, assert_same_bits, assert_same_run, problem, run_arrays

SCIPY = pytest.importorskip("scipy.sparse.linalg")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n2", [None, 41])
def test_ntg_in_pieces_has_the_same_bits(dtype, n2):
    case = problem(n=77, d=5, m=1500, dtype=dtype)
    X2 = None if n2 is None else np.ascontiguousarray(case.X[:n2])
    n, other = len(case.X), n2 or len(case.X)
    v = case.net.lam * case.net.a.astype(np.float64) ** 2
    fixed, least = memory.ntg_bytes(n, other, 5, v, case.net.dtype.itemsize)
    whole = case.net.ntg(case.X, X2)
    assert_same_bits(case.net.ntg(case.X, X2, max_memory=fixed + least), whole)
    assert_same_bits(case.net.ntg(case.X, X2, max_memory=fixed + 3 * least), whole)


def test_ntg_refuses_what_cannot_be_kept_to():
    case = problem(n=30, d=5, m=400)
    fixed, least = memory.ntg_bytes(30, 30, 5, case.net.lam, 8)
    with pytest.raises(ValueError, match=f"max_memory must be at least {fixed + least} bytes for"):
        case.net.ntg(case.X, max_memory=fixed + least - 1)
    with pytest.raises(TypeError, match="max_memory must be a real number, got '1 GB'"):
        case.net.ntg(case.X, max_memory="1 GB")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [3, 40])
def test_a_run_without_slopes_has_the_same_bits(dtype, d):
    case = problem(n=101, d=d, m=333, dtype=dtype)
    bare = af.Record(every=5, eigmin=False, ntg=False)
    fixed = memory.descent_bytes(101, d, 333, 1, 1, 0, 6, 2, case.net.dtype.itemsize)

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
from asymfast import memory

def peak():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])

n, d, m = 2500, 6, 6000
X = np.random.default_rng(0).standard_normal((n, d))
net = af.Network.init(d, m, 0.5, 0.7, rng=1)
net.ntg(X[:64].copy())                       # what the first call of all loads
fixed, least = memory.ntg_bytes(n, n, d, net.lam, 8)
limit = fixed + 4 * least
before = peak()
net.ntg(X, max_memory=limit)
print(limit, peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_peak_is_that_of_the_formula():
    """Within 20 %; the whole slopes, 120 MB, would more than double it."""
    printed = subprocess.run(
        [sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True
    ).stdout
    limit, peak = map(int, printed.split())
    assert 0.5 * limit <= peak <= 1.2 * limit


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
    fixed = memory.descent_bytes(90, 30, 500, 1, 1, 0, 0, 1, 8)
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
        ({"part": 3}, ValueError, "part must be None, 1 or 2, got 3"),
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
    with pytest.raises(TypeError, match="NTGOperator: u: expected dtype float64, got float32"):
        theta @ np.zeros(23, np.float32)
