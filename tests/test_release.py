"""What a release promises about itself: versions, extras, licences and files in one place each."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import asymfast as af
import pytest
from asymfast import cli
from mutants import MUTANTS

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
DEVELOPERS = {"docs", "test", "test-all"}


def packages(requirements):
    return tuple(re.match(r"[\w-]+", one)[0] for one in requirements if "python_version" not in one)


def test_the_version_is_written_once():
    stated = re.search(
        r"project\(asymfast VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text()
    )
    assert af.__version__ == stated[1]
    assert "version" not in PYPROJECT["project"]
    assert "version:" not in re.sub(r"cff-version: .*", "", (ROOT / "CITATION.cff").read_text())


def test_numpy_is_all_that_is_needed():
    assert packages(PYPROJECT["project"]["dependencies"]) == ("numpy",)


def test_the_designed_extras_exist():
    designed = "plot data theory sklearn sweep mpi docs test torch onnx all"
    assert set(designed.split()) <= set(EXTRAS)


def test_all_holds_every_extra_of_users():
    """But for `onnx`, whose packages are large and serve one function."""
    (one,) = EXTRAS["all"]
    named = set(re.fullmatch(r"asymfast\[(.*)\]", one)[1].split(","))
    assert named == set(EXTRAS) - DEVELOPERS - {"all", "onnx"}


def test_info_lists_the_extras_as_they_are():
    shown = set(EXTRAS) - DEVELOPERS - {"all"}
    assert set(cli._EXTRAS) == shown
    for extra in shown:
        assert set(cli._EXTRAS[extra].split()) == set(packages(EXTRAS[extra])), extra


def test_the_test_extra_stays_light():
    heavy = {"torch", "torchvision", "dask", "distributed", "mpi4py", "jax"}
    assert not heavy & set(packages(EXTRAS["test"]))


def test_the_metadata_names_licence_and_notice():
    try:
        found = metadata.distribution("asymfast")
    except metadata.PackageNotFoundError:
        pytest.skip("asymfast is not installed")
    if not any(str(path).endswith(".pyi") for path in found.files or ()):
        pytest.skip("an editable install")
    assert found.metadata["License-Expression"] == "MIT"
    assert {"LICENSE", "NOTICE"} <= set(found.metadata.get_all("License-File"))
    for name in ("Eigen", "pybind11", "libgomp"):
        assert name in (ROOT / "NOTICE").read_text()


def test_wheels_that_lack_something_are_noticed(tmp_path):
    """The check that every wheel of a release has to pass."""
    checker = ROOT / ".github" / "check_wheels.py"
    if not checker.exists():
        pytest.skip("a source distribution")
    with zipfile.ZipFile(tmp_path / "asymfast-0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("asymfast/_core.pyi", "")
    done = subprocess.run(
        [sys.executable, checker, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "has no headers; has no static library" in done.stdout


def test_the_citation_can_be_read():
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["license"] == PYPROJECT["project"]["license"]
    authors = [one["family-names"] for one in citation["preferred-citation"]["authors"]]
    assert authors == ["Caron", "Ayed", "Jung", "Lee", "Lee", "Yang"]


def test_mutants_still_apply():
    """Each replaces exactly one place of its file, also after that has been rewritten."""
    stale = [each for each in MUTANTS if (ROOT / each.file).read_text().count(each.right) != 1]
    assert not stale
