"""The four-panel figure of the paper's experiments (Figure 2): loss, weights, NTG, eigenvalue.

matplotlib is imported when a figure is drawn, not when this module is, and only through its object
interface: no window is opened, no display is needed, and the user's own pyplot state and settings
stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from asymfast import _storage
from asymfast._storage import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from asymfast.run import Run

Floats = npt.NDArray[np.float64]

# Okabe and Ito's palette. With the dashes and markers beside it, the lines stay apart in grey
# print and for every kind of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", (0, (6, 1.5)), (0, (6, 1.5, 1.2, 1.5)), (0, (1.5, 1.2)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_MARKERS_PER_LINE = 6

STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.xmargin": 0.02,
    "figure.titlesize": 11,
    "axes.labelsize": 10,
    "legend.fontsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e2e2e2",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "pdf.fonttype": 42,  # TrueType outlines: many journals refuse the default, Type 3
}

_LOSS_SYMBOLS = {
    "half_sse": r"$L_m$ (half the sum of squares)",
    "mse": "mean squared error",
    "cross_entropy": "mean cross-entropy",
}


def require_matplotlib() -> None:
    """Raise the ImportError that says how to install matplotlib, if it cannot be imported.

    Raises
    ------
    ImportError
        With the command that installs it.

    Examples
    --------
    >>> from asymfast import figures
    >>> figures.require_matplotlib()
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as missing:
        raise ImportError(
            "plotting needs matplotlib; install it with: pip install 'asymfast[plot]'"
        ) from missing


def training_figure(
    runs: Mapping[str, Run],
    *,
    against: Literal["step", "time"] = "step",
    top: int = 5,
    title: str | None = None,
) -> Figure:
    r"""Draw how training went: the four panels of the paper's Figure 2.

    The panels show (a) the training loss, with the test loss as a thin line where it was recorded;
    (b) the weight change :math:`\|w_{tj} - w_{0j}\|` of the nodes that have moved most by the end;
    (c) the change of the neural tangent Gram matrix, :math:`\|\Theta_t - \Theta_0\|_F`; (d) the
    smallest eigenvalue of that matrix. For an ensemble a line is the mean over its members, and
    the band behind it reaches from the smallest to the largest member.

    Parameters
    ----------
    runs : mapping from str to Run
        What to compare, by the name that the legend gives it; one to seven entries. A single run
        gets no legend.
    against : {"step", "time"}
        The horizontal axis: training steps, or training time (step times learning rate, or the
        time of the gradient flow).
    top : int
        How many nodes panel (b) follows in every member: the one that moved most as a bold line,
        the next ones as thin lines.
    title : str, optional
        One line above the figure.

    Returns
    -------
    matplotlib.figure.Figure
        8 by 6 inches; its first four axes are the panels in the order above.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    TypeError
        ``runs`` is not a mapping.
    ValueError
        ``runs`` is empty or has more than seven entries, ``against`` is unknown, or ``top`` < 1.

    Notes
    -----
    Losses and eigenvalues have logarithmic axes. Values that are zero, negative (an eigenvalue
    that vanishes up to rounding) or not finite have no place there; they are left out and the
    panel says how many. A panel without any positive value gets a linear axis instead.

    Source: paper, Appendix J, Figure 2.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=20, d=5, rng=0)
    >>> net = af.Network.init(d=5, m=100, gamma=0.5, alpha=0.7, rng=1)
    >>> run = af.gradient_descent(net, X, y, steps=100)
    >>> figure = af.figures.training_figure({"gamma = 0.5": run})
    >>> len(figure.axes)
    4
    """
    require_matplotlib()
    import matplotlib
    from matplotlib.figure import Figure

    if not isinstance(runs, Mapping):
        raise TypeError(
            "training_figure: runs must be a mapping from names to runs, as {'mine': run}, "
            f"got {type(runs).__name__}"
        )
    if not 1 <= len(runs) <= len(COLOURS):
        raise ValueError(
            f"training_figure: runs must have 1 to {len(COLOURS)} entries, got {len(runs)}"
        )
    if against not in ("step", "time"):
        raise ValueError(f"training_figure: against must be 'step' or 'time', got {against!r}")
    if top < 1:
        raise ValueError(f"training_figure: top must be >= 1, got {top}")

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.0, 6.0), layout="constrained")
        panels = figure.subplots(2, 2, sharex=True).flat
        lines = [_Line(name, run, against, place) for place, (name, run) in enumerate(runs.items())]
        _loss_panel(panels[0], lines)
        _weight_panel(panels[1], lines, top)
        _ntg_panel(panels[2], lines)
        _eigenvalue_panel(panels[3], lines)
        for panel in panels[2:4]:
            panel.set_xlabel("training step" if against == "step" else "training time $t$")
            panel.xaxis.set_major_formatter("{x:,g}")
        if len(runs) > 1:
            figure.legend(
                *panels[0].get_legend_handles_labels(),
                loc="outside lower center",
                ncols=len(runs) if len(runs) <= 4 else (len(runs) + 1) // 2,
                frameon=False,
                handlelength=3.5,
                columnspacing=1.5,
            )
        if title:
            figure.suptitle(title)
        figure.align_ylabels()
    return figure


