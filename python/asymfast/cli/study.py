"""``asymfast paper`` and ``asymfast sweep``: many runs, their tables, figures and verdicts."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path
from typing import Any

from asymfast.cli import _common as common
from asymfast.cli._common import CommandError, count, natural, some_path, threads


def register(commands: Any) -> None:
    """Add both commands and their options to the subparsers of ``asymfast``."""
    parser = common.command(commands, paper)
    option = parser.option
    text = (
        "fig1, simulated, simulated_authors, concrete, energy, airfoil, plant, mnist, cifar10, "
        "cifar10_gamma, cifar100; a TOML file of the same form; or all: every one whose data are "
        "available, the others are named"
    )
    option("experiment", str, None, text, nargs="+")
    parser.flag("--quick", "fewer seeds, steps and samples: minutes")
    option("--activation", ("swish", "relu"), None, "function of the nodes", "swish")
    option("--seeds", count, "N", "number of repetitions, each with its own seed (5)")
    option("--steps", count, "N", "steps of gradient descent (as many as in the paper)")
    option("--epochs", count, "N", "epochs of stochastic gradient descent (50)")
    option("--width", count, "M", "number of hidden nodes (2000)")
    option("--samples", count, "N", "rows of the simulated data, of MNIST and of features")
    text = "precision of the numbers (that of the experiment)"
    option("--dtype", ("float64", "float32"), None, text)
    option("--data", some_path, "DIR", "folder of the data sets (that in ASYMFAST_DATA)")
    option("--jobs", count, "N", "how many processes to use (one for each core)")
    option("--threads", count, "N", "threads of all processes together (all cores)")
    option(*common.DEVICE)
    option("--out", some_path, "DIR", "folder for the results (asymfast-paper)")
    parser.flag(*common.NO_FIGURE)
    parser.flag("--no-training", "write tables, figures and report from the finished runs")

    parser = common.command(commands, sweep)
    option = parser.option
    option("grid", some_path, "GRID.toml", "a file that describes the runs; see docs/sweeps.md")
    option("--out", some_path, "DIR", "folder for the results (asymfast-GRID)")
    parser.flag("--dry-run", "list the runs, and compute none")
    option("--jobs", count, "N", "how many runs at a time (one for each core)")
    option("--threads", threads, "N", "threads of each run (the cores, shared among the jobs)")
    option("--address", str, "URL", "address of a Dask scheduler, such as tcp://host:8786")
    option("--retries", natural, "N", "how often to repeat a run whose process died", 2)
    parser.flag("--no-wait", "skip runs that another process is working on")
    option("--data-dir", some_path, "DIR", "folder of the data sets and tables")
    text = "seconds between the checkpoints of a run"
    option("--checkpoint-every", common.positive, "S", text, 60.0)


def paper(options: argparse.Namespace) -> int:
    """Repeat experiments of the paper.

    Their settings are trained, pruned and transferred; runs, figures, numbers and a report are
    written and compared with the paper's claims. There is one file a run, named by the hash of its
    settings: finished runs are skipped, and an interrupted one resumes from its checkpoint.
    """
    out = options.out or Path("asymfast-paper")
    new = not out.exists()
    try:
        from asymfast import study

        names = [name for one in options.experiment for name in one.split(",") if name]
        _require_known(names)
        if not options.no_figure:
            common.require_figures()
        common.require_device(options.device)
        common.require_folder(out)
        same = {name: getattr(options, name) for name in ("quick", "activation", "jobs", "threads")}
        result = study.paper(
            *names,
            out=out,
            changes=_changes(options),
            data_dir=options.data,
            draw=not options.no_figure,
            train=not options.no_training,
            say=lambda text: print(text, flush=True),
            **same,
        )
    except KeyboardInterrupt:
        raise CommandError(
            "interrupted; finished runs are kept, and the same command resumes the others",
            common.INTERRUPTED,
        ) from None
    except OSError as refused:
        raise CommandError(str(refused)) from refused
    finally:
        if new:
            with suppress(OSError):  # it holds something
                out.rmdir()
    if result.failures:
        raise CommandError(
            f"{'; '.join(result.failures)}; the other runs are kept", common.INCOMPLETE
        )
    return 0


def _require_known(names: list[str]) -> None:
    from asymfast.study.reproduction import ALL

    if not names:
        raise CommandError("argument experiment: must not be empty")
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


def sweep(options: argparse.Namespace) -> int:
    """Compute the runs of a grid.

    The runs that a TOML file describes are computed several at a time, each with a file for its
    results. Finished runs are skipped, interrupted ones resume; several such commands, also on
    several hosts, may share a folder and the work. In Python: asymfast.load_sweep(DIR).
    """
    out = options.out or Path(f"asymfast-{options.grid.stem}")
    common.require_device("cpu")
    try:
        from asymfast import study
        from asymfast.study.runner import planned

        plan = planned(options.grid, options.data_dir)  # before a folder is created
        if options.dry_run:
            _list(plan, out)
            return 0
        common.require_folder(out)
        names = ("jobs", "threads", "retries", "data_dir", "checkpoint_every")
        result = study.sweep(
            plan,
            out=out,
            client=options.address,
            wait=not options.no_wait,
            **{name: getattr(options, name) for name in names},
            progress=lambda done, total, text: print(f"[{done}/{total}] {text}", flush=True),
        )
    except KeyboardInterrupt as stop:
        if not hasattr(stop, "result"):
            raise
        raise CommandError(
            f"interrupted; {stop.result.summary()}; the same command resumes it", common.INTERRUPTED
        ) from None
    except FileNotFoundError as missing:
        raise CommandError(
            f"cannot read {missing.filename or options.grid}: {missing}"
        ) from missing
    print(result.summary())
    if not result.complete:
        raise CommandError(
            f"{len(result.failed)} runs failed and {len(result.left)} are not finished; "
            f"the failures are described in {out / 'failures'}",
            common.INCOMPLETE,
        )
    return 0


def _list(plan: Any, out: Path) -> None:
    from asymfast.study.runner import is_finished
    from asymfast.study.store import Store

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
    print(common.text_table(["key", "status", "parameters"], rows, left=3))
    done = list(status.values()).count("finished")
    print(f"{len(rows)} runs, {done} finished, {len(rows) - done} to compute; in {out}")
