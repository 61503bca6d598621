"""``asymfast paper``: what it writes and prints, what it skips, and how it goes on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import asymfast as af
import numpy as np
import pytest
from asymfast.cli import main
from asymfast.study import Store, read_experiment
from asymfast.study.config import TRAINERS
from asymfast.study.results import NAMES, claims_about
from asymfast.study.stages import stages

PYTHON = [sys.executable, "-m", "asymfast"]
SMALL = {"--seeds": "2", "--steps": "10", "--width": "20", "--samples": "12", "--jobs": "1"}
SETTINGS = read_experiment("simulated").settings


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASYMFAST_DATA", str(tmp_path / "no-data"))


def paper(*options, experiment="simulated"):
    """A command that takes a fraction of a second."""
    small = [word for name, value in SMALL.items() if name not in options for word in (name, value)]
    return main(["paper", experiment, *small, *map(str, options)])


def read_json(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def stored(folder="asymfast-paper"):
    return list(Store(Path(folder) / "results").items())


def test_writes_runs_figure_claims_and_report(capsys):
    assert paper() == 0
    out, err = capsys.readouterr()
    assert err == ""
    names = ["report.html", "results", "simulated.json", "simulated.pdf", "simulated.png"]
    assert sorted(path.name for path in Path("asymfast-paper").iterdir()) == names
    for setting in SETTINGS:
        assert f"\n{setting.name()} " in out
    for claim in claims_about("simulated"):
        (line,) = [line for line in out.splitlines() if line.startswith(claim.text)]
        (holds,) = re.search(r"  (holds|does not hold) +[012] of 2$", line).groups()
        reasons = re.findall(f"^does not hold: {re.escape(claim.text)}: .*reproduction", out, re.M)
        assert len(reasons) == (holds == "does not hold")
    assert len(stored()) == 8
    summary = read_json("asymfast-paper/simulated.json")
    assert summary["experiment"]["configs"][0]["train"]["steps"] == 10
    setting = summary["settings"][2]
    assert (setting["gamma"], setting["alpha"]) == (0.5, 0.5)
    (found,) = (
        arrays
        for config, arrays, _ in stored()
        if (config["network"]["gamma"], config["network"].get("alpha")) == (0.5, 0.5)
        and config.get("seed", 0) == 1
    )
    assert setting["loss_end"][1] == found["loss"][-1]
    assert setting["weight_change"][1] == found["weight_change"][-1].max()
    report = Path("asymfast-paper/report.html").read_text(encoding="utf-8")
    assert report.count("data:image/png;base64,") == 1
    assert "Convergence theorems" in report
    assert "src=" not in report.replace('src="data:', ""), "nothing from outside"


def test_leaps_are_reported_with_their_tolerance(capsys):
    assert all(config.train.method == "auto" for config in read_experiment("simulated").configs)
    assert paper("--no-figure", "--seeds", "1", "--steps", "20_000", "--samples", "6") == 0
    assert "All runs in leaps (rtol 1e-06)" in capsys.readouterr().out
    assert {info["run"]["method_taken"] for _, _, info in stored()} == {"leap"}
    report = Path("asymfast-paper/report.html").read_text(encoding="utf-8")
    assert "All runs in leaps (rtol 1e-06)." in report


def test_a_figure_that_cannot_be_drawn_costs_no_results(capsys, monkeypatch):
    from asymfast.plot import style

    def fails(*_panels):
        raise KeyError("inside matplotlib")

    monkeypatch.setattr(style, "legend_below", fails)
    assert paper() == 0
    assert "experiment_figure: the figure could not be drawn: KeyError" in capsys.readouterr().out
    assert len(stored()) == 8
    names = ["report.html", "results", "simulated.json"]
    assert sorted(path.name for path in Path("asymfast-paper").iterdir()) == names


def test_every_seed_has_its_own_data_and_network():
    assert paper("--no-figure") == 0
    found = {
        config.get("seed", 0): arrays
        for config, arrays, _ in stored()
        if config["network"]["gamma"] == 1
    }
    X, y = af.datasets.simulated(12, 50, rng=0)
    net = af.Network.init(d=50, m=20, gamma=1.0, rng=np.random.default_rng([0, 1]))
    single = af.gradient_descent(net, X, y, lr=1.0, steps=10, record=af.Record(every=1))
    np.testing.assert_array_equal(single.loss, found[0]["loss"])
    np.testing.assert_array_equal(single.ntg_eigmin, found[0]["ntg_eigmin"])
    np.testing.assert_array_equal(single.weight_change, found[0]["weight_change"])
    assert not np.isclose(found[0]["loss"], found[1]["loss"]).any()
    cosine = X @ (net.W / np.linalg.norm(net.W, axis=1, keepdims=True)).T
    assert abs(cosine).max() < 0.9, "the network is not made of the numbers that made the inputs"


def test_finished_runs_are_skipped(capsys, undrawn):
    assert paper() == 0
    runs = sorted(Path("asymfast-paper/results/runs").iterdir())
    before = {path: path.read_bytes() for path in [*runs, Path("asymfast-paper/simulated.png")]}
    summary = read_json("asymfast-paper/simulated.json")
    capsys.readouterr()
    runs[3].unlink()
    assert paper() == 0
    out = capsys.readouterr().out
    assert "7 of 8 runs were finished before" in out
    assert out.count(": finished, loss") == 1
    assert {path: path.read_bytes() for path in before if path != runs[3]} == {
        path: content for path, content in before.items() if path != runs[3]
    }
    again = read_json("asymfast-paper/simulated.json")
    assert {**again, "cpu_seconds": 0} == {**summary, "cpu_seconds": 0}


def test_damaged_run_is_named(capsys):
    assert paper("--no-figure") == 0
    path = sorted(Path("asymfast-paper/results/runs").iterdir())[0]
    path.write_bytes(b"cut off")
    assert paper("--no-figure") == 2
    assert f"{path.name} is damaged or not a result" in capsys.readouterr().err


def test_quick_and_relu_never_replace_a_long_run():
    assert paper("--no-figure") == 0
    before = Path("asymfast-paper/simulated.json").read_bytes()
    assert paper("--no-figure", "--quick") == 0
    assert paper("--no-figure", "--activation", "relu") == 0
    assert Path("asymfast-paper/simulated.json").read_bytes() == before
    assert Path("asymfast-paper/simulated-relu.json").exists()
    assert Path("asymfast-paper/simulated-quick.json").exists()


def test_interrupted_resumes_where_it_was(capsys, monkeypatch):
    trained = TRAINERS["gradient_descent"]
    calls = []

    def interrupted(*args, **options):
        calls.append(None)
        if len(calls) == 7:  # four of them are the checks
            raise KeyboardInterrupt
        return trained(*args, **options)

    with monkeypatch.context() as patched:
        patched.setitem(TRAINERS, "gradient_descent", interrupted)
        assert paper("--no-figure") == 130
    assert "interrupted; finished runs are kept" in capsys.readouterr().err
    assert len(stored()) == 2
    assert paper("--no-figure") == 0
    assert "2 of 8 runs were finished before" in capsys.readouterr().out


def test_divergence_of_one_run_stops_no_other(capsys, tmp_path):
    text = (Path(af.__file__).parent / "study/configs/simulated.toml").read_text()
    (tmp_path / "wild.toml").write_text(text.replace("lr = 1.0", "lr = 1e9"))
    options = ["--activation", "relu", "--seeds", "1", "--steps", "50", "--no-figure"]
    assert paper(*options, experiment="wild.toml") == 1
    out, err = capsys.readouterr()
    assert out.count(": diverged, loss ") == 4
    assert re.match(r"asymfast paper: wild, gamma=1.0: training diverged; ", err)
    assert "no seed is finished in all settings" in out
    assert {info["status"] for _, _, info in stored()} == {"diverged"}


def test_one_seed(capsys):
    assert paper("--no-figure", "--seeds", "1") == 0
    out = capsys.readouterr().out
    assert ", 1 seed, " in out
    assert "the NTG changes more" in out
    assert "+-" not in re.search(r"^gamma = 1 .*$", out, re.MULTILINE)[0]


def test_processes_give_the_same_bits(capsys):
    assert paper("--no-figure", "--out", "one") == 0
    assert paper("--no-figure", "--out", "two", "--jobs", "2", "--seeds", "1") == 0
    one = {Store.key(config): arrays for config, arrays, _ in stored("one")}
    for config, arrays, _ in stored("two"):
        for name, values in arrays.items():
            np.testing.assert_array_equal(values, one[Store.key(config)][name])
    assert len(stored("two")) == 4


def test_without_training_only_what_is_there(capsys, undrawn):
    assert paper("--no-figure", "--seeds", "1") == 0
    assert paper("--no-training") == 0
    out = capsys.readouterr().out
    assert read_json("asymfast-paper/simulated.json")["seeds"] == [0]
    assert Path("asymfast-paper/simulated.png").exists()
    assert out.count(": finished, loss") == 4


@pytest.fixture
def endless():
    """A command in two processes that never ends, once both have begun to train."""
    command = [*PYTHON, "paper", "simulated", "--seeds", "1", "--width", "60", "--samples", "20"]
    command += ["--no-figure", "--jobs", "2", "--activation", "relu"]  # which takes no leaps
    process = subprocess.Popen(
        [*command, "--steps", "100_000_000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    unfinished = Path("asymfast-paper/results/unfinished")
    try:
        deadline = time.monotonic() + 60
        begun = []
        while sum(map(bool, begun)) < 2:  # a file is empty before its first line is written
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.1)
            begun = [path.read_text().split() for path in unfinished.glob("*.begun")]
        into_the_training([int(words[0]) for words in begun])
        yield process
    finally:
        process.kill()
        process.communicate()


def into_the_training(workers):
    """Until they have had half a second of a processor, which may be busy with other work."""
    if not Path("/proc/self/stat").exists():
        time.sleep(0.5)
        return
    before = [processor_seconds(pid) for pid in workers]
    deadline = time.monotonic() + 60
    while any(
        processor_seconds(pid) < start + 0.5 for pid, start in zip(workers, before, strict=True)
    ):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def processor_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to a child process")
def test_ctrl_c_leaves_checkpoints(endless):
    endless.send_signal(signal.SIGINT)
    _, err = endless.communicate(timeout=60)
    assert endless.returncode == 130, err
    assert err.startswith("asymfast paper: interrupted; finished runs are kept")
    assert len(list(Path("asymfast-paper/results/unfinished").glob("*.ckpt"))) == 2


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")
def test_workers_end_with_a_parent_that_was_killed(endless):
    begun = Path("asymfast-paper/results/unfinished").glob("*.begun")
    workers = [int(path.read_text().split()[0]) for path in begun]
    assert endless.pid not in workers
    endless.kill()
    deadline = time.monotonic() + 60
    while any(runs(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_all_leaves_out_what_has_no_data(capsys, monkeypatch, undrawn):
    monkeypatch.setattr("asymfast.study.reproduction.ALL", ("fig1", "simulated", "cifar100"))
    assert paper("--seeds", "1", experiment="all") == 0
    out = capsys.readouterr().out
    assert "cifar100 is left out: the file cifar100_*.npz" in out
    assert Path("asymfast-paper/fig1.png").exists()
    assert Path("asymfast-paper/simulated.png").exists()


def test_named_experiment_without_data_is_an_error(capsys):
    assert paper("--no-figure", experiment="cifar100") == 2
    assert "asymfast paper: the file cifar100_*.npz" in capsys.readouterr().err
    assert paper("--no-figure", experiment="energy") == 2
    assert "energy.csv, which does not exist" in capsys.readouterr().err
    assert not list(Path().iterdir())


def test_nothing_finished_and_no_training_is_not_success(capsys):
    assert paper("--no-training") == 1
    err = capsys.readouterr().err
    assert err.startswith("asymfast paper: simulated: no seed is finished in all settings")


@pytest.mark.parametrize("command", ["paper simulated --seeds 1", "sweep grid.toml --jobs 1"])
def test_an_option_that_is_given_twice_is_refused(command, capsys):
    words = command.split()
    assert main([*words, words[-2], "2"]) == 2
    assert f"argument {words[-2]}: given more than once" in capsys.readouterr().err
    assert not list(Path().iterdir())


OWN = """
[base]
network = {{m = 9, gamma = 1.0}}
data = {{name = "simulated", n = 8, d = 3}}
{}
[grid]
seed = [0, 1]
[paper]
title = "Own"
panels = ["loss"]
"""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('train = {trainer = "gradient_flow", t_end = 3.0}', "2 seeds, to time 3, half_sse, float"),
        (
            'train = {trainer = "gradient_descent", steps = 9, lr = 0.1}\n'
            "record = {eigmin = false}",
            "2 seeds, 9 steps, half_sse, lr 0.1, float64",
        ),
    ],
)
def test_experiments_of_your_own(text, shown, capsys):
    """Of a flow, which has no learning rate; without eigenvalues."""
    Path("own.toml").write_text(OWN.format(text))
    assert main(["paper", "own.toml", "--no-figure", "--jobs", "1"]) == 0
    assert shown in capsys.readouterr().out


def test_seeds_that_end_at_different_records_have_no_means(capsys):
    text = (
        'train = {trainer = "gradient_descent", steps = 400, lr = 0.2}\n'
        "record = {every = 1}\nstop = {loss = 2.0}"
    )
    Path("own.toml").write_text(OWN.format(text))
    assert main(["paper", "own.toml", "--no-figure", "--jobs", "1"]) == 2
    assert "own: the seeds have different records" in capsys.readouterr().err


def test_no_experiment(capsys):
    assert main(["paper", ","]) == 2
    assert capsys.readouterr().err == "asymfast paper: argument experiment: must not be empty\n"


def test_unknown_experiment(capsys):
    assert main(["paper", "figure9"]) == 2
    assert "invalid choice: 'figure9' (choose from" in capsys.readouterr().err
    assert not list(Path().iterdir())


def test_without_matplotlib(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert paper("--out", "here") == 2
    assert "pip install 'asymfast[plot]', or add --no-figure" in capsys.readouterr().err
    assert not list(Path().iterdir())


def test_cuda_without_cuda(capsys):
    if af.build_config()["cuda"]:
        pytest.skip("built with CUDA")
    assert paper("--no-figure", "--device", "cuda") == 2
    assert re.match(r"asymfast paper: .*cuda", capsys.readouterr().err, re.IGNORECASE)


def test_the_environment_is_as_before(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    assert paper("--no-figure", "--seeds", "1", "--steps", "2", "--jobs", "2") == 0
    assert os.environ["OMP_NUM_THREADS"] == "2"
    assert "MKL_NUM_THREADS" not in os.environ


@pytest.mark.slow
@pytest.mark.parametrize("name", ["concrete", "mnist", "cifar10"])
def test_real_data(name, data_dir, capsys):
    """Every stage, at a size that takes seconds."""
    options = ["--data", data_dir, "--quick", "--seeds", "1", "--epochs", "1", "--samples", "80"]
    assert paper(*options, "--width", "25", experiment=name) == 0
    out = capsys.readouterr().out
    experiment = read_experiment(name, quick=True)
    assert "claim of the paper" in out
    kinds = {config.get("kind", "training") for config, _, _ in stored()}
    wanted = stages(experiment.configs[0])
    assert kinds == set(wanted)
    assert len(stored()) == 4 * len(wanted)
    assert Path(f"asymfast-paper/{name}-quick.png").stat().st_size > 10_000
    assert name in NAMES
