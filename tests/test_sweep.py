"""Sweeps: the runs' own numbers, whoever makes them, whatever dies in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import asymfast as af
import numpy as np
import pytest
from asymfast.cli import main
from asymfast.sweeps.backends.joblib import JoblibBackend
from asymfast.sweeps.parameters import flat, nested
from asymfast.sweeps.store import Store
from asymfast.sweeps.work import Task

pytest.importorskip("joblib")
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

BASE = {
    "data": {"name": "simulated", "n": 12, "d": 4, "n_test": 5},
    "network": {"m": 10, "gamma": 0.5, "alpha": 0.7},
    "train": {"trainer": "gradient_descent", "steps": 40, "lr": 0.5},
    "record": {"every": 10},
}


def changed(values):
    """The config with some of its parameters, by their full names, set to other values."""
    return nested("test", {**flat(BASE), **values})


GRID = {"base": BASE, "grid": {"seed": [0, 1], "network.gamma": [1.0, 0.5]}}
# Some seconds each, so that there is time to kill it.
LONG = {"base": changed({"train.steps": 150_000, "record.every": 50_000})}
# Its arguments are fine, but the tangent method cannot do relu.
FAILING = {
    **changed({"network.activation": "relu"}),
    "train": {"trainer": "gradient_flow", "t_end": 1.0, "method": "tangent"},
}


def assert_made_alone(folder, configs):
    """Every result has the bits of the run made here, without a sweep."""
    store = Store(folder, create=False)
    for config in configs:
        arrays, info = store.load(config)
        run = af.train_config(config)
        columns = run.columns()
        assert arrays.keys() == columns.keys()
        for name, (axes, values) in columns.items():
            np.testing.assert_array_equal(arrays[name], values)
            assert tuple(info["axes"][name]) == axes
        assert {**info["run"], "threads": 0} == {**run.config, "threads": 0}


def wait_for(condition, seconds=60):
    """The condition's value, once it is true."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)
    return value


def holders(folder, *, begun=False):
    """Processes that are at a run, by its key; with `begun`, only where there is a checkpoint."""
    found = {}
    for claim in folder.glob("claims/*.*"):
        key = claim.stem
        if claim.name.startswith(".") or (folder / "runs" / f"{key}.npz").exists():
            continue
        if begun and not (folder / "unfinished" / f"{key}.ckpt").exists():
            continue
        try:
            if claim.stat().st_mtime > 0:
                found[key] = json.loads(claim.read_text())["pid"]
        except (FileNotFoundError, ValueError):
            continue
    return found


class Killer(threading.Thread):
    """Kills processes in the midst of runs."""

    def __init__(self, folder, kills, key=None):
        super().__init__(daemon=True)
        self.folder, self.kills, self.key, self.killed = folder, kills, key, []
        self.start()

    def run(self):
        end = time.monotonic() + 60
        while len(self.killed) < self.kills and time.monotonic() < end:
            for key, pid in holders(self.folder, begun=self.key is None).items():
                if pid not in self.killed and key == (self.key or key):
                    assert pid != os.getpid()
                    os.kill(pid, signal.SIGKILL)
                    self.killed.append(pid)
                    break
            time.sleep(0.005)


# --- Local processes -----------------------------------------------------------------------------


