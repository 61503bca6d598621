"""Progress, Ctrl-C, resuming and early stopping, in a terminal as a user has it."""

from __future__ import annotations

import os
import re
import sys

import asymfast as af
import numpy as np
import pytest

pexpect = pytest.importorskip("pexpect")
pytest.importorskip("tqdm")

BAR = r" +(\d+) %\|"
pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX terminal"),
    # JAX, where another test has loaded it, warns of every fork; what comes after it starts anew.
    pytest.mark.filterwarnings(r"ignore:os.fork\(\) was called:RuntimeWarning"),
]


@pytest.fixture
def terminal(tmp_path):
    """Start a command in a folder of its own; at the end of the test it is gone."""
    started = []

    def start(*arguments):
        child = pexpect.spawn(
            sys.executable,
            list(arguments),
            cwd=str(tmp_path),
            env={**os.environ, "OMP_WAIT_POLICY": "passive"},
            encoding="utf-8",
            timeout=120,
            dimensions=(24, 100),
        )
        started.append(child)
        return child

    yield start
    for child in started:
        child.close(force=True)


def table(folder, n):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 8))
    rows = np.c_[X, X[:, 0] * X[:, 1]]
    names = ",".join([*"abcdefgh", "y"])
    np.savetxt(folder / "t.csv", rows, "%.6f", delimiter=",", header=names, comments="")


def ended(child):
    child.expect(pexpect.EOF)
    child.close()
    return child.before, child.exitstatus


COMMAND = ["-m", "asymfast", "train", "t.csv", "--target", "y", "--no-figure", "--out", "out"]


def test_interrupt_and_resume(terminal, tmp_path):
    """The records so far are written; the same command ends with an uninterrupted run's numbers."""
    table(tmp_path, 100)
    options = [*COMMAND, "--width", "200", "--steps", "20_000", "--ntg-on", "0"]
    child = terminal(*options)
    child.expect(BAR)
    child.expect(r" +[1-9]\d* %\|[^|]*\|, loss ")
    child.sendintr()
    text, code = ended(child)
    assert code == 130
    stopped = int(re.search(r"interrupted at step (\d+); the records so far are in out", text)[1])
    assert "the same command resumes" in text
    assert 0 < stopped < 20_000
    partial = af.Run.load(tmp_path / "out" / "run.npz")
    assert partial.steps[-1] == stopped
    child = terminal(*options)
    child.expect("resuming from out/unfinished.checkpoint")
    child.expect(BAR + r"[^|]*\|, loss")
    assert int(child.match[1]) >= stopped // 200
    text, code = ended(child)
    assert code == 0
    assert "written to out" in text
    whole = [{"out": "whole"}.get(one, one) for one in options]
    assert ended(terminal(*whole))[1] == 0
    one, other = (af.Run.load(tmp_path / name / "run.npz") for name in ("out", "whole"))
    np.testing.assert_array_equal(one.loss, other.loss)
    np.testing.assert_array_equal(one.network.W, other.network.W)


def test_first_line_of_a_large_table(terminal, tmp_path):
    """n = 20 000: the bar stands before the step size is found, which takes seconds."""
    table(tmp_path, 20_000)
    child = terminal(*COMMAND, "--steps", "100_000")
    child.expect("reading t.csv" + BAR)
    child.expect("t.csv: 16000 training and 4000 test rows")
    child.expect(BAR)
    assert child.match[1] == "0"
    assert "loss" not in child.before.split("\r")[-1]
    child.sendintr()
    text, code = ended(child)
    assert code == 130
    assert "asymfast train: interrupted" in text


PROGRAM = """
import asymfast as af

X, y = af.datasets.simulated(n=50, d=5, rng=0)
net = af.Network.init(d=5, m=300, gamma=0.5, alpha=0.7, rng=1)
run = af.gradient_descent(
    net, X, y, steps=2_000_000, progress=True, record=af.Record(every=500, ntg=False, eigmin=False),
    stop=af.Stop(loss=0.5 * net.loss(X, y)),
)
print("stopped by", run.stopped_by, run.stopped, bool(run.loss[-1] <= 0.5 * run.loss[0]))
"""


def test_progress_and_early_stop(terminal):
    """progress=True on a terminal draws, and the line is gone at the end."""
    child = terminal("-c", PROGRAM)
    child.expect("gradient_descent")
    child.expect("0 %")
    child.expect("stopped by loss True True")
    assert ended(child)[1] == 0


def test_interrupt_of_a_program(terminal):
    """With a checkpoint it completes the step; a program may catch it with the run."""
    child = terminal(
        "-c",
        """
import asymfast as af

X, y = af.datasets.simulated(n=50, d=5, rng=0)
net = af.Network.init(d=5, m=300, gamma=0.5, alpha=0.7, rng=1)
try:
    af.gradient_descent(net, X, y, lr=1e-3, steps=10**8, progress=True, checkpoint="run.checkpoint",
                        record=af.Record(every=10**5, ntg=False, eigmin=False))
except KeyboardInterrupt as stop:
    print("caught with", len(stop.run.loss), "records")
""",
    )
    child.expect("gradient_descent.* loss")
    child.sendintr()
    child.expect(r"caught with (\d+) records")
    assert int(child.match[1]) >= 1
    assert ended(child)[1] == 0
