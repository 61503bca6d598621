"""The same bits for any number of threads, in a stack or alone, and every time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import asymfast as af
import numpy as np
import pytest
from cases import (
    BACKENDS,
    DTYPES,
    THREADS,
    as_float32,
    assert_same_bits,
    assert_same_run,
    problem,
    run_arrays,
    simulated,
)

RECORD = af.Record(every=5, weights=True)
TIMES = af.Record(times=[0.0, 0.7, 3.0], weights=True)

TRAINERS = {
    "descent": lambda net, X, y, **kw: af.gradient_descent(
        net, X, y, lr=0.5, steps=23, record=RECORD, **kw
    ),
    "flow": lambda net, X, y, **kw: af.gradient_flow(
        net, X, y, t_end=5.0, dt=0.25, record=TIMES, **kw
    ),
    "chosen flow": lambda net, X, y, **kw: af.gradient_flow(
        net, X, y, t_end=5.0, record=TIMES, **kw
    ),
}
trainers = pytest.mark.parametrize("train", TRAINERS.values(), ids=TRAINERS.keys())
dtypes = pytest.mark.parametrize("dtype", DTYPES)


def sized(dtype, seed=0, **sizes):
    """Large enough that three threads all get work, odd enough that their shares differ."""
    case = simulated(**{"n": 67, "d": 13, "m": 301, **sizes}, seed=seed)
    return as_float32(case) if dtype == "float32" else case


@dtypes
@pytest.mark.parametrize("sizes", [{}, {"n": 331, "d": 5, "m": 70}, {"d": 129, "outputs": 10}])
def test_kernels_do_not_depend_on_threads(dtype, sizes):
    case = problem(**{"n": 67, "d": 13, "m": 301, **sizes}, dtype=dtype)
    calls = {
        "forward": lambda threads: case.net(case.X, threads=threads),
        "features": lambda threads: case.net.features(case.X, threads=threads),
        "loss": lambda threads: case.net.loss(case.X, case.y, threads=threads),
        "gradients": lambda threads: case.net.node_gradients(case.X, case.y, threads=threads),
        "ntg": lambda threads: case.net.ntg(case.X, threads=threads),
        "cross": lambda threads: case.net.ntg(case.X, case.X[:31], threads=threads),
    }
    for call in calls.values():
        first, *others = (call(threads) for threads in THREADS)
        for other in others:
            assert_same_bits(first, other)


@dtypes
@trainers
@pytest.mark.parametrize(
    "sizes", [{}, {"n": 331, "d": 5, "m": 70}, {"outputs": 3}, {"m": 700, "d": 40}]
)
def test_runs_do_not_depend_on_threads(train, dtype, sizes):
    case = sized(dtype, **sizes)
    test = {"X_test": case.X[:29], "y_test": case.y[:29]}
    first, *others = (
        run_arrays(train(case.net, case.X, case.y, threads=threads, **test)) for threads in THREADS
    )
    for other in others:
        assert_same_run(first, other)


@dtypes
@trainers
@pytest.mark.parametrize("members", [2, 3, 5])
def test_member_of_a_stack_equals_its_single_run(train, dtype, members):
    cases = [sized(dtype, seed=seed, m=101) for seed in range(members)]
    X, y = (np.stack([getattr(case, name) for case in cases]) for name in "Xy")
    stack = af.Network.stack([case.net for case in cases])
    runs = [train(stack, X, y, threads=threads) for threads in THREADS]
    for b, case in enumerate(cases):
        alone = run_arrays(train(case.net, case.X, case.y, threads=1))
        for run in runs:
            # members with steps of their own share no step numbers; times and values they do
            assert_same_run(run_arrays(run, member=b), alone, skip=("steps",))


@dtypes
def test_member_with_shared_data_and_test_set(dtype):
    cases = [sized(dtype, seed=seed, m=101) for seed in range(3)]
    shared = cases[0]
    data = (shared.X, shared.y)
    test = {"X_test": shared.X[:29], "y_test": shared.y[:29]}
    run = TRAINERS["descent"](af.Network.stack([case.net for case in cases]), *data, **test)
    for b, case in enumerate(cases):
        alone = run_arrays(TRAINERS["descent"](case.net, *data, **test))
        assert_same_run(run_arrays(run, member=b), alone)


@pytest.mark.parametrize("backend", BACKENDS)
@trainers
def test_repeated_run_is_identical(train, backend):
    case = sized("float64", m=101)
    one, other = (run_arrays(train(case.net, case.X, case.y, backend=backend)) for _ in range(2))
    assert_same_run(one, other)


def test_threads_share_the_work_of_one_process():
    """Concurrent runs from Python threads get the bits of a lone run: no state is shared."""
    case = sized("float64", m=101)
    train = TRAINERS["descent"]
    alone = run_arrays(train(case.net, case.X, case.y, threads=2))
    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(train, case.net, case.X, case.y, threads=2) for _ in range(6)]
        for job in jobs:
            assert_same_run(run_arrays(job.result()), alone)