def test_runs_are_made_found_and_loaded(tmp_path):
    pytest.importorskip("xarray")
    lines = []
    result = af.sweep(GRID, out=tmp_path, jobs=2, progress=lambda *line: lines.append(line))
    assert result.complete
    assert len(result.made) == 4 == len(result.configs)
    assert [line[:2] for line in lines] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert any(line[2].startswith("gamma=1.0 seed=1: finished, loss ") for line in lines)
    assert_made_alone(tmp_path, result.configs.values())
    files = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*")}
    assert len(files) == 4
    again = af.sweep(GRID, out=tmp_path)
    assert again.found == list(result.configs)
    assert again.made == []
    more = {**GRID, "grid": {**GRID["grid"], "seed": [1, 2]}}
    result = af.sweep(more, out=tmp_path, jobs=1)
    assert (len(result.found), len(result.made)) == (2, 2)
    assert all(path.stat().st_mtime_ns == files[path] for path in files)
    assert not list(tmp_path.glob("claims/*"))
    assert not list(tmp_path.glob("unfinished/*"))

    ds = af.load_sweep(tmp_path)
    assert ds.sizes == {"run": 6, "record": 5, "node": 10}
    np.testing.assert_array_equal(ds.step, [0, 10, 20, 30, 40])
    np.testing.assert_array_equal(ds.time, [0, 5, 10, 15, 20])
    order = list(zip(ds.gamma.values, ds.seed.values, strict=True))
    assert order == [(gamma, seed) for gamma in (0.5, 1.0) for seed in (0, 1, 2)]
    grid = ds.set_index(run=["gamma", "seed"]).unstack("run")
    for gamma in (1.0, 0.5):
        for seed in (0, 1, 2):
            run = af.train_config(changed({"seed": seed, "network.gamma": gamma}))
            of = grid.sel(gamma=gamma, seed=seed)
            for name in ("loss", "test_loss", "ntg_eigmin"):
                np.testing.assert_array_equal(of[name].values, getattr(run, name))
            moved = of.weight_change.transpose("record", "node")
            np.testing.assert_array_equal(moved.values, run.weight_change)
    assert not ds.diverged.any()
    assert ds.attrs["network.m"] == 10
    assert ds.attrs["train.steps"] == 40
    assert sorted(result.load().seed.values) == [1, 1, 2, 2]


def test_runs_of_all_kinds_in_one_data_set(tmp_path):
    """Of different trainers, widths, lengths; diverged ones."""
    pytest.importorskip("xarray")
    variants = [
        {},
        {"network.m": 7, "train.steps": 20},
        {"network.dtype": "float32"},
        {"train.lr": 1e6},
        {"stop.loss": 5.0, "network.activation": "tanh"},
    ]
    flow = {**BASE, "train": {"trainer": "gradient_flow", "t_end": 3.0}, "record": {}}
    sgd = {**BASE, "train": {"trainer": "sgd", "lr": 0.1, "batch_size": 5, "epochs": 3}}
    result = af.sweep([*map(changed, variants), flow, sgd], out=tmp_path, jobs=2)
    assert result.complete
    keys = list(result.configs)
    assert result.diverged == [keys[3]]
    for key, config in result.configs.items():
        if key != keys[3]:
            assert_made_alone(tmp_path, [config])
    ds = result.load()
    np.testing.assert_array_equal(ds.key, keys)
    np.testing.assert_array_equal(ds.diverged, [False] * 3 + [True] + [False] * 3)
    np.testing.assert_array_equal(ds.m, [10, 7, 10, 10, 10, 10, 10])
    assert list(ds.trainer.values) == ["gradient_descent"] * 5 + ["gradient_flow", "sgd"]
    np.testing.assert_array_equal(ds.lr, [0.5, 0.5, 0.5, 1e6, 0.5, np.nan, 0.1])
    np.testing.assert_array_equal(ds.train_steps, [40, 20, 40, 40, 40, np.nan, np.nan])
    np.testing.assert_array_equal(ds.batch_size, [np.nan] * 6 + [5])
    assert ds.sizes["node"] == 10
    assert ds.sizes["record"] == 51
    narrow = ds.isel(run=1)
    assert np.isnan(narrow.weight_change[:, 7:]).all()
    assert np.isfinite(narrow.weight_change[:3, :7]).all()
    np.testing.assert_array_equal(narrow.steps, [0, 10, 20] + [-1] * 48)
    assert np.isnan(narrow.loss[3:]).all()


