"""The paper's experiments, carried out: runs, tables, verdicts on its claims, figures, a report.

results/                      the store: one file a run
simulated.json                description, numbers and verdicts of an experiment as it was run
simulated.png, simulated.pdf  its figure
report.html                   all experiments of the last command
"""

from __future__ import annotations

import base64
import json
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from msgspec import structs

from asymfast import _storage, plot
from asymfast._build import build_config
from asymfast._optional import require
from asymfast._run_loop import duration
from asymfast.study.config import Table, packaged
from asymfast.study.panels import experiment_figure, figure1
from asymfast.study.results import (
    NAMES,
    Experiment,
    Floats,
    Measures,
    Results,
    Verdict,
    read_experiment,
    results,
)
from asymfast.study.runner import Plan, planned, sweep
from asymfast.study.store import Store

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

ALL = ("fig1", *NAMES)
"""What ``asymfast paper all`` carries out, in the order of the paper's figures."""

Say = Callable[[str], object]


@dataclass
class PaperResult:
    """What became of the experiments.

    `failures`: runs that failed or diverged, and why; `left_out`: experiments whose data are not
    available, and why.
    """

    folder: Path
    failures: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def paper(
    *names: str | Path,
    out: str | Path = "asymfast-paper",
    quick: bool = False,
    activation: str = "swish",
    changes: Mapping[str, Any] | None = None,
    data_dir: str | Path | None = None,
    jobs: int | None = None,
    threads: int | None = None,
    draw: bool = True,
    train: bool = True,
    say: Say = print,
) -> PaperResult:
    """Repeat experiments of the paper and say which of its claims hold.

    Parameters
    ----------
    *names : str or pathlib.Path
        Names of `ALL`, TOML files of the same form, or "all": every experiment whose data are
        available.
    out : path-like
        Folder of the results; created if it does not exist. Finished runs are skipped, interrupted
        ones resume.
    quick : bool
        Fewer seeds, steps and samples: minutes.
    activation : str
        Of the networks; the paper has "swish" and "relu".
    changes : mapping, optional
        See `read_experiment`.
    data_dir : path-like, optional
        Folder of the data sets.
    jobs : int, optional
        Runs at a time. Default: the number of cores, or of `threads`.
    threads : int, optional
        Of all runs together. Default: all cores.
    draw : bool
        Draw the figures (extra ``plot``).
    train : bool
        False: only use runs that are finished.
    say : callable(text)
        Gets what is to be read on the screen.

    Raises
    ------
    FileNotFoundError, ImportError, OSError
        A description, a package or the data of an experiment that was named are missing.
    ConfigError, StoreError, ValueError
        A description or a file in the folder is invalid.
    KeyboardInterrupt
        Ctrl-C; finished runs are kept, the others have written a checkpoint.
    """
    folder = _storage.path("paper", "out", out)
    data_dir = None if data_dir is None else _storage.path("paper", "data_dir", data_dir)
    chosen = list(dict.fromkeys(n for one in names for n in (ALL if one == "all" else (one,))))
    experiments = [
        read_experiment(name, quick=quick, activation=activation, changes=changes)
        for name in chosen
        if name != "fig1"
    ]
    if draw:
        plot.require_matplotlib()
    folder.mkdir(parents=True, exist_ok=True)
    outcome = PaperResult(folder)
    ready = []
    for experiment in experiments:
        try:  # before hours of work on the experiments before it
            plan = planned(experiment.configs, data_dir)
        except (ImportError, OSError) as missing:
            if "all" not in names:
                raise
            outcome.left_out.append(f"{experiment.name} is left out: {missing}")
        else:
            ready.append((structs.replace(experiment, configs=tuple(plan.configs.values())), plan))
    shared = [] if not draw or "fig1" not in chosen else _drawn(figure1, folder / "fig1", say)
    found = []
    for experiment, plan in ready:
        say(_heading(experiment))
        store = Store(folder / "results")
        if train:
            outcome.failures += _run(experiment, plan, store, data_dir, jobs, threads, say)
        found.append(results(experiment, store))
        if not (train or found[-1].seeds):
            outcome.failures.append(f"{experiment.name}: no seed is finished in all settings")
        _show(found[-1], folder, draw, say)
    if found := [one for one in found if one.seeds]:
        _write_report(folder / "report.html", found)
        shared.append("report.html")
    if shared:
        say(f"written to {folder}: {', '.join(shared)}\n")
    for sentence in outcome.left_out:
        say(sentence)
    return outcome


