"""The numbers of the experiments: tables on the screen, an HTML report, and a page of the docs."""

from __future__ import annotations

import base64
import io
import json
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from asymfast import _storage
from asymfast._build import build_config
from asymfast._optional import require
from asymfast._run_loop import duration
from asymfast.study.claims import CLAIMS, Claim, Measures, Verdict, verdicts
from asymfast.study.panels import experiment_figure
from asymfast.study.results import Experiment, Results

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]

BEGIN = "<!-- Made by: asymfast paper NAMES --no-training --out DIR --page FILE. Do not edit. -->"
END = "<!-- End of what was made. -->"

_DPI, _COLOURS = 80, 96  # of figures in the docs, small enough for a repository


# ---- tables ---------------------------------------------------------------------------------


class Column(NamedTuple):
    """A measure as a column of a table: how a number is written, and what it is."""

    title: str
    measure: str
    form: str
    note: str


COLUMNS = (
    Column("final loss", "loss_end", ".2e", ""),
    Column("rate", "rate", ".2e", "log(first / last loss) / time, to 1e-12 of the first"),
    Column("test loss", "test_loss_end", ".4g", "at the end"),
    Column("accuracy", "accuracy_end", "%", "of the training samples, at the end"),
    Column("test acc.", "test_accuracy_end", "%", "accuracy on the test samples"),
    Column("weights", "weight_change", ".4g", "change of the node that moved most"),
    Column("rms", "weight_change_rms", ".4g", "of all nodes, weighted by lam_j"),
    Column("NTG", "ntg_change", "%", "its change, relative"),
    Column("eigmin", "eigmin_start", ".3e", "its smallest eigenvalue, before training"),
    Column("at end", "eigmin_end", ".3e", "the same after training"),
    Column("pruned", "pruning_few", ".4g", "test loss with 5 % of the nodes"),
    Column("pruned acc.", "pruning_accuracy_few", "%", "test accuracy with them"),
    Column("transfer", "transfer_few", ".4g", "its test loss with the fewest features"),
    Column("mean", "transfer_mean", ".4g", "mean over the numbers of features"),
    Column("transfer acc.", "transfer_accuracy_few", "%", "test accuracy with the fewest"),
)


def _shown(measures: Measures) -> list[Column]:
    return [c for c in COLUMNS if all(c.measure in found for found in measures.values())]


def _frame(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> pd.DataFrame:
    frame: pd.DataFrame = require("pandas", "sweep", "asymfast paper").DataFrame(
        rows, columns=columns
    )
    return frame


def measures_table(measures: Measures, *, spread: str = "first") -> pd.DataFrame:
    """Return one row a setting: means over the seeds, with +- the standard deviation.

    Parameters
    ----------
    measures : mapping of Setting to mapping of str to (S,) array
    spread : {"first", "all"}
        Which columns show the standard deviation.
    """
    columns = _shown(measures)
    rows = [
        [
            setting.name(),
            *(
                mean_and_spread(found[c.measure], c.form, spread=spread == "all" or i == 0)
                for i, c in enumerate(columns)
            ),
        ]
        for setting, found in measures.items()
    ]
    return _frame(["setting", *(c.title for c in columns)], rows)


def measures_notes(measures: Measures) -> str:
    """Return what the columns of `measures_table` mean."""
    notes = "; ".join(f"{c.title}: {c.note}" for c in _shown(measures) if c.note)
    return f"Means over the seeds, +- standard deviation. {notes}."


def mean_and_spread(values: Floats, form: str, *, spread: bool = True) -> str:
    """Return a mean as text, with several seeds +- their standard deviation."""
    factor, unit = (100, " %") if form == "%" else (1, "")
    mean = f"{factor * values.mean():{'.3g' if unit else form}}"
    if not spread or len(values) < 2 or not np.isfinite(values).all():
        return mean + unit
    width = factor * values.std()
    if unit:
        return f"{mean} +- {float(f'{width:.1g}'):g} %"
    return f"{mean} +- {width:{'.1e' if 'e' in mean else '.2g'}}"


def verdicts_table(found: Sequence[Verdict]) -> pd.DataFrame:
    """Return one row a claim: whether it holds for the means, and in how many seeds."""
    rows = [[v.claim.text, _holds(v), f"{v.seeds} of {v.of}"] for v in found]
    return _frame(["claim of the paper", "on average", "seeds"], rows)


def _holds(verdict: Verdict) -> str:
    return "holds" if verdict.holds else "does not hold"


def as_text(table: pd.DataFrame) -> str:
    """Lay a table out for the screen, its first column to the left."""
    first = table.columns[0]
    shown = table.set_index(first)
    shown.index.name, shown.columns.name = None, first
    return "\n".join(line.rstrip() for line in str(shown.to_string()).splitlines())


def screen_text(found: Results) -> str:
    """Return the tables of an experiment for the screen, and why claims do not hold."""
    measures, experiment = found.measures, found.experiment
    notes = f"{measures_notes(measures)} {leaps(found).capitalize()}"
    text = f"{as_text(measures_table(measures))}\n{textwrap.fill(notes, 96)}\n"
    if judged := verdicts(experiment.name, experiment.quick, measures):
        text += f"\n{as_text(verdicts_table(judged))}\n"
    failing = [verdict for verdict in judged if not verdict.holds]
    for verdict in failing:
        reason = verdict.reason(experiment.activation, experiment.short)
        text += f"\ndoes not hold: {reason}"
    return f"{text}\n" if failing else text


def _rendered(template: str, **values: Any) -> str:
    jinja2 = require("jinja2", "sweep", "asymfast paper")
    source = resources.files("asymfast.study").joinpath(template).read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=template.startswith("report"), trim_blocks=True, keep_trailing_newline=True
    )
    return str(environment.from_string(source).render(**values))


