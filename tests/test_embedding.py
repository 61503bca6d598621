"""Programs of other people: the examples, built from the installed package and from an install
tree, and what the libraries show."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import asymfast as af
import pytest
from asymfast import _build, cli

built_once = pytest.mark.xdist_group("examples")
ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("cmake", "c++", "cc")


def run(*command, **options):
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, f"{done.args}\n{done.stdout}{done.stderr}"
    return done.stdout


def working(tool):
    """Whether a tool is there and runs; a launcher may lead nowhere."""
    path = shutil.which(tool)
    if path is None:
        return False
    return subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="session")
def installed():
    """Folder of the installed package, with headers and libraries; else skip."""
    try:
        return _build.cmake_dir().parents[2]
    except FileNotFoundError as missing:
        pytest.skip(str(missing))


def build(source, folder, *options):
    missing = [tool for tool in TOOLS if not working(tool)]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)}")
    generator = ["-G", "Ninja"] if working("ninja") else []
    run("cmake", "-S", source, "-B", folder, *generator, "-DCMAKE_BUILD_TYPE=Debug", *options)
    run("cmake", "--build", folder, "--parallel", "2")
    return folder


@pytest.fixture(scope="session")
def programs(installed, tmp_path_factory):
    """All examples and the check of the C++ interface, built on the installed package."""
    folder = tmp_path_factory.mktemp("programs")
    return build(ROOT / "tests" / "consumer", folder, f"-Dasymfast_DIR={_build.cmake_dir()}")


@pytest.fixture(scope="session")
def install_tree(tmp_path_factory):
    """What `cmake --install` makes of a build of this checkout, if there is one."""
    builds = sorted(ROOT.glob("build/*/cmake_install.cmake"), key=lambda path: path.stat().st_mtime)
    builds = [path for path in builds if list(path.parent.glob("libasymfast.so*"))]
    if not builds or not working("cmake"):
        pytest.skip("needs cmake, and a build of this checkout in build/")
    prefix = tmp_path_factory.mktemp("prefix")
    run("cmake", "--install", builds[-1].parent, "--prefix", prefix)
    return prefix


@built_once
def test_cpp_example(programs):
    out = run(programs / "cpp" / "flow")
    assert f"asymfast {af.__version__}" in out
    assert "refused: node_scaling: gamma must be in [0, 1]" in out
    lines = re.findall(r"gamma (\S+): .* loss (\S+) -> (\S+), \|dNTG\| (\S+),", out)
    assert [line[0] for line in lines] == ["1.0", "0.5", "0.0"]
    changes = [float(line[3]) for line in lines]
    assert changes == sorted(changes)  # the paper's point: the smaller gamma, the more is learnt
    for _, before, after, _ in lines:
        assert float(after) <= float(before) / 2


@built_once
def test_c_example(programs):
    out = run(programs / "c" / "descent")
    losses = [float(loss) for loss in re.findall(r"loss (\S+)", out)]
    assert len(losses) == 6
    assert losses[0] > losses[4] == losses[5]
    assert "finished after 5 records" in out
    assert "diverged, as it should" in out


@built_once
def test_cpp_interface(programs):
    assert run(programs / "interface").endswith(" 0 failures\n")


def test_ctypes_example(installed):
    example = ROOT / "examples" / "python_ctypes" / "descent.py"
    out = run(sys.executable, example, _build.library())
    assert re.search(r"stopped at \S+ \S+ \S+\n", out)
    assert "refused: activation must be one of" in out


@pytest.mark.slow
def test_cpp_example_from_an_install_tree(install_tree, tmp_path):
    """Moved after it was installed, and with the shared library."""
    moved = tmp_path / "elsewhere"
    install_tree.rename(moved)
    package = next(moved.rglob("lib*/cmake/asymfast"))
    options = (f"-DCMAKE_PREFIX_PATH={package.parents[2]}", "-DBUILD_SHARED_LIBS=ON")
    folder = build(ROOT / "examples" / "cpp", tmp_path / "build", *options)
    program = folder / "flow"
    assert "gamma 0.5" in run(program)
    assert list(moved.rglob("include/asymfast/asymfast.h"))
    assert list(moved.rglob("licenses/**/NOTICE"))
    if shutil.which("ldd"):
        assert str(moved) in run("ldd", program)


def test_pkg_config(installed, tmp_path):
    if not working("pkg-config") or not working("cc"):
        pytest.skip("needs pkg-config and a C compiler")
    folder = installed / "lib" / "pkgconfig"
    flags = run(
        *("pkg-config", "--cflags", "--libs", "asymfast"),
        env={**os.environ, "PKG_CONFIG_PATH": str(folder)},
    ).split()
    program = tmp_path / "descent"
    run("cc", ROOT / "examples" / "c" / "descent.c", "-o", program, *flags, "-lm")
    out = run(program, env={**os.environ, "LD_LIBRARY_PATH": str(installed / "lib")})
    assert "finished after 5 records" in out


# --- where things are ----------------------------------------------------------------------------


def test_locations_are_printed(installed, capsys):
    shown = {}
    for option in ("--cmakedir", "--includes", "--library"):
        assert cli.main([option]) == 0
        shown[option] = capsys.readouterr().out.strip()
    assert Path(shown["--cmakedir"], "asymfastConfig.cmake").exists()
    assert shown["--includes"] == f"-I{installed / 'include'}"
    assert Path(shown["--library"]).exists()
    assert run(sys.executable, "-m", "asymfast", "--cmakedir").strip() == shown["--cmakedir"]


def test_a_copy_without_libraries_says_so(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(_build._core, "__file__", str(tmp_path / "_core.so"))
    assert cli.main(["--cmakedir"]) == 2
    assert (
        "does not exist: headers and libraries come with `pip install`" in capsys.readouterr().err
    )


# --- what is shown and shipped -------------------------------------------------------------------


def defined_symbols(library):
    if not working("nm") or sys.platform != "linux":
        pytest.skip("needs nm and ELF")
    table = run("nm", "-D", "--defined-only", "--format=posix", library)
    return {line.split()[0].split("@")[0] for line in table.splitlines()}


def test_the_library_shows_its_interface_and_nothing_else(installed):
    names = defined_symbols(_build.library())
    ours = re.compile(r"asymfast_\w+|_Z(T[ISV])?NK?8asymfast\w+")
    assert [name for name in names if not ours.fullmatch(name)] == []
    header = (installed / "include" / "asymfast" / "asymfast.h").read_text()
    declared = set(re.findall(r"ASYMFAST_API [^;(]*?(asymfast_\w+)\(", header))
    assert len(declared) > 25
    assert {name for name in names if name.startswith("asymfast_")} == declared


def test_the_extension_shows_nothing_of_the_library():
    names = defined_symbols(Path(af._core.__file__))
    assert "PyInit__core" in names
    ours = {name for name in names if "asymfast" in name and "bindings" not in name}
    assert not {name for name in ours if "Interrupted" not in name}  # which must be one type


def test_headers_compile_alone(installed, tmp_path):
    """In either order: each includes what it needs. Those in C are C99."""
    if not working("c++"):
        pytest.skip("needs a C++ compiler")
    folder = installed / "include" / "asymfast"
    cpp, c = sorted(folder.glob("*.hpp")), sorted(folder.glob("*.h"))
    assert len(cpp) > 10
    assert len(c) >= 3
    strict = ("-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", f"-I{folder.parent}")
    for compiler, standard, headers in (("c++", "c++17", cpp), ("cc", "c99", c)):
        for order in (headers, headers[::-1]):
            source = tmp_path / f"all.{compiler.replace('c++', 'cpp').replace('cc', 'c')}"
            source.write_text("".join(f'#include "asymfast/{path.name}"\n' for path in order))
            run(compiler, f"-std={standard}", *strict, source)


def test_licences_are_shipped(installed):
    for name in ("LICENSE", "NOTICE"):
        assert (installed / "share" / "licenses" / name).read_text() == (ROOT / name).read_text()
