"""The part of ``docs/reproduction.md`` that is made from results: what was run, claims, numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from asymfast._atomic import replacing
from asymfast.experiments.claims import CLAIMS, Verdict, verdicts
from asymfast.experiments.config import Experiment
from asymfast.experiments.results import Results
from asymfast.experiments.tables import (
    markdown,
    measures_notes,
    measures_table,
    numbers_of,
    setting_name,
)
from asymfast.progress import duration

BEGIN = "<!-- Made by: asymfast paper NAMES --no-training --out DIR --page FILE. Do not edit. -->"
END = "<!-- End of what was made. -->"


def fill_page(path: Path, found: Sequence[tuple[str, Results]]) -> None:
    """Replace what is between the marks of a Markdown page.

    Parameters
    ----------
    path : pathlib.Path
        With one line `BEGIN` and, below it, one line `END`; all else stays.
    found : sequence of (str, Results)
        See `asymfast.experiments.folder.everything`.

    Raises
    ------
    ValueError
        The marks are not there, or in the wrong order.
    OSError
        The file cannot be read or written.
    """
    before, begin, rest = path.read_text(encoding="utf-8").partition(f"{BEGIN}\n")
    _, end, after = rest.partition(f"{END}\n")
    if not begin or not end:
        raise ValueError(f"fill_page: {path} must have a line {BEGIN!r} and below it {END!r}")
    made = "\n".join(["", *_sections([results for _, results in found]), ""])
    with replacing(path) as temporary:
        temporary.write_text(f"{before}{begin}{made}{end}{after}", encoding="utf-8")


def _sections(found: Sequence[Results]) -> list[str]:
    lines = ["## What was run", "", markdown(_runs(found)), "", "## Claims", ""]
    lines += [
        "Numbers are means over the seeds +- their standard deviation, in the order of the "
        "settings: "
        + "; ".join(f"({i}) {name}" for i, name in enumerate(_settings(found), 1))
        + ".",
        "",
        markdown(_claims(found)),
        "",
        "## Numbers",
        "",
    ]
    for results in found:
        measures = results.measures
        lines += [f"### {_name(results)}", "", markdown(measures_table(measures, spread="all"))]
        lines += ["", measures_notes(measures), ""]
    return lines


def _name(results: Results) -> str:
    return f"{results.experiment.title}, {results.activation}"


def _runs(found: Sequence[Results]) -> tuple[list[str], list[list[str]]]:
    header = ["experiment", "activation", "figure", "length", "dtype", "seeds", "CPU time"]
    return header, [
        [
            results.experiment.title,
            results.activation,
            str(results.experiment.figures.get(results.activation, "")),
            _length(results.experiment),
            results.experiment.network.dtype if results.experiment.network else "",
            str(len(results.seeds)),
            duration(results.seconds),
        ]
        for results in found
    ]


def _length(experiment: Experiment) -> str:
    training = experiment.training
    assert training is not None
    return f"{training.steps:,} steps" if training.steps else f"{training.epochs} epochs"


def _settings(found: Sequence[Results]) -> list[str]:
    """Names of the settings that the most experiments have."""
    kinds = Counter(tuple(map(setting_name, results.repeats)) for results in found)
    return list(kinds.most_common(1)[0][0]) if kinds else []


def _claims(found: Sequence[Results]) -> tuple[list[str], list[list[str]]]:
    """One row for a claim about an experiment, claim by claim as the paper makes them."""
    judged: list[tuple[Results, Verdict]] = [
        (results, verdict)
        for results in found
        for verdict in verdicts(results.experiment, results.measures)
    ]
    rows = []
    for claim in CLAIMS:
        for results, verdict in judged:
            if verdict.claim is claim:
                rows.append(
                    [
                        claim.text,
                        _name(results),
                        numbers_of(verdict, results.measures),
                        "holds" if verdict.holds else "**does not hold**",
                        f"{verdict.seeds} of {verdict.of}",
                    ]
                )
    return ["claim of Appendices J and K", "experiment", "our numbers", "on average", "seeds"], rows
