"""Where the real data sets are, if anywhere; instruction sets; Ctrl-C as in a terminal."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import asymfast as af
import pytest
from asymfast import _core

# A shell starts what it runs in the background with interrupts ignored, which all processes of the
# tests would inherit: those that test an interrupt would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# What --no-skips lets a test skip for: hardware, an interpreter or an operating system that is not
# here. Everything else can be installed.
MAY_SKIP = ("CUDA device", "free-threaded", "PyTorch without CUDA", "built with CUDA")


def pytest_addoption(parser):
    parser.addoption("--runslow", action="store_true", help="run the tests marked slow as well")
    parser.addoption(
        "--no-skips", action="store_true", help="fail if a test is skipped for want of a package"
    )


def pytest_terminal_summary(terminalreporter, config):
    """With --no-skips, names the tests that were skipped for another reason than MAY_SKIP."""
    for report in unexpected_skips(terminalreporter, config):
        terminalreporter.write_line(f"UNEXPECTED SKIP {report.nodeid}: {report.longrepr[-1]}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus == 0 and reporter and unexpected_skips(reporter, session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def unexpected_skips(reporter, config):
    """Reports of tests that were skipped although --no-skips does not allow their reason."""
    if not config.getoption("--no-skips"):
        return []
    skipped = reporter.stats.get("skipped", [])
    return [report for report in skipped if not any(w in str(report.longrepr) for w in MAY_SKIP)]


def pytest_collection_modifyitems(config, items):
    """Leave out the tests marked slow, unless they are asked for by --runslow or -m."""
    if config.getoption("--runslow") or "slow" in config.getoption("markexpr"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]


@pytest.fixture(scope="session")
def data_dir():
    """The folder named by ASYMFAST_DATA, else shared/data beside the checkout; else skip."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("ASYMFAST_DATA") or beside)
    if not folder.is_dir():
        pytest.skip("no data: set ASYMFAST_DATA")
    return folder


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are built, but a few bytes stand for the files: drawing them takes seconds."""

    def savefig(figure, file, format=None, **_options):
        content = b"%PDF-" if format is None and str(file).endswith(".pdf") else b"\x89PNG"
        if hasattr(file, "write"):
            file.write(content)
        else:
            Path(file).write_bytes(content)

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", savefig)


@pytest.fixture(params=af.build_config()["isas_available"] or [None], ids=str)
def isa(request):
    """Each instruction set in turn; the one that was chosen at load comes back afterwards."""
    if request.param is None:  # built without several
        yield af.build_config()["isa"]
        return
    chosen = af.build_config()["isa"]
    _core.use_isa(request.param)
    yield request.param
    _core.use_isa(chosen)