def test_threads_and_jobs(tmp_path):
    """Whatever their numbers, the same bits; cores are shared out among the jobs."""
    from joblib import cpu_count

    one = changed({"network.m": 500})
    for jobs, threads in ((1, None), (1, 2), (2, None)):
        configs = [{**one, "seed": seed} for seed in (0, 1)]
        out = tmp_path / f"{jobs} {threads}"
        result = af.sweep(configs, out=out, jobs=jobs, threads=threads)
        assert_made_alone(out, result.configs.values())
        for _, _, info in Store(out).items():
            assert info["run"]["threads"] == (threads or max(1, cpu_count() // jobs))


def test_a_failing_run_is_recorded_and_not_fatal(tmp_path):
    configs = [BASE, FAILING, {**BASE, "seed": 1}]
    result = af.sweep(configs, out=tmp_path, jobs=2)
    assert not result.complete
    assert len(result.made) == 2
    ((key, message),) = result.failed.items()
    assert key == Store.key(af.sweeps.plan.planned([FAILING], None).configs[0])
    assert message.startswith("ValueError: gradient_flow: ")
    failure = Store(tmp_path).failures()[key]
    assert "Traceback" in failure["message"]
    assert failure["config"]["network"]["activation"] == "relu"
    assert_made_alone(tmp_path, [result.configs[key] for key in result.made])
    again = af.sweep(configs, out=tmp_path, jobs=1)  # it is tried again
    assert (len(again.found), len(again.failed)) == (2, 1)


@POSIX
def test_killed_workers_runs_go_on(tmp_path):
    """From their checkpoints, to the same bits; the other worker's runs are not disturbed."""
    grid = {**LONG, "grid": {"seed": [0, 1, 2]}}
    killer = Killer(tmp_path, kills=2)
    result = af.sweep(grid, out=tmp_path, jobs=2, threads=1, checkpoint_every=0.02)
    killer.join()
    assert len(killer.killed) == 2
    assert result.complete
    assert_made_alone(tmp_path, result.configs.values())
    assert not list(tmp_path.glob("claims/*"))


@POSIX
def test_a_run_that_kills_its_workers_is_given_up(tmp_path):
    grid = {**LONG, "grid": {"seed": [0, 1]}}
    first, second = af.sweeps.plan.planned(grid, None).configs
    killer = Killer(tmp_path, kills=2, key=Store.key(first))
    result = af.sweep(grid, out=tmp_path, jobs=2, threads=1, retries=1)
    killer.join()
    assert result.failed.keys() == {Store.key(first)}
    assert "its worker process died 2 times" in result.failed[Store.key(first)]
    assert Store.key(first) in Store(tmp_path).failures()
    assert_made_alone(tmp_path, [second])


SWEEP = """
import sys
import asymfast as af
grid = {grid!r}
result = af.sweep(grid, out=sys.argv[1], jobs=2, threads=1, checkpoint_every=0.02)
print(len(result.found), len(result.made), result.complete)
"""


def sweeping(folder, grid):
    return subprocess.Popen(
        [sys.executable, "-c", SWEEP.format(grid=grid), folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_sweeps_share_a_folder(tmp_path):
    """Each run is made once, and both end when all are made."""
    grid = {**GRID, "grid": {**GRID["grid"], "seed": list(range(15))}}
    both = [sweeping(tmp_path, grid) for _ in range(2)]
    made = 0
    for one in both:
        said, errors = one.communicate(timeout=120)
        assert one.returncode == 0, errors
        found, _, complete = said.split()
        assert complete == "True"
        made = max(made, 30 - int(found))
    assert made == 30 == len(list(Store(tmp_path).items()))
    by_process = {}
    for _, _, info in Store(tmp_path).items():
        by_process[info["pid"]] = by_process.get(info["pid"], 0) + 1
    assert not Store(tmp_path).failures()
    assert not list(tmp_path.glob("claims/*"))


@POSIX
def test_interrupted_sweep_goes_on(tmp_path):
    """Ctrl-C: finished runs are kept, the others have written a checkpoint, nothing is left."""
    short = changed({"train.steps": 1000, "seed": 0})
    long = {"train.steps": 1_500_000, "record.every": 500_000}
    grid = [short, *(changed({**long, "seed": seed}) for seed in (1, 2, 3))]
    process = sweeping(tmp_path, grid)
    wait_for(lambda: list(tmp_path.glob("runs/[!.]*")))
    workers = wait_for(lambda: len(now := holders(tmp_path)) == 2 and now)
    time.sleep(0.2)  # from the claim of a run to its first step
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (-signal.SIGINT, 130, 1)
    assert "KeyboardInterrupt" in errors
    for pid in workers.values():
        wait_for(lambda pid=pid: not running(pid))
    finished = len(list(Store(tmp_path).items()))
    assert 1 <= finished < 4
    assert list(tmp_path.glob("unfinished/[!.]*"))
    result = af.sweep(grid, out=tmp_path, jobs=2)
    assert (len(result.found), result.complete) == (finished, True)
    assert_made_alone(tmp_path, result.configs.values())


@POSIX
def test_workers_of_a_killed_sweep_end(tmp_path):
    grid = {
        "base": changed({"train.steps": 10**9, "record.every": 10**8}),
        "grid": {"seed": [0, 1]},
    }
    process = sweeping(tmp_path, grid)
    workers = wait_for(lambda: len(now := holders(tmp_path)) == 2 and now)
    process.kill()
    process.communicate()
    for pid in workers.values():
        wait_for(lambda pid=pid: not running(pid))
    assert len(list(tmp_path.glob("unfinished/[!.]*.ckpt"))) == 2


def running(pid):
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return os.path.exists("/proc/self")


def test_waiting_for_others(tmp_path):
    """A run that somebody else has is left alone, or waited for."""
    (config,) = af.sweeps.plan.planned([BASE], None).configs
    store = Store(tmp_path)
    with store.claim(config):
        result = af.sweep([BASE], out=tmp_path, wait=False)
        assert result.left == [Store.key(config)]
        assert not result.complete
        sweeps = []
        thread = threading.Thread(target=lambda: sweeps.append(af.sweep([BASE], out=tmp_path)))
        thread.start()
        time.sleep(0.5)
        assert not sweeps
    thread.join(timeout=60)
    assert sweeps[0].complete
    assert_made_alone(tmp_path, [config])


def test_checkpoint_of_another_version_is_begun_anew(tmp_path):
    (config,) = af.sweeps.plan.planned([BASE], None).configs
    Store(tmp_path).checkpoint(config).write_bytes(b"asymfast checkpoint 0\n")
    assert af.sweep([BASE], out=tmp_path).complete
    assert_made_alone(tmp_path, [config])


# --- joblib's backends ---------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_backends_of_joblib(backend, tmp_path):
    result = af.sweep(
        [*({**BASE, "seed": s} for s in range(4)), FAILING], out=tmp_path, jobs=2, backend=backend
    )
    assert len(result.made) == 4
    assert len(result.failed) == 1
    assert_made_alone(tmp_path, [result.configs[key] for key in result.made])


@POSIX
def test_worker_of_joblib_is_killed(tmp_path):
    """All that was going on is lost then, and done again."""
    grid = {**LONG, "grid": {"seed": [0, 1, 2]}}
    killer = Killer(tmp_path, kills=1)
    result = af.sweep(grid, out=tmp_path, backend="loky", jobs=2, checkpoint_every=0.02)
    killer.join()
    assert len(killer.killed) == 1
    assert result.complete
    assert_made_alone(tmp_path, result.configs.values())


def test_worker_of_joblib_dies_behind_its_result(tmp_path):
    """The result is there, and its claim still as well: that run is not to be made again."""
    store = Store(tmp_path)

    class Dying(JoblibBackend):
        def _parallel(self, numbered):
            assert holding.enter_context(store.claim(BASE))
            store.save(BASE, {"loss": np.zeros(1)})
            raise RuntimeError("a worker died")

    task = Task(str(tmp_path), BASE, 1, None, 60.0, 600.0)
    with ExitStack() as holding, Dying("loky", jobs=1, retries=1) as backend:
        outcomes = list(backend.run([task]))
    assert [(i, outcome.status) for i, outcome in outcomes] == [(0, "finished")]


def test_registered_and_unknown_backends(tmp_path):
    joblib = pytest.importorskip("joblib")
    seen = []

    class Registered(joblib._parallel_backends.SequentialBackend):
        supports_return_generator = False  # as of older ones

        def submit(self, *arguments, **keywords):
            seen.append(1)
            return super().submit(*arguments, **keywords)

    joblib.register_parallel_backend("of a test", Registered)
    result = af.sweep(GRID, out=tmp_path / "a", backend="of a test")
    assert result.complete
    with pytest.raises(ValueError, match=r"backend must be one of local, dask, .* got 'ray'"):
        af.sweep(GRID, out=tmp_path / "b", backend="ray")


# --- The command ---------------------------------------------------------------------------------

TOML = """
[base]
data = { name = "simulated", n = 12, d = 4 }
network = { m = 10, gamma = 1 }
train = { trainer = "gradient_descent", steps = 40, lr = 0.5 }
[grid]
seed = [0, 1]
"""


def test_command(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grid.toml").write_text(TOML)
    assert main(["sweep", "grid.toml", "--dry-run"]) == 0
    said = capfd.readouterr().out
    assert "seed=1" in said
    assert "2 runs, 0 finished, 2 to make; in asymfast-grid" in said
    assert not (tmp_path / "asymfast-grid").exists()
    assert main(["sweep", "grid.toml", "--jobs", "2"]) == 0
    said = capfd.readouterr().out
    assert "[2/2] seed=" in said
    assert "2 runs: 2 made; in " in said
    assert main(["sweep", "grid.toml"]) == 0
    assert "2 runs: 2 already there" in capfd.readouterr().out
    assert main(["sweep", "grid.toml", "--dry-run"]) == 0
    assert "2 runs, 2 finished, 0 to make" in capfd.readouterr().out


def test_command_says_what_is_wrong(tmp_path, capfd):
    grid, out = tmp_path / "grid.toml", tmp_path / "out"
    command = ["sweep", str(grid), "--out", str(out)]
    assert main(command) == 2
    assert "asymfast sweep: cannot read" in capfd.readouterr().err
    grid.write_text(TOML.replace("steps", "stpes"))
    assert main(command) == 2
    said = capfd.readouterr().err
    assert said.startswith("asymfast sweep: config 0 of 2: unknown key train.stpes; did you mean")
    assert said.count("\n") == 1
    assert not out.exists()
    grid.write_text(TOML)
    assert main([*command, "--backend", "slurm"]) == 2
    assert "backend must be one of local, dask" in capfd.readouterr().err
    failing = TOML.replace("gamma = 1 }", 'gamma = 1, activation = "relu" }').replace(
        '"gradient_descent", steps = 40, lr = 0.5', '"gradient_flow", t_end = 1, method = "tangent"'
    )
    grid.write_text(failing)
    assert main([*command, "--jobs", "1"]) == 1
    captured = capfd.readouterr()
    assert "failed, ValueError: gradient_flow" in captured.out
    assert "2 runs failed and 0 are not there yet" in captured.err
    assert main([*command, "--dry-run"]) == 0
    assert "2 runs, 0 finished, 2 to make" in capfd.readouterr().out
    out.joinpath("asymfast-store.json").unlink()
    assert main(command) == 2
    assert "is not a folder of results: it holds" in capfd.readouterr().err
