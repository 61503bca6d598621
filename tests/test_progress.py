"""The progress bar, which tqdm draws: what it shows, and that it leaves nothing behind."""

from __future__ import annotations

import io
import sys

import asymfast as af
import pytest
from asymfast._run_loop import ProgressBar, duration
from cases import simulated

pytest.importorskip("tqdm")


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


def on_terminal(monkeypatch):
    """Put a terminal in the place of stderr; not in a fixture, after which pytest replaces it."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0:00"), (7, "0:07"), (754, "12:34"), (3723, "1:02:03")]
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_bar_shows_label_fraction_loss_and_time_left(monkeypatch):
    terminal = on_terminal(monkeypatch)
    with ProgressBar("gamma = 1") as bar:
        bar(0.25, 3.41234)
        bar._bar.refresh()
        shown = terminal.screen()
    assert shown.startswith("gamma = 1  25 %|")
    assert "loss 3.412" in shown
    assert "<" in shown
    assert terminal.screen().strip() == ""


def test_no_loss_before_the_first_is_known(monkeypatch):
    terminal = on_terminal(monkeypatch)
    with ProgressBar() as bar:
        bar(0.0, float("nan"))
        bar(0.0, None)
        bar._bar.refresh()
        assert "loss" not in terminal.screen()
        bar(0.5, float("nan"))
        bar._bar.refresh()
        assert "loss nan" in terminal.screen()


@pytest.mark.parametrize(("fraction", "percent"), [(-0.5, " 0 %"), (1.5, "100 %")])
def test_fractions_are_clipped(fraction, percent, monkeypatch):
    terminal = on_terminal(monkeypatch)
    with ProgressBar() as bar:
        bar(0.0, 1.0)
        bar(fraction, 1.0)
        bar._bar.refresh()
        assert percent in terminal.screen()


def test_a_closed_bar_stays_silent(monkeypatch):
    terminal = on_terminal(monkeypatch)
    bar = ProgressBar("a label")
    bar(0.5, 1.25)
    bar.close()
    written = terminal.getvalue()
    bar.close()
    bar(0.9, 1.0)
    assert terminal.getvalue() == written


def test_context_manager_clears_after_an_error(monkeypatch):
    terminal = on_terminal(monkeypatch)

    def interrupted():
        with ProgressBar() as bar:
            bar(0.5, 1.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert terminal.screen().strip() == ""


@pytest.mark.parametrize("installed", [True, False])
def test_silent_when_not_a_terminal(installed, monkeypatch, capsys):
    if not installed:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    with ProgressBar("label") as bar:
        bar(0.5, 1.0)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_silent_without_tqdm(monkeypatch):
    """A command shows no bar then; ``progress=True`` asks for the package, see below."""
    terminal = on_terminal(monkeypatch)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with ProgressBar("label") as bar:
        bar(0.5, 1.0)
    assert terminal.getvalue() == ""


# --- progress=True -------------------------------------------------------------------------------


def train():
    case = simulated()
    return af.gradient_descent(case.net, case.X, case.y, steps=30_000, lr=1e-3, progress=True)


def test_bar_of_a_run(monkeypatch):
    """Label, loss and time left, and nothing stays behind."""
    terminal = on_terminal(monkeypatch)
    train()
    drawn = terminal.getvalue()
    assert "gradient_descent" in drawn
    assert "loss" in drawn
    assert "<" in drawn
    assert terminal.screen().strip() == ""


def test_true_asks_for_tqdm(monkeypatch):
    terminal = on_terminal(monkeypatch)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(ImportError, match=r"gradient_descent: progress=True needs tqdm; .*sweep"):
        train()
    assert terminal.getvalue() == ""


@pytest.mark.parametrize("installed", [True, False])
def test_run_is_silent_when_not_on_a_terminal(installed, monkeypatch, capsys):
    if not installed:
        monkeypatch.setitem(sys.modules, "tqdm", None)
    train()
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
