"""A trained model in use: predictions for new rows, by command and in Python; hostile files."""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
import re
import sys
from pathlib import Path

import asymfast as af
import numpy as np
import pytest
from asymfast.cli import main
from asymfast.datasets.tables import Columns

NAMES = ["speed", "fuel", "heat", "lift", "drag"]


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A folder with cars.csv and its model in ``asymfast-cars``; the values and their fuels."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(3)
    speed, heat = rng.uniform(1, 5, 60), rng.uniform(-3, 3, 60)
    fuel = np.array(["gas", "oil"])[rng.integers(0, 2, 60)]
    lift = 100 + speed * heat + 5 * (fuel == "oil")
    columns = {"speed": speed, "fuel": fuel, "heat": heat, "lift": lift, "drag": speed**2}
    write("cars.csv", columns)
    options = ["--target", "lift", "--target", "drag", "--one-hot", "fuel", "--bias"]
    small = ["--width", "60", "--steps", "300", "--lr", "0.5", "--no-figure"]
    assert main(["train", "cars.csv", *options, *small]) == 0
    return columns


def write(path, columns, names=None):
    names = names or list(columns)
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([names, *zip(*(columns[name] for name in names), strict=True)])


def rows(text):
    return list(csv.reader(io.StringIO(text)))


def expected(columns):
    """The formula in summary.json, by hand."""
    summary = json.loads(Path("asymfast-cars/summary.json").read_text())
    network = af.Run.load("asymfast-cars/run.npz").network
    fuel = columns["fuel"]
    raw = np.c_[columns["speed"], fuel == "gas", fuel == "oil", columns["heat"]]
    inputs, targets = summary["data"]["inputs"], summary["data"]["target"]
    X = (raw - [one["mean"] for one in inputs]) / [one["scale"] for one in inputs]
    output = network(np.c_[X, np.ones(len(X))])
    return output * [one["scale"] for one in targets] + [one["mean"] for one in targets]


