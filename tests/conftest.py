"""Where the real data sets are, if anywhere; Ctrl-C as in a terminal."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

# A shell starts what it runs in the background with interrupts ignored, which all processes of the
# tests would inherit: those that test an interrupt would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def data_dir():
    """The folder named by ASYMFAST_DATA, else shared/data beside the checkout; else skip."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("ASYMFAST_DATA") or beside)
    if not folder.is_dir():
        pytest.skip("no data: set ASYMFAST_DATA")
    return folder