# ---- the HTML report ------------------------------------------------------------------------


def write_report(path: Path, found: Sequence[Results], figures: Iterable[str]) -> None:
    """Write one HTML file without scripts that needs no other file.

    Parameters
    ----------
    path : pathlib.Path
        The file; the figures are taken from its folder, as PNG, if they exist.
    found : sequence of Results
    figures : iterable of str
        Stems of figures that belong to no single experiment, shown first.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    text = _rendered(
        "report.html.jinja",
        figures=[(name, _image(path.parent, name)) for name in figures],
        experiments=[_section(path.parent, one) for one in found],
        build=json.dumps(build_config(), indent=1),
    )
    with _storage.replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _section(folder: Path, found: Results) -> dict[str, Any]:
    experiment, measures = found.experiment, found.measures
    figure = experiment.presentation.figures.get(experiment.activation, "")
    judged = verdicts(experiment.name, experiment.quick, measures)
    versions = {
        f"asymfast {info['run']['asymfast']}, numpy {info['run']['numpy']}, {info['run']['isa']}"
        for infos in found.infos.values()
        for info in infos
    }
    return {
        "stem": experiment.stem,
        "heading": f"{experiment.title} ({figure})" if figure else experiment.title,
        "seeds": len(found.seeds),
        "cpu_time": duration(found.cpu_seconds),
        "leaps": leaps(found),
        "versions": " and ".join(sorted(versions)),
        "image": _image(folder, experiment.stem),
        "measures": measures_table(measures, spread="all"),
        "notes": measures_notes(measures),
        "verdicts": verdicts_table(judged) if judged else None,
        "reasons": [
            verdict.reason(experiment.activation, experiment.short)
            for verdict in judged
            if not verdict.holds
        ],
        "certificates": _certificates(found),
        "configuration": json.dumps(msgspec.to_builtins(experiment), indent=1),
    }


def _certificates(found: Results) -> pd.DataFrame | None:
    """What the convergence theorems promise, against the runs; of those that were compared."""
    rows = [
        [setting.name(), str(seed), *_certificate(info["certificate"])]
        for setting, infos in found.infos.items()
        for seed, info in zip(found.seeds, infos, strict=True)
        if "certificate" in info
    ]
    header = ["setting", "seed", "theorem", "it applies", "its bounds kept", "measured bounds kept"]
    return _frame(header, rows) if rows else None


def _certificate(certificate: dict[str, Any]) -> list[str]:
    measured = [holds for holds in certificate["measured"].values() if holds is not None]
    return [
        str(certificate["theorem"]),
        "yes" if certificate["applies"] else "no",
        {True: "yes", False: "no", None: "cannot be decided"}[certificate["holds"]],
        f"{sum(measured)} of {len(measured)}" if measured else "cannot be decided",
    ]


def _image(folder: Path, stem: str) -> str:
    path = folder / f"{stem}.png"
    return base64.b64encode(path.read_bytes()).decode() if path.is_file() else ""


# ---- the page of the docs -------------------------------------------------------------------


def fill_page(path: Path, found: Sequence[Results], *, draw: bool = True) -> None:
    """Replace what is between the marks of a Markdown page, and draw small figures for it.

    Parameters
    ----------
    path : pathlib.Path
        With one line `BEGIN` and, below it, one line `END`; all else stays.
    found : sequence of Results
    draw : bool
        Put the figures beside the page, in a folder of its name.

    Raises
    ------
    ValueError
        The marks are missing, or in the wrong order.
    OSError
        The file cannot be read or written.
    """
    before, begin, rest = path.read_text(encoding="utf-8").partition(f"{BEGIN}\n")
    _, end, after = rest.partition(f"{END}\n")
    if not begin or not end:
        raise ValueError(f"fill_page: {path} must have a line {BEGIN!r} and below it {END!r}")
    kinds = [tuple(setting.name() for setting in one.runs) for one in found]
    filled = _rendered(
        "page.md.jinja",
        experiments=[_page_section(one, _small_figure(path, one) if draw else "") for one in found],
        claims=CLAIMS,
        usual=Counter(kinds).most_common(1)[0][0] if kinds else (),
    )
    with _storage.replacing(path) as temporary:
        temporary.write_text(f"{before}{begin}{filled}{end}{after}", encoding="utf-8")


def _page_section(found: Results, image: str) -> dict[str, Any]:
    experiment, measures = found.experiment, found.measures
    return {
        "title": experiment.title,
        "presentation": experiment.presentation,
        "activation": experiment.activation,
        "quick": experiment.quick,
        "length": length(experiment),
        "dtype": experiment.configs[0].network.dtype,
        "seeds": len(found.seeds),
        "cpu_time": duration(found.cpu_seconds),
        "settings": tuple(setting.name() for setting in found.runs),
        "verdicts": [
            (one, "; ".join(_number(one.claim, values) for values in measures.values()))
            for one in verdicts(experiment.name, experiment.quick, measures)
        ],
        "measures": measures_table(measures, spread="all"),
        "notes": measures_notes(measures),
        "image": image,
    }


def _small_figure(page: Path, found: Results) -> str:
    """Write the figure in few colours, small enough for a repository; return its name."""
    from PIL import Image  # installed with matplotlib

    path = page.with_suffix("") / f"{found.experiment.stem}.png"
    path.parent.mkdir(exist_ok=True)
    drawn = io.BytesIO()
    experiment_figure(found).savefig(drawn, format="png", dpi=_DPI)
    few = Image.open(drawn).convert("RGB").quantize(_COLOURS)
    with _storage.replacing(path) as temporary:
        few.save(temporary, format="png", optimize=True)
    return f"{path.parent.name}/{path.name}"


def length(experiment: Experiment) -> str:
    """Return how long an experiment trains: ``50,000 steps`` or ``50 epochs``."""
    train = experiment.configs[0].train
    steps = getattr(train, "steps", None)
    return f"{steps:,} steps" if steps is not None else f"{train.epochs} epochs"


def leaps(found: Results) -> str:
    """Return how many runs were computed in leaps, and with which tolerance; "" if none was."""
    runs = [info["run"] for infos in found.infos.values() for info in infos]
    taken = [run for run in runs if run.get("method_taken") == "leap"]
    how_many = "all" if len(taken) == len(runs) else f"{len(taken)} of {len(runs)}"
    return f"{how_many} runs in leaps (rtol {taken[0]['rtol']:g})" if taken else ""


def _number(claim: Claim, measures: Mapping[str, Floats]) -> str:
    forms = [column.form for column in COLUMNS if column.measure == claim.measure]
    return mean_and_spread(measures[claim.measure], forms[0] if forms else ".1e")
