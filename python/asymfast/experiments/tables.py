"""The numbers of an experiment as tables: for the screen, for Markdown and for HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asymfast.experiments.claims import Measures, Verdict
from asymfast.experiments.config import Setting

Floats = npt.NDArray[np.float64]
Table = tuple[list[str], list[list[str]]]


@dataclass(frozen=True)
class Column:
    """A measure as a column of a table."""

    title: str
    measure: str
    form: Callable[[float], str]
    note: str


def _exponent(digits: int) -> Callable[[float], str]:
    return lambda value: f"{value:.{digits}e}"


def _significant(value: float) -> str:
    return f"{value:.4g}"


def _percent(value: float) -> str:
    return f"{100 * value:.3g} %"


COLUMNS = (
    Column("final loss", "loss_end", _exponent(2), ""),
    Column(
        "rate", "rate", _exponent(2), "log(first / last loss) / time, down to 1e-12 of the first"
    ),
    Column("test loss", "test_loss_end", _significant, "at the end"),
    Column("accuracy", "accuracy_end", _percent, "of the training samples, at the end"),
    Column("test acc.", "test_accuracy_end", _percent, "accuracy on the test samples"),
    Column("weights", "weight_change", _significant, "change of the node that moved most"),
    Column("rms", "weight_change_rms", _significant, "of all nodes, weighted by lam_j"),
    Column("NTG", "ntg_change", _percent, "its change, relative"),
    Column("eigmin", "eigmin_start", _exponent(3), "its smallest eigenvalue, before training"),
    Column("at end", "eigmin_end", _exponent(3), "the same after training"),
    Column("pruned", "pruning_few", _significant, "test loss with 5 % of the nodes"),
    Column("pruned acc.", "pruning_accuracy_few", _percent, "test accuracy with them"),
    Column("transfer", "transfer_few", _significant, "its test loss with the fewest features"),
    Column("mean", "transfer_mean", _significant, "mean over the numbers of features"),
    Column("transfer acc.", "transfer_accuracy_few", _percent, "test accuracy with the fewest"),
)


def setting_name(setting: Setting, *, symbols: bool = False) -> str:
    """Name a node scaling: ``gamma = 0.5, alpha = 0.7``, or with Greek letters for a figure."""
    g, a = (r"$\gamma$", r"$\alpha$") if symbols else ("gamma", "alpha")
    alpha = "" if setting.alpha is None else f", {a} = {setting.alpha:g}"
    return f"{g} = {setting.gamma:g}{alpha}"


def measures_table(measures: Measures, *, spread: str = "first") -> Table:
    """One row a setting: means over the seeds, with +- the standard deviation.

    Parameters
    ----------
    measures : mapping of Setting to mapping of str to (S,) array
    spread : {"first", "all"}
        Which columns show the standard deviation.
    """
    shown = [
        column for column in COLUMNS if all(column.measure in found for found in measures.values())
    ]
    rows = [
        [
            setting_name(setting),
            *(
                mean_and_spread(
                    found[column.measure],
                    column.form,
                    spread=spread == "all" or place == 0,
                )
                for place, column in enumerate(shown)
            ),
        ]
        for setting, found in measures.items()
    ]
    return ["setting", *(column.title for column in shown)], rows


def measures_notes(measures: Measures) -> str:
    """Say what the columns of `measures_table` mean."""
    notes = [
        f"{column.title}: {column.note}"
        for column in COLUMNS
        if column.note and all(column.measure in found for found in measures.values())
    ]
    return f"Means over the seeds, +- standard deviation. {'; '.join(notes)}."


def mean_and_spread(values: Floats, form: Callable[[float], str], *, spread: bool = True) -> str:
    """Show a mean, with several seeds +- their standard deviation."""
    mean = float(values.mean())
    if not spread or len(values) < 2 or not np.isfinite(values).all():
        return form(mean)
    width = float(values.std())
    if form is _percent:
        one_digit = float(f"{100 * width:.1g}")
        return f"{100 * mean:.3g} +- {one_digit:g} %"
    return f"{form(mean)} +- {width:.1e}" if "e" in form(mean) else f"{form(mean)} +- {width:.2g}"


def verdicts_table(verdicts: Sequence[Verdict]) -> Table:
    """One row a claim: whether it holds for the means, and in how many seeds."""
    rows = [
        [one.claim.text, "holds" if one.holds else "does not hold", f"{one.seeds} of {one.of}"]
        for one in verdicts
    ]
    return ["claim of the paper", "on average", "seeds"], rows


def numbers_of(verdict: Verdict, measures: Measures) -> str:
    """Show the measure that a claim is about in every setting, in the order of the settings."""
    (form,) = [column.form for column in COLUMNS if column.measure == verdict.claim.measure] or [
        _exponent(1)
    ]
    return "; ".join(
        mean_and_spread(found[verdict.claim.measure], form) for found in measures.values()
    )


def markdown(table: Table) -> str:
    """Lay a table out as Markdown."""
    header, rows = table
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
