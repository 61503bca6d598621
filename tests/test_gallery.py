"""The examples of the gallery run, are short, and draw a picture as small as the one shown."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "examples" / "gallery").glob("*.py"))


def test_there_are_five_of_at_most_thirty_lines_of_code():
    assert len(SCRIPTS) == 5
    page = (ROOT / "docs" / "gallery.md").read_text()
    for script in SCRIPTS:
        code = [line for line in script.read_text().splitlines() if line.strip()]
        assert len(code) <= 30, script.name
        picture = ROOT / "docs" / "gallery" / f"{script.stem}.png"
        assert picture.stat().st_size < 60_000, picture.name
        assert f"gallery/{picture.name}" in page
        assert f"examples/gallery/{script.name}" in page


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_example(script, tmp_path, request):
    pytest.importorskip("matplotlib")
    settings = {"MPLBACKEND": "Agg"}
    if script.stem == "lazy_or_rich":  # on airfoil
        settings["ASYMFAST_DATA"] = str(request.getfixturevalue("data_dir"))
    if script.stem == "dask_sweep":
        for needed in ("distributed", "joblib", "xarray"):
            pytest.importorskip(needed)
    picture = tmp_path / f"{script.stem}.png"
    done = subprocess.run(
        [sys.executable, str(script), str(picture)],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert 2_000 < picture.stat().st_size < 60_000
