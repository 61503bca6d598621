"""Figures 3 and 4 of the paper: chosen panels of other figures side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from asymfast import plot
from asymfast.experiments.folder import stem
from asymfast.experiments.panels import panels_figure
from asymfast.experiments.results import Results

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
"""(experiment, panel) of each. Figure 5 is the figure of cifar100."""


def write_overviews(folder: Path, everything: Sequence[Results]) -> list[Path]:
    """Draw those overviews all of whose experiments there are, for every activation.

    Returns
    -------
    list of pathlib.Path
        PNG and PDF files.
    """
    written: list[Path] = []
    kinds = sorted({(found.activation, found.experiment.quick) for found in everything})
    for name, panels in OVERVIEWS.items():
        for activation, quick in kinds:
            by_name = {
                found.experiment.name: found
                for found in everything
                if (found.activation, found.experiment.quick) == (activation, quick)
            }
            if not all(experiment in by_name for experiment, _ in panels):
                continue
            several = len({experiment for experiment, _ in panels}) > 1
            figure = panels_figure(
                [
                    (by_name[one], panel, by_name[one].experiment.title if several else None)
                    for one, panel in panels
                ]
            )
            first = by_name[panels[0][0]]
            ending = stem(first.experiment, activation).removeprefix(first.experiment.name)
            written += plot.save(figure, folder / f"{name}{ending}")
    return written
