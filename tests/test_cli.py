"""The command line: what it writes and prints, and how it answers every mistake."""

from __future__ import annotations

import csv
import errno
import io
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
from asymfast.cli._common import percent, text_table
from asymfast.datasets.tables import read_samples

ROWS = 40
PYTHON = [sys.executable, "-m", "asymfast"]


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A small learnable table in an otherwise empty working folder."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(5)
    inputs = rng.standard_normal((ROWS, 3)) * [1.0, 20.0, 0.3] + [5.0, -3.0, 0.0]
    target = 30.0 + 4.0 * np.tanh(inputs[:, 0] - 5.0) + 0.1 * inputs[:, 1]
    return write_table(tmp_path / "small.csv", np.c_[inputs, target], "speed,heat,tilt,lift")


def write_table(path, values, header):
    np.savetxt(path, values, delimiter=",", header=header, comments="", fmt="%.17g")
    return path


def read_json(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def read_rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def train(*options):
    """A train command that takes a fraction of a second."""
    lr = [] if "--lr" in options else ["--lr", "1"]
    small = ["--target", "lift", "--width", "30", "--steps", "40", *lr]
    return main(["train", *map(str, options), *small])


# ---------------------------------------------------------------------------------------- train


@pytest.mark.skipif(af.cuda.is_available(), reason="there is a device")
@pytest.mark.parametrize("command", [["train", "small.csv", "--target", "lift"], ["certify"]])
def test_a_device_that_is_missing_is_said_at_once(table, capsys, command):
    assert main([*command, "--device", "cuda"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert af.cuda.what_is_missing() in err
    assert [path.name for path in table.parent.iterdir()] == ["small.csv"]


def test_train_writes_and_prints_everything(table, capsys):
    assert train(table) == 0
    out, err = capsys.readouterr()
    assert err == ""
    folder = table.parent / "asymfast-small"
    names = ["figure.pdf", "figure.png", "model.npz", "results.csv", "run.npz", "summary.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert all(name in out for name in names)
    assert (
        "small.csv: 32 training and 8 test rows, 3 inputs, target lift\ninputs: speed, heat, tilt\n"
        in out
    )
    header = "step  time  loss  test loss  weight change  NTG change  smallest eigenvalue"
    lines = out.splitlines()
    (start,) = [i for i, line in enumerate(lines) if line.split() == header.split()]
    body = [line.split() for line in lines[start + 2 : lines.index("", start)]]
    assert 10 <= len(body) <= 12
    assert (body[0][0], body[-1][0]) == ("0", "40")
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "figure.pdf").read_bytes().startswith(b"%PDF")


def test_results_csv_has_every_digit_of_the_run(table):
    assert train(table, "--no-figure", "--out", "here") == 0
    run = af.Run.load("here/run.npz")
    rows = read_rows("here/results.csv")
    assert len(rows) == len(run.steps)
    for column, values in {
        "step": run.steps,
        "time": run.time,
        "loss": run.loss,
        "test_loss": run.test_loss,
        "weight_change_max": run.weight_change.max(axis=1),
        "weight_change_mean": run.weight_change.mean(axis=1),
        "ntg_change": run.ntg_change,
        "ntg_eigmin": run.ntg_eigmin,
    }.items():
        assert [float(row[column]) for row in rows] == list(values), column
    norm = read_json("here/summary.json")["ntg_initial_norm"]
    assert float(rows[-1]["ntg_change_relative"]) == run.ntg_change[-1] / norm


def test_summary_is_enough_to_predict_in_the_units_of_the_table(table):
    assert train(table, "--no-figure", "--out", "here") == 0
    summary = read_json("here/summary.json")
    network = af.Run.load("here/run.npz").network
    values = np.loadtxt(table, delimiter=",", skiprows=1)
    order = np.random.default_rng([0, 1]).permutation(ROWS)
    data = summary["data"]
    mean = np.array([column["mean"] for column in data["inputs"]])
    scale = np.array([column["scale"] for column in data["inputs"]])
    outputs = network((values[:, :3] - mean) / scale)
    error = data["target"]["mean"] + data["target"]["scale"] * outputs - values[:, 3]
    final = summary["final"]
    for rows, name in ((order[8:], "training"), (order[:8], "test")):
        expected = np.sqrt(np.mean(error[rows] ** 2))
        np.testing.assert_allclose(final[f"{name}_rmse_in_target_units"], expected, rtol=1e-10)
    assert [column["column"] for column in data["inputs"]] == ["speed", "heat", "tilt"]
    assert summary["settings"]["gamma"] == 0.5
    assert summary["ending"] == "finished"
    assert summary["build"]["version"] == af.__version__


def test_half_sse_reports_the_same_kind_of_rmse(table):
    assert train(table, "--no-figure", "--loss", "half_sse", "--lr", "0.02", "--out", "here") == 0
    summary = read_json("here/summary.json")
    final, scale = summary["final"], summary["data"]["target"]["scale"]
    expected = scale * np.sqrt(2 * final["loss"] / 32)
    np.testing.assert_allclose(final["training_rmse_in_target_units"], expected, rtol=1e-14)


def test_training_lowers_the_loss(table):
    assert train(table, "--no-figure", "--out", "here", "--gamma", "1") == 0
    run = af.Run.load("here/run.npz")
    assert run.loss[-1] < 0.5 * run.loss[0]
    assert read_json("here/summary.json")["settings"]["alpha"] is None


def test_same_command_same_numbers(table):
    for folder in ("first", "second"):
        assert train(table, "--no-figure", "--out", folder) == 0
    first, second = (af.Run.load(f"{folder}/run.npz") for folder in ("first", "second"))
    np.testing.assert_array_equal(first.loss, second.loss)
    assert train(table, "--no-figure", "--out", "third", "--seed", "1") == 0
    assert af.Run.load("third/run.npz").loss[-1] != first.loss[-1]


def test_gradient_flow(table, capsys):
    options = ("--no-figure", "--flow", "--t-end", "12.5", "--rtol", "1e-5", "--out", "here")
    assert train(table, *options) == 0
    assert "gradient flow to time 12.5" in capsys.readouterr().out
    run = af.Run.load("here/run.npz")
    np.testing.assert_allclose(run.time[-1], 12.5, rtol=1e-12)
    assert (np.diff(run.loss) <= 1e-12).all()


def test_gradient_flow_covers_the_time_of_the_steps_by_default(table):
    assert train(table, "--no-figure", "--flow", "--lr", "0.25", "--out", "here") == 0
    np.testing.assert_allclose(af.Run.load("here/run.npz").time[-1], 10.0, rtol=1e-12)


def test_leaps_give_the_run_of_the_steps(table):
    options = [table, "--no-figure", "--steps", "20000", "--lr", "0.2", "--target", "lift"]
    for method in ("step", "leap", "auto"):
        folder = ["--method", method, "--out", method, "--width", "30"]
        assert main(["train", *map(str, options), *folder]) == 0
    steps, leaps, chosen = (af.Run.load(f"{name}/run.npz") for name in ("step", "leap", "auto"))
    np.testing.assert_allclose(leaps.loss, steps.loss, rtol=1e-4)
    np.testing.assert_allclose(chosen.loss, steps.loss, rtol=1e-4)
    assert leaps.config["rtol"] == 1e-6


def test_ntg_on_part_of_the_samples_is_said(table, capsys):
    assert train(table, "--no-figure", "--ntg-on", "5", "--out", "here") == 0
    assert "from the first 5 of 32 training samples (--ntg-on)" in capsys.readouterr().out
    run = af.Run.load("here/run.npz")
    samples = read_samples(table, "lift", 0.2, 0)
    eigenvalues = np.linalg.eigvalsh(run.network.ntg(samples.X_train[:5]))
    np.testing.assert_allclose(run.ntg_eigmin[-1], eigenvalues[0], rtol=1e-6)


def test_ntg_of_a_large_table_is_that_of_500_samples(tmp_path, capsys):
    values = np.random.default_rng(0).standard_normal((700, 2))
    path = write_table(tmp_path / "large.csv", values, "x,lift")
    options = ("--target", "lift", "--width", "4", "--steps", "1", "--no-figure")
    assert main(["train", str(path), *options, "--out", str(tmp_path / "here")]) == 0
    assert "from the first 500 of 560 training samples" in capsys.readouterr().out


def test_no_ntg(table, capsys, undrawn):
    assert train(table, "--ntg-on", "0", "--out", "here") == 0
    out = capsys.readouterr().out
    assert "NTG and its smallest eigenvalue: not recorded" in out
    assert "NTG change" not in out
    rows = read_rows("here/results.csv")
    assert {row["ntg_change"] + row["ntg_eigmin"] for row in rows} == {""}


def test_no_test_rows(table, capsys):
    assert train(table, "--no-figure", "--test-fraction", "0", "--out", "here") == 0
    out = capsys.readouterr().out
    assert "40 training and 0 test rows" in out
    assert "test loss" not in out
    assert read_json("here/summary.json")["final"]["test_rmse_in_target_units"] is None


@pytest.mark.parametrize(
    ("options", "recorded"),
    [(("--record-every", "7"), [0, 7, 14, 21, 28, 35, 40]), (("--record-every", "40"), [0, 40])],
)
def test_record_every(table, options, recorded):
    assert train(table, "--no-figure", "--out", "here", *options) == 0
    assert af.Run.load("here/run.npz").steps.tolist() == recorded


def test_float32_and_threads(table):
    options = ("--no-figure", "--dtype", "float32", "--threads", "1", "--out", "here")
    assert train(table, *options) == 0
    assert af.Run.load("here/run.npz").network.dtype == np.float32


def test_constant_input_is_said_and_does_no_harm(table, capsys):
    values = np.loadtxt(table, delimiter=",", skiprows=1)
    values[:, 1] = 0.1  # ten copies of 0.1 have a mean that is not 0.1
    write_table(table, values, "speed,heat,tilt,lift")
    assert train(table, "--no-figure", "--out", "here") == 0
    assert "inputs without effect, constant in training: heat" in capsys.readouterr().out
    assert np.isfinite(af.Run.load("here/run.npz").loss).all()


def test_repeated_rows_are_said(table, capsys):
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines, *lines[1:], ""]))
    assert train(table, "--no-figure", "--test-fraction", "0") == 0
    out = capsys.readouterr().out
    assert "40 of the rows in the NTG repeat the inputs of another" in out
    assert re.search(r"an eigenvalue below \S+, the rounding of float64, may be zero", out)


