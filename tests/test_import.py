"""What `import asymfast` brings, and what it leaves for later."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import subprocess
import sys
from pathlib import Path

import asymfast as af
import pytest

PACKAGE = Path(af.__file__).parent


def in_fresh_process(code, **environment):
    """The words a Python program prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_import_brings_little():
    """bench/peers.py times it; what costs time is listed here."""
    code = (
        "import numpy, sys; known = set(sys.modules); import asymfast; "
        "print(*sys.modules.keys() - known)"
    )
    loaded = set(in_fresh_process(code))
    ours = {name.removeprefix("asymfast.") for name in loaded if name.startswith("asymfast.")}
    private = {"_build", "_check", "_core", "_device", "_export", "_optional", "_run_loop"}
    public = {"cuda", "linearised", "mpi", "network", "ntg", "record", "run", "scaling", "train"}
    assert ours == private | {"_storage"} | public
    lazy = {"matplotlib", "scipy", "pooch", "xarray", "pandas", "mpmath", "sklearn", "torch"}
    lazy |= {"hashlib", "shutil", "secrets", "zipfile"}  # half of what asymfast itself takes
    lazy |= {"argparse", "asyncio", "concurrent", "inspect", "multiprocessing", "subprocess"}
    assert not lazy & loaded


@pytest.mark.parametrize("name", ["datasets", "theory", "plot"])
def test_submodules_arrive_on_first_use(name):
    assert in_fresh_process(f"import asymfast; print(asymfast.{name}.__name__)") == [
        f"asymfast.{name}"
    ]


@pytest.mark.parametrize(
    ("name", "needs", "extra"),
    [("sklearn", "scikit-learn", "sklearn"), ("torch", "PyTorch", "torch")],
)
def test_submodules_of_extras_say_what_is_missing(name, needs, extra):
    code = (
        f"import sys; sys.modules[{name!r}] = None; import asymfast\n"
        f"try: asymfast.{name}\n"
        "except ImportError as error: print(error)"
    )
    said = " ".join(in_fresh_process(code))
    assert said == (
        f"asymfast.{name} needs {needs}; install it with: pip install 'asymfast[{extra}]'"
    )


def test_only_submodules_that_can_be_loaded_are_listed(monkeypatch):
    """`inspect.getmembers` and completion ask for all of them."""
    found = importlib.util.find_spec
    hide = lambda name: None if name == "torch" else found(name)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", hide)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert "torch" not in dir(af)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert {"sklearn", "torch"} <= set(dir(af))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sklearn", "torch"])
def test_submodules_of_extras_arrive_on_first_use(name):
    pytest.importorskip(name)
    assert in_fresh_process(f"import asymfast; print(asymfast.{name}.__name__)") == [
        f"asymfast.{name}"
    ]


@pytest.mark.parametrize("name", sorted(af.__all__))
def test_public_names_exist_and_are_documented(name):
    value = getattr(af, name)
    if name != "__version__":
        assert (inspect.getdoc(value) or "").strip(), f"{name} has no docstring"
    assert name in dir(af)


def test_the_designed_names_are_public():
    designed = (
        "DivergenceError Network Record Run build_config datasets gradient_descent gradient_flow "
        "mean_ntg min_eigenvalue node_scaling theory __version__"
    )
    assert set(designed.split()) <= set(af.__all__)


@pytest.mark.parametrize("kind", ["Network", "Record", "Run", "DivergenceError"])
def test_public_methods_are_documented(kind):
    for name, member in vars(getattr(af, kind)).items():
        if not name.startswith("_") and callable(getattr(af, kind).__dict__[name]):
            assert (inspect.getdoc(member) or "").strip(), f"{kind}.{name} has no docstring"


def test_unknown_attribute():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = af.no_such_name


def test_types_are_installed():
    assert (PACKAGE / "py.typed").exists()
    assert (PACKAGE / "_core.pyi").exists()


def test_stub_lists_the_extension():
    stub = set()
    for node in ast.parse((PACKAGE / "_core.pyi").read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            stub.add(node.name)
        elif isinstance(node, ast.AnnAssign):
            stub.add(node.target.id)
    public = {name for name in dir(af._core) if not name.startswith("_")}
    assert public - stub == set()
    assert {name for name in stub if not name.startswith("_")} - public == set()


def test_build_config():
    config = af.build_config()
    expected = "version compiler isa isas_available threads openmp eigen cuda blas backend"
    assert set(expected.split()) <= set(config)
    assert config["version"] == af.__version__
    assert config["threads"] >= 1
    assert config["isa"] in config["isas_available"]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_environment_chooses_the_backend_that_runs(backend):
    code = (
        "import asymfast as af, numpy as np; net = af.Network.init(3, 4, 1.0, rng=0); "
        "run = af.gradient_descent(net, np.ones((2, 3)), np.ones(2), steps=1); "
        "print(af.build_config()['backend'], run.config['backend'])"
    )
    assert in_fresh_process(code, ASYMFAST_BACKEND=backend) == [backend, backend]


def test_unknown_backend_in_the_environment_is_refused():
    code = (
        "import asymfast as af, numpy as np\n"
        "try: af.Network.init(3, 4, 1.0, rng=0)(np.ones((2, 3)))\n"
        "except ValueError as error: print(error)"
    )
    assert "abacus" in " ".join(in_fresh_process(code, ASYMFAST_BACKEND="abacus"))
