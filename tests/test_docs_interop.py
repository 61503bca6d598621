"""The blocks of docs/interop.md print what the page says, and so do the docstrings' examples."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[1] / "docs" / "interop.md"
BLOCK = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.DOTALL)


def test_page():
    for library in ("sklearn", "torch"):
        pytest.importorskip(library)
    blocks = BLOCK.findall(PAGE.read_text())
    assert len(blocks) >= 6
    names = {}
    for code, expected in blocks:
        if "import jax" in code and find_spec("jax") is None:
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, str(PAGE), "exec"), names)
        assert printed.getvalue() == expected


@pytest.mark.parametrize("name", ["regressor", "classifier", "node_features"])
def test_docstrings(name):
    pytest.importorskip("sklearn")
    done = doctest.testmod(importlib.import_module(f"asymfast.sklearn.{name}"))
    assert done.attempted > 0
    assert done.failed == 0
