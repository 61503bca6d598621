"""Sweeps: the runs' own numbers, whoever makes them, whatever dies in between."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import asymfast as af
import numpy as np
import pytest
from asymfast.cli import main
from asymfast.study import stages
from asymfast.study.config import flat, nested
from asymfast.study.runner import planned
from asymfast.study.store import Store

joblib = pytest.importorskip("joblib")
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

BASE = {
    "data": {"name": "simulated", "n": 12, "d": 4, "n_test": 5},
    "network": {"m": 10, "gamma": 0.5, "alpha": 0.7},
    "train": {"trainer": "gradient_descent", "steps": 40, "lr": 0.5},
    "record": {"every": 10},
}


def changed(values):
    """The config with some of its parameters, by their full names, set to other values."""
    return nested({**flat(BASE), **values})


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


def only_config(config):
    """The table of a configuration as the store knows it."""
    ((_, parsed),) = planned([config], None).configs.items()
    return parsed.table()


def holders(folder, *, begun=False):
    """The process that began each unfinished run; with `begun`, only if it has a checkpoint."""
    found = {}
    for path in folder.glob("unfinished/*.begun"):
        finished = (folder / "runs" / f"{path.stem}.npz").exists()
        with contextlib.suppress(FileNotFoundError, IndexError):
            if not finished and (not begun or path.with_suffix(".ckpt").exists()):
                found[path.stem] = int(path.read_text().splitlines()[-1].split()[0])
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
    again = af.sweep(GRID, out=tmp_path, progress=np.False_)
    assert again.found == list(result.configs)
    assert again.made == []
    more = {**GRID, "grid": {**GRID["grid"], "seed": [1, 2]}}
    result = af.sweep(more, out=tmp_path, jobs=1)
    assert (len(result.found), len(result.made)) == (2, 2)
    assert all(path.stat().st_mtime_ns == files[path] for path in files)
    assert not list(tmp_path.glob("locks/*"))
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


@pytest.mark.parametrize("configs", [3, "runs", {"seed": 0}])
def test_configs_to_load_are_a_sequence(configs, tmp_path):
    Store(tmp_path)
    with pytest.raises(TypeError, match="load_sweep: configs must be a sequence of configurat"):
        af.load_sweep(tmp_path, configs)


def test_scaling_and_seed_are_always_told(tmp_path):
    """Also where they are the same in all runs."""
    pytest.importorskip("xarray")
    ds = af.sweep([BASE, changed({"train.lr": 0.25})], out=tmp_path, jobs=1).load()
    assert (ds.gamma.values.tolist(), ds.alpha.values.tolist()) == ([0.5, 0.5], [0.7, 0.7])
    assert ds.seed.values.tolist() == [0, 0]
    assert ds.lr.values.tolist() == [0.5, 0.25]


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


def test_a_column_that_only_the_shorter_and_narrower_run_has(tmp_path):
    pytest.importorskip("xarray")
    short = changed({"record.weights": True, "network.m": 7, "train.steps": 20})
    ds = af.sweep([changed({}), short], out=tmp_path, jobs=1).load()
    assert ds.weights.shape == (2, 5, 10, 4)
    np.testing.assert_array_equal(ds.weights[1, :3, :7], af.train_config(short).weights)
    assert np.isnan(ds.weights[0]).all()
    assert np.isnan(ds.weights[1, 3:]).all()


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
    assert key == Store.key(only_config(FAILING))
    assert message.startswith("ValueError: gradient_flow: ")
    failure = Store(tmp_path).failures()[key]
    assert "Traceback" in failure["message"]
    assert failure["config"]["network"]["activation"] == "relu"
    assert_made_alone(tmp_path, [result.configs[key] for key in result.made])
    again = af.sweep(configs, out=tmp_path, jobs=1)  # it is tried again
    assert (len(again.found), len(again.failed)) == (2, 1)


@pytest.mark.slow
@POSIX
def test_runs_of_killed_workers_resume(tmp_path):
    """From their checkpoints, to the same bits."""
    grid = {**LONG, "grid": {"seed": [0, 1, 2]}}
    killer = Killer(tmp_path, kills=1)
    result = af.sweep(grid, out=tmp_path, jobs=2, threads=1, checkpoint_every=0.02)
    killer.join()
    assert len(killer.killed) == 1
    assert result.complete
    assert_made_alone(tmp_path, result.configs.values())
    assert not list(tmp_path.glob("locks/*"))


@POSIX
@pytest.mark.slow
def test_a_run_that_kills_its_workers_is_given_up(tmp_path):
    """But not the run beside it, whose worker is lost at the same time."""
    grid = {**LONG, "grid": {"seed": [0, 1]}}
    first, second = (config.table() for config in planned(grid, None).configs.values())
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
result = af.sweep(grid, out=sys.argv[1], jobs=2, threads=1, checkpoint_every={every})
print(len(result.found), len(result.made), result.complete)
"""


