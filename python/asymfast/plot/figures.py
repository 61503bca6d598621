"""The four-panel figure of the paper's experiments (Figure 2): loss, weights, NTG, eigenvalue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

import asymfast.plot.style as style
from asymfast import _check, _storage
from asymfast.plot.style import remark

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from asymfast.run import Run

Floats = npt.NDArray[np.float64]

_LOSS_SYMBOLS = {
    "half_sse": r"$L_m$ (half the sum of squares)",
    "mse": "mean squared error",
    "cross_entropy": "mean cross-entropy",
}


@_check.arguments(against=_check.one_of("step", "time"), top=_check.COUNT)
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
        One to seven runs, by the names that the legend gives them. A single run gets no legend.
    against : {"step", "time"}
        The horizontal axis: training steps (the mean over members that took different steps), or
        training time (step times learning rate, or the time of the gradient flow).
    top : int
        How many nodes panel (b) follows in every member: the one that moved most as a bold line,
        the next ones as thin lines.
    title : str, optional
        One line above the figure. Like names, it may have formulas, as in ``r"$\\gamma$"``.

    Returns
    -------
    matplotlib.figure.Figure
        8 by 6 inches; its first four axes are the panels in the order above.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    TypeError, ValueError
        ``runs`` is not a mapping, or has not one to seven entries, or a run has no records;
        ``against`` or ``top`` is out of range.
    FigureError
        matplotlib failed to draw.

    Notes
    -----
    Losses and eigenvalues have logarithmic axes. The panel says how many values were left out as
    they are zero, negative (an eigenvalue that vanishes up to rounding) or not finite. A panel
    without any positive value gets a linear axis instead. The figure has the style of asymfast; of
    the settings of your matplotlib only the fonts are used.

    Source: paper, Appendix J, Figure 2.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=20, d=5, rng=0)
    >>> net = af.Network.init(d=5, m=100, gamma=0.5, alpha=0.7, rng=1)
    >>> figure = af.plot.training_figure({"mine": af.gradient_descent(net, X, y, steps=100)})
    >>> len(figure.axes)
    4
    """
    fn = "training_figure"
    if not isinstance(runs, Mapping):
        raise TypeError(
            f"{fn}: runs must be a mapping from names to runs, such as {{'mine': run}}, "
            f"got {type(runs).__name__}"
        )
    if not 1 <= len(runs) <= len(style.COLOURS):
        raise ValueError(f"{fn}: runs must have 1 to {len(style.COLOURS)} entries, got {len(runs)}")
    for name, run in runs.items():
        if not len(run.steps):
            raise ValueError(f"{fn}: the run {name!r} has no records to draw")

    with style.drawing(fn) as figure:
        panels = figure.subplots(2, 2, sharex=True).flat
        lines = [
            _Line(style.readable(str(name)), run, against, place)
            for place, (name, run) in enumerate(runs.items())
        ]
        _loss_panel(panels[0], lines)
        _weight_panel(panels[1], lines, top)
        _ntg_panels(panels[2], panels[3], lines)
        for panel in panels[2:4]:
            panel.set_xlabel("training step" if against == "step" else "training time $t$")
        style.whole_numbers(panels[3].xaxis)
        if len(runs) > 1:
            style.legend_below(figure, panels[0])
        if title:
            figure.suptitle(style.readable(title))
        figure.align_ylabels()
    return figure


def save(figure: Figure, path: str | Path) -> tuple[Path, Path]:
    """Write a figure as PNG and as PDF.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        What to write.
    path : str or Path
        Where to write; the folder must exist. ``run-gamma0.5``, ``run-gamma0.5.png`` and
        ``run-gamma0.5.pdf`` all give the two files ``run-gamma0.5.png`` and ``run-gamma0.5.pdf``.

    Returns
    -------
    tuple of two Path
        The files, PNG first. A file is either complete or absent. The same figure gives the same
        bytes, as neither file contains a date.

    Raises
    ------
    TypeError, ValueError
        `path` is not a valid path.
    OSError
        The folder is missing or cannot be written to.
    FigureError
        matplotlib failed to draw.

    Examples
    --------
    >>> import pathlib, tempfile, asymfast as af
    >>> from matplotlib.figure import Figure
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = af.plot.save(Figure(), pathlib.Path(folder, "empty"))
    ...
    >>> [path.name for path in written]
    ['empty.png', 'empty.pdf']
    """
    stem = _storage.path("plot.save", "path", path)
    if stem.suffix in (".png", ".pdf"):
        stem = stem.with_suffix("")
    png, pdf = (stem.with_name(stem.name + ending) for ending in (".png", ".pdf"))
    with style.drawing("plot.save"):
        with _storage.replacing(png) as temporary:
            figure.savefig(temporary, dpi=150)
        with _storage.replacing(pdf) as temporary:
            figure.savefig(temporary, metadata={"CreationDate": None})
    return png, pdf


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
        if self.against == "time":
            return self.run.time
        steps = self.run.steps  # (T, B) where the members of an ensemble chose their own steps
        return steps if steps.ndim == 1 else steps.mean(axis=1)

    @property
    def colour(self) -> str:
        return style.COLOURS[self.place]


