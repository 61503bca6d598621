"""Python's threads may share networks, operators and data: what they get are the bits of one."""

from __future__ import annotations

import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor

import asymfast as af
import numpy as np
import pytest
from cases import assert_same_run, problem, run_arrays


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python has a GIL")
def test_the_extension_does_not_bring_the_gil_back():
    assert not sys._is_gil_enabled()


def test_threads_share_everything():
    case = problem(n=30, d=7, m=90)
    net, X, y = case.net, case.X, case.y
    theta, U = af.NTGOperator(net, X), np.eye(30)[:, :4].copy()
    record = af.Record(steps=[0, 5], weights=True)

    calls = {
        "outputs": lambda: net(X),
        "gradients": lambda: net.node_gradients(X, y),
        "ntg": lambda: net.ntg(X),
        "product": lambda: theta @ U,
        "eigenvalue": lambda: np.float64(af.min_eigenvalue(net.ntg(X))),
    }
    alone = {name: call() for name, call in calls.items()}

    def descent():
        return run_arrays(af.gradient_descent(net, X, y, lr=0.1, steps=20, record=record))

    run_alone = descent()
    with ThreadPoolExecutor(4) as pool:
        jobs = [(name, pool.submit(call)) for name, call in calls.items() for _ in range(25)]
        runs = [pool.submit(descent) for _ in range(12)]
        for name, job in jobs:
            np.testing.assert_array_equal(job.result(), alone[name], err_msg=name)
        for run in runs:
            assert_same_run(run.result(), run_alone)
