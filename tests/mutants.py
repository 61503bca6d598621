"""Wrong lines, one at a time, each of which some test must notice: does the suite test anything?

    python tests/mutants.py [--only WORD] [--core EXTENSION] [--patience SECONDS]

Works in a copy of the checkout, which is built there with one instruction set. Every mutant names a
file, a line in it, what is written instead and the tests that should notice; where these pass, all
tests are run. Prints a table. The exit code is 1 if a mutant survives, or no longer applies.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]


class Mutant(NamedTuple):
    """Where, what the line says, what it says instead, and the tests that should notice."""

    file: str
    right: str
    wrong: str
    tests: str


PYTHON = [
    Mutant("scaling.py", "** (-1 / alpha)", "** (1 / alpha)", "test_scaling.py"),
    Mutant(
        "scaling.py",
        "return np.asarray(gamma / m + (1 - gamma)",
        "return np.asarray(gamma / m + gamma",
        "test_scaling.py",
    ),
    Mutant(
        "network.py",
        "np.argsort(-self._lam64",
        "np.argsort(self._lam64",
        "test_pruning.py",
    ),
    Mutant("pruning.py", "losses /= n * net.k", "losses /= n", "test_pruning.py"),
    Mutant(
        "linearised.py",
        'self.curvature = 1.0 if loss == "half_sse" else 2.0 / self.y.size',
        'self.curvature = 1.0 if loss == "half_sse" else 1.0 / self.y.size',
        "test_linearised.py",
    ),
    Mutant(
        "linearised.py", "* self.mu_known + self.ridge", "* self.mu_known", "test_linearised.py"
    ),
    Mutant("linearised.py", "np.sqrt(net.lam)[:, None]", "net.lam[:, None]", "test_linearised.py"),
    Mutant(
        "network.py",
        "2 * generator.integers(0, 2, size=size).astype(np.float64) - 1",
        "generator.integers(0, 2, size=size).astype(np.float64)",
        "test_network.py",
    ),
    Mutant(
        "record.py",
        "(given[1:] <= given[:-1]).any()",
        "(given[1:] < given[:-1]).any()",
        "test_records.py",
    ),
    Mutant("_check.py", "if allowed < fixed + least:", "if allowed < fixed:", "test_memory.py"),
    Mutant(
        "theory/limits.py",
        "np.where(rows.rho < 0, acute, math.pi - acute)",
        "np.where(rows.rho < 0, math.pi - acute, acute)",
        "test_theory_limits.py",
    ),
    Mutant(
        "theory/limits.py",
        "(gamma + (1 - gamma) * missing) * K",
        "(gamma + gamma * missing) * K",
        "test_theory_limits.py",
    ),
    Mutant(
        "theory/convergence.py",
        "self.ntg_linear * sum_lam2 + self.ntg_root",
        "self.ntg_linear * sum_lam2 - self.ntg_root",
        "test_theory_statements.py",
    ),
    Mutant(
        "theory/convergence.py",
        "eigmin=gamma * kappa / 2",
        "eigmin=gamma * kappa",
        "test_theory_statements.py",
    ),
    Mutant(
        "theory/feature_learning.py",
        "scaled = chosen.slope(z) * (a**3 * lam**1.5)",
        "scaled = chosen.slope(z) * (a**3 * lam)",
        "test_theory_feature_learning.py",
    ),
    Mutant(
        "datasets/tables.py",
        "(raw - self.input_mean) / self.input_scale",
        "(raw - self.input_mean) * self.input_scale",
        "test_columns.py test_model.py",
    ),
    Mutant("datasets/tables.py", "value > 0.95", "value > 0.5", "test_cli.py"),
]
CORE = [
    Mutant("math/losses.hpp", "T(2 * scale * r)", "T(scale * r)", "test_kernels.py"),
    Mutant(
        "math/losses.hpp",
        "weight * std::log(exps) - chosen",
        "std::log(exps) - chosen",
        "test_kernels.py test_training.py",
    ),
    Mutant(
        "losses.cpp",
        "return 2.0 / (double(n) * double(k))",
        "return 2.0 / double(n)",
        "test_flow_methods.py test_divergence.py test_defaults.py",
    ),
    Mutant(
        "initial.cpp",
        "std::pow(double(j + 1), -1 / alpha)",
        "std::pow(double(j), -1 / alpha)",
        "test_c_interface.py",
    ),
    Mutant("initial.cpp", "std::sqrt(-2 * std::log(", "std::sqrt(-std::log(", "cpp/pieces.cpp"),
    Mutant(
        "math/exp.hpp",
        "positive ? small : large, u",
        "positive ? large : small, u",
        "test_activation_kernels.py",
    ),
    Mutant(
        "math/exp.hpp",
        "0.111111120647024233",
        "0.111112120647024233",
        "test_activation_kernels.py",
    ),
    Mutant(
        "train/vectors.hpp",
        "std::ldexp(1.0, std::ilogb(largest))",
        "1.0",
        "test_training.py test_divergence.py test_records.py",
    ),
    Mutant(
        "train/stepping.hpp",
        "std::upper_bound(schedule_.times",
        "std::lower_bound(schedule_.times",
        "test_flow.py",
    ),
    Mutant(
        "train/stepping.hpp",
        "schedule_.every - step % schedule_.every",
        "schedule_.every",
        "test_records.py test_checkpoints.py",
    ),
    Mutant(
        "train/ntg_measures.hpp",
        "for (double& x : K) x = -x;\n    return -eigmin",
        "for (double& x : K) x = -x;\n    return eigmin",
        "test_records.py",
    ),
    Mutant("train/ntg_measures.hpp", "i * (size() + 1)", "i * size()", "test_records.py"),
    Mutant(
        "train/ntg_measures.hpp",
        "std::max({0.0, eigmax(A, context), -eigmin(A, context)})",
        "std::max(0.0, eigmax(A, context))",
        "test_records.py",
    ),
    Mutant(
        "train/polynomials.hpp",
        "((2 * l + 1) * x * now - l * before) / (l + 1)",
        "((2 * l + 1) * x * now - l * before) / l",
        "test_flow_methods.py test_flow.py",
    ),
    Mutant(
        "train/methods/leap.hpp",
        "rest.moments, h_, -1, false",
        "rest.moments, -h_, -1, false",
        "test_leaps.py",
    ),
    Mutant(
        "train/recurrence.hpp",
        "of_v0[i] += weight;",
        "of_v0[i] -= weight;",
        "test_leaps.py",
    ),
    Mutant(
        "train/leading_outputs.hpp",
        "weak_.M[i] + part.M[i]",
        "weak_.M[i] - part.M[i]",
        "test_leaps.py",
    ),
    Mutant("train/methods/dopri5.hpp", "49.0 / 176", "48.0 / 176", "test_flow_methods.py"),
    Mutant("train/methods/dopri5.hpp", "-2187.0 / 6784", "2187.0 / 6784", "test_flow_methods.py"),
    Mutant(
        "train/methods/dopri5.hpp",
        "{0, 40617522.0 / 29380423,",
        "{0, 40617522.0 / 29380424,",
        "test_flow_methods.py",
    ),
    Mutant(
        "cpu/layout.hpp",
        "T(std::sqrt(net.lam[j]) * double(net.a(j, q)))",
        "T(net.lam[j] * double(net.a(j, q)))",
        "test_sgd.py",
    ),
    Mutant(
        "cpu/batch_engine.cpp",
        "archive.array(lost_W_.data(), lost_W_.size());",
        "",
        "test_checkpoints.py",
    ),
]
MUTANTS = [
    *(each._replace(file=f"python/asymfast/{each.file}") for each in PYTHON),
    *(each._replace(file=f"cpp/src/{each.file}") for each in CORE),
]


def run(command, **settings):
    return subprocess.run(command, capture_output=True, text=True, check=False, **settings)


def checked(command):
    done = run(list(map(str, command)))
    if done.returncode:
        sys.exit(
            f"{' '.join(map(str, command))} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )
    return done.stdout


class Copy:
    """The checkout's files in a folder of their own, with an extension module."""

    def __init__(self, folder, patience, extension=None):
        self.folder, self.build, self.patience = folder, folder / "build", patience
        names = checked(
            ["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard"]
        )
        for name in names.splitlines():
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, folder / name)
        if extension:
            (folder / "python/asymfast" / Path(extension).name).symlink_to(
                Path(extension).resolve()
            )
            return
        options = ["-DASYMFAST_BUILD_PYTHON=ON", "-DASYMFAST_BUILD_TESTS=ON"]
        options += ["-DASYMFAST_MULTI_ISA=OFF", "-DASYMFAST_NATIVE=ON"]
        options += [
            "-DCMAKE_BUILD_TYPE=Release",
            f"-DPython_EXECUTABLE={sys.executable}",
            "-GNinja",
        ]
        checked(["cmake", "-S", folder, "-B", self.build, *options])
        failed = self.make()
        if failed:
            sys.exit(failed)
        for name in ("_core", "_emulated"):
            for module in self.build.glob(f"{name}*.so"):
                (folder / "python/asymfast" / module.name).symlink_to(module)
        (self.build / "lib").mkdir(exist_ok=True)  # where the tests of the C interface look for it
        for library in self.build.glob("libasymfast.*"):
            (self.build / "lib" / library.name).symlink_to(library)

    def make(self, *targets):
        """Build what has changed; what the compiler says, if it refuses."""
        asked = [f"--target={target}" for target in targets or ("_core", "asymfast_shared")]
        done = run(["cmake", "--build", str(self.build), "--parallel", "2", *asked])
        return done.stdout[-3000:] + done.stderr[-3000:] if done.returncode else ""

    def test(self, *names):
        """None if the tests pass, else the first one that fails."""
        for name in names:
            if name.endswith(".cpp"):
                program = f"asymfast_{Path(name).stem}"
                passes = not self.make(program) and not run([self.build / program]).returncode
                if not passes:
                    return name
        names = [name for name in names if not name.endswith(".cpp")]
        if not names:
            return None
        settings = {
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_WAIT_POLICY": "passive",
        }
        environment = {**os.environ, **settings, "PYTHONPATH": str(self.folder / "python")}
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *names]
        try:
            done = run(command, cwd=self.folder, env=environment, timeout=self.patience)
        except subprocess.TimeoutExpired:
            return "hangs"
        if done.returncode == 0:
            return None
        found = re.search(r"^(?:FAILED|ERROR) tests/(\S+)", done.stdout, re.MULTILINE)
        if found is None:
            return f"pytest ended with {done.returncode}"
        return found[1]