def save(figure: Figure, path: str | Path) -> tuple[Path, Path]:
    """Write a figure as PNG and as PDF.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        What to write.
    path : str or Path
        Where to; the folder must exist. ``run-gamma0.5`` becomes ``run-gamma0.5.png`` and
        ``run-gamma0.5.pdf``, and so does either of these two.

    Returns
    -------
    tuple of two Path
        The files, PNG first. Each is complete or not there at all, and the same figure gives the
        same bytes: neither file carries a date.

    Raises
    ------
    TypeError, ValueError
        `path` is no path.
    OSError
        The folder is missing or cannot be written to.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from matplotlib.figure import Figure
    >>> from asymfast import figures
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = figures.save(Figure(), pathlib.Path(folder, "empty"))
    ...
    >>> [path.name for path in written]
    ['empty.png', 'empty.pdf']
    """
    import matplotlib

    stem = _storage.path("figures.save", "path", path)
    if stem.suffix in (".png", ".pdf"):
        stem = stem.with_suffix("")
    png, pdf = (stem.with_name(stem.name + ending) for ending in (".png", ".pdf"))
    with matplotlib.rc_context(STYLE):
        with replacing(png) as temporary:
            figure.savefig(temporary, dpi=150)
        with replacing(pdf) as temporary:
            figure.savefig(temporary, metadata={"CreationDate": None})
    return png, pdf


