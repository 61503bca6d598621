"""The machine's measured limits, by a small program compiled for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

FLAGS = ["-O3", "-march=native", "-fopenmp", "-std=c++17", "-fno-math-errno"]


def measure(threads: int) -> dict[str, Any] | None:
    """Flop a second, nanoseconds an exp, bytes a second; None without a compiler that can."""
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        return None
    source = Path(__file__).with_name("peaks.cpp")
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder, "peaks"))
        built = subprocess.run(
            [compiler, *FLAGS, str(source), "-o", program], capture_output=True, check=False
        )
        if built.returncode:
            return None
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        done = subprocess.run([program], capture_output=True, check=True, env=environment)
    peaks: dict[str, Any] = json.loads(done.stdout)
    return peaks


def measure_gpu() -> dict[str, Any] | None:
    """Measure the same of the first GPU; None without nvcc or a GPU."""
    compiler = shutil.which("nvcc")
    if compiler is None:
        return None
    source = Path(__file__).with_name("peaks.cu")
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder, "peaks"))
        command = [compiler, "-O3", "-std=c++17", "-arch=native", str(source), "-o", program]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return None
        done = subprocess.run([program], capture_output=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def least_seconds(peaks: dict[str, Any], dtype: str, flops: float, exps: float) -> float:
    """The time of a program that does nothing but these, one after the other, at the peak."""
    exp = 1e-9 * peaks[f"exp_ns_{dtype}"] / peaks["threads"]
    return float(flops / peaks[f"fma_{dtype}"] + exps * exp)
