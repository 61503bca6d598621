"""``asymfast paper``: repeat experiments of the paper and say whether its claims hold."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from asymfast import cuda
from asymfast.cli._common import (
    INCOMPLETE,
    INTERRUPTED,
    CommandError,
    require_figures,
    require_folder,
    whole,
)


def register(commands: Any) -> None:
    """Add the command and its options to the subparsers of ``asymfast``."""
    parser = commands.add_parser(
        "paper",
        help="repeat experiments of the paper",
        description="Repeat experiments of the paper: train their settings, prune and transfer, "
        "write the runs, figures, numbers and a report, and compare with the paper's claims. One "
        "file a run, named by the hash of its settings: finished runs are skipped, and an "
        "interrupted one resumes from its checkpoint.",
    )
    option = parser.add_argument
    option(
        "experiment",
        nargs="+",
        help="fig1, simulated, simulated_authors, concrete, energy, airfoil, plant, mnist, cifar10,"
        " cifar10_gamma, cifar100; a TOML file of the same form; or all: every one whose data are "
        "available, the others are named",
    )
    option("--quick", action="store_true", help="fewer seeds, steps and samples: minutes")
    option("--activation", choices=("swish", "relu"), default="swish", help="of the nodes (swish)")
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
        help="write tables, figures and report from the finished runs",
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
        0, if all of them succeeded; 1, if a run of one of them failed.

    Raises
    ------
    CommandError
        An option or the data do not allow it, or Ctrl-C; the sentence says which.
    """
    try:
        from asymfast.study import StoreError, paper

        names = [name for one in options.experiment for name in one.split(",") if name]
        _require_known(names)
        out = options.out or Path("asymfast-paper")
        if not options.no_figure:
            require_figures()
        if options.device == "cuda":
            cuda.require("--device cuda")
        require_folder(out)
        result = paper(
            *names,
            out=out,
            quick=options.quick,
            activation=options.activation,
            changes=_changes(options),
            data_dir=options.data,
            jobs=options.jobs,
            threads=options.threads,
            draw=not options.no_figure,
            train=not options.no_training,
            page=options.page,
            say=lambda text: print(text, flush=True),
        )
    except KeyboardInterrupt:
        raise CommandError(
            "interrupted; finished runs are kept, and the same command resumes the others",
            INTERRUPTED,
        ) from None
    except (ImportError, OSError, RuntimeError, StoreError, ValueError) as refused:
        raise CommandError(str(refused)) from refused
    if result.failures:
        raise CommandError(f"{'; '.join(result.failures)}; the other runs are kept", INCOMPLETE)
    return 0


def _require_known(names: list[str]) -> None:
    from asymfast.study.experiments import ALL

    for name in names:
        if name not in (*ALL, "all") and not Path(name).is_file():
            raise CommandError(
                f"invalid choice: {name!r} (choose from {', '.join([*ALL, 'all'])}, "
                "or name a TOML file)"
            )


def _changes(options: argparse.Namespace) -> dict[str, Any]:
    changes = {
        "seeds": options.seeds,
        "train.steps": options.steps,
        "train.epochs": options.epochs,
        "train.device": None if options.device == "cpu" else options.device,
        "network.m": options.width,
        "network.dtype": options.dtype,
        "data.n": options.samples,
    }
    return {name: value for name, value in changes.items() if value is not None}
