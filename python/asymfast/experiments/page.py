"""The part of ``docs/reproduction.md`` that is made from results: what was run, claims, numbers."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from asymfast._run_loop import duration
from asymfast._storage import replacing
from asymfast.experiments.claims import CLAIMS, Verdict, verdicts
from asymfast.experiments.config import Experiment
from asymfast.experiments.panels import experiment_figure
from asymfast.experiments.results import Results
from asymfast.experiments.tables import (
    markdown,
    measures_notes,
    measures_table,
    numbers_of,
    setting_name,
)

BEGIN = "<!-- Made by: asymfast paper NAMES --no-training --out DIR --page FILE. Do not edit. -->"
END = "<!-- End of what was made. -->"

_DPI, _COLOURS = 80, 96


def fill_page(path: Path, found: Sequence[tuple[str, Results]], *, draw: bool = True) -> None:
    """Replace what is between the marks of a Markdown page, and draw small figures for it.

    Parameters
    ----------
    path : pathlib.Path
        With one line `BEGIN` and, below it, one line `END`; all else stays.
    found : sequence of (str, Results)
        See `asymfast.experiments.folder.everything`.
    draw : bool
        Put the figures beside the page, in a folder of its name.

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
    shown = {stem: _figure(path, stem, one) for stem, one in found if draw}
    made = "\n".join(["", *_sections(found, shown), ""])
    with replacing(path) as temporary:
        temporary.write_text(f"{before}{begin}{made}{end}{after}", encoding="utf-8")


def _figure(page: Path, stem: str, results: Results) -> str:
    """Write the figure in few colours, small enough for a repository; give its name."""
    from PIL import Image  # matplotlib brings it along

    path = page.with_suffix("") / f"{stem}.png"
    path.parent.mkdir(exist_ok=True)
    drawn = io.BytesIO()
    experiment_figure(results).savefig(drawn, format="png", dpi=_DPI)
    few = Image.open(drawn).convert("RGB").quantize(_COLOURS)
    with replacing(path) as temporary:
        few.save(temporary, format="png", optimize=True)
    return f"{path.parent.name}/{path.name}"


def _sections(pairs: Sequence[tuple[str, Results]], shown: Mapping[str, str]) -> list[str]:
    found = [results for _, results in pairs]
    lines = ["## What was run", "", markdown(_runs(found)), "", "## Claims", ""]
    lines += [
        "Numbers are means over the seeds +- their standard deviation, in the order of the "
        f"settings: {_settings(found)}.",
        "",
        _count(found),
        "",
        markdown(_claims(found)),
        "",
        "## Numbers",
        "",
    ]
    for stem, results in pairs:
        measures = results.measures
        lines += [f"### {_name(results)}", ""]
        if stem in shown:
            lines += [f"![{_name(results)}: the paper's panels]({shown[stem]})", ""]
        lines += [markdown(measures_table(measures, spread="all"))]
        lines += ["", measures_notes(measures), ""]
    return lines


def _name(results: Results) -> str:
    quick = ", quick" if results.experiment.quick else ""
    return f"{results.experiment.title}, {results.activation}{quick}"


def _runs(found: Sequence[Results]) -> tuple[list[str], list[list[str]]]:
    header = ["experiment", "activation", "figure", "length", "dtype", "seeds", "CPU time"]
    return header, [
        [
            results.experiment.title + (" (quick)" if results.experiment.quick else ""),
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


def _count(found: Sequence[Results]) -> str:
    """How many verdicts there are of each kind, with each activation."""
    sentences = []
    for activation in dict.fromkeys(results.activation for results in found):
        judged = [
            verdict.holds
            for results in found
            if results.activation == activation
            for verdict in verdicts(results.experiment, results.measures)
        ]
        sentences.append(f"{sum(judged)} of {len(judged)} rows hold with {activation}")
    return f"{'; '.join(sentences)}."


def _settings(found: Sequence[Results]) -> str:
    """Name the settings that the most experiments have, and those of the others."""
    kinds = Counter(tuple(map(setting_name, results.repeats)) for results in found)
    usual = kinds.most_common(1)[0][0] if kinds else ()
    sentences = ["; ".join(f"({i}) {name}" for i, name in enumerate(usual, 1))]
    for results in found:
        names = tuple(map(setting_name, results.repeats))
        if names != usual:
            sentences.append(f"of {_name(results)}: {'; '.join(names)}")
    return ". ".join(dict.fromkeys(sentences))


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