def test_predict_gives_the_targets_in_their_units(trained, capsys):
    capsys.readouterr()
    assert main(["predict", "asymfast-cars", "cars.csv"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    header, *body = rows(out)
    assert header == ["lift", "drag"]
    np.testing.assert_allclose(np.array(body, float), expected(trained), rtol=1e-12)
    assert abs(np.array(body, float)[:, 0] - trained["lift"]).mean() < 2
    assert main(["predict", "asymfast-cars/model.npz", "cars.csv", "--out", "new.csv"]) == 0
    assert capsys.readouterr().out == "60 predictions of lift, drag written to new.csv\n"
    assert Path("new.csv").read_text() == out
    assert main(["predict", "asymfast-cars", "cars.csv", "--out", "new.csv"]) == 2
    assert capsys.readouterr().err == "asymfast predict: new.csv exists; --overwrite replaces it\n"
    assert main(["predict", "asymfast-cars", "cars.csv", "--out", "new.csv", "--overwrite"]) == 0


def test_columns_are_taken_by_name_and_others_ignored(trained, capsys):
    new = {name: values[:5] for name, values in trained.items()}
    write("new.csv", {**new, "owner": list("abcde")}, ["owner", "heat", "speed", "fuel"])
    capsys.readouterr()
    assert main(["predict", "asymfast-cars", "new.csv"]) == 0
    out, err = capsys.readouterr()
    assert err == (
        "new.csv: ignored columns: owner\n"
        "new.csv: columns are in another order; taken by name: speed, fuel, heat\n"
    )
    np.testing.assert_allclose(np.array(rows(out)[1:], float), expected(new), rtol=1e-12)
    table = {name: new[name] for name in ("heat", "fuel", "speed")}
    np.testing.assert_allclose(af.load_model("asymfast-cars").predict(table), expected(new), 1e-12)


@pytest.mark.parametrize(
    ("column", "error", "message"),
    [
        (np.ma.array([1.0, 2.0], mask=[True, False]), TypeError, "plain array, got a masked one"),
        (np.array(["1e4000", "1"], np.longdouble), ValueError, "column 'speed' must be finite"),
        ([], ValueError, r"column 'fuel' must have shape \(0,\) as the first one, got \(2,\)"),
        (1.0, ValueError, r"column 'speed' must have shape \(n,\), got \(\)"),
        ([[1.0], [2.0]], ValueError, r"column 'speed' must have shape \(n,\), got \(2, 1\)"),
        (["1", "2"], ValueError, r"must hold numbers, as in training; .*\.astype\(float\)"),
        ([1j, 2], TypeError, "column 'speed' must hold numbers or text"),
    ],
)
def test_columns_of_other_kinds(trained, column, error, message):
    if getattr(column, "dtype", None) == np.longdouble and np.isinf(np.float64(column[0])) == 0:
        pytest.skip("a long double is a double here")
    table = {name: list(trained[name][:2]) for name in ("speed", "fuel", "heat")}
    model = af.load_model("asymfast-cars")
    with pytest.raises(error, match=f"^Model.predict: .*{message}"):
        model.predict({**table, "speed": column})
    with pytest.raises(ValueError, match="must have at least one row, got none"):
        model.predict({name: [] for name in table})


def test_data_frames(trained):
    pandas = pytest.importorskip("pandas")
    model = af.load_model("asymfast-cars")
    frame = pandas.DataFrame({**trained, "owner": "me"})
    with pytest.warns(UserWarning, match=r"Model.predict: ignored columns: owner") as warned:
        predicted = model.predict(frame)
    assert warned[0].filename == __file__
    np.testing.assert_allclose(predicted, expected(trained), rtol=1e-12)
    with pytest.raises(ValueError, match=r"X lacks the columns speed, heat; it has fuel"):
        model.predict(frame[["fuel"]])
    with pytest.raises(ValueError, match=r"X lacks the columns speed, fuel, heat"):
        model.predict(frame[["lift"]])
    frame.loc[3, "heat"] = np.nan
    with pytest.raises(ValueError, match=r"column 'heat' must be finite, got nan at index \(3,\)"):
        model.predict(frame[NAMES])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heat": None}, r"lacks the columns heat; it has speed, fuel"),
        ({"fuel": "coal"}, r"column 'fuel' has the values coal, which are not among gas, oil"),
        ({"heat": "warm"}, r"line 2, column 'heat' is not a number: 'warm'"),
        ({"heat": ""}, r"line 2, column 'heat' is empty"),
        ({"speed": "1e308"}, r"exceeds the range|too large"),
    ],
)
def test_rows_that_do_not_fit(trained, capsys, change, message):
    (name, value) = next(iter(change.items()))
    new = {key: list(trained[key][:3]) for key in ("speed", "fuel", "heat")}
    if value is None:
        del new[name]
    else:
        new[name][0] = value
    write("new.csv", new)
    capsys.readouterr()
    assert main(["predict", "asymfast-cars", "new.csv", "--out", "predicted.csv"]) == 2
    err = capsys.readouterr().err
    assert re.search(message, err), err
    assert err.count("\n") == 1
    assert not re.search("--missing|--one-hot|--drop", err), "options of train"
    assert not Path("predicted.csv").exists()


def test_arrays(tmp_path):
    """A model without categories takes arrays, in the units of the table."""
    x = np.linspace(0, 4, 50)
    np.savetxt(tmp_path / "t.csv", np.c_[x, 3 * x - 7], delimiter=",", header="x,y", comments="")
    options = ["--target", "y", "--width", "40", "--steps", "200", "--lr", "0.5", "--no-figure"]
    for dtype in ("float64", "float32"):
        folder = tmp_path / dtype
        command = ["train", str(tmp_path / "t.csv"), *options, "--out", str(folder)]
        assert main([*command, "--dtype", dtype]) == 0
        model = af.load_model(folder)
        assert model.network.dtype == dtype
        assert model.about["settings"]["seed"] == 0
        assert model.about["asymfast"] == af.__version__
        predicted = model.predict([[1.0], [2.0]])
        assert predicted.shape == (2,)
        assert predicted.dtype == np.float64
        np.testing.assert_allclose(predicted, [-4, -1], atol=0.5)
        np.testing.assert_array_equal(model.predict({"x": np.array([1, 2])}), predicted)
        with pytest.raises(ValueError, match=r"Model.predict: X must have shape \(n, 1\)"):
            model.predict(np.ones((3, 2)))
        with pytest.raises(ValueError, match=r"Model.predict: X must be finite"):
            model.predict([[np.inf]])
        model.save(tmp_path / "copy.npz")
        again = af.load_model(tmp_path / "copy.npz")
        assert again.about == model.about
        np.testing.assert_array_equal(again.predict([[1.0], [2.0]]), predicted)


