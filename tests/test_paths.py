"""Arguments that are paths: refused in one sentence that names function and argument."""

from __future__ import annotations

import os
import sys

import asymfast as af
import numpy as np
import pytest
from asymfast.datasets import read_csv
from asymfast.datasets.files import read_idx
from asymfast.study import read_experiment
from cases import problem

CASE = problem(n=7, d=5, m=6)


@pytest.fixture(scope="module")
def run():
    return af.gradient_descent(CASE.net, CASE.X, CASE.y, lr=0.1, steps=2)


class PathOfBytes(os.PathLike):
    def __fspath__(self):
        return b"run.npz"


def load_sweep(path):
    pytest.importorskip("xarray")
    return af.load_sweep(path)


def descend(**settings):
    return af.gradient_descent(CASE.net, CASE.X, CASE.y, steps=2, **settings)


CALLS = {
    "Run.save: path": lambda run, path: run.save(path),
    "Run.load: path": lambda run, path: af.Run.load(path),
    "gradient_descent: checkpoint": lambda run, path: descend(checkpoint=path),
    "gradient_flow: checkpoint": lambda run, path: af.gradient_flow(
        CASE.net, CASE.X, CASE.y, t_end=1.0, checkpoint=path
    ),
    "sgd: checkpoint": lambda run, path: af.sgd(
        CASE.net, CASE.X, CASE.y, lr=0.1, batch_size=7, epochs=1, checkpoint=path
    ),
    "Record: folder": lambda run, path: af.Record(folder=path),
    "load: data_dir": lambda run, path: af.datasets.load("concrete", data_dir=path),
    "read_csv: path": lambda run, path: read_csv(path),
    "read_idx: path": lambda run, path: read_idx(path),
    "sweep: out": lambda run, path: af.sweep([], out=path),
    "sweep: data_dir": lambda run, path: af.sweep([], out="folder", data_dir=path),
    "load_sweep: folder": lambda run, path: load_sweep(path),
    "read_experiment: source": lambda run, path: read_experiment(path),
    "plot.save: path": lambda run, path: af.plot.save(
        pytest.importorskip("matplotlib.figure").Figure(), path
    ),
}
# None is their default.
OPTIONAL = ("gradient_descent: checkpoint", "gradient_flow: checkpoint", "sgd: checkpoint")
OPTIONAL += ("Record: folder", "load: data_dir", "sweep: data_dir")
NO_PATHS = [
    (what, path)
    for what in CALLS
    for path in (3, b"run.npz", ["run.npz"], PathOfBytes(), True, None)
    if path is not None or what not in OPTIONAL
]


@pytest.mark.parametrize(("what", "path"), NO_PATHS)
def test_what_is_no_path(run, what, path):
    with pytest.raises(TypeError, match=f"^{what} must be a path, got "):
        CALLS[what](run, path)


@pytest.mark.parametrize("what", CALLS)
@pytest.mark.parametrize("path", ["", "run\0.npz"])
def test_paths_that_no_file_has(run, what, path):
    with pytest.raises(ValueError, match=f"^{what} must be a path, got '"):
        CALLS[what](run, path)


WRITES = ("Run.save: path", *(what for what in OPTIONAL if what.endswith("checkpoint")))


@pytest.mark.parametrize("what", WRITES)
def test_folders_where_a_file_is_to_be(run, what, tmp_path):
    with pytest.raises(IsADirectoryError, match=f"{what} must be a file"):
        CALLS[what](run, tmp_path)


@pytest.mark.parametrize("what", WRITES)
def test_folders_that_do_not_exist(run, what, tmp_path):
    function, name = what.split(": ")
    with pytest.raises(FileNotFoundError, match=f"{function}: the folder of {name} must exist"):
        CALLS[what](run, tmp_path / "none" / "file")


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_strings_and_paths(run, kind, tmp_path):
    run.save(kind(tmp_path / "run.npz"))
    again = af.Run.load(kind(tmp_path / "run.npz"))
    np.testing.assert_array_equal(again.loss, run.loss)


def test_a_path_in_the_present_folder(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run.save("run.npz")
    assert af.Run.load("run.npz").steps.tolist() == run.steps.tolist()
    assert os.listdir(tmp_path) == ["run.npz"]


LOADS = {"Run.load": af.Run.load, "load_model": af.load_model, "read_idx": read_idx}


@pytest.mark.skipif(sys.platform == "win32", reason="needs device files")
@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS.keys())
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_files_without_an_end_are_refused(load, kind, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="is not a regular file"):
        load(tmp_path / "pipe" if kind == "pipe" else "/dev/zero")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pipe and links")
def test_what_is_written_takes_the_place_of_files_only(run, tmp_path):
    """Of a device, too, which could not be made again; a link stays, and leads to what is new."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileExistsError, match="not a regular file"):
        run.save(tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link.npz").symlink_to(tmp_path / "elsewhere" / "run.npz")
    run.save(tmp_path / "link.npz")
    run.save(tmp_path / "link.npz")
    assert (tmp_path / "link.npz").is_symlink()
    assert os.listdir(tmp_path / "elsewhere") == ["run.npz"]
    assert af.Run.load(tmp_path / "elsewhere" / "run.npz").steps.tolist() == run.steps.tolist()


@pytest.mark.parametrize("ending", [".npz", "." + 100 * "é"])
def test_names_as_long_as_a_file_system_takes(run, ending, tmp_path):
    path = tmp_path / ((255 - len(ending.encode())) * "x" + ending)
    run.save(path)
    assert len(af.Run.load(path).steps) == len(run.steps)
    path.unlink()
    assert descend(checkpoint=path).steps.tolist() == descend(checkpoint=path).steps.tolist()
    assert os.listdir(tmp_path) == [path.name]