def test_a_new_run_leaves_no_figure_of_an_old_one(table, undrawn):
    assert train(table, "--out", "here") == 0
    assert train(table, "--out", "here", "--no-figure", "--overwrite") == 0
    assert not list((table.parent / "here").glob("figure.*"))


@pytest.mark.slow
def test_dollar_signs_in_a_column_name_are_no_mathematics(table):
    text = table.read_text().replace("speed", "a$b$\\bad$").replace("lift", "$\\frac{$")
    table.write_text(text)
    options = ["--width", "5", "--steps", "2", "--out", "here"]
    assert main(["train", str(table), "--target", "$\\frac{$", *options]) == 0


# --------------------------------------------------------------------- samples: split and scale


def test_split_uses_every_row_once_and_training_statistics(table):
    samples = read_samples(table, "heat", 0.25, seed=3)
    assert samples.columns.names == ("speed", "tilt", "lift")
    assert (len(samples.y_train), len(samples.y_test)) == (30, 10)
    np.testing.assert_allclose(samples.X_train.mean(axis=0), 0.0, atol=1e-13)
    np.testing.assert_allclose(samples.X_train.std(axis=0), 1.0, rtol=1e-13)
    np.testing.assert_allclose(samples.y_train.std(), 1.0, rtol=1e-13)
    X = (
        np.r_[samples.X_test, samples.X_train] * samples.columns.input_scale
        + samples.columns.input_mean
    )
    y = samples.columns.in_units(np.r_[samples.y_test, samples.y_train])
    values = np.loadtxt(table, delimiter=",", skiprows=1)
    back = np.c_[X[:, 0], y, X[:, 1:]]
    order = np.random.default_rng([3, 1]).permutation(ROWS)
    np.testing.assert_allclose(back, values[order], rtol=1e-12, atol=1e-12)


