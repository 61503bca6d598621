"""Sweeps on Dask: a scheduler and workers, each a process of its own, over TCP."""

from __future__ import annotations

import sys
import warnings

import asymfast as af
import joblib
import pytest
from asymfast.study.runner import planned
from asymfast.study.store import Store
from test_sweep import BASE, FAILING, GRID, LONG, Killer, assert_made_alone, changed, sweeping

distributed = pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals"),
    # Of Dask itself, when connections and loops end.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def cluster():
    with (
        warnings.catch_warnings(),
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="tcp://127.0.0.1",
            dashboard_address=":0",
        ) as cluster,
    ):
        warnings.simplefilter("ignore")
        yield cluster


def test_workers_over_tcp(cluster, tmp_path):
    """One of them is killed in mid-run; its run goes on elsewhere, to the same bits."""
    assert cluster.scheduler_address.startswith("tcp://127.0.0.1:")
    configs = [*({**LONG["base"], "seed": seed} for seed in range(3)), FAILING]
    killer = Killer(tmp_path, kills=1)
    result = af.sweep(
        configs,
        out=tmp_path,
        client=cluster.scheduler_address,
        checkpoint_every=0.02,
    )
    killer.join()
    assert len(killer.killed) == 1
    assert (len(result.made), len(result.failed), result.left) == (3, 1, [])
    assert_made_alone(tmp_path, [result.configs[key] for key in result.made])
    pids = {info["pid"] for _, _, info in Store(tmp_path).items()}
    assert pids.isdisjoint(killer.killed)
    assert not list(tmp_path.glob("unfinished/*.ckpt"))


def test_with_a_client_beside_a_local_sweep(cluster, tmp_path):
    """The client stays open; each run is made once by one of the two."""
    grid = {**GRID, "grid": {**GRID["grid"], "seed": list(range(8))}}
    with (
        sweeping(tmp_path, grid) as local,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        result = af.sweep(grid, out=tmp_path, client=client)
        assert client.status == "running"
        _, errors = local.communicate(timeout=120)
    assert local.returncode == 0, errors
    assert result.complete
    assert len(list(Store(tmp_path).items())) == 16


@pytest.mark.slow
def test_a_run_that_kills_its_workers_is_given_up(cluster, tmp_path):
    """The scheduler repeats it as often as it may; the others are repeated whatever happens."""
    grid = {"runs": [LONG["base"], *(changed({"seed": seed}) for seed in range(1, 5))]}
    first, *others = (config.table() for config in planned(grid, None).configs.values())
    killer = Killer(tmp_path, kills=4, key=Store.key(first))  # one more than the scheduler allows
    result = af.sweep(grid, out=tmp_path, client=cluster.scheduler_address, retries=1)
    killer.join()
    assert result.failed.keys() == {Store.key(first)}
    message = Store(tmp_path).failures()[Store.key(first)]["message"]
    assert "its worker process died 4 times" in message
    assert_made_alone(tmp_path, others)


def test_dask_by_joblib(cluster, tmp_path):
    with distributed.Client(cluster), joblib.parallel_config(backend="dask"):
        result = af.sweep(GRID, out=tmp_path)
    assert result.complete
    assert_made_alone(tmp_path, result.configs.values())


def test_no_scheduler(tmp_path):
    import dask

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(OSError, match=r"127\.0\.0\.1:1"),
    ):
        af.sweep([BASE], out=tmp_path, client="tcp://127.0.0.1:1")
