"""One HTML file with everything that a folder of results holds: no script, no other file needed."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

import asymfast as af
from asymfast._run_loop import duration
from asymfast._storage import replacing
from asymfast.experiments.claims import verdicts
from asymfast.experiments.results import Results
from asymfast.experiments.tables import (
    Table,
    measures_notes,
    measures_table,
    setting_name,
    verdicts_table,
)

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
       color: #222; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 3rem; border-bottom: 1px solid #ccc; }
img { max-width: 100%; height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 0.85rem; }
th, td { padding: 0.25rem 0.7rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
.no { background: #fbe9d9; } pre { font-size: 0.8rem; background: #f5f5f5; padding: 0.7rem;
overflow-x: auto; } .note { color: #555; font-size: 0.85rem; }
"""


def write_report(path: Path, found: Sequence[tuple[str, Results]], figures: Iterable[str]) -> None:
    """Write the report.

    Parameters
    ----------
    path : pathlib.Path
        The file; the figures are taken from its folder, as PNG, where they are there.
    found : sequence of (str, Results)
        Experiments with the stem of their files.
    figures : iterable of str
        Stems of figures that belong to no single experiment, shown first.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    folder = path.parent
    body = ["<h1>Asymmetrical node scaling: the paper's experiments</h1>", _contents(found)]
    body += [_image(folder, name) for name in figures]
    for stem, results in found:
        body += [
            f'<h2 id="{escape(stem)}">{escape(_heading(results))}</h2>',
            f'<p class="note">{escape(_sentence(results))}</p>',
            _image(folder, stem),
            *_tables(results),
            _certificates(results),
            _details("Configuration", json.dumps(asdict(results.experiment), indent=1)),
        ]
    build = json.dumps(af.build_config(), indent=1)
    body.append(_details("Versions with which this report was made", build))
    text = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>asymfast paper</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body></html>\n"
    )
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _contents(found: Sequence[tuple[str, Results]]) -> str:
    entries = "".join(
        f'<li><a href="#{escape(stem)}">{escape(_heading(results))}</a></li>'
        for stem, results in found
    )
    return f"<ul>{entries}</ul>"


def _heading(results: Results) -> str:
    experiment = results.experiment
    figure = experiment.figures.get(results.activation, experiment.figures.get("any", ""))
    quick = ", quick" if experiment.quick else ""
    return f"{experiment.title}, {results.activation}{quick} ({figure})"


def _sentence(results: Results) -> str:
    seeds = "1 seed" if len(results.seeds) == 1 else f"{len(results.seeds)} seeds"
    versions = {
        f"asymfast {info['run']['asymfast']}, numpy {info['run']['numpy']}, {info['run']['isa']}"
        for repeats in results.repeats.values()
        for info in repeats.infos
    }
    return (
        f"{seeds}; {duration(results.seconds)} of CPU time; made with "
        f"{' and '.join(sorted(versions))}. Lines are means over the seeds, bands reach from the "
        "smallest to the largest."
    )


def _tables(results: Results) -> list[str]:
    measures = results.measures
    judged = verdicts(results.experiment, measures)
    return [
        _table(measures_table(measures, spread="all")),
        f'<p class="note">{escape(measures_notes(measures))}</p>',
        _table(verdicts_table(judged)) if judged else "",
    ]


def _table(table: Table) -> str:
    header, rows = table
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(
        f"<tr{_class(row)}>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _class(row: Sequence[str]) -> str:
    return ' class="no"' if "does not hold" in row else ""


def _certificates(results: Results) -> str:
    """What the convergence theorems promise, against the runs; of those that were compared."""
    rows: list[list[str]] = []
    for setting, repeats in results.repeats.items():
        for seed, info in zip(results.seeds, repeats.infos, strict=True):
            if "certificate" in info:
                rows.append([setting_name(setting), str(seed), *_certificate(info["certificate"])])
    if not rows:
        return ""
    header = ["setting", "seed", "theorem", "it applies", "its bounds kept", "measured bounds kept"]
    return "<h3>Convergence theorems</h3>" + _table((header, rows))


def _certificate(certificate: dict[str, Any]) -> list[str]:
    measured = [holds for holds in certificate["measured"].values() if holds is not None]
    return [
        str(certificate["theorem"]),
        "yes" if certificate["applies"] else "no",
        {True: "yes", False: "no", None: "cannot be said"}[certificate["holds"]],
        f"{sum(measured)} of {len(measured)}" if measured else "cannot be said",
    ]


def _image(folder: Path, stem: str) -> str:
    path = folder / f"{stem}.png"
    if not path.is_file():
        return ""
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<p><img alt="{escape(stem)}" src="data:image/png;base64,{data}"></p>'


def _details(title: str, text: str) -> str:
    return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"