# ------------------------------------------------------------------------ the choice of columns


def test_several_targets(table, capsys):
    options = ["--width", "30", "--steps", "40", "--lr", "1", "--out", "here", "--no-figure"]
    assert main(["train", str(table), "--target", "lift", "--target", "tilt ", *options]) == 0
    out = capsys.readouterr().out
    assert "32 training and 8 test rows, 2 inputs, targets lift, tilt" in out
    assert "\ninputs: speed, heat\n" in out
    summary = read_json("here/summary.json")
    network = af.Run.load("here/run.npz").network
    assert network.k == 2
    samples = read_samples(table, ["lift", "tilt"], 0.2, 0)
    error = (network(samples.X_train) - samples.y_train) * samples.columns.target_scale
    expected = np.sqrt((error**2).mean(axis=0))
    np.testing.assert_allclose(summary["final"]["training_rmse_in_target_units"], expected, 1e-10)
    for target in ("lift", "tilt"):
        assert f"root mean squared error in the units of {target}: training" in out
    assert [target["column"] for target in summary["data"]["target"]] == ["lift", "tilt"]


def test_columns_are_dropped_and_listed(table, capsys):
    assert train(table, "--no-figure", "--drop", "heat", "--drop", "speed ", "--out", "here") == 0
    assert "1 inputs, target lift\ninputs: tilt\n" in capsys.readouterr().out


def test_an_input_that_is_nearly_a_target_is_named(table, capsys):
    values = np.loadtxt(table, delimiter=",", skiprows=1)
    values[:, 2] = 2 * values[:, 3] + 0.01 * values[:, 1]
    write_table(table, values, "speed,heat,tilt,lift")
    assert train(table, "--no-figure", "--out", "here") == 0
    out = capsys.readouterr().out
    assert "the input tilt is nearly a target (correlation above 0.95)" in out
    assert "the input heat" not in out


