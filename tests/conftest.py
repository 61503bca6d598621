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


# What --no-skips lets a test skip for: hardware, an interpreter, an operating system and its
# programs, or data that are not here. Everything else can be installed.
MAY_SKIP = (
    "CUDA device",
    "free-threaded",
    "GIL",
    "PyTorch without CUDA",
    "built with CUDA",
    "no data",
    "no qemu-x86_64",
)


def pytest_addoption(parser):
    add = parser.addoption
    add("--runslow", action="store_true", help="run the tests marked slow as well")
    add("--no-skips", action="store_true", help="fail if a test is skipped for want of a package")
    add("--note-left-out", metavar="FILE", help="after success write here which tests were skipped")
    add("--left-out", metavar="FILE", help="run the tests noted in FILE and those marked slow")


def pytest_terminal_summary(terminalreporter, config):
    """With --no-skips, names the tests that were skipped for another reason than MAY_SKIP."""
    if config.getoption("--no-skips"):
        skipped, unexpected = skips(terminalreporter)
        for report in unexpected:
            terminalreporter.write_line(f"UNEXPECTED SKIP {report.nodeid}: {report.longrepr[-1]}")
        terminalreporter.write_line(
            f"{len(skipped)} skipped, {len(unexpected)} of them for want of a package"
        )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus != 0 or not reporter or hasattr(session.config, "workerinput"):
        return
    skipped, unexpected = skips(reporter)
    if unexpected and session.config.getoption("--no-skips"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if file := session.config.getoption("--note-left-out"):
        Path(file).write_text("\n".join(report.nodeid for report in skipped))


def skips(reporter):
    """Reports of the tests that were skipped, and of those of them that MAY_SKIP does not allow."""
    skipped = reporter.stats.get("skipped", [])
    return skipped, [
        report for report in skipped if not any(why in str(report.longrepr) for why in MAY_SKIP)
    ]


def pytest_collection_modifyitems(config, items):
    """Leave out the tests marked slow, unless they are asked for by --runslow or -m.

    With --left-out, leave out the others.
    """
    if file := config.getoption("--left-out"):
        left_out = set(Path(file).read_text().splitlines())
        chosen = [item for item in items if is_slow(item) or left_out & names(item)]
    elif config.getoption("--runslow") or "slow" in config.getoption("markexpr"):
        chosen = items
    else:
        chosen = [item for item in items if not is_slow(item)]
    if len(chosen) < len(items):
        kept = set(chosen)
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = chosen


def is_slow(item):
    return item.get_closest_marker("slow") is not None


def names(item):
    """What a report may call it: its module where that was skipped, its name and xdist's group."""
    group = item.get_closest_marker("xdist_group")
    suffix = f"@{group.args[0]}" if group else ""
    name = item.nodeid.removesuffix(suffix)
    return {name, name + suffix, name.split("::")[0]}


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
