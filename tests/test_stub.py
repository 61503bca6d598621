"""`_core.pyi` against the module that was built: every name, argument, default and type."""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path

import asymfast as af
from asymfast import _core

STUB = Path(af.__file__).with_name("_core.pyi")

# How pybind11 writes a type in a signature: how the stub does.
TYPES = {
    "numpy.ndarray": "Array",
    "numpy.typing.NDArray[numpy.float64]": "Array",
    "typing.SupportsInt": "int",
    "typing.SupportsInt | typing.SupportsIndex": "int",
    "typing.SupportsFloat": "float",
    "typing.SupportsFloat | typing.SupportsIndex": "float",
    "dict": "dict[str, Any]",
    "list": "list[Any]",
    "numpy.ndarray | None": "Array | None",
    "collections.abc.Callable | None": "Callback",
}


def as_stub(annotation):
    """The stub's spelling of a type in a docstring's signature."""
    text = ast.unparse(annotation).replace("asymfast._core.", "").replace("_core.", "")
    for prefix in ("collections.abc.Sequence[", "list["):
        if text.startswith(prefix):
            inner = ast.parse(text[len(prefix) : -1], mode="eval").body
            return f"list[{as_stub(inner)}]"
    return TYPES.get(text, text)


def signature(function, spelled):
    """Arguments with types, defaults and the result of an ast.FunctionDef; self has no type."""
    given = function.args
    assert not any((given.posonlyargs, given.kwonlyargs, given.vararg, given.kwarg))
    defaults = [None] * (len(given.args) - len(given.defaults)) + given.defaults
    return [
        (one.arg, spelled(one.annotation) if one.arg != "self" else None, default and default.value)
        for one, default in zip(given.args, defaults, strict=True)
    ] + [("return", spelled(function.returns), None)]


def stubbed():
    """Qualified name -> signature, of every function and method in the stub."""
    found = {}
    for node in ast.parse(STUB.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = signature(node, ast.unparse)
        elif isinstance(node, ast.ClassDef):
            for method in node.body:
                found[f"{node.name}.{method.name}"] = signature(method, ast.unparse)
    return found


def built():
    """The same from the docstrings that pybind11 writes."""
    found = {}
    for name, value in vars(_core).items():
        if name.startswith("_"):
            continue
        members = vars(value).items() if inspect.isclass(value) else [(None, value)]
        for method, function in members:
            if method is not None and method.startswith("_") and method != "__init__":
                continue
            if function.__doc__.startswith("Initialize self"):  # Python never makes one
                continue
            if isinstance(function, property):
                header = f"{method}{function.fget.__doc__.splitlines()[0]}"
            else:
                header = function.__doc__.splitlines()[0]
            node = ast.parse(f"def {header}: ...").body[0]
            found[name if method is None else f"{name}.{method}"] = signature(node, as_stub)
    return found


def test_the_stub_is_that_of_the_module():
    expected = built()
    assert len(expected) >= 15
    assert stubbed() == expected


def test_a_wrong_stub_would_be_noticed(monkeypatch, tmp_path):
    text = STUB.read_text()
    for right, wrong in (
        ("threads: int", "threads: float"),
        ('= "cpu"', '= "gpu"'),
        ("X2:", "X3:"),
    ):
        assert right in text
        changed = tmp_path / "_core.pyi"
        changed.write_text(text.replace(right, wrong, 1))
        monkeypatch.setattr(sys.modules[__name__], "STUB", changed)
        assert stubbed() != built()
