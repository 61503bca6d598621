"""``asymfast paper``: repeat an experiment of the paper and say whether its claims hold."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asymfast.cli import simulated
from asymfast.cli.arguments import run_options, whole
from asymfast.cli.output import require_figures, require_folder

# An experiment trains, writes its files, prints its tables, and raises CommandError on failure.
EXPERIMENTS: dict[str, Callable[[argparse.Namespace], None]] = {"simulated": simulated.execute}


def register(commands: Any) -> None:
    """Add the command and its options to the subparsers of ``asymfast``."""
    parser = commands.add_parser(
        "paper",
        help="repeat an experiment of the paper",
        description="Repeat an experiment of the paper: train its four settings, write the runs, "
        "the figure and a summary, and compare with the paper's claims. Settings that are already "
        "there from the same command are not trained again, so an interrupted run can be resumed.",
    )
    option = parser.add_argument
    option("experiment", choices=[*EXPERIMENTS, "all"], help="simulated: Figure 2 of the paper")
    option("--quick", action="store_true", help="two seeds and 2000 steps: under a minute")
    option("--seeds", type=whole(1), metavar="N", help="repetitions (5; with --quick 2)")
    option("--steps", type=whole(1), metavar="N", help="training steps (50000; with --quick 2000)")
    option(
        "--activation",
        choices=("swish", "relu"),
        default="swish",
        help="of the hidden nodes (swish)",
    )
    option("--width", type=whole(1), default=2000, metavar="M", help="hidden nodes (2000)")
    option("--samples", type=whole(1), default=100, metavar="N", help="training samples (100)")
    run_options(parser, out="asymfast-paper")
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Run the chosen experiments one after another.

    Returns
    -------
    int
        0, when all of them were done.

    Raises
    ------
    CommandError
        One of them could not be done; the sentence says why.
    """
    if options.out is None:
        options.out = Path("asymfast-paper")
    if not options.no_figure:
        require_figures()
    require_folder(options.out)
    chosen = list(EXPERIMENTS) if options.experiment == "all" else [options.experiment]
    for name in chosen:
        EXPERIMENTS[name](options)
    return 0
