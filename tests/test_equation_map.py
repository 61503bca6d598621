"""docs/equations.md names things that exist, and leaves no number of the paper out."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import asymfast as af
import pytest
from asymfast.study.reproduction import ALL as EXPERIMENTS

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "equations.md"
if not PAGE.exists():
    pytest.skip("the documentation is not here", allow_module_level=True)

ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| paper")
]
NUMBERED = {
    *(f"Eq. ({number})" for number in range(1, 36)),
    *(f"Figure {number}" for number in range(1, 20)),
    *(f"Assumption {number}" for number in ("2.1", "2.2", "2.3")),
    *(f"Theorem {number}" for number in ("4.1", "4.3", "4.4", "A.1", "H.1")),
    *(f"Proposition {number}" for number in ("3.1", "B.1", "B.2", "D.1")),
    *(f"Lemma {number}" for number in ("E.1", "E.2", "E.3", "E.4", "E.5", "H.2", "H.3")),
    "Remark 4.2",
}


def quoted(cell):
    return re.findall(r"`([^`]+)`", cell)


def labels(cell):
    """What the first cell of a row covers: 'Eqs. (9), (10)' is two equations."""
    found = {f"Eq. ({number})" for number in re.findall(r"\((\d+)\)", cell)}
    for kind in ("Figure", "Assumption", "Theorem", "Proposition", "Lemma", "Remark"):
        for numbers in re.findall(rf"{kind}s? ((?:[A-K]?\.?[\d.]+(?:, )?)+)", cell):
            found |= {f"{kind} {number}" for number in re.findall(r"[A-K]?\.?\d[\d.]*", numbers)}
    return found


def test_every_number_is_there():
    covered = set().union(*(labels(row[0]) for row in ROWS))
    assert covered >= NUMBERED
    assert {label for label in covered if not label.startswith("Eq.")} <= NUMBERED


def test_every_row_is_complete():
    for row in ROWS:
        assert len(row) == 5, row
        assert quoted(row[2]), row
        assert quoted(row[3]) or row[3] == "NumPy", row
        assert quoted(row[4]), row


def resolved(name):
    target = af
    for part in name.split("."):
        if part != "theory" and target is af.theory:
            assert part in af.theory.__all__, name
        target = getattr(target, part, None) or vars(target)[part]
    return target


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_what_a_row_names_exists(row):
    for name in quoted(row[2]):
        fields = getattr(af.theory.Certificate, "__dataclass_fields__", {})
        if name == "Certificate.initial":
            assert "initial" in fields
        elif name.startswith("asymfast paper "):
            assert name.split()[-1] in EXPERIMENTS
        elif name in ("X2", "part"):
            assert name in af.Network.ntg.__annotations__
        else:
            assert callable(resolved(name)), name
    for name in quoted(row[3]):
        assert (ROOT / name).is_file(), name
    for name in quoted(row[4]):
        file, _, function = name.partition("::")
        tree = ast.parse((ROOT / "tests" / file).read_text())
        defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert function in defined, name