def _loss_panel(axes: Axes, lines: Sequence[_Line]) -> None:
    _logarithmic(axes, [(line, line.run.loss) for line in lines])
    tests = False
    for line in lines:
        if line.run.test_loss is not None:
            tests = True
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
    nodes = f"{followed} nodes" if followed > 1 else "node"
    axes.set_title(f"(b) weight change of the top {nodes}")
    axes.set_ylabel(r"$\Vert w_{tj} - w_{0j} \Vert$")
    axes.set_ylim(bottom=0)


def _ntg_panels(change: Axes, eigenvalue: Axes, lines: Sequence[_Line]) -> None:
    change.set_title("(c) change of the NTG matrix")
    change.set_ylabel(r"$\Vert \widehat{\Theta}_t - \widehat{\Theta}_0 \Vert_F$")
    for line in lines:
        if line.run.ntg_change is not None:
            _bold(change, line, _by_member(line.run.ntg_change))
            change.set_ylim(bottom=0)
    eigenvalue.set_title("(d) smallest eigenvalue of the NTG matrix")
    eigenvalue.set_ylabel(r"$\mathrm{eig}_{\min}(\widehat{\Theta}_t)$")
    recorded = [(line, line.run.ntg_eigmin) for line in lines]
    _logarithmic(eigenvalue, [(line, values) for line, values in recorded if values is not None])
    for axes in (change, eigenvalue):
        if not axes.lines:
            remark(axes, "not recorded")


def _logarithmic(axes: Axes, series: Sequence[tuple[_Line, Floats]]) -> None:
    """Draw positive values on a logarithmic axis and say how many others there were."""
    left_out = sum(int(np.isnan(_positive(values)).sum()) for _, values in series)
    total = sum(values.size for _, values in series)
    positive = left_out < total
    for line, values in series:
        _bold(axes, line, _by_member(values), positive=positive)
    if positive:
        axes.set_yscale("log")
    if left_out:
        dropped = f"{left_out} of {total} values not positive or not finite: left out"
        remark(axes, dropped if positive else "no positive value: linear axis")


def _bold(axes: Axes, line: _Line, values: Floats, *, positive: bool = False) -> None:
    """Draw (T, B) values: the mean over members, and the range of the members behind it."""
    mean, low, high = values.mean(axis=1), values.min(axis=1), values.max(axis=1)
    if positive:
        mean, low, high = _positive(mean), _positive(low), _positive(high)
    axes.plot(line.x, mean, **style.line_style(line.place, line.name, len(line.x)))
    if values.shape[1] > 1:
        axes.fill_between(line.x, low, high, color=line.colour, alpha=0.13, linewidth=0)


def _by_member(values: Floats) -> Floats:
    """(T,) or (T, B) records as (T, B); values that are not finite become gaps."""
    columns = values.reshape(len(values), -1)
    return np.where(np.isfinite(columns), columns, np.nan)


def _positive(values: Floats) -> Floats:
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)


def _most_moved(weight_change: Floats, top: int) -> Floats:
    """Pick the records (T, B, top) of the nodes that moved most, the farthest first.

    Every member ranks its own nodes, at the last record without NaN or infinity: after a
    divergence the final record has no usable values.
    """
    nodes = weight_change.shape[-1]
    change = _by_member(weight_change).reshape(len(weight_change), -1, nodes)
    finite = np.flatnonzero(np.isfinite(change).all(axis=(1, 2)))
    last = finite[-1] if len(finite) else 0
    order = np.argsort(-change[last], axis=-1, kind="stable")[:, :top]
    moved: Floats = np.take_along_axis(change, order[None], axis=-1)
    return moved