def test_categories_and_missing_cells(table, capsys):
    lines = table.read_text().splitlines()
    lines = [lines[0] + ",fuel,note"] + [
        f"{line},{'oil' if i % 3 else 'gas'},any" for i, line in enumerate(lines[1:])
    ]
    lines[4] = lines[4].replace("oil", "").replace("gas", "")
    table.write_text("\n".join([*lines, ""]))
    assert train(table, "--no-figure") == 2
    err = capsys.readouterr().err
    assert "column 'fuel' is not a number: 'gas'; if the column holds categories" in err
    assert "use --one-hot 'fuel'" in err
    options = ["--no-figure", "--one-hot", "fuel", "--drop", "note", "--out", "here"]
    assert train(table, *options) == 2
    assert "line 5, column 'fuel' is empty; missing='drop' (--missing drop)" in (
        capsys.readouterr().err
    )
    assert train(table, *options, "--missing", "drop") == 0
    out = capsys.readouterr().out
    assert "31 training and 8 test rows, 5 inputs" in out
    assert "\n1 of 40 rows have missing cells and are left out\n" in out
    assert read_json("here/summary.json")["data"]["rows_left_out"] == 1
    certify = ["certify", str(table), "--target", "lift", "--width", "9", "--steps", "2"]
    certify += ["--no-figure", "--one-hot", "fuel", "--drop", "note", "--missing", "drop"]
    assert main(certify) == 0
    assert "\n1 of 40 rows have missing cells and are left out\n" in capsys.readouterr().out
    assert "inputs: speed, heat, tilt, fuel=gas, fuel=oil" in out


def test_bias_is_an_input_of_ones(table, capsys):
    assert train(table, "--no-figure", "--bias", "--out", "here") == 0
    assert "inputs: speed, heat, tilt, (ones)\n" in capsys.readouterr().out
    run = af.Run.load("here/run.npz")
    samples = read_samples(table, "lift", 0.2, 0)
    assert run.network.bias
    assert run.network.d == 4
    X = np.c_[samples.X_train, np.ones(32)]
    np.testing.assert_allclose(run.network.loss(X, samples.y_train, loss="mse"), run.loss[-1])


@pytest.mark.parametrize(
    ("change", "options"),
    [
        (lambda text: "\ufeffsep=;\r\n" + text.replace(",", ";").replace("\n", "\r\n"), []),
        (lambda text: text.replace("speed,heat", '"speed", "heat"'), []),
        (lambda text: text.replace(",", ";").replace(".", ","), ["--decimal", ","]),
        (lambda text: text.replace(",", ";").replace("speed", "speed, m/s"), []),
    ],
)
def test_other_dialects_give_the_same_run(change, options, table):
    text = table.read_text().replace("lift", "lift ")
    assert train(table, "--no-figure", "--out", "plain") == 0
    table.write_text(change(text), newline="")
    assert train(table, "--no-figure", "--out", "here", *options) == 0
    plain, here = (af.Run.load(f"{folder}/run.npz") for folder in ("plain", "here"))
    np.testing.assert_array_equal(plain.loss, here.loss)


