"""``asymfast certify``: the table, the files, the exit codes."""

from __future__ import annotations

import csv
import json
import re

import asymfast as af
import numpy as np
import pytest
from asymfast import theory
from asymfast.cli import main
from asymfast.datasets.tables import read_samples

QUICK = ["--width", "30", "--steps", "40", "--samples", "12"]
FILES = ["certificate.csv", "certificate.json", "certificate.pdf", "certificate.png", "run.npz"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def table(folder):
    rng = np.random.default_rng(5)
    inputs = rng.standard_normal((20, 3)) * [1.0, 20.0, 0.3]
    values = np.c_[inputs, np.tanh(inputs[:, 0]) + 0.01 * inputs[:, 1]]
    header = "speed,heat,tilt,lift"
    np.savetxt(folder / "small.csv", values, delimiter=",", header=header, comments="")
    return folder / "small.csv"


def certify(*options):
    return main(["certify", *map(str, options), *QUICK])


def test_simulated_data(folder, capsys):
    assert certify() == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "simulated data: n = 12, d = 50" in out
    assert "Theorem H.1, delta = 0.1" in out
    assert "theorem applies:  NO" in out
    assert "conclusion holds: yes" in out
    assert sorted(path.name for path in (folder / "asymfast-certify").iterdir()) == FILES
    content = json.loads((folder / "asymfast-certify" / "certificate.json").read_text())
    assert content["theorem"] == "Theorem H.1"
    with (folder / "asymfast-certify" / "certificate.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(content["records"])
    assert rows[0]["(b) pass"] == "True"


def test_the_certificate_is_that_of_the_saved_run(folder, capsys):
    options = ("--flow", "--t-end", 5, "--activation", "tanh", "--no-figure")
    assert certify(*options, "--inputs", 6, "--seed", 3) == 0
    X, y = af.datasets.simulated(n=12, d=6, rng=3)
    run = af.Run.load(folder / "asymfast-certify" / "run.npz")
    certificate = theory.certify(run, X, y)
    assert certificate.table() in capsys.readouterr().out
    content = json.loads((folder / "asymfast-certify" / "certificate.json").read_text())
    assert content == json.loads(json.dumps(certificate.to_dict()))


def test_a_file(table, capsys):
    options = [table, "--target", "lift", "--out", "here", "--no-figure"]
    assert certify(*options) == 0
    out = capsys.readouterr().out
    assert "small.csv: 12 of 20 rows, 3 inputs, target lift; inputs standardised and divided" in out
    content = json.loads((table.parent / "here" / "certificate.json").read_text())
    checks = {check["asks"]: check for check in content["assumptions"]}
    assert checks["0 < |x_i| <= 1"]["holds"]
    assert not (table.parent / "here" / "certificate.png").exists()
    assert " F " not in out.split("F: Frobenius")[0]


def test_duplicate_rows_are_named(folder, capsys):
    rng = np.random.default_rng(0)
    values = rng.standard_normal((6, 3))
    values[5] = values[2]
    np.savetxt(folder / "twins.csv", values, delimiter=",", header="a,b,c", comments="")
    assert certify("twins.csv", "--target", "c", "--no-figure") == 0
    out = capsys.readouterr().out
    assert "1 pairs of rows are parallel" in out
    assert "kappa_n must be > 0" in out
    assert "the theorem has no bounds for this run" in out


def test_the_learning_rate_is_stable_by_default(table, capsys):
    """Many rows of few inputs: below 2 / eig_max of the initial NTG."""
    values = np.random.default_rng(1).standard_normal((300, 3))
    np.savetxt("wide.csv", values, delimiter=",", header="a,b,c", comments="")
    options = ["--target", "c", "--width", "20", "--steps", "30", "--samples", "300"]
    assert main(["certify", "wide.csv", *options, "--no-figure"]) == 0
    out = capsys.readouterr().out
    rate = float(re.search(r"learning rate ([0-9.e-]+), chosen", out)[1])
    run = af.Run.load("asymfast-certify/run.npz")
    X = read_samples(table.parent / "wide.csv", "c", 0.0, 0).X_train
    largest = np.linalg.eigvalsh(run.initial.ntg(X / np.linalg.norm(X, axis=1).max()))[-1]
    assert 0.2 / largest < rate < 2 / largest


def test_divergence(folder, capsys):
    assert certify("--lr", 1e4, "--no-figure", "--activation", "relu") == 1
    out, err = capsys.readouterr()
    assert "the run diverged" in out
    assert "training diverged at step" in err
    assert (folder / "asymfast-certify" / "certificate.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["none.csv", "--target", "a"], "cannot read none.csv"),
        (["none.csv"], "a file needs --target"),
        (["--target", "a"], "--target needs a file"),
        (["--one-hot", "a"], "--one-hot needs a file"),
        (["--decimal", ","], "--decimal needs a file"),
        (["none.csv", "--target", "a", "--inputs", "3"], "--inputs is for simulated data"),
        (["--t-end", "3"], "--t-end needs --flow"),
        (["--delta", "1"], "must be a number in (0, 1)"),
        (["--gamma", "2"], "must be a number in [0, 1]"),
    ],
)
def test_mistakes_leave_nothing_behind(folder, capsys, options, message):
    assert certify(*options) == 2
    assert message in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_another_run_is_kept(folder, capsys):
    """Without --out it goes to another folder; with it, --overwrite is asked for."""
    assert certify("--no-figure") == 0
    first = (folder / "asymfast-certify" / "certificate.csv").read_bytes()
    assert certify("--no-figure", "--gamma", "1") == 0
    assert "this run goes to asymfast-certify-2\n" in capsys.readouterr().out
    assert certify("--no-figure", "--gamma", "1", "--out", "asymfast-certify") == 2
    assert "replace it by --overwrite" in capsys.readouterr().err
    assert (folder / "asymfast-certify" / "certificate.csv").read_bytes() == first


def test_an_unknown_column(table, capsys):
    assert certify(table, "--target", "drag") == 2
    assert "no column 'drag'" in capsys.readouterr().err


def test_the_same_command_goes_on_after_an_interrupt(folder, capsys, monkeypatch):
    trained = af.gradient_descent

    def press(snapshot):
        if snapshot.step == 20:
            raise KeyboardInterrupt

    options = ("--record-every", 5, "--no-figure")
    assert certify(*options, "--out", "whole") == 0
    with monkeypatch.context() as cut:
        cut.setattr(
            af, "gradient_descent", lambda *args, **named: trained(*args, **named, callback=press)
        )
        assert certify(*options, "--out", "cut") == 130
    assert "the same command resumes" in capsys.readouterr().err
    assert certify(*options, "--out", "cut") == 0
    assert "resuming from cut" in capsys.readouterr().out
    names = {"certificate.csv", "certificate.json", "run.npz"}
    assert {path.name for path in (folder / "cut").iterdir()} == names
    whole, cut = ((folder / name / "certificate.csv").read_text() for name in ("whole", "cut"))
    assert cut == whole


def test_a_step_beyond_all_floats(folder, capsys):
    assert certify("--lr", "1e300", "--no-figure") == 1
    err = capsys.readouterr().err
    assert "training diverged at step 1" in err
    assert "exceeds the largest float" in err
