"""One experiment on the command line: its runs, its table and verdicts, its files."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

import asymfast as af
from asymfast import plot
from asymfast._run_loop import ProgressBar, duration
from asymfast.cli._common import text_table, write_json
from asymfast.experiments.claims import verdicts
from asymfast.experiments.closed_form import figure1
from asymfast.experiments.config import Experiment
from asymfast.experiments.folder import everything, stem, store_folder, summary
from asymfast.experiments.jobs import How, carry_out_all
from asymfast.experiments.overviews import write_overviews
from asymfast.experiments.page import fill_page
from asymfast.experiments.panels import experiment_figure
from asymfast.experiments.report import write_report
from asymfast.experiments.results import results
from asymfast.experiments.stages import Task, tasks
from asymfast.experiments.tables import (
    measures_notes,
    measures_table,
    setting_name,
    verdicts_table,
)
from asymfast.sweeps.store import Store


@dataclass(frozen=True)
class Session:
    """What all experiments of one command share."""

    out: Path
    activation: str
    jobs: int | None
    threads: int | None
    device: str
    data_dir: Path | None
    draw: bool
    train: bool
    page: Path | None

    @classmethod
    def of(cls, options: argparse.Namespace, out: Path) -> Session:
        """Take what the command was given."""
        return cls(
            out=out,
            activation=options.activation,
            jobs=options.jobs,
            threads=options.threads,
            device=options.device,
            data_dir=options.data,
            draw=not options.no_figure,
            train=not options.no_training,
            page=options.page,
        )

    def how(self, number_of_tasks: int) -> How:
        """As many processes as cores, a thread each; one process on a GPU."""
        cores = self.threads or af.build_config()["threads"]
        wanted = self.jobs or (cores if self.device == "cpu" else 1)
        processes = max(1, min(wanted, number_of_tasks))
        return How(
            store=os.fspath(store_folder(self.out)),
            data_dir=self.data_dir,
            processes=processes,
            threads=self.threads if processes == 1 else max(1, cores // processes),
            device=self.device,
        )


def repeat(experiment: Experiment, session: Session) -> list[str]:
    """Repeat one experiment: train what is missing, write its files, print its table.

    Returns
    -------
    list of str
        What failed, one sentence each; empty when all was done.

    Raises
    ------
    KeyboardInterrupt
        Nothing that was finished is lost.
    """
    name = stem(experiment, session.activation)
    if experiment.kind == "closed_form":
        if session.draw:
            paths = plot.save(figure1(), session.out / name)
            print(f"{experiment.title}: written to {session.out}: {_names(paths)}\n", flush=True)
        return []
    print(_heading(experiment, session.activation), flush=True)
    store = Store(store_folder(session.out))
    failures = _train(experiment, session, store) if session.train else []
    found = results(experiment, session.activation, store)
    write_json(session.out / f"{name}.json", summary(found))
    if not found.seeds:
        print("no seed is finished in all settings: no table and no figure\n")
        return failures
    measures = found.measures
    print(
        f"\n{text_table(*measures_table(measures), left=1)}\n{_wrapped(measures_notes(measures))}"
    )
    print(f"\n{text_table(*verdicts_table(verdicts(experiment, measures)), left=2)}\n")
    written = [session.out / f"{name}.json"]
    if session.draw:
        written += plot.save(experiment_figure(found), session.out / name)
    print(f"written to {session.out}: {_names(written)}\n", flush=True)
    return failures


def write_overall(session: Session) -> None:
    """Write what several experiments share: overview figures, the report, and a page if asked.

    Raises
    ------
    ValueError
        A file in the folder is damaged.
    """
    found = everything(session.out)
    if not found:
        return
    paths = []
    if session.draw:
        paths = write_overviews(session.out, [one for _, one in found])
    shared = [path.stem for path in paths if path.suffix == ".png"]
    report = session.out / "report.html"
    write_report(report, found, [*_figure1(session.out), *shared])
    print(f"written to {session.out}: {_names([*paths, report])}")
    if session.page is not None:
        fill_page(session.page, found, draw=session.draw)
        print(f"filled {session.page}")


def _figure1(folder: Path) -> list[str]:
    return ["fig1"] if (folder / "fig1.png").exists() else []


def _train(experiment: Experiment, session: Session, store: Store) -> list[str]:
    wanted = tasks(experiment, session.activation)
    missing = [
        task
        for task in wanted
        if not all(store.finished(config) for config in task.stages().values())
    ]
    there = len(wanted) - len(missing)
    if there:
        print(f"{there} of {len(wanted)} runs are already there, not made again", flush=True)
    failures = []
    label = f"{experiment.name}, {len(missing)} runs"
    with ProgressBar(label) as bar:
        done = carry_out_all(missing, session.how(len(missing)), bar) if missing else iter(())
        for number, one in enumerate(done, start=there + 1):
            what = f"trained in {duration(one.seconds)}" if one.seconds is not None else one.failure
            bar.clear()
            print(f"[{number}/{len(wanted)}] {_run_name(one.task)}: {what}", flush=True)
            if one.failure is not None:
                failures.append(f"{experiment.name}, {_run_name(one.task)}: {one.failure}")
    return failures


def _run_name(task: Task) -> str:
    return f"{setting_name(task.setting)}, seed {task.seed}"


def _heading(experiment: Experiment, activation: str) -> str:
    data, network, training = experiment.data, experiment.network, experiment.training
    assert data is not None
    assert network is not None
    assert training is not None
    seeds = "1 seed" if experiment.seeds == 1 else f"{experiment.seeds} seeds"
    size = f"n = {data.samples}, " if data.samples else ""
    size += f"d = {data.inputs}, " if data.inputs else ""
    length = f"{training.steps} steps" if training.steps else f"{training.epochs} epochs"
    return (
        f"{experiment.title}: {size}m = {network.width}, {activation}, {seeds}, {length}, "
        f"{training.loss}, lr {training.lr:g}, {network.dtype}"
    )


def _names(paths: list[Path] | tuple[Path, ...]) -> str:
    return ", ".join(path.name for path in paths)


def _wrapped(text: str, width: int = 96) -> str:
    import textwrap

    return textwrap.fill(text, width)
