"""The panels of the paper's figures, drawn from results; Figure 1; Figures 3 and 4 (overviews).

They share the look of `asymfast.plot` and need matplotlib (extra ``plot``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from asymfast.plot import style
from asymfast.study.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Panel:
    """A panel: which array is drawn against which, and how its axes are labelled.

    Attributes
    ----------
    title, label : str
        Above, and of the vertical axis.
    array, along : str
        Of `asymfast.study.results.condensed`.
    scale : {"linear", "log"}
        Of the vertical axis.
    """

    title: str
    label: str
    array: str
    along: str
    scale: Literal["linear", "log"] = "linear"


_BELOW = {
    "steps": "training step",
    "pruning_kept": "nodes kept",
    "transfer_features": "features transferred",
}

PANELS = {
    "loss": Panel("training risk", "loss", "loss", "steps", "log"),
    "test_loss": Panel("test risk", "loss", "test_loss", "steps", "log"),
    "test_accuracy": Panel("test accuracy", "accuracy", "test_accuracy", "steps"),
    "weight_change": Panel(
        "most moved weights", r"$\Vert w_{tj} - w_{0j} \Vert$", "weight_change", "steps"
    ),
    "ntg_change": Panel(
        "change of the NTG matrix",
        r"$\Vert \widehat{\Theta}_t - \widehat{\Theta}_0 \Vert_F$",
        "ntg_change",
        "steps",
    ),
    "ntg_eigmin": Panel(
        "smallest eigenvalue of the NTG",
        r"$\mathrm{eig}_{\min}(\widehat{\Theta}_t)$",
        "ntg_eigmin",
        "steps",
        "log",
    ),
}
"""What the list ``panels`` of an experiment may name."""
for _stage, _along in (("pruning", "pruning_kept"), ("transfer", "transfer_features")):
    for _part, _whose in (("", "training"), ("test_", "test")):
        for _kind, _name in (("loss", "risk"), ("accuracy", "accuracy")):
            PANELS[f"{_stage}_{_part}{_kind}"] = Panel(
                f"{_stage}, {_whose} {_name}",
                _kind,
                f"{_stage}_{_part}{_kind}",
                _along,
                "log" if _kind == "loss" else "linear",
            )

OVERVIEWS = {
    "fig3": (
        ("concrete", "loss"),
        ("energy", "weight_change"),
        ("airfoil", "ntg_change"),
        ("plant", "transfer_test_loss"),
    ),
    "fig4": (
        ("mnist", "loss"),
        ("mnist", "weight_change"),
        ("mnist", "pruning_test_accuracy"),
        ("mnist", "transfer_test_accuracy"),
    ),
}
"""(experiment, panel) of the overviews. Figure 5 is the figure of cifar100."""

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
    panels = results.experiment.presentation.panels
    if not results.seeds:
        raise ValueError("experiment_figure: results must have at least one finished seed")
    unknown = [name for name in panels if name not in PANELS]
    if unknown:
        raise ValueError(
            f"experiment_figure: panels must be among {', '.join(PANELS)}, got {unknown[0]!r}"
        )
    return panels_figure([(results, name, None) for name in panels], title)


def overviews(found: Sequence[Results]) -> Iterator[tuple[str, Figure]]:
    """Yield stem and figure of those overviews all of whose experiments have results."""
    groups = sorted({(one.experiment.activation, one.experiment.quick) for one in found})
    for name, panels in OVERVIEWS.items():
        for group in groups:
            by_name = {
                one.experiment.name: one
                for one in found
                if (one.experiment.activation, one.experiment.quick) == group
            }
            if all(experiment in by_name for experiment, _ in panels):
                several = len({experiment for experiment, _ in panels}) > 1
                shown = []
                for experiment, panel in panels:
                    title = by_name[experiment].experiment.presentation.title
                    shown.append((by_name[experiment], panel, title if several else None))
                first = shown[0][0].experiment
                yield f"{name}{first.stem.removeprefix(first.name)}", panels_figure(shown)


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


def squared_scalings(points: int = 199) -> tuple[Floats, Floats]:
    """Return alpha in (0, 1) and the limit of sum_j lam_j^2, zeta(2/alpha) / zeta(1/alpha)^2."""
    from asymfast.theory.scaling import zeta_ratio  # and scipy with it, which no other panel needs

    alpha = np.linspace(0, 1, points + 2)[1:-1]
    return alpha, np.array([zeta_ratio(float(one)) for one in alpha])


def figure1() -> Figure:
    """Draw Figure 1: the squared limits of the node scalings, from 1 at alpha = 0 to 0 at 1."""
    alpha, values = squared_scalings()
    with style.drawing("figure1"):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(4.6, 3.4), layout="constrained")
        axes = figure.subplots()
        axes.plot([0.0, *alpha, 1.0], [1.0, *values, 0.0], color=style.COLOURS[0])
        axes.set_xlabel(r"$\alpha$")
        axes.set_ylabel(r"$\sum_j \tilde\lambda_j^2$")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
    return figure


def _draw(axes: Axes, results: Results, panel: Panel) -> None:
    lines: list[tuple[str, Floats, Floats]] = []  # label, x, values (S, T) or (S, T, nodes)
    for setting in results.runs:
        x, values = (results.stacked(setting, name) for name in (panel.along, panel.array))
        if x is None or values is None:
            raise ValueError(f"experiment_figure: the results have no {panel.array}")
        lines.append((setting.name(symbols=True), x[0], values))
    bold = [values if values.ndim == 2 else values[..., 0] for _, _, values in lines]
    finite = [np.where(np.isfinite(values), values, np.nan) for values in bold]
    kept = finite
    if panel.scale == "log":
        kept = [np.where(values > 0, values, np.nan) for values in finite]
    left_out = sum(int(np.isnan(values).sum()) for values in kept)
    for place, ((label, x, values), shown) in enumerate(zip(lines, kept, strict=True)):
        _line(axes, place, label, x, shown, evenly=panel.along != "pruning_kept")
        if values.ndim == 3:
            others = values[..., 1:_NODES].mean(axis=0)
            axes.plot(x, others, color=style.COLOURS[place], linewidth=0.7, alpha=0.7)
    if panel.scale == "log" and any(np.isfinite(values).any() for values in kept):
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0 if panel.label != "accuracy" else None)
    if left_out:
        style.remark(axes, f"{left_out} of {sum(v.size for v in kept)} values not shown")
    if panel.along == "pruning_kept":
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    elif panel.along == "steps":
        style.whole_numbers(axes.xaxis)
    axes.set_xlabel(_BELOW[panel.along])
    config = results.experiment.configs[0]
    loss = str(getattr(config.train, "loss", ""))
    if panel.array.startswith("transfer") and config.transfer:
        loss = config.transfer.loss
    axes.set_ylabel(_LOSSES.get(loss, loss) if panel.label == "loss" else panel.label)


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
