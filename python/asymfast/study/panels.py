"""The panels of the paper's figures, drawn from results; Figure 1.

They share the look of `asymfast.plot` and need matplotlib (extra ``plot``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from asymfast.plot import style
from asymfast.study.config import Table, packaged
from asymfast.study.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]


class Panel(Table, frozen=True):
    """A panel: which array is drawn against which, and how its axes are labelled."""

    title: str
    label: str
    array: str
    along: str
    scale: Literal["linear", "log"] = "linear"


PANELS = packaged("shown.toml", "panels", dict[str, Panel])
"""What the list ``panels`` of an experiment may name."""

_BELOW = {
    "steps": "training step",
    "pruning_kept": "nodes kept",
    "transfer_features": "features transferred",
}
_LOSSES = {
    "half_sse": "half the sum of squares",
    "mse": "mean squared error",
    "cross_entropy": "mean cross-entropy",
}
_NODES = 5  # of the most moved nodes, one bold and the others thin


def experiment_figure(results: Results) -> Figure:
    """Draw the figure of an experiment, with the panels of the paper's.

    A line is the mean over the seeds; the band behind it reaches from the smallest to the largest.
    """
    panels = results.experiment.presentation.panels
    if not results.seeds:
        raise ValueError("experiment_figure: results must have at least one finished seed")
    unknown = [name for name in panels if name not in PANELS]
    if unknown:
        raise ValueError(
            f"experiment_figure: panels must be among {', '.join(PANELS)}, got {unknown[0]!r}"
        )
    columns = {1: 1, 2: 2, 4: 2}.get(len(panels), 3)
    rows = -(-len(panels) // columns)
    with style.drawing("experiment_figure", (4.0 * columns, 2.9 * rows + 0.6)) as figure:
        grid = list(figure.subplots(rows, columns, squeeze=False).flat)
        for letter, axes, name in zip("abcdefghijklmnopqrstuvwxyz", grid, panels, strict=False):
            _draw(axes, results, PANELS[name])
            axes.set_title(f"({letter}) {PANELS[name].title}")
        for axes in grid[len(panels) :]:
            axes.remove()
        style.legend_below(figure, grid[0])
        figure.align_ylabels()
    return figure


def squared_scalings(points: int = 199) -> tuple[Floats, Floats]:
    """Return alpha in (0, 1) and the limit of sum_j lam_j^2, zeta(2/alpha) / zeta(1/alpha)^2."""
    from asymfast.theory.scaling import zeta_ratio  # and scipy with it, which no other panel needs

    alpha = np.linspace(0, 1, points + 2)[1:-1]
    return alpha, np.array([zeta_ratio(float(one)) for one in alpha])


def figure1() -> Figure:
    """Draw Figure 1: the squared limits of the node scalings, from 1 at alpha = 0 to 0 at 1."""
    alpha, values = squared_scalings()
    with style.drawing("figure1", (4.6, 3.4)) as figure:
        axes = figure.subplots()
        axes.plot([0.0, *alpha, 1.0], [1.0, *values, 0.0], color=style.COLOURS[0])
        axes.set_xlabel(r"$\alpha$")
        axes.set_ylabel(r"$\sum_j \tilde\lambda_j^2$")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
    return figure


def _draw(axes: Axes, results: Results, panel: Panel) -> None:
    log, by_steps = panel.scale == "log", panel.along == "steps"
    lines: list[style.Line | None] = []
    for setting, arrays in results.runs.items():
        if panel.array not in arrays:
            raise ValueError(f"experiment_figure: the results have no {panel.array}")
        values = arrays[panel.array]
        values = values[..., :_NODES] if values.ndim == 3 else values
        lines.append((setting.name(symbols=True), arrays[panel.along][0], values))
    pruned = panel.along == "pruning_kept"  # a record for each number of nodes
    style.panel(axes, lines, log=log, floor=panel.label != "accuracy", along_log=pruned)
    if pruned or (by_steps and results.experiment.presentation.log_steps):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:,g}")
        if by_steps and log:
            _mark_lead(axes, results, panel)
    elif by_steps:
        style.whole_numbers(axes.xaxis)
    axes.set_xlabel(_BELOW[panel.along])
    config = results.experiment.configs[0]
    loss = str(getattr(config.train, "loss", ""))
    if panel.array.startswith("transfer") and config.transfer:
        loss = "mse"
    axes.set_ylabel(_LOSSES.get(loss, loss) if panel.label == "loss" else panel.label)


def last_leads(results: Results, array: str, sign: int) -> list[float | None]:
    """Return for every seed the last recorded step at which the first setting leads, or None."""
    first, *others = (sign * arrays[array] for arrays in results.runs.values())
    leads = np.all([first > other for other in others], axis=0)
    steps = next(iter(results.runs.values()))["steps"]
    return [
        float(at[lead].max()) if lead.any() else None for at, lead in zip(steps, leads, strict=True)
    ]


def _mark_lead(axes: Axes, results: Results, panel: Panel) -> None:
    """Shade the steps at which the first setting is overtaken: from the first seed to the last."""
    found = last_leads(results, panel.array, -1 if panel.label == "loss" else 1)
    last = sorted(step for step in found if step is not None)
    if last:
        axes.axvspan(last[0], last[-1], color="#555555", alpha=0.12, linewidth=0)
        axes.axvline(float(np.median(last)), color="#555555", linewidth=0.8, linestyle=":")
