"""Every public function and class has examples in its docstring, and they print what they say."""

from __future__ import annotations

import doctest
import inspect
import itertools
import re
import sys

import asymfast as af
import pytest

NAMES = {
    af: af.__all__,
    af.datasets: af.datasets.__all__,
    af.plot: ("training_figure", "save", "require_matplotlib"),
    af.cuda: ("devices", "is_available", "versions", "what_is_missing"),
    af.mpi: af.mpi.__all__,
    af.theory: af.theory.__all__,
    af.theory.activations: ("Activation", "activation", "get"),
}
# Classes whose methods have examples of their own; of the others the class has one.
EACH_METHOD = (af.Network, af.Run)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def public():
    """Name and object of all public functions and classes, and of the methods of the large ones."""
    found = {}
    for module, names in NAMES.items():
        for target in (getattr(module, name) for name in names):
            if inspect.isfunction(target) or inspect.isclass(target):
                found[f"{target.__module__}.{target.__qualname__}"] = target
    for kind in EACH_METHOD:
        for name in dir(kind):
            method = getattr(kind, name)
            if inspect.isroutine(method) and (name == "__call__" or not name.startswith("_")):
                found[f"asymfast.{kind.__name__}.{name}"] = method
    return found


PUBLIC = public()


def result_of(name):
    """The function that another one, or a class of results, names: "see `certify`"; its example."""
    target = PUBLIC[name]
    found = re.search(r"see `(\w+)`", (inspect.getdoc(target) or "").partition("\n\n")[0])
    if not found or ">>>" in target.__doc__:
        return None
    return getattr(sys.modules[target.__module__], found[1], None) or getattr(af, found[1])


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_headings_stand_alone(name):
    """As "Notes" does over its line: within a paragraph a heading is none."""
    lines = (inspect.getdoc(PUBLIC[name]) or "").splitlines()
    for above, line in itertools.pairwise(lines):
        assert not re.search(r"\w -{3,}|-{3,} \w", line)
        if re.fullmatch("-{3,}", line):
            assert len(line) == len(above)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_examples(name, tmp_path, monkeypatch):
    if name.startswith("asymfast.plot"):
        pytest.importorskip("matplotlib")
    if name.endswith("to_xarray"):
        pytest.importorskip("xarray")
    if name.endswith("limits.Probability"):
        pytest.importorskip("scipy")
    if name.startswith("asymfast.study"):
        pytest.importorskip("joblib")
        pytest.importorskip("xarray")
    monkeypatch.chdir(tmp_path)
    text = inspect.getdoc(PUBLIC[name]) or ""
    if maker := result_of(name):
        text = inspect.getdoc(maker)
    example = doctest.DocTestParser().get_doctest(text, {}, name, None, 0)
    assert example.examples, f"the docstring of {name} has no example"
    said = []
    result = doctest.DocTestRunner(optionflags=FLAGS).run(example, out=said.append)
    assert result.failed == 0, "".join(said)
    assert not list(tmp_path.iterdir()), "an example leaves files behind"


@pytest.mark.parametrize("name", [name for name in sorted(PUBLIC) if "theory." in name])
def test_statements_document_all_their_parameters(name):
    """Partly written by `theory.checks.statement`, from the table of symbols."""
    target = PUBLIC[name]
    text = inspect.getdoc(target)
    assert "Attributes\n---" in text or "Returns\n---" in text
    if inspect.isfunction(target):
        rest = text.partition("Parameters\n----------\n")[2]
        entries = re.findall(
            r"^(\w[\w, ]*)(?: : .+)?\n    ", rest.partition("\nReturns\n")[0], re.M
        )
        documented = [parameter for entry in entries for parameter in entry.split(", ")]
        assert sorted(documented) == sorted(inspect.signature(target).parameters)
        assert "Raises\n---" in text