def sweeping(folder, grid, checkpoint_every=0.02):
    return subprocess.Popen(
        [sys.executable, "-c", SWEEP.format(grid=grid, every=checkpoint_every), folder],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_two_sweeps_share_a_folder(tmp_path):
    """Each run is computed once, and both end when all are finished."""
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
    assert not Store(tmp_path).failures()
    assert not list(tmp_path.glob("locks/*"))


@POSIX
@pytest.mark.parametrize("group", [pytest.param(False, marks=pytest.mark.slow), True])
def test_interrupted_sweep_resumes(tmp_path, group):
    """Ctrl-C: finished runs are kept, the others have written a checkpoint.

    A terminal sends the signal to the workers, too.
    """
    short = changed({"train.steps": 1000, "seed": 0})
    # A second and more each: neither may end before the interrupt has come to it.
    long = {"train.steps": 1_500_000, "record.every": 500_000}
    grid = [short, *(changed({**long, "seed": seed}) for seed in (1, 2))]
    process = sweeping(tmp_path, grid, checkpoint_every=1000)
    wait_for(lambda: list(tmp_path.glob("runs/[!.]*")))
    wait_for(lambda: len(holders(tmp_path)) == 2)
    time.sleep(0.4)  # from the lock of a run to its first step
    os.killpg(process.pid, signal.SIGINT) if group else process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (-signal.SIGINT, 130, 1)
    assert "KeyboardInterrupt: interrupted; the same sweep resumes" in errors
    finished = len(list(Store(tmp_path).items()))
    assert finished == 1
    checkpoints = list(tmp_path.glob("unfinished/[!.]*.ckpt"))
    assert len(checkpoints) == 2, "every run that had begun has written one"
    assert not list(tmp_path.glob("unfinished/.stop*"))
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


def test_waiting_for_others(tmp_path, monkeypatch):
    """A run that another process is working on is skipped, or waited for."""
    config = only_config(BASE)
    store = Store(tmp_path)
    waiting = threading.Event()
    monkeypatch.setattr(stages.time, "sleep", lambda _: waiting.set())
    with store.lock(config):
        result = af.sweep([BASE], out=tmp_path, jobs=1, wait=False)
        assert result.left == [Store.key(config)]
        assert not result.complete
        sweeps = []
        thread = threading.Thread(
            target=lambda: sweeps.append(af.sweep([BASE], out=tmp_path, jobs=1))
        )
        thread.start()
        assert waiting.wait(60)
        assert not sweeps
    thread.join(timeout=60)
    assert sweeps[0].complete
    assert_made_alone(tmp_path, [config])


def test_run_with_a_checkpoint_of_another_version_starts_again(tmp_path):
    config = only_config(BASE)
    Store(tmp_path).checkpoint(config).write_bytes(b"asymfast checkpoint 0\n")
    assert af.sweep([BASE], out=tmp_path).complete
    assert_made_alone(tmp_path, [config])


# --- joblib's backends ---------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["threading", "loky", "sequential"])
def test_backends_of_joblib(backend, tmp_path):
    with joblib.parallel_config(backend=backend, n_jobs=2):
        result = af.sweep([*({**BASE, "seed": s} for s in range(4)), FAILING], out=tmp_path)
    assert len(result.made) == 4
    assert len(result.failed) == 1
    assert_made_alone(tmp_path, [result.configs[key] for key in result.made])


def test_registered_backends(tmp_path):
    """As those of other packages, with workers of their own; older ones return no generator."""
    seen = []

    class Registered(joblib._parallel_backends.SequentialBackend):
        supports_return_generator = False

        def submit(self, *arguments, **keywords):
            seen.append(1)
            return super().submit(*arguments, **keywords)

    joblib.register_parallel_backend("of a test", Registered)
    with joblib.parallel_config(backend="of a test"):
        result = af.sweep(GRID, out=tmp_path)
    assert result.complete
    assert {info["run"]["threads"] for _, _, info in Store(tmp_path).items()} == {1}


def test_backend_that_breaks_down_is_an_error(tmp_path):
    """Nothing was begun, so that it is not for a run that it broke."""

    class Broken(joblib._parallel_backends.SequentialBackend):
        def effective_n_jobs(self, n_jobs):
            raise RuntimeError("no connection")

    joblib.register_parallel_backend("broken", Broken)
    with joblib.parallel_config(backend="broken"), pytest.raises(RuntimeError, match="no conn"):
        af.sweep(GRID, out=tmp_path)


def test_pruning_and_transfer_are_stages_of_a_run(tmp_path):
    """With results of their own, so that another plan does not train again."""
    config = {**BASE, "pruning": {}}
    result = af.sweep([config], out=tmp_path, jobs=1)
    assert result.complete
    kinds = {c.get("kind", "training"): arrays for c, arrays, _ in Store(tmp_path).items()}
    assert kinds["pruning"]["kept"].tolist() == list(range(1, 11))
    run = af.train_config(config)
    np.testing.assert_array_equal(kinds["training"]["W"], run.network.W)
    X, y = af.datasets.simulated(5, 4, rng=[0, 3])
    assert abs(kinds["pruning"]["test_loss"][-1] - run.network.loss(X, y)) <= 1e-12
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*")}
    other = {**config, "pruning": {"kind": "authors"}}
    assert af.sweep([other], out=tmp_path, jobs=1).complete
    assert len(list(tmp_path.glob("runs/*"))) == 3
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert af.load_sweep(tmp_path).sizes["run"] == 1


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
    assert "2 runs, 0 finished, 2 to compute; in asymfast-grid" in said
    assert not (tmp_path / "asymfast-grid").exists()
    assert main(["sweep", "grid.toml", "--jobs", "2"]) == 0
    said = capfd.readouterr().out
    assert "[2/2] seed=" in said
    assert "2 runs: 2 made; in " in said
    assert main(["sweep", "grid.toml"]) == 0
    assert "2 runs: 2 already there" in capfd.readouterr().out
    assert main(["sweep", "grid.toml", "--dry-run"]) == 0
    assert "2 runs, 2 finished, 0 to compute" in capfd.readouterr().out


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
    failing = TOML.replace("gamma = 1 }", 'gamma = 1, activation = "relu" }').replace(
        '"gradient_descent", steps = 40, lr = 0.5', '"gradient_flow", t_end = 1, method = "tangent"'
    )
    grid.write_text(failing)
    assert main([*command, "--jobs", "1"]) == 1
    captured = capfd.readouterr()
    assert "failed, ValueError: gradient_flow" in captured.out
    assert "2 runs failed and 0 are not finished" in captured.err
    assert main([*command, "--dry-run"]) == 0
    assert "2 runs, 0 finished, 2 to compute" in capfd.readouterr().out
    out.joinpath("asymfast-store.json").unlink()
    assert main(command) == 2
    assert "is not a results store: it holds" in capfd.readouterr().err