class Malice:
    def __reduce__(self):
        return (os.system, ("touch executed",))


def changed(arrays, **changes):
    return {**arrays, **changes}


def header_with(arrays, **changes):
    header = {**json.loads(str(arrays["header"])), **changes}
    return {**arrays, "header": np.array(json.dumps(header))}


HOSTILE = {
    "no header": lambda a: {name: a[name] for name in a if name != "header"},
    "no weights": lambda a: {name: a[name] for name in a if name != "W"},
    "another format": lambda a: header_with(a, format="asymfast run 1"),
    "activation": lambda a: header_with(a, activation="__import__"),
    "activation list": lambda a: header_with(a, activation=["swish"]),
    "inputs": lambda a: header_with(a, inputs="speed"),
    "inputs twice": lambda a: header_with(a, inputs=["speed", "speed", "heat"]),
    "no targets": lambda a: header_with(a, targets=[]),
    "a target among the inputs": lambda a: header_with(a, targets=["speed"]),
    "categories": lambda a: header_with(a, categories={"fuel": ["gas"]}),
    "strange categories": lambda a: header_with(a, categories=5),
    "other categories": lambda a: header_with(a, categories={"owner": ["me", "you"]}),
    "categories list": lambda a: header_with(a, categories=[1]),
    "bias": lambda a: header_with(a, bias=3),
    "about": lambda a: header_with(a, about=3),
    "deep": lambda a: changed(a, header=np.array("[" * 100_000)),
    "not finite": lambda a: changed(a, input_mean=a["input_mean"] * np.nan),
    "zero scale": lambda a: changed(a, target_scale=a["target_scale"] * 0),
    "wrong length": lambda a: changed(a, input_scale=a["input_scale"][1:]),
    "wrong dtype": lambda a: changed(a, target_mean=a["target_mean"].astype(complex)),
    "weights not finite": lambda a: changed(a, W=a["W"] * np.inf),
    "weights of another shape": lambda a: changed(a, W=a["W"][:, 1:].copy()),
    "an ensemble": lambda a: changed(a, W=a["W"][None], a=a["a"][None], lam=a["lam"][None]),
    "negative scaling": lambda a: changed(a, lam=-a["lam"]),
    "gamma": lambda a: changed(a, gamma=np.array([0.5, 0.5])),
    "gamma text": lambda a: changed(a, gamma=np.array("0.5")),
    "objects": lambda a: changed(a, W=np.array([Malice()], dtype=object)),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_models_from_strangers(kind, trained):
    with np.load("asymfast-cars/model.npz", allow_pickle=False) as stored:
        arrays = dict(stored)
    np.savez("hostile.npz", **HOSTILE[kind](arrays))
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=r"load_model: hostile\.npz"):
        af.load_model("hostile.npz")
    assert not Path("executed").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"x,y\n1,2\n", pickle.dumps(Malice())])
def test_what_is_not_a_model(content, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("bad.npz").write_bytes(content)
    assert main(["predict", "bad.npz", "new.csv"]) == 2
    assert "load_model: bad.npz is not a model file" in capsys.readouterr().err
    assert main(["predict", "absent.npz", "new.csv"]) == 2
    assert capsys.readouterr().err == (
        "asymfast predict: cannot read absent.npz: No such file or directory\n"
    )
    assert not Path("executed").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pipe with a name")
def test_predictions_go_to_files_only(trained, capsys):
    write("new.csv", {key: list(trained[key][:3]) for key in ("speed", "fuel", "heat")})
    os.mkfifo("pipe")
    for out in ("pipe", "none/new.csv", "."):
        command = ["predict", "asymfast-cars", "new.csv", "--overwrite", "--out", out]
        capsys.readouterr()
        assert main(command) == 2
        assert "--out must be a file in a folder that exists" in capsys.readouterr().err
    assert Path("pipe").is_fifo()


def test_a_file_that_is_read_is_not_replaced(trained, capsys):
    kept = {path: path.read_bytes() for path in (Path("cars.csv"), Path("asymfast-cars/model.npz"))}
    for out in kept:
        for words in (
            ["predict", "asymfast-cars", "cars.csv", "--out"],
            ["export", str(out), "--c"],
        ):
            assert main([*words, str(out), "--overwrite"]) == 2
            assert f"{out} is read, and must not be replaced" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in kept} == kept


