"""Every instruction set that was built, and that this machine has, against the oracle.

They differ in the width of vectors and in whether products and sums are fused: in rounding and in
the order of sums, and in nothing else.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

import asymfast as af
import bounds
import numpy as np
import oracles
import pytest
from asymfast import _core
from cases import (
    ACTIVATIONS,
    DTYPES,
    THREADS,
    assert_same_run,
    assert_within,
    problem,
    run_arrays,
    simulated,
)
from test_import import in_fresh_process

ISAS = af.build_config()["isas_available"]
several = pytest.mark.skipif(
    len(ISAS) < 2, reason=f"one instruction set only ({', '.join(ISAS)}): built without the others"
)


@several
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_kernels(isa, activation, dtype):
    """Sizes that are no multiple of any vector, nor below the longest."""
    assert af.build_config()["isa"] == isa
    for n, d, m, outputs in ((23, 11, 37, 1), (5, 50, 131, 3), (67, 2, 17, 1)):
        case = problem(n, d, m, outputs, activation=activation, dtype=dtype)
        arguments = case.model, case.x64
        assert_within(
            case.net.features(case.X),
            oracles.features(*arguments),
            bounds.features(*arguments, case.eps),
        )
        assert_within(
            case.net(case.X), oracles.forward(*arguments), bounds.forward(*arguments, case.eps)
        )
        assert_within(
            case.net.node_gradients(case.X, case.y),
            oracles.node_gradients(*arguments, case.y64),
            bounds.node_gradients(*arguments, case.y64, "half_sse", case.eps),
        )
        assert_within(
            case.net.ntg(case.X), oracles.ntg(*arguments), bounds.ntg(*arguments, eps=case.eps)
        )


@pytest.mark.skipif("v2" not in ISAS, reason="built for one instruction set")
def test_a_processor_that_is_too_old_is_told_so():
    """On an emulated Core 2 of 2006, without SSE4.2: a sentence, no illegal instruction."""
    qemu = shutil.which("qemu-x86_64") or shutil.which("qemu-x86_64-static")
    if qemu is None:
        pytest.skip("no qemu-x86_64")
    # Only the extension: NumPy may be built for newer processors itself.
    code = (
        "import importlib.util, sys\n"
        "spec = importlib.util.spec_from_file_location('_core', sys.argv[1])\n"
        "try: spec.loader.exec_module(importlib.util.module_from_spec(spec))\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run(
        [qemu, "-cpu", "core2duo-v1", sys.executable, "-c", code, _core.__file__],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "x86-64-v2" in done.stdout, done.stderr


@several
def test_smallest_eigenvalue(isa):
    K = oracles.symmetric_with_spectrum(np.geomspace(1e-9, 1, 60), np.random.default_rng(0))
    # Promised: 1e-10 of the largest, and 1e-6 relative above that.
    assert abs(af.min_eigenvalue(K) - 1e-9) <= 1e-6 * 1e-9 + 2.3e-16 * 60


@several
@pytest.mark.parametrize("activation", ["swish", "relu", "erf"])
def test_descent_follows_the_oracle(isa, activation):
    """The promise for 1000 steps, checked on 100: 1e-10 in float64."""
    case = simulated(activation=activation)
    run = af.gradient_descent(case.net, case.X, case.y, lr=0.5, steps=100)
    weights = oracles.gradient_descent(case.model, case.X, case.y, 0.5, run.steps)
    exact = oracles.trajectory(case.model, weights, case.X, case.y)
    np.testing.assert_allclose(run.loss, exact.loss, rtol=1e-10)


@several
@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_do_not_matter(isa, dtype):
    case = problem(n=40, d=13, m=150, dtype=dtype)
    runs = [
        run_arrays(af.gradient_descent(case.net, case.X, case.y, lr=0.1, steps=9, threads=threads))
        for threads in THREADS
    ]
    for run in runs[1:]:
        assert_same_run(runs[0], run)


# --- chosen by the environment -------------------------------------------------------------------

REPORT = (
    "import asymfast as af, numpy as np; net = af.Network.init(3, 4, 1.0, rng=0); "
    "run = af.gradient_descent(net, np.ones((2, 3)), np.ones(2), steps=1); "
    "print(af.build_config()['isa'], run.config['isa'])"
)


@pytest.mark.parametrize("name", ISAS)
def test_environment_forces_one(name):
    assert in_fresh_process(REPORT, ASYMFAST_ISA=name) == [name, name]


def test_the_best_one_is_chosen():
    assert in_fresh_process(REPORT, ASYMFAST_ISA="") == [ISAS[-1]] * 2


def test_an_unknown_one_is_refused():
    code = "try: import asymfast\nexcept ImportError as error: print(error)"
    words = " ".join(in_fresh_process(code, ASYMFAST_ISA="v9"))
    names = ", ".join(ISAS)
    assert words == f"asymfast: ASYMFAST_ISA must be one of {names} on this machine, got 'v9'"
    with pytest.raises(ValueError, match="must be one of"):
        _core.use_isa("v9")
