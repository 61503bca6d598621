"""What the documentation says is so: code prints it, names exist, links lead somewhere."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import asymfast as af
import pages
import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
LONG = (
    "docs/tutorial.md",
    "docs/howto/train.md",
    "docs/howto/watch.md",
    "docs/howto/choose.md",
    "docs/howto/deploy.md",
    "docs/howto/sessions.md",
    "docs/howto/coming-from.md",
    "docs/which-trainer.md",
)
RUN = (
    "README.md",
    "docs/howto/certify.md",
    "docs/howto/sweep.md",
    *(pytest.param(page, marks=pytest.mark.slow) for page in LONG),
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

if not DOCS.is_dir():
    pytest.skip("the documentation is not here", allow_module_level=True)


@pytest.mark.parametrize("page", RUN)
def test_code_prints_what_the_page_says(page, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    if page == "docs/howto/sweep.md":
        pytest.importorskip("joblib")
        pytest.importorskip("xarray")
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    for block in pages.blocks((ROOT / page).read_text()):
        output = pages.printed(block, namespace)
        if block.shown is not None and output is not None:
            same = doctest.OutputChecker().check_output(block.shown, output, FLAGS)
            assert same, f"{page}, line {block.line}: printed\n{output}"


def test_the_readme_takes_its_times_from_the_measurements():
    """Ratios and times of its comparison; a new table of measurements changes the README, too."""
    readme, table = (ROOT / name for name in ("README.md", "bench/README.md"))
    measured = {}
    for line in table.read_text().splitlines():
        if line.startswith("| W") and "float32, 2 threads" in line:
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            measured.setdefault(cells[0].split()[0], cells)
    rows = [line for line in readme.read_text().splitlines() if line.startswith("| time of")]
    assert len(rows) == 2
    for row in rows:
        work = re.search(r"\((\w+)\)", row)[1]
        _, ours, other, ratio, *_ = measured[work]
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[2] == ratio
        assert "torch" in other
        if "112 ms" in row:
            assert "112 ms" in table.read_text()
            assert float(re.match(r"[\d.]+", cells[3])[0]) == round(float(ours.split()[0]) / 1e3, 2)


def test_the_readme_takes_the_times_of_leaps_from_their_page():
    rows = re.findall(r"^\| simulated \|.*", (ROOT / "docs/leaps.md").read_text(), re.MULTILINE)
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    ratios = [float(cell[2]) / float(cell[6]) for cell in cells]
    assert f"{min(ratios):.3f} to {max(ratios):.3f}" in (ROOT / "README.md").read_text()


def test_links_between_files_lead_somewhere():
    """As a code host shows them; within the site Sphinx checks them, with their anchors."""
    texts = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "bench/README.md")]
    for page in [*texts, *DOCS.rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
            if "://" not in link:
                assert (page.parent / link).exists(), (page.name, link)


def test_files_that_pages_name_exist():
    texts = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "examples/README.md")]
    named = re.compile(r"`((?:bench|cpp|docs|examples|python|tests)/[\w./*-]+)`")
    for page in [*texts, *DOCS.rglob("*.md")]:
        for name in named.findall(page.read_text()):
            assert any(ROOT.glob(name.rstrip("/"))), (page.name, name)


def test_reference_has_every_public_name():
    text = "".join(path.read_text() for path in (DOCS / "api").glob("*.md"))
    listed = set(re.findall(r"^\.\. auto\w+:: asymfast\.(\S+)", text, re.MULTILINE))
    names = {*af.__all__, *(f"theory.{name}" for name in af.theory.__all__)}
    names |= {f"datasets.{name}" for name in af.datasets.__all__}
    names |= {f"mpi.{name}" for name in af.mpi.__all__}
    # modules and constants; mean_ntg and limiting_ntg stand under their shorter names
    elsewhere = {"__version__", "cuda", "datasets", "plot", "mpi", "theory"}
    elsewhere |= {"theory.activations", "datasets.NAMES", "theory.mean_ntg", "theory.limiting_ntg"}
    assert names - listed == elsewhere