def test_nothing_is_exported_unless_all_can_be(trained, capsys):
    assert main(["export", "asymfast-cars", "--c", "cars.h", "--numpy", "none/cars.py"]) == 2
    assert "none/cars.py: export: the folder of path must exist" in capsys.readouterr().err
    command = ["export", "asymfast-cars", "--overwrite", "--c", "cars.h", "--numpy", os.devnull]
    assert main(command) == 2
    assert f"{os.devnull} is not a regular file" in capsys.readouterr().err
    assert not Path("cars.h").exists()


def test_a_table_of_other_columns(trained, capsys):
    Path("new.csv").write_text("a,b\n1,2\n")
    assert main(["predict", "asymfast-cars", "new.csv"]) == 2
    sentence = "new.csv has none of the columns speed, fuel, heat; it has a, b\n"
    assert capsys.readouterr().err == f"asymfast predict: {sentence}"


def test_files_of_an_export_are_different_ones(trained, capsys):
    capsys.readouterr()
    for other in ("model.h", Path("model.h").absolute()):
        assert main(["export", "asymfast-cars", "--c", "model.h", "--numpy", str(other)]) == 2
        assert "must name different files" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pipe with a name")
def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "model.npz")
    with pytest.raises(ValueError, match="is not a regular file"):
        af.load_model(tmp_path)


def test_a_diverged_run_leaves_no_model(trained, capsys):
    options = ["--target", "drag", "--one-hot", "fuel", "--width", "20", "--no-figure"]
    command = ["train", "cars.csv", *options, "--out", "here", "--steps", "60"]
    assert main([*command, "--lr", "0.1"]) == 0
    assert Path("here/model.npz").exists()
    assert main([*command, "--lr", "1e4", "--overwrite"]) == 1
    assert not Path("here/model.npz").exists()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"target": 2}, TypeError, "target must be a sequence of names, got 2"),
        ({"target": []}, ValueError, "target must name at least one column"),
        ({"drop": "heat"}, TypeError, r"drop must be .* got 'heat'; pass \['heat'\]"),
        ({"one_hot": 3}, TypeError, "one_hot must be a sequence of names, got 3"),
        ({"test_fraction": 10}, ValueError, r"test_fraction must be in \[0, 1\), got 10"),
        ({"path": np.ones((99, 9))}, TypeError, "path must be a path, got a value of type ndarray"),
    ],
)
def test_read_samples_checks_its_arguments(tmp_path, change, error, message):
    (tmp_path / "t.csv").write_text("heat,lift\n1,2\n3,4\n5,7\n")
    with pytest.raises(error, match=f"^read_samples: {message}"):
        af.datasets.read_samples(**{"path": tmp_path / "t.csv", "target": "lift"} | change)


def test_row_numbers_of_pandas_are_named(tmp_path):
    (tmp_path / "t.csv").write_text(",heat,lift\n0,1,2\n1,3,4\n2,5,7\n")
    with pytest.raises(ValueError, match=r"no name for column 1 \(row numbers\?.*index=False"):
        af.datasets.read_samples(tmp_path / "t.csv", "lift")


@pytest.mark.parametrize(
    ("about", "message"),
    [(None, "about must be a mapping, got NoneType"), ({"x": {1}}, "about must be JSON-able, .*")],
)
def test_about_a_model_is_checked_when_it_is_made(about, message):
    numbers = dict.fromkeys(Columns.NUMBERS, np.ones(1))
    columns = Columns(("x",), ("y",), {}, **numbers)
    with pytest.raises(TypeError, match=f"^Model: {message}"):
        af.Model(af.Network([[1.0]], [1.0], [1.0]), columns, about)