def look(place: int, label: str, records: int) -> dict[str, Any]:
    """Keywords of a bold line; the markers of different lines start at different records."""
    gap = max(1, records // _MARKERS_PER_LINE)
    return {
        "color": COLOURS[place],
        "linestyle": _DASHES[place % len(_DASHES)],
        "marker": _MARKERS[place],
        "markersize": 4.5,
        "markevery": (place * gap // 4 % gap, gap),
        "label": label,
    }


@dataclass(frozen=True)
class _Line:
    """One run, and its place in the order of colours, dashes and markers."""

    name: str
    run: Run
    against: str
    place: int

    @property
    def x(self) -> npt.NDArray[Any]:
        """(T,) horizontal positions of the records."""
        return self.run.steps if self.against == "step" else self.run.time

    @property
    def colour(self) -> str:
        return COLOURS[self.place]


def _loss_panel(axes: Axes, lines: Sequence[_Line]) -> None:
    tests = [line for line in lines if line.run.test_loss is not None]
    _logarithmic(axes, lines, [line.run.loss for line in lines])
    for line in tests:
        assert line.run.test_loss is not None
        mean = _positive(_by_member(line.run.test_loss).mean(axis=1))
        axes.plot(line.x, mean, color=line.colour, linewidth=0.9)
    symbols = {_LOSS_SYMBOLS.get(str(line.run.config.get("loss")), "loss") for line in lines}
    axes.set_title("(a) training risk" + (", and test risk (thin)" if tests else ""))
    axes.set_ylabel(symbols.pop() if len(symbols) == 1 else "loss")


def _weight_panel(axes: Axes, lines: Sequence[_Line], top: int) -> None:
    followed = top
    for line in lines:
        moved = _most_moved(line.run.weight_change, top)
        followed = min(followed, moved.shape[-1])
        _bold(axes, line, moved[..., 0])
        axes.plot(line.x, moved[..., 1:].mean(axis=1), color=line.colour, linewidth=0.7, alpha=0.7)
    axes.set_title(
        f"(b) weight change of the top {followed} nodes"
        if followed > 1
        else "(b) weight change of the top node"
    )
    axes.set_ylabel(r"$\Vert w_{tj} - w_{0j} \Vert$")
    axes.set_ylim(bottom=0)


def _ntg_panel(axes: Axes, lines: Sequence[_Line]) -> None:
    recorded = [line for line in lines if line.run.ntg_change is not None]
    for line in recorded:
        assert line.run.ntg_change is not None
        _bold(axes, line, _by_member(line.run.ntg_change))
    axes.set_title("(c) change of the NTG matrix")
    axes.set_ylabel(r"$\Vert \widehat{\Theta}_t - \widehat{\Theta}_0 \Vert_F$")
    if recorded:
        axes.set_ylim(bottom=0)
    else:
        remark(axes, "not recorded")


def _eigenvalue_panel(axes: Axes, lines: Sequence[_Line]) -> None:
    recorded = [line for line in lines if line.run.ntg_eigmin is not None]
    values = [line.run.ntg_eigmin for line in recorded if line.run.ntg_eigmin is not None]
    axes.set_title("(d) smallest eigenvalue of the NTG matrix")
    axes.set_ylabel(r"$\mathrm{eig}_{\min}(\widehat{\Theta}_t)$")
    if recorded:
        _logarithmic(axes, recorded, values)
    else:
        remark(axes, "not recorded")


def _logarithmic(axes: Axes, lines: Sequence[_Line], series: Sequence[Floats]) -> None:
    """Draw positive values on a logarithmic axis and say how many others there were."""
    left_out = sum(int(np.isnan(_positive(values)).sum()) for values in series)
    total = sum(values.size for values in series)
    if left_out == total:
        for line, values in zip(lines, series, strict=True):
            _bold(axes, line, _by_member(values))
        remark(axes, "no positive value: linear axis")
        return
    for line, values in zip(lines, series, strict=True):
        _bold(axes, line, _by_member(values), positive=True)
    axes.set_yscale("log")
    if left_out:
        remark(axes, f"{left_out} of {total} values not positive or not finite: left out")


def _bold(axes: Axes, line: _Line, values: Floats, *, positive: bool = False) -> None:
    """Draw (T, B) values: the mean over members, and the range of the members behind it."""
    mean, low, high = values.mean(axis=1), values.min(axis=1), values.max(axis=1)
    if positive:
        mean, low, high = _positive(mean), _positive(low), _positive(high)
    axes.plot(line.x, mean, **look(line.place, line.name, len(line.x)))
    if values.shape[1] > 1:
        axes.fill_between(line.x, low, high, color=line.colour, alpha=0.13, linewidth=0)


def remark(axes: Axes, text: str) -> None:
    """Write a remark into the corner of a panel."""
    paper = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}
    axes.text(0.03, 0.04, text, transform=axes.transAxes, fontsize=8, color="#555555", bbox=paper)


def _by_member(values: Floats) -> Floats:
    """(T,) or (T, B) records as (T, B); values that are not finite become gaps."""
    columns = values.reshape(len(values), -1)
    return np.where(np.isfinite(columns), columns, np.nan)


def _positive(values: Floats) -> Floats:
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)


def _most_moved(weight_change: Floats, top: int) -> Floats:
    """Pick the records (T, B, top) of the nodes that moved most, the farthest first.

    Every member ranks its own nodes, at the last record that is finite throughout: after a
    divergence the final one tells nothing.
    """
    nodes = weight_change.shape[-1]
    change = _by_member(weight_change).reshape(len(weight_change), -1, nodes)
    last = np.flatnonzero(np.isfinite(change).all(axis=(1, 2)))[-1]
    order = np.argsort(-change[last], axis=-1, kind="stable")[:, :top]
    moved: Floats = np.take_along_axis(change, order[None], axis=-1)
    return moved
