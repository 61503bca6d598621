"""Calls on the GPU's memory release the GIL before they wait for the device.

A run holds the device's lock and asks for the GIL at its callbacks: a thread that waited for that
lock with the GIL would block both for ever. The device is a stand-in (cpp/device_stand_in.cpp),
whose calls return once another Python thread has run.
"""

from __future__ import annotations

import ctypes
import importlib.util
import shutil
import subprocess
import sysconfig
import threading
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
pybind11 = pytest.importorskip("pybind11")
pytestmark = pytest.mark.slow  # compiles the bindings
COMPILER = shutil.which("c++")


@pytest.fixture(scope="module")
def device(tmp_path_factory):
    """The module `_cuda`, linked with the stand-in."""
    if COMPILER is None:
        pytest.skip("needs a C++ compiler")
    folder = tmp_path_factory.mktemp("device")
    (folder / "asymfast").mkdir()
    (folder / "asymfast" / "version.h").write_text('#define ASYMFAST_VERSION "test"\n')
    file = folder / f"_cuda{sysconfig.get_config_var('EXT_SUFFIX')}"
    includes = [
        *(folder, ROOT / "cpp" / "include", ROOT / "cpp" / "src", ROOT / "cpp" / "bindings"),
        *(pybind11.get_include(), sysconfig.get_paths()["include"]),
    ]
    sources = [
        ROOT / "cpp" / "bindings" / "cuda_module.cpp",
        ROOT / "tests" / "cpp" / "device_stand_in.cpp",
    ]
    flags = ["-std=c++17", "-O0", "-shared", "-fPIC", "-pthread", "-DASYMFAST_STATIC"]
    subprocess.run(
        [COMPILER, *flags, *(f"-I{one}" for one in includes), *sources, "-o", file], check=True
    )
    spec = importlib.util.spec_from_file_location("_cuda", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.open_the_gate = ctypes.CDLL(str(file)).open_the_gate
    return module


def while_another_thread_runs(device, call):
    """call(), during which another Python thread opens the gate; it raises if none can run."""
    done = threading.Event()

    def run():
        while not done.wait(0.01):
            device.open_the_gate()

    other = threading.Thread(target=run)
    other.start()
    try:
        return call()
    finally:
        done.set()
        other.join()


HOST = np.zeros(2)
CALLS = {
    "empty": lambda cuda: cuda.empty((3,), np.dtype(np.float32)),
    "copy": lambda cuda: cuda.copy(np.zeros(2), HOST),
    "wait_for": lambda cuda: cuda.wait_for(1),
    "first_bad": lambda cuda: cuda.first_bad(HOST),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_calls_on_the_device(device, call):
    while_another_thread_runs(device, lambda: call(device))


def test_copies_fit(device):
    for to in (np.zeros(3), np.zeros(4)[::2]):
        with pytest.raises(ValueError, match="differ in size or are not C-contiguous"):
            device.copy(to, HOST)