# ---------------------------------------------------------------------------- mistakes in train


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--gamma", "1.5"], "argument --gamma: must be a number in [0, 1], got 1.5"),
        (["--gamma", "nan"], "argument --gamma: must be a number in [0, 1], got nan"),
        (["--alpha", "0"], "argument --alpha: must be a number > 0, got 0"),
        (["--alpha", "inf"], "argument --alpha: must be a number > 0, got inf"),
        (["--width", "0"], "argument --width: must be a whole number >= 1, got 0"),
        (["--width", "2.5"], "argument --width: must be a whole number >= 1, got 2.5"),
        (["--steps", "many"], "argument --steps: must be a whole number >= 1, got many"),
        (["--lr", "-1"], "argument --lr: must be a number > 0 or auto, got -1"),
        (["--lr", "1", "--lr", "2"], "argument --lr: given more than once"),
        (["--seed", "1", "--gamma", "1", "--seed=2"], "argument --seed: given more than once"),
        (["--drop", "drag"], "has no column 'drag'; its columns are speed, heat, tilt, lift"),
        (["--drop", "lifts"], "has no column 'lifts' (did you mean 'lift'?)"),
        (["--one-hot", "lift"], "the target 'lift' must hold numbers, not categories"),
        (["--threads", "0"], "argument --threads: must be a whole number >= 1, got 0"),
        (["--threads", "100000"], "argument --threads: must be at most 1024, got 100000"),
        (["--steps", "1" * 30], "argument --steps: must be at most 9223372036854775807, got 1111"),
        (["--test-fraction", "1"], "argument --test-fraction: must be a number in [0, 1), got 1"),
        (["--activation", "step"], "argument --activation: invalid choice: 'step'"),
        (["--loss", "cross_entropy"], "argument --loss: invalid choice: 'cross_entropy'"),
        (["--dtype", "float16"], "argument --dtype: invalid choice: 'float16'"),
        (["--t-end", "3"], "--t-end needs --flow"),
        (["--rtol", "0.1"], "--rtol needs --flow, or --method leap or auto"),
        (["--flow", "--method", "leap"], "--method is for gradient descent, not for --flow"),
        (["--method", "jump"], "argument --method: invalid choice: 'jump'"),
        (
            ["--wid", "3"],
            "unrecognized arguments: --wid 3; did you mean --width? (see asymfast train",
        ),
        (["more.csv"], "unrecognized arguments: more.csv (see asymfast train --help)"),
        (["--target", "speed", "--target", "heat", "--target", "tilt"], "only the target columns "),
    ],
)
def test_wrong_options(table, capsys, options, sentence):
    assert main(["train", str(table), "--target", "lift", *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.match(r"asymfast( train)?: ", err)
    assert sentence in err
    assert err.count("\n") == 1
    assert [path.name for path in table.parent.iterdir()] == ["small.csv"], "nothing was written"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("x,lift\n1,2\n", "has 1 rows, and a test fraction of 0.2 leaves 1 of them for training"),
        ("lift\n1\n2\n3\n", "has only the target column 'lift', and no inputs"),
        ("x,y\n1,2\n3,4\n5,7\n", "has no column 'lift'; its columns are x, y"),
        ("x,lift\n1,5\n2,5\n3,5\n", "the target 'lift' has one value in all training rows of"),
        ("x,lift\n1,5\n1,6\n1,7\n", "no input varies over the training rows of"),
        ("x,lift\n1e308,5\n-1e308,6\n1,7\n", "has numbers too large, or too small, to standardise"),
        ("x,lift\n1e-300,5\n0,6\n2e-300,7\n", "too large, or too small, to standardise"),
        ("x,lift\n1,5\nfast,6\n1,7\n", "fast"),
        ("x,lift\n1,5\n2\n1,7\n", ""),
        ("x,lift\n1,5\n2,nan\n1,7\n", ""),
        ("x,lift\n", ""),
        ("", ""),
    ],
)
def test_wrong_tables(table, capsys, content, sentence):
    table.write_text(content)
    assert train(table, "--no-figure") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("asymfast train: ")
    assert sentence in err
    assert err.count("\n") == 1
    assert [path.name for path in table.parent.iterdir()] == ["small.csv"]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["train", "", "--target", "lift"], "FILE.csv"),
        (["predict", "", "small.csv"], "MODEL"),
        (["export", "small.csv", "--c", ""], "--c"),
        (["certify", "", "--target", "lift"], "FILE.csv"),
        (["paper", "simulated", "--data", ""], "--data"),
        (["sweep", ""], "GRID.toml"),
    ],
)
def test_empty_paths_as_of_unset_variables_are_refused(table, capsys, words, name):
    assert main(words) == 2
    assert f"argument {name}: must not be empty" in capsys.readouterr().err


def test_missing_file(table, capsys):
    assert train("absent.csv") == 2
    assert capsys.readouterr().err == (
        "asymfast train: cannot read absent.csv: No such file or directory\n"
    )


def test_missing_target_and_missing_command(capsys):
    assert main(["train", "x.csv"]) == 2
    assert "asymfast train: the following arguments are required: --target" in (
        capsys.readouterr().err
    )
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("asymfast: the following arguments are required")


def test_an_option_before_the_command_is_named(capsys):
    """Not the command, whose required arguments come after it."""
    for option in ("--foo", "--threads", "-x"):
        assert main([option, "train", "small.csv"]) == 2
        sentence = f"asymfast: unrecognized arguments: {option}; options of a command come after"
        assert capsys.readouterr().err.startswith(sentence)


def test_out_is_empty(table, capsys):
    """As of a variable of the shell that is not set: not the current folder."""
    assert train("small.csv", "--out", "") == 2
    assert "--out: must not be empty" in capsys.readouterr().err


def test_out_is_a_file(table, capsys):
    assert train(table, "--no-figure", "--out", table) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"asymfast train: cannot write to the folder {table}: ")


