"""``asymfast paper``: repeat experiments of the paper and say whether its claims hold."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from asymfast.cli._common import (
    INCOMPLETE,
    INTERRUPTED,
    CommandError,
    require_figures,
    require_folder,
    whole,
)
from asymfast.cli.experiment import Session, repeat, write_overall
from asymfast.experiments.config import ACTIVATIONS, NAMES, Experiment, read_experiment
from asymfast.experiments.feature_file import identified
from asymfast.experiments.problem import problem
from asymfast.sweeps.store import StoreError


def register(commands: Any) -> None:
    """Add the command and its options to the subparsers of ``asymfast``."""
    parser = commands.add_parser(
        "paper",
        help="repeat experiments of the paper",
        description="Repeat experiments of the paper: train their settings, prune and transfer, "
        "write the runs, figures, numbers and a report, and compare with the paper's claims. One "
        "file a run, named by the hash of its settings: runs that are finished are not made again, "
        "and one that was interrupted goes on from its checkpoint.",
    )
    option = parser.add_argument
    option(
        "experiment",
        nargs="+",
        help=f"{', '.join(NAMES)}; a TOML file of the same form; or all: every one whose data can "
        "be had, the others are named",
    )
    option("--quick", action="store_true", help="fewer seeds, steps and samples: minutes")
    option("--activation", choices=ACTIVATIONS, default="swish", help="of the nodes (swish)")
    option("--seeds", type=whole(1), metavar="N", help="repetitions (5)")
    option("--steps", type=whole(1), metavar="N", help="of gradient descent (the paper's)")
    option("--epochs", type=whole(1), metavar="N", help="of stochastic gradient descent (50)")
    option("--width", type=whole(1), metavar="M", help="hidden nodes (2000)")
    option("--samples", type=whole(1), metavar="N", help="of simulated data, MNIST and features")
    option("--dtype", choices=("float64", "float32"), help="precision (the experiment's)")
    option("--data", type=Path, metavar="DIR", help="folder of the data (ASYMFAST_DATA)")
    option("--jobs", type=whole(1), metavar="N", help="processes (one for each core)")
    option("--threads", type=whole(1), metavar="N", help="of all processes together (all cores)")
    option("--device", choices=("cpu", "cuda"), default="cpu", help="(cpu)")
    option("--out", type=Path, metavar="DIR", help="folder for the results (asymfast-paper)")
    option("--no-figure", action="store_true", help="draw no figure; needs no matplotlib")
    option(
        "--no-training",
        action="store_true",
        help="make tables, figures and report from the runs that are there",
    )
    option(
        "--page",
        type=Path,
        metavar="FILE.md",
        help="put tables of claims and numbers between the marks of this page, as in "
        "docs/reproduction.md",
    )
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Repeat the chosen experiments one after another.

    Returns
    -------
    int
        0, when all of them were done; 1, when a run of one of them failed.

    Raises
    ------
    CommandError
        An option or the data do not allow it, or Ctrl-C; the sentence says which.
    """
    chosen = [_described(name, options) for name in _names(options.experiment)]
    if not options.no_figure:
        require_figures()
    out = options.out or Path("asymfast-paper")
    require_folder(out)
    try:
        session = Session.of(options, out)
        with_data, without = [], []
        for experiment in chosen:
            try:
                with_data.append(_with_data(experiment, options.data))
            except (ImportError, OSError) as missing:
                if "all" not in ",".join(options.experiment).split(","):
                    raise CommandError(str(missing)) from missing
                without.append(f"{experiment.name} is left out: {missing}")
        failures = [failure for experiment in with_data for failure in repeat(experiment, session)]
        write_overall(session)
    except KeyboardInterrupt:
        raise CommandError(
            "interrupted; finished runs are kept, and the same command goes on with the others",
            INTERRUPTED,
        ) from None
    except (ImportError, RuntimeError, StoreError, ValueError) as refused:
        raise CommandError(str(refused)) from refused
    for sentence in without:
        print(sentence)
    if failures:
        raise CommandError(f"{'; '.join(failures)}; the other runs are kept", INCOMPLETE)
    return 0


def _names(given: list[str]) -> list[str]:
    """Each once, in the order given; all stands for the experiments of the paper."""
    listed = [name for one in given for name in one.split(",") if name]
    names = [name for one in listed for name in (NAMES if one == "all" else (one,))]
    return list(dict.fromkeys(names))


def _described(name: str, options: argparse.Namespace) -> Experiment:
    try:
        experiment = read_experiment(name, quick=options.quick)
    except (FileNotFoundError, ImportError, ValueError) as refused:
        if name not in NAMES and not Path(name).is_file():
            raise CommandError(
                f"invalid choice: {name!r} (choose from {', '.join([*NAMES, 'all'])}, "
                "or name a TOML file)"
            ) from refused
        raise CommandError(str(refused)) from refused
    changes: dict[str, Any] = {
        "training": _given(steps=options.steps, epochs=options.epochs),
        "network": _given(width=options.width, dtype=options.dtype),
    }
    if options.samples and experiment.data and experiment.data.source != "table":
        changes["data"] = {"samples": options.samples}
    changed = experiment.changed(**changes)
    if options.seeds and experiment.kind != "closed_form":
        changed = replace(changed, seeds=options.seeds)
    return _recorded(changed, experiment, options)


def _recorded(changed: Experiment, before: Experiment, options: argparse.Namespace) -> Experiment:
    """As many records as the description makes, whatever the number of steps; fewer features."""
    if options.steps and before.record and before.training and before.training.steps:
        every = round(before.record.every * options.steps / before.training.steps)
        changed = changed.changed(record={"every": max(1, every)})
    if changed.transfer and changed.network:
        few = tuple(k for k in changed.transfer.features if k <= changed.network.width)
        changed = changed.changed(transfer={"features": few or (changed.network.width,)})
    return changed


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _with_data(experiment: Experiment, data_dir: Path | None) -> Experiment:
    """Make sure that the data are there, before hours of work on the experiments before it."""
    if experiment.data is None or experiment.network is None:
        return experiment
    if experiment.data.source == "features":
        experiment = replace(experiment, data=identified(experiment.data, data_dir))
    assert experiment.data is not None
    if experiment.data.source != "simulated":
        problem(experiment.data, 0, "float32", data_dir)
    return experiment
