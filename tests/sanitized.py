"""Run a part of the Python tests on an extension that was built with a sanitizer.

    python tests/sanitized.py asan|ubsan|tsan|another preset [pytest's arguments]

The build is that of the preset, in build/NAME; its extension and the package's Python files are
copied to build/NAME/python. The interpreter itself is not instrumented: the sanitizer's library is
loaded before it, leaks are looked for by the C++ tests alone, and the thread sanitizer watches the
extension's memory only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = {
    # all kernels on all sizes, the boundary, damaged files, killed and resumed runs
    "asan": [
        "test_sizes.py",
        "test_many_samples.py",
        "test_errors.py",
        "test_records.py",
        "test_sgd.py",
        "test_leaps.py",
        "test_flow_methods.py",
        "test_both_layers.py",
        "test_fuzz_states.py",
        "test_fuzz_api.py",
        "test_fuzz_readers.py",
    ],
    # teams within threads within one process
    "tsan": [
        "test_determinism.py::test_threads_share_the_work_of_one_process",
        "test_determinism.py::test_member_of_a_stack_equals_its_single_run",
        "test_many_samples.py::test_same_bits_for_any_threads_and_in_a_stack",
        "test_processes.py::test_threads_train_side_by_side",
        "test_processes.py::test_operator_of_each_thread",
        "test_processes.py::test_callbacks_of_two_runs_do_not_mix",
    ],
}
TESTS["ubsan"] = TESTS["asan"]


def library(compiler, *names):
    """Paths of a compiler's run-time libraries, for LD_PRELOAD."""
    ask = ([compiler, f"-print-file-name={name}"] for name in names)
    paths = [
        subprocess.run(a, capture_output=True, text=True, check=True).stdout.strip() for a in ask
    ]
    return ":".join(paths)


def environment(name):
    """What the interpreter is started with."""
    if name == "asan":  # the C++ library after it, whose exceptions it intercepts
        # malloc that fails must return, as it does without the sanitizer
        options = "detect_leaks=0:allocator_may_return_null=1"
        return {"LD_PRELOAD": library("g++", "libasan.so", "libstdc++.so"), "ASAN_OPTIONS": options}
    if name == "tsan":
        # GCC's library, which Clang's code calls by the same names: Clang's cannot be preloaded.
        # OpenMP in an extension does not look for Archer by itself.
        ask = ["clang++", "-print-resource-dir"]
        resources = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
        return {
            "LD_PRELOAD": library("g++", "libtsan.so"),
            "TSAN_OPTIONS": "ignore_noninstrumented_modules=1",
            "OMP_TOOL_LIBRARIES": str(Path(resources.strip()).parents[1] / "libarcher.so"),
            "OMP_NUM_THREADS": "3",
            "OPENBLAS_NUM_THREADS": "1",
        }
    return {"UBSAN_OPTIONS": "print_stacktrace=1"}


def main():
    name, *rest = sys.argv[1:]
    build = ROOT / "build" / name
    package = build / "python" / "asymfast"
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(ROOT / "python" / "asymfast", package, ignore=shutil.ignore_patterns("*.so"))
    (extension,) = build.glob("_core*.so")
    shutil.copy(extension, package)
    path = {"PYTHONPATH": str(package.parent)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    tests = rest or [str(ROOT / "tests" / test) for test in TESTS[name]]
    done = subprocess.run(
        [*command, *tests], env={**os.environ, **path, **environment(name)}, cwd=ROOT, check=False
    )
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
