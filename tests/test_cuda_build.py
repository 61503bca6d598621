"""The CUDA module compiles, links and imports without a driver, wherever nvcc is found."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import asymfast as af
import pytest

ROOT = Path(__file__).resolve().parents[1]

SAYS = """
import importlib.util, json, sys
import asymfast as af
spec = importlib.util.spec_from_file_location("_cuda", sys.argv[1])
cuda = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cuda)
af.cuda.module = lambda: cuda
print(json.dumps({
    "missing": af.cuda.what_is_missing(),
    "devices": len(cuda.devices()),
    "runtime": cuda.runtime_version(),
    "driver": cuda.driver_version(),
}))
"""


slow = pytest.mark.slow  # compiles all kernels


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Path of the extension module, compiled for one architecture."""
    pybind11 = pytest.importorskip("pybind11")
    for tool in ("nvcc", "cmake"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool}")
    folder = tmp_path_factory.mktemp("cuda")
    purelib = Path(pybind11.__file__).resolve().parents[1]
    configure = [
        "cmake",
        f"-S{ROOT}",
        f"-B{folder}",
        "-DASYMFAST_BUILD_PYTHON=ON",
        "-DASYMFAST_MULTI_ISA=OFF",
        "-DASYMFAST_CUDA=ON",
        "-DCMAKE_CUDA_ARCHITECTURES=90-real",
        f"-DPython_EXECUTABLE={sys.executable}",
        f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
        f"-DCMAKE_PREFIX_PATH={purelib}",
    ]
    for command in (configure, ["cmake", "--build", str(folder), "--target", "_cuda"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode and "Eigen3" in done.stderr:
            pytest.skip("no Eigen")
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    [module] = folder.glob("_cuda*.so")
    return module


@slow
def test_the_module_imports_without_a_driver_and_says_what_is_missing(built):
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}  # also on a machine that has a GPU
    done = subprocess.run(
        [sys.executable, "-c", SAYS, str(built)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    said = json.loads(done.stdout)
    assert said["devices"] == 0
    assert said["runtime"] >= 12000
    if said["driver"] == 0:
        assert said["missing"] == "an NVIDIA driver; there is none"
    else:
        assert said["missing"].startswith(("a device; the driver", "a driver for CUDA"))


@slow
def test_the_module_needs_no_library_of_cuda(built):
    if shutil.which("readelf") is None:
        pytest.skip("no readelf")
    text = subprocess.run(
        ["readelf", "-d", str(built)], capture_output=True, text=True, check=True
    ).stdout
    needed = [line.split("[")[1].rstrip("]") for line in text.splitlines() if "NEEDED" in line]
    assert not [name for name in needed if name.startswith(("libcuda", "libcudart", "libnv"))]


def test_without_the_module_python_says_that_the_build_has_none():
    if af.cuda.versions() is not None:
        pytest.skip("this build has CUDA")
    assert af.cuda.devices() == []
    assert not af.cuda.is_available()
    assert af.cuda.what_is_missing().startswith("a build with CUDA")
    assert af.build_config()["cuda"] is False
