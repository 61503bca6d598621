"""The architecture: data goes down once, and no arrow points up."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "python" / "asymfast"
SOURCES = {".hpp", ".h", ".cpp", ".cu", ".cuh", ".inc"}
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)


def includes(folder):
    """(file, included name) of every source file below a folder of cpp/."""
    files = [path for path in (ROOT / "cpp" / folder).rglob("*") if path.suffix in SOURCES]
    assert files, f"cpp/{folder} holds no sources"
    return [(path, name) for path in files for name in INCLUDE.findall(path.read_text())]


def test_public_headers_name_no_eigen_openmp_or_python():
    for path, name in includes("include"):
        assert not re.match(r"(unsupported/)?Eigen|omp\.h|pybind11|Python\.h", name), path


def test_kernels_name_no_python():
    for path, name in includes("src"):
        assert not re.match(r"pybind11|Python\.h|numpy|bindings", name), path


def test_bindings_include_only_public_headers():
    for path, name in includes("bindings"):
        standard = re.fullmatch(r"\w+", name)
        sibling = (path.parent / name).resolve().parent == path.parent
        # The CUDA module is no part of the library: its own interface is not installed.
        module = (path.name, name) == ("cuda_module.cpp", "cuda/module.hpp")
        public = name.startswith(("asymfast/", "pybind11/"))
        assert standard or sibling or module or public, (path, name)
        assert name != "omp.h", path


def imports(path):
    """Absolute names of the modules, and of the names in them, that a Python file imports."""
    package = path.relative_to(PACKAGE.parent).parts[:-1] if PACKAGE in path.parents else ()
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*parts, *([node.module] if node.module else [])])
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return names


def reachable(path):
    """Everything imported by a file and by the files of the package that it imports."""
    seen, queue = set(), [path]
    while queue:
        for name in imports(queue.pop()) - seen:
            seen.add(name)
            target = PACKAGE.parent.joinpath(*name.split("."))
            files = (target.with_suffix(".py"), target / "__init__.py")
            queue += [file for file in files if PACKAGE in file.parents and file.exists()]
    return seen


@pytest.mark.parametrize(
    "path", sorted((PACKAGE / "theory").rglob("*.py")), ids=lambda path: path.name
)
def test_theory_never_imports_the_compiled_core(path):
    """So that it can judge it; `asymfast` itself would bring the core along."""
    names = reachable(path)
    assert not {name for name in names if name.endswith("._core")}
    assert "asymfast" not in names


def test_oracles_are_independent():
    for name in imports(Path(__file__).with_name("oracles.py")):
        assert name.split(".")[0] not in ("asymfast", "bounds", "cases")


def dependencies():
    """For every module of the package, the modules of it that it imports, wherever in its text."""
    files = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path
        for path in PACKAGE.rglob("*.py")
    }
    modules = {name.removesuffix(".__init__"): path for name, path in files.items()}
    known = {*modules, "asymfast._core"}
    result = {}
    for name, path in modules.items():
        found = imports(path) & known
        # `from . import _check` names the package too, which the importer does not depend on
        parents = {other for other in found if any(one.startswith(f"{other}.") for one in found)}
        result[name] = (found - parents - {name}) & set(modules)
    return result


def test_modules_import_downwards_only():
    """No cycles, imports for type checking and inside functions included.

    But one: a network that is called with a communicator is split by `mpi`, which knows networks.
    """
    below = dependencies()
    below["asymfast.network"] -= {"asymfast.mpi"}
    while below:
        lowest = {name for name, needs in below.items() if not needs & set(below)}
        assert lowest, f"a cycle among {sorted(below)}"
        below = {name: needs for name, needs in below.items() if name not in lowest}
