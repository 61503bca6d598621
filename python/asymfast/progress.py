"""A one-line progress bar for runs that take a while."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

_REDRAW_EVERY = 0.1  # seconds: ten times a second looks smooth and costs nothing
_BAR_WIDTH = 24


class ProgressBar:
    """One line on a terminal: how far, the loss, the time left.

    Pass an instance as ``progress=`` of a training function and call `close` afterwards, or use
    it as a context manager. It writes nothing when the stream is not a terminal, redraws at most
    ten times a second, and leaves an empty line behind.

    Parameters
    ----------
    label : str
        Text in front of the bar.
    stream : text file, optional
        Where to draw; ``sys.stderr`` when None, so that results on stdout stay clean.

    Examples
    --------
    >>> with ProgressBar("gamma 0.5") as bar:  # doctest: +SKIP
    ...     run = gradient_descent(net, X, y, steps=50_000, progress=bar)
    """

    def __init__(self, label: str = "", stream: TextIO | None = None) -> None:
        self._label = label
        self._stream = sys.stderr if stream is None else stream
        self._visible = self._stream is not None and self._stream.isatty()
        self._begun: tuple[float, float] | None = None  # time and fraction of the first call
        self._last_drawn = -math.inf
        self._length = 0  # characters on the line now

    def __call__(self, fraction: float, loss: float | None) -> None:
        """Show that ``fraction`` (0 to 1) of the work is done, and the loss now, if known."""
        now = time.monotonic()
        if self._begun is None:  # a run that goes on from a checkpoint does not begin at 0
            self._begun = now, fraction
        if not self._visible or now - self._last_drawn < _REDRAW_EVERY:
            return
        self._last_drawn = now
        start, first = self._begun
        self._draw(progress_line(self._label, fraction, loss, now - start, first))

    def clear(self) -> None:
        """Clear the line, so that something else can be printed; the next call draws it again."""
        if self._visible and self._length:
            self._draw("")
            self._stream.write("\r")
            self._stream.flush()
            self._last_drawn = -math.inf

    def close(self) -> None:
        """Clear the line. The bar draws nothing afterwards; calling it again does no harm."""
        self.clear()
        self._visible = False

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _draw(self, line: str) -> None:
        # Spaces overwrite what a longer earlier line left; unlike an escape code they work in
        # every terminal. The last column stays free because writing there wraps the line.
        import shutil  # which brings all compressors

        line = line[: shutil.get_terminal_size().columns - 1]
        self._stream.write("\r" + line.ljust(self._length))
        self._stream.flush()
        self._length = len(line)


def progress_line(
    label: str, fraction: float, loss: float | None, elapsed: float, begun: float = 0.0
) -> str:
    """Compose the text of the bar after ``elapsed`` seconds.

    Parameters
    ----------
    label : str
        Text in front; may be empty.
    fraction : float
        Part of the work that is done; values outside [0, 1] are clipped.
    loss : float or None
        Shown with four significant digits; None where there is no one loss to show.
    elapsed : float
        Seconds since the start. The time left assumes that the rest goes at the same pace.
    begun : float
        Part of the work that was done at the start.

    Returns
    -------
    str
        For example ``gamma 1 [######------------------]  25 %  loss 3.412  0:12 left``.
    """
    done = min(max(fraction, 0.0), 1.0)
    filled = int(done * _BAR_WIDTH)
    bar = "#" * filled + "-" * (_BAR_WIDTH - filled)
    now = done - begun
    left = f"  {duration(elapsed * (1.0 - done) / now)} left" if now > 0.0 else ""
    shown = "" if loss is None else f"  loss {loss:.4g}"
    return f"{label} [{bar}] {int(100 * done):3d} %{shown}{left}".lstrip()


def duration(seconds: float) -> str:
    """Show a time span for people: ``0:07``, ``12:34`` or ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class _TqdmBar:
    """The same by tqdm, with its look."""

    def __init__(self, label: str, tqdm: Any) -> None:
        self._bar = tqdm(
            desc=label,
            total=1.0,
            file=sys.stderr,
            leave=False,
            mininterval=_REDRAW_EVERY,
            bar_format="{desc} {percentage:3.0f} %|{bar}|{postfix} [{elapsed}<{remaining}]",
        )
        self._begun = False

    def __call__(self, fraction: float, loss: float) -> None:
        bar = self._bar
        if not self._begun:  # a run that goes on from a checkpoint does not begin at 0
            self._begun, bar.initial, bar.n = True, fraction, fraction
        bar.set_postfix_str(f"loss {loss:.4g}", refresh=False)
        bar.update(min(max(fraction, 0.0), 1.0) - bar.n)

    def close(self) -> None:
        self._bar.close()


def progress_hooks(
    fn: str, progress: bool | Callable[[float, float], object]
) -> tuple[Callable[[float, float], object] | None, Callable[[], None]]:
    """Return the callable that a run is to feed, and what to call at its end.

    True draws by tqdm where it is installed, else by `ProgressBar`; on a terminal only.
    """
    if progress is True:
        if sys.stderr is None or not sys.stderr.isatty():
            return None, lambda: None
        bar = _bar(fn)
        return bar, bar.close
    if progress is False or progress is None:
        return None, lambda: None
    if not callable(progress):
        raise TypeError(f"{fn}: progress must be True, False or callable, got {progress!r}")
    return progress, lambda: None


def _bar(label: str) -> ProgressBar | _TqdmBar:
    try:
        from tqdm import tqdm
    except ImportError:
        return ProgressBar(label)
    return _TqdmBar(label, tqdm)
