"""Nodes over several processes, by real MPI: `mpi_checks` has what the ranks check."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import asymfast as af
import numpy as np
import pytest

pytest.importorskip("mpi4py")
MPIRUN = shutil.which("mpirun", path=str(Path(sys.executable).parent)) or shutil.which("mpirun")


def mpirun(ranks, *checks):
    if MPIRUN is None:
        pytest.skip("no mpirun")
    options = []
    version = subprocess.run([MPIRUN, "--version"], capture_output=True, text=True, check=False)
    if "Open MPI" in version.stdout or "prte" in version.stdout.lower():
        options = ["--oversubscribe", "--allow-run-as-root"]
    program = Path(__file__).with_name("mpi_checks.py")
    # mpi4py.run: an exception on one rank ends all of them, which would wait for it otherwise.
    command = [sys.executable, "-m", "mpi4py", str(program), *checks]
    done = subprocess.run(
        [MPIRUN, *options, "-n", str(ranks), *command],
        # Ranks that wait give way: there may be fewer cores than ranks.
        env={**os.environ, "OMP_NUM_THREADS": "1", "OMPI_MCA_mpi_yield_when_idle": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "all is well" in done.stdout


@pytest.mark.parametrize("ranks", [2, 3])
def test_same_results_as_one_process(ranks):
    mpirun(ranks, "same_results", "networks")


@pytest.mark.parametrize("ranks", [2, 3])
def test_flows(ranks):
    mpirun(ranks, "flows")


def test_large_networks_errors_and_ends():
    checks = "large", "errors", "callbacks", "failing_callback", "diverged_weights", "interrupted"
    mpirun(3, *checks)


@pytest.mark.parametrize("n", [9, 800])
def test_one_rank_has_the_bits_of_no_rank(n):
    """Without mpirun: COMM_SELF."""
    from mpi4py import MPI

    X, y = af.datasets.simulated(n, 3, rng=0)
    net = af.Network.init(3, 20, 0.5, 0.7, rng=1)
    run = af.gradient_descent(net, X, y, loss="mse", steps=20, comm=MPI.COMM_SELF)
    alone = af.gradient_descent(net, X, y, loss="mse", steps=20)
    for name, (_, values) in alone.columns().items():
        np.testing.assert_array_equal(run.columns()[name][1], values)
    np.testing.assert_array_equal(run.network.W, alone.network.W)
    assert isinstance(run.network, af.mpi.NetworkPart)
    assert not isinstance(af.mpi.gather(run, MPI.COMM_SELF).network, af.mpi.NetworkPart)
