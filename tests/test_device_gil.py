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
from asymfast import _device as arrays

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


W, a, lam = np.ones((2, 3)), np.ones((2, 1)), np.ones(2)
NET = (W, a, lam, "swish")
CALLS = {
    "copy_to_host": lambda cuda, at: cuda.copy_to_host(at, [2], np.dtype(np.float64)),
    "wait_for": lambda cuda, at: cuda.wait_for(1),
    "first_bad": lambda cuda, at: cuda.first_bad(at, 2, np.dtype(np.float32)),
    "forward": lambda cuda, at: cuda.forward(*NET, at, 1, at),
    "loss": lambda cuda, at: cuda.loss(*NET, at, 1, at, "mse"),
    "node_gradients": lambda cuda, at: cuda.node_gradients(*NET, at, 1, at, "mse", at),
    "features": lambda cuda, at: cuda.features(*NET, at, 1, at),
    "ntg": lambda cuda, at: cuda.ntg(*NET, lam, at, 1, at, 1, at),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_calls_on_the_device(device, call):
    memory = np.zeros(64)
    while_another_thread_runs(device, lambda: call(device, memory.ctypes.data))


def test_arrays_on_the_device(device):
    array = while_another_thread_runs(device, lambda: device.DeviceArray([3], np.dtype(np.float32)))
    host = while_another_thread_runs(device, array.numpy)
    np.testing.assert_array_equal(host, np.zeros(3, np.float32))


def test_a_consumer_may_ask_for_a_copy(device):
    array = while_another_thread_runs(device, lambda: device.DeviceArray([3], np.dtype(np.float32)))

    def pointer(**settings):
        return arrays._from_capsule("fn", "X", array.__dlpack__(**settings)).pointer

    assert pointer() == pointer(copy=False, stream=1, max_version=(1, 0)) == array.pointer
    assert pointer(dl_device=(2, 0)) == array.pointer
    assert while_another_thread_runs(device, lambda: pointer(copy=True)) != array.pointer
    with pytest.raises(BufferError, match=r"dl_device.*device 0, \(2, 0\), got \(1, 0\); numpy"):
        array.__dlpack__(dl_device=(1, 0))
