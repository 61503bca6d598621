"""The progress bar: what it shows, how often, and that it leaves nothing behind."""

from __future__ import annotations

import io
import os
import shutil
import sys

import asymfast as af
import pytest
from asymfast import _run_loop
from asymfast._run_loop import ProgressBar, duration, progress_line
from cases import simulated


class Terminal(io.StringIO):
    """A stream that claims to be a terminal and can show what its last line looks like."""

    def isatty(self) -> bool:
        return True

    def screen(self) -> str:
        """The line as a person sees it: every carriage return starts writing over it again."""
        shown: list[str] = []
        for part in self.getvalue().split("\r"):
            shown[: len(part)] = part
        return "".join(shown)


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves: ``clock.now += 1``."""

    class Clock:
        now = 100.0

        def monotonic(self) -> float:
            return self.now

    hand_moved = Clock()
    monkeypatch.setattr(_run_loop, "time", hand_moved)
    return hand_moved


def test_line_shows_fraction_loss_and_time_left():
    line = progress_line("gamma = 1", 0.25, 3.41234, 4.0)
    assert line == "gamma = 1 [######------------------]  25 %  loss 3.412  0:12 left"


def test_line_before_the_first_step_promises_no_time():
    assert progress_line("", 0.0, 47.0, 0.1) == f"[{'-' * 24}]   0 %  loss 47"


@pytest.mark.parametrize(("fraction", "percent"), [(-0.5, "0 %"), (1.0, "100 %"), (1.5, "100 %")])
def test_line_clips_the_fraction(fraction, percent):
    assert percent in progress_line("", fraction, 1.0, 1.0)


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_line_shows_a_loss_that_is_not_finite(loss):
    assert f"loss {loss}" in progress_line("", 0.5, loss, 1.0)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0:00"), (7, "0:07"), (754, "12:34"), (3723, "1:02:03")]
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_redraws_at_most_ten_times_a_second(clock):
    terminal = Terminal()
    bar = ProgressBar(stream=terminal)
    for step in range(1000):
        clock.now = 100.0 + step / 1000
        bar(step / 1000, 1.0)
    drawn = terminal.getvalue().count("\r")
    assert 9 <= drawn <= 10


def test_close_clears_the_line(clock):
    terminal = Terminal()
    bar = ProgressBar("a label", stream=terminal)
    bar(0.5, 1.25)
    assert "50 %" in terminal.screen()
    bar.close()
    assert terminal.screen().strip() == ""
    assert terminal.getvalue().endswith("\r")
    written = terminal.getvalue()
    bar.close()
    clock.now += 1.0
    bar(0.9, 1.0)
    assert terminal.getvalue() == written, "a closed bar stays silent"


def test_a_shorter_line_covers_a_longer_one(clock):
    terminal = Terminal()
    bar = ProgressBar(stream=terminal)
    bar(0.5, 1.2345e-10)
    clock.now += 1.0
    bar(0.5, 2.0)
    assert "e-10" not in terminal.screen()


def test_line_fits_the_terminal(clock, monkeypatch):
    monkeypatch.setattr(shutil, "get_terminal_size", lambda *_, **__: os.terminal_size((30, 24)))
    terminal = Terminal()
    ProgressBar("a rather long label", stream=terminal)(0.5, 1.0)
    assert len(terminal.screen()) == 29


def test_silent_when_not_a_terminal():
    stream = io.StringIO()
    with ProgressBar("label", stream=stream) as bar:
        bar(0.5, 1.0)
    assert stream.getvalue() == ""


def test_context_manager_clears_after_an_error(clock):
    terminal = Terminal()

    def interrupted():
        with ProgressBar(stream=terminal) as bar:
            bar(0.5, 1.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "50 %" in terminal.getvalue()
    assert terminal.screen().strip() == ""


def test_draws_on_stderr_by_default(capsys):
    with ProgressBar() as bar:
        bar(0.5, 1.0)
    captured = capsys.readouterr()
    assert captured.out == captured.err == "", "pytest's stderr is no terminal"


def test_time_left_of_a_run_that_goes_on(clock):
    """Half was done before this call: a quarter in 10 s leaves 10 s for the last quarter."""
    terminal = Terminal()
    bar = ProgressBar(stream=terminal)
    bar(0.5, 1.0)
    assert "left" not in terminal.screen()
    clock.now += 10.0
    bar(0.75, 1.0)
    assert "0:10 left" in terminal.screen()


# --- progress=True -------------------------------------------------------------------------------


def train():
    case = simulated()
    return af.gradient_descent(case.net, case.X, case.y, steps=30_000, lr=1e-3, progress=True)


@pytest.mark.parametrize("installed", [True, False])
def test_bar_of_a_run(installed, monkeypatch):
    """By tqdm if it is there, else our own: label, loss and time left, and nothing stays behind."""
    pytest.importorskip("tqdm") if installed else monkeypatch.setitem(sys.modules, "tqdm", None)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    train()
    drawn = terminal.getvalue()
    assert "gradient_descent" in drawn
    assert "loss" in drawn
    assert ("|" in drawn) == installed
    assert ("<" in drawn) == installed
    assert terminal.screen().strip() == ""


@pytest.mark.parametrize("installed", [True, False])
def test_run_is_silent_when_not_on_a_terminal(installed, monkeypatch, capsys):
    if not installed:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    train()
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