def test_without_matplotlib_nothing_is_trained(table, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert train(table) == 2
    assert capsys.readouterr() == (
        "",
        "asymfast train: plotting needs matplotlib; install it with: pip install "
        "'asymfast[plot]', or add --no-figure\n",
    )
    assert [path.name for path in table.parent.iterdir()] == ["small.csv"]
    assert train(table, "--no-figure") == 0


# ------------------------------------------------------------------------------- runs cut short


def test_divergence_writes_the_records_and_a_bound_that_works(table, capsys, undrawn):
    assert train(table, "--lr", "1e4", "--record-every", "1", "--out", "here") == 1
    out, err = capsys.readouterr()
    found = re.fullmatch(
        r"asymfast train: training diverged at step \d+, last finite loss \S+; "
        r"try --lr below (\S+); the records so far are in here\n",
        err,
    )
    assert found, err
    assert "smallest eigenvalue" in out
    names = {path.name for path in (table.parent / "here").iterdir()}
    assert names == {"run.npz", "results.csv", "summary.json", "figure.png", "figure.pdf"}
    summary = read_json("here/summary.json")  # with null where there was no finite number
    assert summary["ending"].startswith("training diverged")
    assert train(table, "--no-figure", "--lr", found[1]) == 0


def test_interrupted_training_writes_what_was_recorded(table, capsys, monkeypatch):
    trained = af.gradient_descent

    def interrupted(*args, **options):
        stop = KeyboardInterrupt()
        stop.run = trained(*args, **{**options, "steps": 10})
        raise stop

    monkeypatch.setattr(af, "gradient_descent", interrupted)
    assert train(table, "--no-figure", "--out", "here") == 130
    out, err = capsys.readouterr()
    assert err == (
        "asymfast train: interrupted at step 10; the records so far are in here; "
        "the same command resumes\n"
    )
    assert "smallest eigenvalue" in out
    assert af.Run.load("here/run.npz").steps[-1] == 10
    assert read_json("here/summary.json")["ending"] == "interrupted at step 10"


@pytest.mark.parametrize("flow", [[], ["--flow"]])
def test_the_same_command_goes_on_after_an_interrupt(table, capsys, monkeypatch, flow):
    options = [table, "--no-figure", "--record-every", "5", *flow]
    assert train(*options, "--out", "whole") == 0
    name = "gradient_flow" if flow else "gradient_descent"
    with monkeypatch.context() as cut:
        cut.setattr(af, name, interrupted_at(10, getattr(af, name)))
        assert train(*options, "--out", "cut") == 130
    assert af.Run.load("cut/run.npz").steps[-1] == 10
    capsys.readouterr()
    assert train(*options, "--out", "cut") == 0
    assert "resuming from cut" in capsys.readouterr().out
    assert read_rows("cut/results.csv") == read_rows("whole/results.csv")
    assert {path.name for path in Path("cut").iterdir()} == {
        path.name for path in Path("whole").iterdir()
    }
    assert train(*options, "--out", "cut", "--overwrite") == 0  # from the beginning
    assert "resuming" not in capsys.readouterr().out


def interrupted_at(step, train_function):
    """As `train_function`, with a Ctrl-C at that step."""

    def interrupting(*args, **options):
        def press(snapshot):
            if snapshot.step == step:
                raise KeyboardInterrupt

        return train_function(*args, **options, callback=press)

    return interrupting


def test_the_checkpoint_of_another_command_is_left_alone(table, capsys, monkeypatch):
    with monkeypatch.context() as cut:
        cut.setattr(af, "gradient_descent", interrupted_at(20, af.gradient_descent))
        assert train(table, "--no-figure", "--record-every", "5", "--out", "here") == 130
    before = {path.name: path.read_bytes() for path in Path("here").iterdir()}
    capsys.readouterr()
    assert train(table, "--no-figure", "--record-every", "5", "--lr", "0.5", "--out", "here") == 2
    error = capsys.readouterr().err
    assert "differs in lr: 1.0 then, 0.5 now" in error
    assert "replace it by --overwrite" in error
    assert {path.name: path.read_bytes() for path in Path("here").iterdir()} == before


def test_interrupt_before_the_first_record(table, capsys, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(af, "gradient_descent", interrupted)
    assert train(table, "--no-figure", "--out", "here") == 130
    assert capsys.readouterr().err == "asymfast train: interrupted\n"
    assert not list((table.parent / "here").iterdir())


def test_not_enough_memory(table, capsys, monkeypatch):
    def exhausted(*args, **options):
        raise MemoryError("Unable to allocate 7 PiB")

    monkeypatch.setattr(af, "gradient_descent", exhausted)
    assert train(table, "--no-figure") == 1
    assert capsys.readouterr().err == (
        "asymfast train: not enough memory: Unable to allocate 7 PiB\n"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to a child process")
def test_ctrl_c_in_a_real_process(table):
    command = [*PYTHON, "train", str(table), "--target", "lift", "--width", "50", "--no-figure"]
    endless = ["--steps", "1_000_000_000", "--record-every", "1000", "--out", "here"]
    process = subprocess.Popen(
        [*command, *endless], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        while not process.stdout.readline().startswith("training: "):
            assert process.poll() is None, process.stderr.read()
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert re.match(r"asymfast train: interrupted at step \d+; the records so far are in here", err)
    assert "smallest eigenvalue" in out
    run = af.Run.load("here/run.npz")
    assert len(run.steps) == len(run.loss) >= 1


# ------------------------------------------------------------------ the results of another run


def test_another_run_gets_another_folder(table, capsys, tmp_path):
    (tmp_path / "b").mkdir()
    twin = tmp_path / "b" / "small.csv"
    twin.write_bytes(table.read_bytes())
    assert train(table, "--no-figure") == 0
    first = {path.name: path.read_bytes() for path in Path("asymfast-small").iterdir()}
    capsys.readouterr()
    for file, options, folder in (
        (table, [], "asymfast-small-2"),
        (table, ["--gamma", "1"], "asymfast-small-3"),
        (twin, [], "asymfast-small-4"),
    ):
        assert train(file, "--no-figure", *options) == 0
        out = capsys.readouterr().out
        assert "asymfast-small holds the results of another run (run.npz, model.npz" in out
        assert f"this run goes to {folder}\n" in out
        assert f"written to {folder}:" in out
    assert {path.name: path.read_bytes() for path in Path("asymfast-small").iterdir()} == first
    assert train(table, "--no-figure", "--gamma", "1", "--overwrite") == 0
    assert read_json("asymfast-small/summary.json")["settings"]["gamma"] == 1


def test_a_folder_that_is_named_is_replaced_only_if_asked(table, capsys):
    Path("here").mkdir()
    Path("here/results.csv").write_text("mine")
    assert train(table, "--no-figure", "--out", "here") == 2
    assert capsys.readouterr().err == (
        "asymfast train: here holds the results of another run (results.csv); replace it by "
        "--overwrite, or name another folder by --out\n"
    )
    assert Path("here/results.csv").read_text() == "mine"
    assert train(table, "--no-figure", "--out", "here", "--overwrite") == 0
    assert not Path("here/unfinished.json").exists()


def test_an_unfinished_run_of_another_table_is_left_alone(table, capsys, monkeypatch):
    with monkeypatch.context() as cut:
        cut.setattr(af, "gradient_descent", interrupted_at(20, af.gradient_descent))
        assert train(table, "--no-figure", "--record-every", "5") == 130
    values = np.loadtxt(table, delimiter=",", skiprows=1)
    write_table(table, values + 1, "speed,heat,tilt,lift")
    assert train(table, "--no-figure", "--record-every", "5") == 0
    out = capsys.readouterr().out
    assert "holds an unfinished run, which differs in the content of the file" in out
    assert "this run goes to asymfast-small-2" in out
    assert Path("asymfast-small/unfinished.checkpoint").exists()


# --------------------------------------------------------------------- hostile surroundings


def test_an_error_while_drawing_keeps_the_results(table, capsys, monkeypatch, tmp_path):
    folder = tmp_path / "settings"
    folder.mkdir()

    def fails(*args, **options):
        raise RuntimeError("latex could not be found,\nsee its log")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fails)
    for command in (
        ["train", str(table), "--target", "lift", "--width", "5", "--steps", "3"],
        ["certify", "--samples", "5", "--width", "5", "--steps", "3"],
    ):
        out_folder = tmp_path / command[0]
        assert main([*command, "--lr", "1", "--out", str(out_folder)]) == 1
        out, err = capsys.readouterr()
        assert err.startswith(f"asymfast {command[0]}: the figure could not be drawn (")
        assert "latex could not be found, see its log" in err
        assert err.count("\n") == 1
        assert f"written to {out_folder}: run.npz" in out
        names = {path.name for path in out_folder.iterdir()}
        assert "run.npz" in names
        assert not [name for name in names if name.startswith("unfinished")]


@pytest.mark.skipif(sys.platform == "win32", reason="file names there are text")
@pytest.mark.parametrize(
    ("encoding", "drawn"),
    [
        ("utf-8", False),
        ("ascii", False),
        pytest.param("ascii", True, marks=pytest.mark.slow),
        pytest.param("cp1252", False, marks=pytest.mark.slow),
    ],
)
def test_names_that_cannot_be_shown_are_escaped(encoding, drawn, tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff\xce\xb1.csv"
    rows = "\n".join(f"{i},{i * i % 7}" for i in range(12))
    Path(os.fsdecode(path)).write_text(f"größe,日本\n{rows}\n", encoding="utf-8")
    options = ["--target", "日本", "--width", "5", "--steps", "3", "--lr", "1"]
    options += [] if drawn else ["--no-figure"]
    done = subprocess.run(
        [*PYTHON, "train", path, *options],
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
    )
    assert done.returncode == 0, done.stderr  # where matplotlib may name glyphs that it lacks
    assert b"\\udcff" in done.stdout
    if encoding != "utf-8":
        assert b"\\u65e5\\u672c" in done.stdout
    (folder,) = (entry for entry in tmp_path.iterdir() if entry.is_dir())
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert os.fsencode(summary["data"]["file"]) == path
    assert summary["data"]["target"]["column"] == "日本"


@pytest.mark.skipif(sys.platform == "win32", reason="uses a shell")
def test_closed_streams(table):
    command = " ".join(
        [*PYTHON, "train", str(table), "--target lift --width 5 --steps 3 --no-figure"]
    )
    for number, closed in enumerate((">&-", "2>&-", ">&- 2>&-")):
        done = subprocess.run(
            f"{command} --out {number} {closed}", shell=True, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert Path(str(number), "results.csv").exists()


def test_streams_of_a_program_that_do_not_say_whether_they_are_terminals(table, monkeypatch):
    class Stream:
        def __init__(self):
            self.text = ""

        def write(self, text):
            self.text += text

        def flush(self):
            pass

    monkeypatch.setattr(sys, "stdout", Stream())
    monkeypatch.setattr(sys, "stderr", Stream())
    assert train(table, "--no-figure") == 0
    assert "inputs: speed, heat, tilt" in sys.stdout.text
    assert sys.stderr.text == ""


@pytest.mark.parametrize("command", [["train", "small.csv", "--target", "lift"], ["certify"]])
def test_a_misspelt_backend_is_said_at_once(command, table, capsys, monkeypatch):
    monkeypatch.setenv("ASYMFAST_BACKEND", "refrence")
    assert main(command) == 2
    assert capsys.readouterr() == (
        "",
        f"asymfast {command[0]}: backend (ASYMFAST_BACKEND) must be one of cpu, reference, "
        "got 'refrence'\n",
    )
    assert [path.name for path in table.parent.iterdir()] == ["small.csv"]


@pytest.mark.parametrize("value", ["1e200", "-1e300", "-3.4028234663852886e38"])
@pytest.mark.parametrize("column", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_extreme_value_in_a_test_row(value, column, dtype, table, capsys):
    """It is refused before training, or the test loss is a number."""
    lines = table.read_text().splitlines()
    row = 1 + int(np.random.default_rng([0, 1]).permutation(ROWS)[0])
    cells = lines[row].split(",")
    cells[column] = value
    lines[row] = ",".join(cells)
    table.write_text("\n".join([*lines, ""]))
    code = train(table, "--no-figure", "--dtype", dtype, "--out", "here")
    out, err = capsys.readouterr()
    if code == 0:
        assert (dtype, value) == ("float64", "-3.4028234663852886e38")
        assert np.isfinite(af.Run.load("here/run.npz").test_loss).all()
    else:
        assert (code, out) == (2, "")
        name = ["speed", "heat", "tilt", "lift"][column]
        assert err.startswith(f"asymfast train: column {name!r} has a value in a test row that is")
        assert err.count("\n") == 1
        assert not Path("here").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs device files")
@pytest.mark.parametrize("command", [["train"], ["certify"], ["predict", "model.npz"]])
def test_endless_files_are_refused(command, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if command[0] == "predict":
        os.mkfifo("model.npz")
        assert main([*command, "/dev/zero"]) == 2
    else:
        assert main([*command, "/dev/zero", "--target", "x"]) == 2
    assert "is not a regular file" in capsys.readouterr().err


# ------------------------------------------------------------------------- info, version, table


def test_info(capsys):
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    config = af.build_config()
    assert f"{config['version']}" in out
    for name in (*config, "numpy", "python", "extra: plot", "extra: data", "extra: sweep"):
        assert re.search(rf"^{name}  +\S", out, re.MULTILINE), name
    starts = {re.match(r"(.*?)  +\S", line).end() for line in out.splitlines()}
    assert len(starts) == 1, "aligned"


def test_info_says_how_to_get_what_is_missing(capsys, monkeypatch):
    monkeypatch.setattr("asymfast.cli._version", lambda name: None if name == "pooch" else "1.0")
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert (
        "pandas 1.0, pooch missing, openpyxl 1.0, xlrd 1.0; "
        "install with: pip install 'asymfast[data]'" in out
    )
    assert re.search(r"extra: plot +matplotlib 1.0\n", out)


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"asymfast {af.__version__}\n"


VERBS = ("train", "predict", "export", "certify", "paper", "sweep", "bench", "info")


@pytest.mark.parametrize("command", [[], *([verb] for verb in VERBS)])
def test_help(command, capsys):
    """The help of every option says what it is, not only what its default is."""
    assert main([*command, "--help"]) == 0
    text = capsys.readouterr().out
    assert "usage: " + " ".join(["asymfast", *command]) in text
    options = re.findall(r"^  (--\S+)(?: (?:\{.*\}|[A-Z]\S*))?\s+(.*)$", text, re.MULTILINE)
    assert len(options) > 1 or command == ["info"]
    assert all(re.match(r"[a-z]+ ", said) for _, said in options), options


def test_as_a_module(tmp_path):
    done = subprocess.run([*PYTHON, "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"asymfast {af.__version__}\n", "")
    wrong = subprocess.run([*PYTHON, "train"], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("asymfast train: ")


def test_a_full_standard_output_is_not_a_full_folder(table, capsys, monkeypatch):
    class Full(io.StringIO):
        def flush(self):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    assert train(table, "--no-figure") == 1
    assert "cannot write to stdout: [Errno 28]" in capsys.readouterr().err


def test_a_closed_pipe_is_no_crash():
    command = [*PYTHON, "info"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=20) == 1


def test_text_table():
    table = text_table(["name", "value"], [["a", "1"], ["long one", "-23.5"]], left=1)
    assert table == "name      value\n--------  -----\na             1\nlong one  -23.5"
    assert text_table([], [["a", "b"], ["cc", "d"]], left=2) == "a   b\ncc  d"


def test_percent():
    assert [percent(value) for value in (0.0602, 1.12, 0)] == ["6.02 %", "112 %", "0 %"]