def killer(copy, mutant, built):
    """The test that notices; None where all of them pass."""
    path = copy.folder / mutant.file
    right = path.read_text()
    path.write_text(right.replace(mutant.right, mutant.wrong))
    try:
        if built and copy.make():
            return "the compiler"
        return copy.test(*in_tests(mutant)) or copy.test("-n", "2", "--dist", "loadgroup", "tests")
    finally:
        path.write_text(right)


def in_tests(mutant):
    return [f"tests/{name}" for name in mutant.tests.split()]


def one_line(text):
    return "`" + " ".join(text.split()).replace("|", "\\|") + "`" if text else "(nothing)"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="WORD", default="", help="part of the files' names")
    parser.add_argument(
        "--patience", type=float, default=600, help="seconds after which a test counts as hanging"
    )
    parser.add_argument("--core", metavar="EXTENSION", help="a built _core: mutants of Python only")
    given = parser.parse_args()
    chosen = [each for each in MUTANTS if given.only in each.file]
    if given.core:
        chosen = [each for each in chosen if each.file.startswith("python/")]
    stale = [each for each in chosen if (ROOT / each.file).read_text().count(each.right) != 1]
    for each in stale:
        print(f"{each.file} does not have exactly one {each.right!r}")
    if stale:
        sys.exit(1)
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(Path(folder), given.patience, given.core)
        files = sorted({name for each in chosen for name in in_tests(each)})
        failing = copy.test(*files)
        if failing:
            sys.exit(f"without a mutant, too, {failing} fails")
        survivors = 0
        print("| file | right | wrong | noticed by | s |\n|---|---|---|---|---|", flush=True)
        for each in chosen:
            began = time.monotonic()
            found = killer(copy, each, built=not given.core and each.file.startswith("cpp/"))
            survivors += found is None
            row = [each.file, one_line(each.right), one_line(each.wrong)]
            row += [f"`{found}`" if found else "**nothing**", f"{time.monotonic() - began:.0f}"]
            print("|", " | ".join(row), "|", flush=True)
    print(f"\n{len(chosen) - survivors} of {len(chosen)} noticed")
    sys.exit(bool(survivors))


if __name__ == "__main__":
    main()
