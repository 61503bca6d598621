"""The panels of the paper's figures, drawn from results.

As `asymfast.plot`, whose look they share, these need matplotlib when they are drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from asymfast.experiments.results import Repeats, Results
from asymfast.experiments.tables import setting_name
from asymfast.plot import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Panel:
    """A panel: which array of which stage, and how its axes are labelled.

    Attributes
    ----------
    title, label : str
        Above, and of the vertical axis.
    stage, array, along : str
        The values are ``array`` of the stage, drawn against its array ``along``.
    below : str
        Label of the horizontal axis.
    scale : {"linear", "log"}
        Of the vertical axis.
    """

    title: str
    label: str
    stage: Literal["training", "pruning", "transfer"]
    array: str
    along: str
    below: str
    scale: Literal["linear", "log"] = "linear"


_STEP = ("steps", "training step")
_KEPT = ("kept", "nodes kept")
_FEATURES = ("features", "features transferred")

PANELS = {
    "loss": Panel("training risk", "loss", "training", "loss", *_STEP, "log"),
    "test_loss": Panel("test risk", "loss", "training", "test_loss", *_STEP, "log"),
    "test_accuracy": Panel("test accuracy", "accuracy", "training", "test_accuracy", *_STEP),
    "weight_change": Panel(
        "most moved weights",
        r"$\Vert w_{tj} - w_{0j} \Vert$",
        "training",
        "weight_change",
        *_STEP,
    ),
    "ntg_change": Panel(
        "change of the NTG matrix",
        r"$\Vert \widehat{\Theta}_t - \widehat{\Theta}_0 \Vert_F$",
        "training",
        "ntg_change",
        *_STEP,
    ),
    "ntg_eigmin": Panel(
        "smallest eigenvalue of the NTG",
        r"$\mathrm{eig}_{\min}(\widehat{\Theta}_t)$",
        "training",
        "ntg_eigmin",
        *_STEP,
        "log",
    ),
    "pruning_accuracy": Panel(
        "pruning, training accuracy", "accuracy", "pruning", "accuracy", *_KEPT
    ),
    "pruning_test_accuracy": Panel(
        "pruning, test accuracy", "accuracy", "pruning", "test_accuracy", *_KEPT
    ),
    "pruning_test_loss": Panel("pruning, test risk", "loss", "pruning", "test_loss", *_KEPT, "log"),
    "transfer_loss": Panel(
        "transfer, training risk", "loss", "transfer", "loss", *_FEATURES, "log"
    ),
    "transfer_test_loss": Panel(
        "transfer, test risk", "loss", "transfer", "test_loss", *_FEATURES, "log"
    ),
    "transfer_accuracy": Panel(
        "transfer, training accuracy", "accuracy", "transfer", "accuracy", *_FEATURES
    ),
    "transfer_test_accuracy": Panel(
        "transfer, test accuracy", "accuracy", "transfer", "test_accuracy", *_FEATURES
    ),
}
"""What the list ``panels`` of an experiment may name."""

_LOSSES = {
    "half_sse": "half the sum of squares",
    "mse": "mean squared error",
    "cross_entropy": "mean cross-entropy",
}
_NODES = 5  # of the most moved nodes, one bold and the others thin


def experiment_figure(results: Results, title: str | None = None) -> Figure:
    """Draw the figure of an experiment, with the panels of the paper's.

    Parameters
    ----------
    results : Results
        With at least one seed.
    title : str, optional
        One line above the figure.

    Returns
    -------
    matplotlib.figure.Figure
        A line is the mean over the seeds; the band behind it reaches from the smallest to the
        largest.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    ValueError
        There are no results, or a panel that `PANELS` does not know.
    """
    if not results.seeds:
        raise ValueError("experiment_figure: results must have at least one finished seed")
    unknown = [name for name in results.experiment.panels if name not in PANELS]
    if unknown:
        raise ValueError(
            f"experiment_figure: panels must be among {', '.join(PANELS)}, got {unknown[0]!r}"
        )
    return panels_figure([(results, name, None) for name in results.experiment.panels], title)


def panels_figure(
    panels: Sequence[tuple[Results, str, str | None]], title: str | None = None
) -> Figure:
    """Draw panels of one or several experiments that have the same settings.

    Parameters
    ----------
    panels : sequence of (Results, str, str or None)
        Whose panel, its name, and what its title begins with.
    title : str, optional
        One line above the figure.
    """
    columns = {1: 1, 2: 2, 4: 2}.get(len(panels), 3)
    rows = -(-len(panels) // columns)
    with style.drawing("experiment_figure"):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(4.0 * columns, 2.9 * rows + 0.6), layout="constrained")
        grid = list(figure.subplots(rows, columns, squeeze=False).flat)
        for place, (axes, (results, name, prefix)) in enumerate(zip(grid, panels, strict=False)):
            _draw(axes, results, PANELS[name])
            above = PANELS[name].title if prefix is None else f"{prefix}: {PANELS[name].title}"
            axes.set_title(f"({chr(ord('a') + place)}) {above}")
        for axes in grid[len(panels) :]:
            axes.remove()
        style.legend_below(figure, grid[0])
        if title:
            figure.suptitle(title)
        figure.align_ylabels()
    return figure


def closed_form_figure(
    x: Floats, y: Floats, labels: tuple[str, str], title: str | None = None
) -> Figure:
    """Draw a curve without data, as Figure 1 is."""
    with style.drawing("closed_form_figure"):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(4.6, 3.4), layout="constrained")
        axes = figure.subplots()
        axes.plot(x, y, color=style.COLOURS[0])
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        if title:
            axes.set_title(title)
    return figure


def _draw(axes: Axes, results: Results, panel: Panel) -> None:
    lines: list[tuple[str, Floats, Floats]] = []  # label, x, values (S, T) or (S, T, nodes)
    for setting, repeats in results.repeats.items():
        x, values = _values(repeats, panel)
        lines.append((setting_name(setting, symbols=True), x, values))
    bold = [values if values.ndim == 2 else values[..., 0] for _, _, values in lines]
    finite = [np.where(np.isfinite(values), values, np.nan) for values in bold]
    kept = finite
    if panel.scale == "log":
        kept = [np.where(values > 0, values, np.nan) for values in finite]
    left_out = sum(int(np.isnan(values).sum()) for values in kept)
    for place, ((label, x, values), shown) in enumerate(zip(lines, kept, strict=True)):
        _line(axes, place, label, x, shown, evenly=panel.along != "kept")
        if values.ndim == 3:
            others = values[..., 1:_NODES].mean(axis=0)
            axes.plot(x, others, color=style.COLOURS[place], linewidth=0.7, alpha=0.7)
    if panel.scale == "log" and any(np.isfinite(values).any() for values in kept):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0 if panel.label != "accuracy" else None)
    if left_out:
        style.remark(axes, f"{left_out} of {sum(v.size for v in kept)} values not shown")
    if panel.along == "kept":
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    elif panel.along == "steps":
        style.whole_numbers(axes.xaxis)
    axes.set_xlabel(panel.below)
    loss = results.experiment.training.loss if results.experiment.training else ""
    if panel.stage == "transfer" and results.experiment.transfer:
        loss = results.experiment.transfer.loss
    axes.set_ylabel(_LOSSES.get(loss, loss) if panel.label == "loss" else panel.label)


def _values(repeats: Repeats, panel: Panel) -> tuple[Floats, Floats]:
    x = repeats.stacked(panel.stage, panel.along)
    values = repeats.stacked(panel.stage, panel.array)
    if x is None or values is None:
        raise ValueError(f"experiment_figure: the results have no {panel.stage} {panel.array}")
    return x[0], values


def _line(axes: Axes, place: int, label: str, x: Floats, values: Floats, *, evenly: bool) -> None:
    """The mean over the seeds (S, T), and their range behind it; gaps where no seed has a value."""
    shown = np.ma.masked_invalid(values)
    mean, low, high = (
        part.filled(np.nan) for part in (shown.mean(axis=0), shown.min(axis=0), shown.max(axis=0))
    )
    look = style.line_style(place, label, len(x))
    if not evenly:  # on a logarithmic axis all markers would gather at its end
        positions = len(x) ** ((np.arange(6) + (place + 1) / 5) / 6.2) - 1
        look["markevery"] = sorted({int(position) for position in positions})
    axes.plot(x, mean, **look)
    if len(values) > 1:
        axes.fill_between(x, low, high, color=style.COLOURS[place], alpha=0.13, linewidth=0)
