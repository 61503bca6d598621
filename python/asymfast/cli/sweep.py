"""``asymfast sweep``: compute the runs of a grid, several at a time."""

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


def register(commands: Any) -> None:
    """Add the command and its options to the subparsers of ``asymfast``."""
    parser = commands.add_parser(
        "sweep",
        help="compute the runs of a grid",
        description="Compute the runs that a TOML file describes, several at a time, each with a "
        "file for its results. Finished runs are skipped, interrupted ones resume; several such "
        "commands, also on several hosts, may share a folder and the work. "
        "In Python: asymfast.load_sweep(DIR).",
    )
    option = parser.add_argument
    option("grid", type=Path, metavar="GRID.toml", help="base, grid, variants and runs")
    option("--out", type=Path, metavar="DIR", help="folder for the results (asymfast-GRID)")
    option("--dry-run", action="store_true", help="list the runs, and compute none")
    option("--jobs", type=whole(1), metavar="N", help="runs at a time (one a core)")
    option("--threads", type=threads, metavar="N", help="of each run (cores / jobs)")
    option("--backend", metavar="NAME", help="of joblib, such as threading or dask (loky)")
    option("--address", metavar="URL", help="of a Dask scheduler, such as tcp://host:8786")
    option("--retries", type=whole(0), default=2, metavar="N", help="after a worker died (2)")
    option("--no-wait", action="store_true", help="skip runs that another process is working on")
    option("--data-dir", type=Path, metavar="DIR", help="folder of data sets and files")
    option(
        "--checkpoint-every",
        type=real(0, low_open=True),
        default=60.0,
        metavar="S",
        help="seconds between the checkpoints of a run (60)",
    )
    parser.set_defaults(execute=execute)


def execute(options: argparse.Namespace) -> int:
    """Compute the runs, and say how each went.

    Returns
    -------
    int
        0, if all results exist.

    Raises
    ------
    CommandError
        The grid cannot be run, and nothing was; or some runs failed or are not finished.
    """
    out = options.out or Path(f"asymfast-{options.grid.stem}")
    try:
        from asymfast.study.grid import planned

        planned(options.grid, options.data_dir)  # before a folder is created
        if options.dry_run:
            _list(options, out)
            return 0
        require_folder(out)
        result = _sweep(options, out)
    except KeyboardInterrupt as stop:
        if not hasattr(stop, "result"):
            raise
        raise CommandError(
            f"interrupted; {stop.result.summary()}; the same command resumes it", INTERRUPTED
        ) from None
    except (ValueError, TypeError, ImportError) as wrong:
        raise CommandError(str(wrong).removeprefix("sweep: ")) from wrong
    except FileNotFoundError as missing:
        raise CommandError(
            f"cannot read {missing.filename or options.grid}: {missing}"
        ) from missing
    print(result.summary())
    if not result.complete:
        raise CommandError(
            f"{len(result.failed)} runs failed and {len(result.left)} are not finished; "
            f"the failures are described in {out / 'failures'}",
            INCOMPLETE,
        )
    return 0


def _sweep(options: argparse.Namespace, out: Path) -> Any:
    import joblib

    from asymfast.study import sweep

    names = sorted(joblib.parallel.BACKENDS)
    if options.backend not in (None, *names):
        raise CommandError(f"--backend must be one of {', '.join(names)}, got {options.backend!r}")
    with joblib.parallel_config(backend=options.backend or "loky"):
        return sweep(
            options.grid,
            out=out,
            jobs=options.jobs,
            threads=options.threads,
            client=options.address,
            retries=options.retries,
            wait=not options.no_wait,
            data_dir=options.data_dir,
            checkpoint_every=options.checkpoint_every,
            progress=lambda done, total, text: print(f"[{done}/{total}] {text}", flush=True),
        )


def _list(options: argparse.Namespace, out: Path) -> None:
    from asymfast.study.grid import planned
    from asymfast.study.runner import is_finished
    from asymfast.study.store import Store

    plan = planned(options.grid, options.data_dir)
    status = dict.fromkeys(plan.configs, "to do")
    if out.exists() and any(out.iterdir()):
        store = Store(out, create=False)
        failures = store.failures()
        for key, config in plan.configs.items():
            if is_finished(store, config):
                status[key] = "finished"
            elif key in failures:
                status[key] = "failed"
            elif store.checkpoint(config.table()).exists():
                status[key] = "begun"
    rows = [[key, status[key], text] for key, text in plan.labels.items()]
    print(text_table(["key", "status", "parameters"], rows, left=3))
    done = list(status.values()).count("finished")
    print(f"{len(rows)} runs, {done} finished, {len(rows) - done} to compute; in {out}")
