"""The four-panel figure of the paper's experiments (Figure 2): loss, weights, NTG, eigenvalue."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

import asymfast.plot.style as style
from asymfast import _check, _storage

if TYPE_CHECKING:
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
    if not (title is None or isinstance(title, str)):
        raise TypeError(f"{fn}: title must be text, got {_check.brief(title)}")
    if not 1 <= len(runs) <= len(style.COLOURS):
        raise ValueError(f"{fn}: runs must have 1 to {len(style.COLOURS)} entries, got {len(runs)}")
    for name, run in runs.items():
        if not hasattr(run, "steps"):
            raise TypeError(f"{fn}: runs[{name!r}] must be a Run, got {type(run).__name__}")
        if not len(run.steps):
            raise ValueError(f"{fn}: the run {name!r} has no records to draw")

    def lines(recorded: str) -> list[style.Line | None]:
        """Of every run a name, places of the records, and what it has recorded (B, T, ...)."""
        found = [(name, run, getattr(run, recorded)) for name, run in named.items()]
        return [
            None if values is None else (name, _places(run, against), _members(run, values))
            for name, run, values in found
        ]

    with style.drawing(fn) as figure:
        named = {style.readable(str(name)): run for name, run in runs.items()}
        loss, weights, change, eigenvalue = figure.subplots(2, 2, sharex=True).flat
        tests = lines("test_loss")
        style.panel(loss, lines("loss"), log=True)
        for line, colour in zip(tests, style.COLOURS, strict=False):
            if line is not None:
                mean = np.ma.masked_invalid(line[2].mean(axis=0))
                loss.plot(line[1], np.ma.masked_less_equal(mean, 0), color=colour, linewidth=0.9)
        loss.set_title(f"(a) training risk{', and test risk (thin)' if any(tests) else ''}")
        symbols = {_LOSS_SYMBOLS.get(str(run.config.get("loss")), "loss") for run in runs.values()}
        loss.set_ylabel(symbols.pop() if len(symbols) == 1 else "loss")

        moved = [(*line[:2], _most_moved(line[2], top)) for line in lines("weight_change") if line]
        style.panel(weights, moved)
        followed = min(values.shape[-1] for *_, values in moved)
        nodes = f"{followed} nodes" if followed > 1 else "node"
        weights.set_title(f"(b) weight change of the top {nodes}")
        weights.set_ylabel(r"$\Vert w_{tj} - w_{0j} \Vert$")

        style.panel(change, lines("ntg_change"))
        change.set_title("(c) change of the NTG matrix")
        change.set_ylabel(r"$\Vert \widehat{\Theta}_t - \widehat{\Theta}_0 \Vert_F$")
        style.panel(eigenvalue, lines("ntg_eigmin"), log=True)
        eigenvalue.set_title("(d) smallest eigenvalue of the NTG matrix")
        eigenvalue.set_ylabel(r"$\mathrm{eig}_{\min}(\widehat{\Theta}_t)$")

        for axes in (change, eigenvalue):
            axes.set_xlabel("training step" if against == "step" else "training time $t$")
        style.whole_numbers(eigenvalue.xaxis)
        if len(runs) > 1:
            style.legend_below(figure, loss)
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
    >>> import asymfast as af
    >>> import pathlib, tempfile
    >>> from matplotlib.figure import Figure
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = af.plot.save(Figure(), pathlib.Path(folder, "empty"))
    ...
    >>> [path.name for path in written]
    ['empty.png', 'empty.pdf']
    """
    if not hasattr(figure, "savefig"):
        raise TypeError(f"plot.save: figure must be a Figure, got {type(figure).__name__}")
    stem = _storage.path("plot.save", "path", path)
    if stem.suffix in (".png", ".pdf"):
        stem = stem.with_suffix("")
    png, pdf = (stem.with_name(stem.name + ending) for ending in (".png", ".pdf"))
    _storage.file_to_write("plot.save", "path", png)
    with style.drawing("plot.save"):
        with _storage.replacing(png) as temporary:
            figure.savefig(temporary, dpi=150)
        with _storage.replacing(pdf) as temporary:
            figure.savefig(temporary, metadata={"CreationDate": None})
    return png, pdf


def _places(run: Run, against: str) -> npt.NDArray[Any]:
    """(T,) horizontal positions of the records."""
    steps = run.steps  # (T, B) where the members of an ensemble chose their own steps
    return run.time if against == "time" else steps if steps.ndim == 1 else steps.mean(axis=1)


def _members(run: Run, values: Floats) -> Floats:
    """(T, ...) or (T, B, ...) records as (B, T, ...)."""
    return values[None] if run.loss.ndim == 1 else np.moveaxis(values, 1, 0)


def _most_moved(change: Floats, top: int) -> Floats:
    """Pick the records (B, T, top) of the nodes that moved most, the farthest first.

    Every member ranks its own nodes, at the last record without NaN or infinity: after a
    divergence the final record has no usable values.
    """
    finite = np.flatnonzero(np.isfinite(change).all(axis=(0, 2)))
    last = finite[-1] if len(finite) else 0
    order = np.argsort(-change[:, last], axis=-1, kind="stable")[:, :top]
    moved: Floats = np.take_along_axis(change, order[:, None], axis=-1)
    return moved
