"""Where the real data sets are, if anywhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir():
    """The folder named by ASYMFAST_DATA, else shared/data beside the checkout; else skip."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("ASYMFAST_DATA") or beside)
    if not folder.is_dir():
        pytest.skip("no data: set ASYMFAST_DATA")
    return folder
