"""What `asymfast train` leaves behind: the folder of results and the table on the screen."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import asymfast as af
from asymfast._storage import replacing
from asymfast.cli.table import number, percent, text_table

_ROWS_ON_SCREEN = 11


def records(run: af.Run, ntg_norm: float | None) -> Iterator[dict[str, float | None]]:
    """Give the records of a single run one by one; None stands for what was not recorded.

    Parameters
    ----------
    run : Run
        Of one network, not of an ensemble.
    ntg_norm : float, optional
        Frobenius norm of the NTG before training, to which its change is related.
    """
    for t, step in enumerate(run.steps):
        change = None if run.ntg_change is None else float(run.ntg_change[t])
        yield {
            "step": int(step),
            "time": float(run.time[t]),
            "loss": float(run.loss[t]),
            "test_loss": None if run.test_loss is None else float(run.test_loss[t]),
            "weight_change_max": float(run.weight_change[t].max()),
            "weight_change_mean": float(run.weight_change[t].mean()),
            "ntg_change": change,
            "ntg_change_relative": change / ntg_norm if change is not None and ntg_norm else None,
            "ntg_eigmin": None if run.ntg_eigmin is None else float(run.ntg_eigmin[t]),
        }


def records_table(run: af.Run, ntg_norm: float | None) -> str:
    """Lay out about a dozen records, evenly spaced over the run, as a table for people."""
    rows = list(records(run, ntg_norm))
    shown = sorted({round(i) for i in np.linspace(0, len(rows) - 1, _ROWS_ON_SCREEN)})
    columns: dict[str, tuple[str, Callable[[Any], str]]] = {
        "step": ("step", str),
        "time": ("time", number),
        "loss": ("loss", number),
        "test loss": ("test_loss", number),
        "weight change": ("weight_change_max", number),
        "NTG change": ("ntg_change_relative", percent),
        "smallest eigenvalue": ("ntg_eigmin", number),
    }
    recorded = {
        title: column for title, column in columns.items() if rows[0][column[0]] is not None
    }
    return text_table(
        list(recorded),
        [[form(rows[t][key]) for key, form in recorded.values()] for t in shown],
    )


def write_records(path: Path, run: af.Run, ntg_norm: float | None) -> None:
    """Write every record as CSV, floats with all their digits, empty cells for what is missing."""
    rows = list(records(run, ntg_norm))
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file; numbers that JSON cannot express (NaN, infinity) become null."""
    text = json.dumps(_finite(content), indent=2, ensure_ascii=False, allow_nan=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        return _finite(value.tolist())
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value
