"""The blocks of docs/interop.md print what the page says, and so do the docstrings' examples."""

from __future__ import annotations

import doctest
import importlib
from importlib.util import find_spec
from pathlib import Path

import pages
import pytest

PAGE = Path(__file__).resolve().parents[1] / "docs" / "interop.md"


def test_page():
    if not PAGE.is_file():
        pytest.skip("the documentation is not here")
    for library in ("sklearn", "torch"):
        pytest.importorskip(library)
    namespace = {}
    found = pages.blocks(PAGE.read_text())
    assert len(found) >= 6
    for block in found:
        if "import jax" in block.code and find_spec("jax") is None:
            continue
        output = pages.printed(block, namespace)
        if block.shown is not None:
            assert output == block.shown, f"line {block.line}: printed\n{output}"


@pytest.mark.parametrize("name", ["estimators", "node_features"])
def test_docstrings(name):
    pytest.importorskip("sklearn")
    done = doctest.testmod(importlib.import_module(f"asymfast.sklearn.{name}"))
    assert done.attempted > 0
    assert done.failed == 0
