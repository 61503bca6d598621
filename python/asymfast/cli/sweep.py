"""``asymfast sweep``: make the runs of a grid, several at a time."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from asymfast.cli._common import (
    INCOMPLETE,
    INTERRUPTED,
    CommandError,
    real,
    require_folder,
    text_table,
    threads,
    whole,
)
from asymfast.sweeps.plan import planned
from asymfast.sweeps.runner import SweepResult, sweep
from asymfast.sweeps.store import Store


def register(commands: Any) -> None:
    """Add the command and its options to the subparsers of ``asymfast``."""
    parser = commands.add_parser(
        "sweep",
        help="make the runs of a grid",
        description="Make the runs that a TOML file describes, several at a time, each with a file "
        "for its results. Runs that are there are not made again, interrupted ones go on; several "
        "such commands, also on several hosts, may share a folder and the work. "
        "In Python: asymfast.load_sweep(DIR).",
    )
    option = parser.add_argument
    option("grid", type=Path, metavar="GRID.toml", help="base, grid, variants and runs")
    option("--out", type=Path, metavar="DIR", help="folder for the results (asymfast-GRID)")
    option("--dry-run", action="store_true", help="list the runs, and make none")
    option("--jobs", type=whole(1), metavar="N", help="runs at a time (one a core)")
    option("--threads", type=threads, metavar="N", help="of each run (cores / jobs)")
    option("--backend", default="local", metavar="NAME", help="local, dask, or one of joblib's")
    option("--address", metavar="URL", help="of a Dask scheduler, as tcp://host:8786")
    option("--retries", type=whole(0), default=2, metavar="N", help="after a worker died (2)")
    option("--no-wait", action="store_true", help="leave alone what others are at")
    option("--data-dir", type=Path, metavar="DIR", help="where data sets and files are")
    option(
        "--checkpoint-every",
        type=real(0, low_open=True),
        default=60.0,
        metavar="S",
        help="seconds between the checkpoints of a run (60)",
    )
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Make the runs, and say how each went.

    Returns
    -------
    int
        0, when all results are there.

    Raises
    ------
    CommandError
        The grid cannot be run, and nothing was; or some runs failed or are not there yet.
    """
    out = options.out or Path(f"asymfast-{options.grid.stem}")
    try:
        if options.dry_run:
            _list(options, out)
            return 0
        planned(options.grid, options.data_dir)  # before a folder is made
        require_folder(out)
        result = sweep(
            options.grid,
            out=out,
            backend=options.backend,
            address=options.address,
            jobs=options.jobs,
            threads=options.threads,
            retries=options.retries,
            wait=not options.no_wait,
            data_dir=options.data_dir,
            checkpoint_every=options.checkpoint_every,
            progress=lambda done, total, text: print(f"[{done}/{total}] {text}", flush=True),
        )
    except KeyboardInterrupt as stop:
        if not hasattr(stop, "result"):
            raise
        raise CommandError(
            f"interrupted; {_said(stop.result)}; the same command goes on", INTERRUPTED
        ) from None
    except (ValueError, TypeError, ImportError) as wrong:
        raise CommandError(str(wrong).removeprefix("sweep: ")) from wrong
    except FileNotFoundError as missing:
        raise CommandError(
            f"cannot read {missing.filename or options.grid}: {missing}"
        ) from missing
    print(_said(result))
    if not result.complete:
        raise CommandError(
            f"{len(result.failed)} runs failed and {len(result.left)} are not there yet; "
            f"what failed is in {out / 'failures'}",
            INCOMPLETE,
        )
    return 0


def _said(result: SweepResult) -> str:
    return repr(result).removeprefix("SweepResult(").removesuffix(")")


def _list(options: argparse.Namespace, out: Path) -> None:
    plan = planned(options.grid, options.data_dir)
    status = ["to do"] * len(plan.configs)
    if out.exists() and any(out.iterdir()):
        store = Store(out, create=False)
        failures = store.failures()
        for i, config in enumerate(plan.configs):
            if store.finished(config):
                status[i] = "finished"
            elif store.key(config) in failures:
                status[i] = "failed"
            elif store.checkpoint(config).exists():
                status[i] = "begun"
    rows = [
        [Store.key(config), state, text]
        for config, state, text in zip(plan.configs, status, plan.labels, strict=True)
    ]
    print(text_table(["key", "status", "parameters"], rows, left=3))
    done = status.count("finished")
    print(f"{len(rows)} runs, {done} finished, {len(rows) - done} to make; in {out}")
