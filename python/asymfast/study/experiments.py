"""The paper's experiments, carried out: runs, tables, verdicts on its claims, figures, a report.

results/                      the store: one file a run
simulated.json                description, numbers and verdicts of an experiment as it was run
simulated.png, simulated.pdf  its figure
report.html                   all of them
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from msgspec import structs

from asymfast import _storage, plot
from asymfast._build import build_config
from asymfast._optional import require
from asymfast.study.claims import verdicts
from asymfast.study.grid import Plan, planned
from asymfast.study.panels import experiment_figure, figure1, overviews
from asymfast.study.report import fill_page, length, screen_text, write_report
from asymfast.study.results import NAMES, Experiment, Results, read_experiment, results
from asymfast.study.runner import sweep
from asymfast.study.store import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALL = ("fig1", *NAMES)
"""What ``asymfast paper all`` carries out, in the order of the paper's figures."""

Say = Callable[[str], object]


@dataclass
class PaperResult:
    """What became of the experiments.

    Attributes
    ----------
    folder : pathlib.Path
        Where the files are.
    failures : list of str
        Runs that failed or diverged: which, and why.
    left_out : list of str
        Experiments whose data are not available, and why.
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
    page: str | Path | None = None,
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
    page : path-like, optional
        A Markdown page whose part between two marks is filled with tables.
    say : callable(text)
        Gets what is to be read on the screen.

    Returns
    -------
    PaperResult

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
            ready.append(_with_data(experiment, data_dir))
        except (ImportError, OSError) as missing:
            if "all" not in names:
                raise
            outcome.left_out.append(f"{experiment.name} is left out: {missing}")
    if "fig1" in chosen and draw:
        _say_written(say, folder, _drawn(figure1, folder / "fig1", say))
    for experiment, plan in ready:
        say(_heading(experiment))
        store = Store(folder / "results")
        if train:
            outcome.failures += _run(experiment, plan, store, data_dir, jobs, threads, say)
        _show(experiment, store, folder, draw, say)
    _write_shared(folder, draw, page, say)
    for sentence in outcome.left_out:
        say(sentence)
    return outcome


def _with_data(experiment: Experiment, data_dir: Path | None) -> tuple[Experiment, Plan]:
    """Check all runs on their data."""
    plan = planned(experiment.configs, data_dir)
    return structs.replace(experiment, configs=tuple(plan.configs.values())), plan


def _run(
    experiment: Experiment,
    plan: Plan,
    store: Store,
    data_dir: Path | None,
    jobs: int | None,
    threads: int | None,
    say: Say,
) -> list[str]:
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


def _heading(experiment: Experiment) -> str:
    config = experiment.configs[0]
    data, network, train = config.data, config.network, config.train
    seeds = "1 seed" if len(experiment.seeds) == 1 else f"{len(experiment.seeds)} seeds"
    size = "".join(
        f"{name} = {value}, " for name in ("n", "d") if (value := getattr(data, name, None))
    )
    lr = train.lr if isinstance(train.lr, str) else f"{train.lr:g}"
    return (
        f"{experiment.presentation.title}: {size}m = {network.m}, {network.activation}, {seeds}, "
        f"{length(experiment)}, {train.loss}, lr {lr}, {network.dtype}"
    )


def _show(experiment: Experiment, store: Store, folder: Path, draw: bool, say: Say) -> None:
    """Write the files of an experiment, and print its tables."""
    found = results(experiment, store)
    numbers = folder / f"{experiment.stem}.json"
    with _storage.replacing(numbers) as temporary:
        text = json.dumps(summary(found), indent=1, default=np.ndarray.tolist)
        temporary.write_text(f"{text}\n", encoding="utf-8")
    if not found.seeds:
        say("no seed is finished in all settings: no table and no figure\n")
        return
    say(f"\n{screen_text(found)}")
    written = [numbers]
    if draw:
        written += _drawn(lambda: experiment_figure(found), folder / experiment.stem, say)
    _say_written(say, folder, written)


def _drawn(draw: Callable[[], Figure], stem: Path, say: Say) -> Sequence[Path]:
    """Draw and save a figure. If that fails, say why: the results are worth more than a picture."""
    try:
        return plot.save(draw(), stem)
    except plot.FigureError as error:
        say(str(error))
        return ()


def summary(found: Results) -> dict[str, Any]:
    """Return description, numbers (a list over the seeds each) and verdicts, for a JSON file."""
    experiment, measures = found.experiment, found.measures
    judged = verdicts(experiment.name, experiment.quick, measures) if found.seeds else []
    return {
        "experiment": msgspec.to_builtins(experiment),
        "seeds": list(found.seeds),
        "cpu_seconds": found.cpu_seconds,
        "settings": [
            {"gamma": setting.gamma, "alpha": setting.alpha, **values}
            for setting, values in measures.items()
        ],
        "claims": [
            {
                "claim": one.claim.text,
                "measure": one.claim.measure,
                "source": one.claim.source,
                "holds": one.holds,
                "seeds": one.seeds,
            }
            for one in judged
        ],
        "build": build_config(),
    }


def everything(folder: Path) -> list[Results]:
    """Return all experiments that a folder has results of, in the order of the paper.

    Raises
    ------
    ValueError
        A JSON file does not describe an experiment, or a result file is damaged.
    """
    if not (folder / "results").is_dir():
        return []
    store = Store(folder / "results", create=False)
    found = []
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, Mapping) and "experiment" in content:
            try:
                one = results(msgspec.convert(content["experiment"], Experiment), store)
            except msgspec.ValidationError as error:
                raise ValueError(f"{path} does not describe an experiment: {error}") from error
            found += [one] if one.seeds else []
    order = {name: place for place, name in enumerate(NAMES)}
    return sorted(
        found,
        key=lambda one: (
            one.experiment.activation != "swish",
            order.get(one.experiment.name, len(order)),
            one.experiment.stem,
        ),
    )


def _write_shared(folder: Path, draw: bool, page: str | Path | None, say: Say) -> None:
    """Write what several experiments share: overview figures, the report, and a page if asked."""
    found = everything(folder)
    if not found:
        return
    written: list[Path] = []
    if draw:
        try:
            for stem, figure in overviews(found):
                written += plot.save(figure, folder / stem)
        except plot.FigureError as error:
            say(str(error))
    shared = [path.stem for path in written if path.suffix == ".png"]
    if (folder / "fig1.png").exists():
        shared.insert(0, "fig1")
    write_report(folder / "report.html", found, shared)
    _say_written(say, folder, [*written, folder / "report.html"])
    if page is not None:
        fill_page(Path(page), found, draw=draw)
        say(f"filled {page}")


def _say_written(say: Say, folder: Path, paths: Sequence[Path]) -> None:
    say(f"written to {folder}: {', '.join(path.name for path in paths)}\n")
