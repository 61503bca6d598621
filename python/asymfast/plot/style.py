"""What all figures share: their style, their colours, and how drawing is made safe.

matplotlib is imported when a figure is drawn, and only through its object interface: no window is
opened, no display and no backend are needed, and the settings of the user's matplotlib neither
change nor matter, except for the fonts.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

import asymfast._optional as _optional

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]

# Okabe and Ito's palette. With the dashes and markers beside it, the lines stay apart in grey
# print and for every kind of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES: tuple[Any, ...] = ("-", (0, (6, 1.5)), (0, (6, 1.5, 1.2, 1.5)), (0, (1.5, 1.2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
MARKERS_PER_LINE = 6

_STYLE = Path(__file__).with_name("asymfast.mplstyle")
_FONTS = ("font.family", "font.sans-serif", "font.serif", "font.monospace")


class FigureError(RuntimeError):
    """A figure could not be drawn; the results it was to show are not affected.

    Drawing raises no other error, so that a program can catch this one and keep its results. Only
    arguments that are wrong, files that cannot be written and a missing matplotlib are reported
    by their own types.
    """


def require_matplotlib(what: str = "plotting") -> None:
    """Import matplotlib, whatever backend the environment asks for; ImportError without it.

    A notebook names its own backend in ``MPLBACKEND``, and programs started from it inherit that.
    Where the backend is not installed, matplotlib refuses to be imported. Figures of asymfast do
    not need one. `what` needs it, for the message.

    Examples
    --------
    >>> import asymfast as af
    >>> af.plot.require_matplotlib()
    """
    backend = None if "matplotlib" in sys.modules else os.environ.pop("MPLBACKEND", None)
    try:
        matplotlib = _optional.require("matplotlib", "plot", what)
        _optional.require("matplotlib.figure", "plot", what)
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if backend:
        with suppress(ValueError):  # then matplotlib keeps its default
            matplotlib.rcParams["backend"] = backend


@contextmanager
def drawing(what: str, size: tuple[float, float] = (8.0, 6.0)) -> Iterator[Figure]:
    """Draw a figure of a size in inches in the style of asymfast; messages name ``what``.

    ImportError without matplotlib, OSError of files that cannot be written; every other error
    inside the block becomes a FigureError.
    """
    require_matplotlib(what)
    import matplotlib
    import matplotlib.figure
    import matplotlib.style

    settings: Any = matplotlib.rcParams
    fonts: Any = {key: settings[key] for key in _FONTS}
    try:
        with (
            np.errstate(all="ignore"),
            matplotlib.style.context(str(_STYLE), after_reset=True),
            matplotlib.rc_context(fonts),
        ):
            yield matplotlib.figure.Figure(figsize=size, layout="constrained")
    except (FigureError, OSError):
        raise
    except Exception as error:
        raise FigureError(
            f"{what}: the figure could not be drawn: {type(error).__name__}: {error}"
        ) from error


def readable(text: str) -> str:
    r"""Return a text that can be drawn: what is not a formula between $ signs is plain text.

    Bytes of a file name that are not UTF-8 are written as ``\xff``.
    """
    from matplotlib.mathtext import MathTextParser

    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    text = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
    if text.count("$") - text.count(r"\$") > 1:
        try:
            MathTextParser("path").parse(text)
        except Exception:  # whatever the parser of this version of matplotlib raises
            return text.replace(r"\$", "$").replace("$", r"\$")
    return text


Line = tuple[str, npt.NDArray[Any], Floats]  # name, x (T,), values (R, T) or (R, T, nodes)


def panel(
    axes: Axes,
    lines: Sequence[Line | None],
    *,
    log: bool = False,
    floor: bool = True,
    along_log: bool = False,
) -> None:
    """Draw lines: the mean of R repetitions, and behind it the range that they cover.

    Of nodes the first one is bold and the mean of the others thin. The colours are those of the
    places of the lines, None among them. A logarithmic axis has positive values only, unless there
    are none; a linear one begins at 0 with `floor`. The markers suit a horizontal axis that is
    linear, or logarithmic with `along_log`. A remark says how many values are left out.
    """
    drawn = [(place, *line) for place, line in enumerate(lines) if line is not None]
    is_log = log and any((np.isfinite(values) & (values > 0)).any() for *_, values in drawn)
    total = left_out = 0
    for place, name, x, values in drawn:
        others = values[..., 1:].mean(axis=0) if values.ndim == 3 else None
        values = values if others is None else values[..., 0]
        shown = np.ma.masked_where(~np.isfinite(values) | (is_log & (values <= 0)), values)
        total, left_out = total + shown.size, left_out + shown.size - int(shown.count())
        axes.plot(
            x,
            shown.mean(axis=0).filled(np.nan),
            color=COLOURS[place],
            linestyle=DASHES[place % len(DASHES)],
            marker=MARKERS[place],
            markersize=4.5,
            markevery=_markers(place, len(x), along_log),
            label=name,
        )
        if others is not None:
            axes.plot(x, others, color=COLOURS[place], linewidth=0.7, alpha=0.7)
        if len(values) > 1:
            low, high = shown.min(axis=0).filled(np.nan), shown.max(axis=0).filled(np.nan)
            axes.fill_between(x, low, high, color=COLOURS[place], alpha=0.13, linewidth=0)
    if is_log:
        axes.set_yscale("log")
    elif floor and not log:
        axes.set_ylim(bottom=0)
    if log and not is_log:
        remark(axes, "no positive value: linear axis" if drawn else "not recorded")
    elif left_out:
        kind = "not positive or not finite" if is_log else "not finite"
        remark(axes, f"{left_out} of {total} values {kind}: left out")
    elif not drawn:
        remark(axes, "not recorded")


def _markers(place: int, records: int, along_log: bool) -> list[int] | tuple[int, int]:
    """Records with a marker, which of different lines are different ones."""
    if along_log:  # evenly spaced records would gather at the end
        shares = (np.arange(MARKERS_PER_LINE) + (place + 1) / 5) / (MARKERS_PER_LINE + 0.2)
        return sorted({int(position) for position in records**shares - 1})
    gap = max(1, records // MARKERS_PER_LINE)
    return place * gap // 4 % gap, gap


def remark(axes: Axes, text: str) -> None:
    """Write a remark into the corner of a panel."""
    paper = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}
    axes.text(0.03, 0.04, text, transform=axes.transAxes, fontsize=8, color="#555555", bbox=paper)


def whole_numbers(axis: Axis) -> None:
    """Label an axis of steps or times with few enough numbers that they stay apart."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter("{x:,g}")


def every_label(labels: Sequence[str], room: int = 32) -> slice:
    """Which of the labels of an axis to show so that together they take ``room`` characters."""
    longest = max(map(len, labels)) + 2
    return slice(None, None, max(1, math.ceil(len(labels) * longest / room)))


def legend_below(figure: Figure, *panels: Axes) -> None:
    """Put the legend of panels below the figure, in as many columns as the names allow."""
    entries: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if not entries:
        return
    room = 12.5 * figure.get_size_inches()[0]  # characters of 10 points
    most = max(1, int(room / (max(map(len, entries)) + 10)))
    columns = math.ceil(len(entries) / math.ceil(len(entries) / most))
    look: dict[str, Any] = {"loc": "outside lower center", "handlelength": 3.5}
    figure.legend(list(entries.values()), list(entries), ncols=columns, columnspacing=1.5, **look)