def _run(
    experiment: Experiment,
    plan: Plan,
    store: Store,
    data_dir: Path | None,
    jobs: int | None,
    threads: int | None,
    say: Say,
) -> list[str]:
    """Train what is not finished; return which runs failed or diverged, and why."""
    total = threads or require("joblib", "sweep", "asymfast paper").cpu_count()
    on_gpu = getattr(experiment.configs[0].train, "device", "cpu") != "cpu"
    jobs = min(jobs or (1 if on_gpu else total), len(experiment.configs))
    result = sweep(
        plan,
        out=store.folder,
        jobs=jobs,
        threads=max(1, total // jobs),
        data_dir=data_dir,
        progress=lambda done, total, text: say(f"[{done}/{total}] {text}"),
    )
    if result.found:
        say(f"{len(result.found)} of {len(result.configs)} runs were finished before")
    failed = result.failed | dict.fromkeys(result.diverged, "training diverged")
    return [f"{experiment.name}, {plan.labels[key]}: {why}" for key, why in failed.items()]


def _show(found: Results, folder: Path, draw: bool, say: Say) -> None:
    """Write the files of an experiment, and print its tables."""
    experiment = found.experiment
    numbers = folder / f"{experiment.stem}.json"
    summary = json.dumps(_summary(found), indent=1, default=np.ndarray.tolist)
    _storage.write_text(numbers, f"{summary}\n")
    if not found.seeds:
        say("no seed is finished in all settings: no table and no figure\n")
        return
    text = f"\n{_as_text(measures_table(found.measures))}\n{textwrap.fill(notes(found), 96)}\n"
    if verdicts := found.verdicts:
        text += f"\n{_as_text(_verdicts_table(verdicts))}\n\n"
    text += "\n".join(f"does not hold: {reason}" for reason in _reasons(found))
    say(f"{text.rstrip()}\n")
    written = [numbers.name]
    if draw:
        written += _drawn(lambda: experiment_figure(found), folder / experiment.stem, say)
    say(f"written to {folder}: {', '.join(written)}\n")


def _drawn(draw: Callable[[], Figure], stem: Path, say: Say) -> list[str]:
    """Draw and save a figure. If that fails, say why: the results are worth more than a picture."""
    try:
        return [path.name for path in plot.save(draw(), stem)]
    except plot.FigureError as error:
        say(str(error))
        return []


def _summary(found: Results) -> dict[str, Any]:
    """Return description, numbers (a list over the seeds each) and verdicts, for a JSON file."""
    claims = [
        {name: getattr(one.claim, name) for name in ("text", "measure", "source")}
        | {"holds": one.holds, "seeds": one.seeds}
        for one in found.verdicts
    ]
    return {
        "experiment": msgspec.to_builtins(found.experiment),
        "seeds": list(found.seeds),
        "cpu_seconds": found.cpu_seconds,
        "settings": [{**at._asdict(), **values} for at, values in found.measures.items()],
        "claims": claims,
        "build": build_config(),
    }


# ---- tables ---------------------------------------------------------------------------------


class Column(Table, frozen=True):
    """A measure as a column of a table: how a number is written, and what it is."""

    title: str
    measure: str
    form: str
    note: str = ""


COLUMNS = packaged("shown.toml", "columns", tuple[Column, ...])


def _frame(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> pd.DataFrame:
    pandas = require("pandas", "sweep", "asymfast paper")
    frame: pd.DataFrame = pandas.DataFrame(rows, columns=columns)
    return frame


def _shown(measures: Measures) -> Iterator[Column]:
    yield from (c for c in COLUMNS if all(c.measure in found for found in measures.values()))


def measures_table(measures: Measures, *, spread: bool = False) -> pd.DataFrame:
    """Return one row a setting: means over the seeds, with +- the standard deviation."""
    columns = list(_shown(measures))
    rows = [
        [at.name()]
        + [as_number(found[c.measure], c.form, spread or c is columns[0]) for c in columns]
        for at, found in measures.items()
    ]
    return _frame(["setting", *(c.title for c in columns)], rows)


def as_number(values: Floats, form: str, spread: bool = True) -> str:
    """Return a mean as text, with several seeds +- their standard deviation."""
    factor, unit = (100, " %") if form == "%" else (1, "")
    mean = f"{factor * values.mean():{'.3g' if unit else form}}"
    if not spread or len(values) < 2 or not np.isfinite(values).all():
        return mean + unit
    width = factor * values.std()
    if unit:
        return f"{mean} +- {float(f'{width:.1g}'):g} %"
    return f"{mean} +- {width:{'.1e' if 'e' in mean else '.2g'}}"


def notes(found: Results) -> str:
    """Return what the columns of `measures_table` mean, and which runs were computed in leaps."""
    said = "; ".join(f"{c.title}: {c.note}" for c in _shown(found.measures) if c.note)
    text = f"Means over the seeds, +- standard deviation. {said}."
    runs = [info["run"] for infos in found.infos.values() for info in infos]
    taken = [run for run in runs if run.get("method_taken") == "leap"]
    if taken:
        how_many = "All" if len(taken) == len(runs) else f"{len(taken)} of {len(runs)}"
        text += f" {how_many} runs in leaps (rtol {taken[0]['rtol']:g})."
    return text


def _verdicts_table(found: Sequence[Verdict]) -> pd.DataFrame:
    rows = [
        [v.claim.text, "holds" if v.holds else "does not hold", f"{v.seeds} of {v.of}"]
        for v in found
    ]
    return _frame(["claim of the paper", "on average", "seeds"], rows)


def _reasons(found: Results) -> list[str]:
    activation, short = found.experiment.activation, found.experiment.short
    return [v.reason(activation, short) for v in found.verdicts if not v.holds]


def _as_text(table: pd.DataFrame) -> str:
    """Lay a table out for the screen, its first column to the left."""
    first = table.columns[0]
    shown = table.set_index(first)
    shown.index.name, shown.columns.name = None, first
    return "\n".join(line.rstrip() for line in str(shown.to_string()).splitlines())


def length(experiment: Experiment) -> str:
    """Return how long an experiment trains: ``50,000 steps``, ``50 epochs`` or ``to time 10``."""
    train = experiment.configs[0].train
    if (t_end := getattr(train, "t_end", None)) is not None:
        return f"to time {t_end:g}"
    steps = getattr(train, "steps", None)
    return f"{steps:,} steps" if steps is not None else f"{train.epochs} epochs"


def _heading(experiment: Experiment) -> str:
    config = experiment.configs[0]
    data, network, train = config.data, config.network, config.train
    seeds = "1 seed" if len(experiment.seeds) == 1 else f"{len(experiment.seeds)} seeds"
    size = "".join(
        f"{name} = {value}, " for name in ("n", "d") if (value := getattr(data, name, None))
    )
    lr = getattr(train, "lr", "")  # a flow has none
    rate = f", lr {lr if isinstance(lr, str) else f'{lr:g}'}" if lr else ""
    return (
        f"{experiment.presentation.title}: {size}m = {network.m}, {network.activation}, {seeds}, "
        f"{length(experiment)}, {train.loss}{rate}, {network.dtype}"
    )


# ---- the HTML report ------------------------------------------------------------------------


def _write_report(path: Path, found: Sequence[Results]) -> None:
    """Write one HTML file without scripts that needs no other file."""
    source = (resources.files("asymfast.study") / "report.html.jinja").read_text(encoding="utf-8")
    jinja2 = require("jinja2", "sweep", "asymfast paper")
    text = (
        jinja2.Environment(autoescape=True, trim_blocks=True)
        .from_string(source)
        .render(
            experiments=[_section(path.parent, one) for one in found],
            build=json.dumps(build_config(), indent=1),
        )
    )
    _storage.write_text(path, text)


def _section(folder: Path, found: Results) -> dict[str, Any]:
    experiment = found.experiment
    figure = experiment.presentation.figures.get(experiment.activation, "")
    certificates = [
        [setting.name(), str(seed), *_certificate(info["certificate"])]
        for setting, infos in found.infos.items()
        for seed, info in zip(found.seeds, infos, strict=True)
        if "certificate" in info
    ]
    header = ["setting", "seed", "theorem", "it applies", "its bounds kept", "measured bounds kept"]
    tables = {
        "": measures_table(found.measures, spread=True),
        "Claims": _verdicts_table(found.verdicts),
        "Convergence theorems": _frame(header, certificates),
    }
    versions = {
        f"asymfast {info['run']['asymfast']}, numpy {info['run']['numpy']}, {info['run']['isa']}"
        for infos in found.infos.values()
        for info in infos
    }
    image = folder / f"{experiment.stem}.png"
    return {
        "stem": experiment.stem,
        "heading": f"{experiment.title} ({figure})" if figure else experiment.title,
        "seeds": len(found.seeds),
        "cpu_time": duration(found.cpu_seconds),
        "versions": " and ".join(sorted(versions)),
        "image": base64.b64encode(image.read_bytes()).decode() if image.is_file() else "",
        "tables": {
            title: table.to_html(index=False, border=0)
            for title, table in tables.items()
            if len(table)
        },
        "notes": notes(found),
        "reasons": _reasons(found),
        "configuration": json.dumps(msgspec.to_builtins(experiment), indent=1),
    }


def _certificate(certificate: Mapping[str, Any]) -> list[str]:
    measured = [holds for holds in certificate["measured"].values() if holds is not None]
    return [
        str(certificate["theorem"]),
        "yes" if certificate["applies"] else "no",
        {True: "yes", False: "no", None: "cannot be decided"}[certificate["holds"]],
        f"{sum(measured)} of {len(measured)}" if measured else "cannot be decided",
    ]
