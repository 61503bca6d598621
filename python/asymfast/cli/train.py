"""``asymfast train``: train a network on the user's table and write down how it went."""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

import asymfast as af
from asymfast import plot
from asymfast._run_loop import ProgressBar, duration
from asymfast.cli.arguments import real, run_options, whole
from asymfast.cli.errors import INCOMPLETE, INTERRUPTED, CommandError
from asymfast.cli.output import checkpoint, require_device, require_figures, require_folder
from asymfast.cli.results import records_table, write_json, write_records
from asymfast.cli.summary import root_mean_squares, summary
from asymfast.cli.table import number, setting_name
from asymfast.datasets.tables import Samples, read_samples
from asymfast.network import ACTIVATIONS

# The NTG of n samples takes n^2 memory, and n^3 time for its eigenvalue, at every record.
_NTG_SAMPLES = 500


def register(commands: Any) -> None:
    """Add the command and its options to the subparsers of ``asymfast``."""
    parser = commands.add_parser(
        "train",
        help="train on a CSV file",
        description="Train on the rows of a CSV file (a header line, then numbers), and write "
        "run.npz, results.csv, summary.json and a figure. Inputs and target are standardised by "
        "the mean and the standard deviation of the training rows. After Ctrl-C or a kill, the "
        "same command goes on from a checkpoint in the folder of results, written every minute.",
    )
    option = parser.add_argument
    option("file", type=Path, metavar="FILE.csv", help="the table")
    option("--target", required=True, metavar="COLUMN", help="what to learn from the other columns")
    option(
        "--gamma", type=real(0, 1), default=0.5, metavar="G", help="even part of the scaling (0.5)"
    )
    option(
        "--alpha",
        type=real(0, low_open=True),
        default=0.7,
        metavar="A",
        help="decay of the rest (0.7)",
    )
    option("--width", type=whole(1), default=2000, metavar="M", help="hidden nodes (2000)")
    option("--activation", choices=ACTIVATIONS, default="swish", help="of the hidden nodes (swish)")
    option("--loss", choices=("mse", "half_sse"), default="mse", help="mean or half sum of squares")
    option("--lr", type=real(0, low_open=True), default=1.0, metavar="L", help="learning rate (1)")
    option("--steps", type=whole(1), default=2000, metavar="N", help="training steps (2000)")
    option("--flow", action="store_true", help="gradient flow instead of gradient descent")
    option("--t-end", type=real(0, low_open=True), metavar="T", help="end of the flow (steps * lr)")
    option(
        "--rtol",
        type=real(0, 1, low_open=True, high_open=True),
        metavar="R",
        help="tolerance of the flow (1e-6)",
    )
    option("--record-every", type=whole(1), metavar="N", help="steps (about 50 records in all)")
    option(
        "--test-fraction", type=real(0, 1, high_open=True), default=0.2, metavar="P", help="(0.2)"
    )
    option("--ntg-on", type=whole(0), metavar="N", help="samples in the NTG (up to 500; 0: no NTG)")
    option("--seed", type=whole(0), default=0, metavar="N", help="of the split and the network (0)")
    run_options(parser, out="asymfast-FILE")
    parser.set_defaults(execute=execute)


@dataclass(frozen=True)
class _Outcome:
    """How training ended: in full, or early with an exit code and a sentence for stderr."""

    run: af.Run
    exit_code: int = 0
    message: str = ""


def execute(options: argparse.Namespace) -> int:
    """Train as the options say, write the results and print them.

    Returns
    -------
    int
        0, when training came to its end and everything was written.

    Raises
    ------
    CommandError
        The request cannot be carried out (nothing was written), or training diverged or was
        interrupted (what had been recorded was written).
    """
    _check(options)
    require_device(options.device)
    if not options.no_figure:
        require_figures()
    try:
        samples = read_samples(options.file, options.target, options.test_fraction, options.seed)
        network = af.Network.init(
            d=samples.X_train.shape[1],
            m=options.width,
            gamma=options.gamma,
            alpha=options.alpha,
            activation=options.activation,
            rng=options.seed,
            dtype=options.dtype,
        )
    except OSError as refused:
        raise CommandError(
            f"cannot read {options.file}: {refused.strerror or refused}"
        ) from refused
    except ValueError as wrong:
        raise CommandError(str(wrong)) from wrong
    require_folder(options.out)

    _announce(options, samples)
    kept = checkpoint(options.out)
    started = time.monotonic()
    outcome = _train(options, samples, network, kept)
    seconds = time.monotonic() - started

    norm = _initial_ntg_norm(options, samples, network)
    files = _write(options, samples, outcome, norm, seconds)
    if outcome.exit_code != INTERRUPTED:
        kept.unlink(missing_ok=True)
    _report(options, samples, outcome.run, norm)
    print(f"{duration(seconds)} of training; written to {options.out}: {', '.join(files)}")
    if outcome.exit_code:
        more = "; the same command goes on" if outcome.exit_code == INTERRUPTED else ""
        raise CommandError(
            f"{outcome.message}; the records so far are in {options.out}{more}", outcome.exit_code
        )
    return 0


def _check(options: argparse.Namespace) -> None:
    """Refuse options that contradict each other, and fill in what depends on other options."""
    for name in ("t_end", "rtol"):
        if getattr(options, name) is not None and not options.flow:
            raise CommandError(f"--{name.replace('_', '-')} needs --flow")
    if options.flow:
        options.t_end = options.steps * options.lr if options.t_end is None else options.t_end
        options.rtol = 1e-6 if options.rtol is None else options.rtol
    if options.gamma == 1.0:
        options.alpha = None  # plays no part
    if options.out is None:
        options.out = Path(f"asymfast-{options.file.stem}")


def _announce(options: argparse.Namespace, samples: Samples) -> None:
    train, test = len(samples.y_train), len(samples.y_test)
    print(
        f"{options.file.name}: {train} training and {test} test rows, {samples.X_train.shape[1]} "
        f"inputs, target {samples.columns.targets[0]}"
    )
    if samples.constant_columns:
        print(f"inputs without effect, constant in training: {', '.join(samples.constant_columns)}")
    print(
        f"network: {options.width} hidden nodes, {options.activation}, "
        f"{setting_name(options.gamma, options.alpha)}, {options.dtype}, seed {options.seed}"
    )
    how = (
        f"gradient flow to time {options.t_end:g}"
        if options.flow
        else f"{options.steps} steps of gradient descent, learning rate {options.lr:g}"
    )
    print(f"training: {how}, loss {options.loss} of the standardised target")
    watched = _ntg_samples(options, samples)
    if watched < train:
        part = f"from the first {watched} of {train} training samples"
        print(f"NTG and its smallest eigenvalue: {part if watched else 'not recorded'} (--ntg-on)")
    repeated = watched - len(np.unique(samples.X_train[:watched], axis=0))
    if repeated:
        print(
            f"{repeated} of the rows in the NTG repeat the inputs of another: "
            "its smallest eigenvalue is 0 up to rounding"
        )
    sys.stdout.flush()  # training may take long; a reader behind a pipe sees what was asked for


def _ntg_samples(options: argparse.Namespace, samples: Samples) -> int:
    wanted = _NTG_SAMPLES if options.ntg_on is None else options.ntg_on
    return min(wanted, len(samples.y_train))


def _train(
    options: argparse.Namespace, samples: Samples, network: af.Network, kept: Path
) -> _Outcome:
    watched = _ntg_samples(options, samples)
    tested = len(samples.y_test) > 0
    common: dict[str, Any] = {
        "loss": options.loss,
        "record": af.Record(
            every=options.record_every,
            ntg=watched > 0,
            ntg_on=watched or None,
            eigmin=watched > 0,
        ),
        "X_test": samples.X_test.astype(options.dtype) if tested else None,
        "y_test": samples.y_test.astype(options.dtype) if tested else None,
        "threads": options.threads,
        "device": options.device,
        "checkpoint": kept,
    }
    X, y = samples.X_train.astype(options.dtype), samples.y_train.astype(options.dtype)
    try:
        with ProgressBar() as bar:
            if options.flow:
                return _Outcome(
                    af.gradient_flow(
                        network,
                        X,
                        y,
                        t_end=options.t_end,
                        rtol=options.rtol,
                        progress=bar,
                        **common,
                    )
                )
            return _Outcome(
                af.gradient_descent(
                    network, X, y, lr=options.lr, steps=options.steps, progress=bar, **common
                )
            )
    except af.CheckpointError as other:
        raise CommandError(str(other)) from other
    except af.DivergenceError as left:
        remedy = "a smaller --rtol" if options.flow else f"--lr below {_rounded_down(left.bound)}"
        message = f"training diverged at step {left.step}, last finite loss {left.last_loss:.3g}"
        return _Outcome(left.run, INCOMPLETE, f"{message}; try {remedy}")
    except KeyboardInterrupt as stop:
        run = getattr(stop, "run", None)
        if run is None or not len(run.steps):  # before the first record
            raise
        return _Outcome(run, INTERRUPTED, f"interrupted at step {run.steps[-1]}")


def _rounded_down(bound: float) -> str:
    """Show a bound with two digits, not exceeding it."""
    unit = 10.0 ** (math.floor(math.log10(bound)) - 1)
    return f"{math.floor(bound / unit) * unit:.2g}"


def _initial_ntg_norm(
    options: argparse.Namespace, samples: Samples, network: af.Network
) -> float | None:
    """Return the Frobenius norm of the recorded NTG before training; None without an NTG."""
    watched = _ntg_samples(options, samples)
    if not watched:
        return None
    X = samples.X_train[:watched].astype(options.dtype)
    return float(np.linalg.norm(network.ntg(X, threads=options.threads)))


def _write(
    options: argparse.Namespace,
    samples: Samples,
    outcome: _Outcome,
    ntg_norm: float | None,
    seconds: float,
) -> list[str]:
    """Write the files, the numbers before the picture of them, and return their names."""
    folder, run = options.out, outcome.run
    run.save(folder / "run.npz")
    write_records(folder / "results.csv", run, ntg_norm)
    write_json(
        folder / "summary.json",
        summary(options, samples, run, ntg_norm, seconds, outcome.message or "finished"),
    )
    written = ["run.npz", "results.csv", "summary.json"]
    if options.no_figure:
        # The picture of an earlier run in the same folder would pass for one of this run.
        for name in ("figure.png", "figure.pdf"):
            (folder / name).unlink(missing_ok=True)
        return written
    against: Literal["step", "time"] = "time" if options.flow else "step"
    name = setting_name(options.gamma, options.alpha, symbols=True)
    shown = f"{options.file.name}, {samples.columns.targets[0]}".replace("$", r"\$")  # no formula
    figure = plot.training_figure({name: run}, against=against, title=f"{shown}; {name}")
    return written + [path.name for path in plot.save(figure, folder / "figure")]


def _report(
    options: argparse.Namespace, samples: Samples, run: af.Run, ntg_norm: float | None
) -> None:
    print(f"\n{records_table(run, ntg_norm)}\n")
    if ntg_norm is not None and run.ntg_eigmin is not None:
        rounding = float(np.finfo(options.dtype).eps) * ntg_norm
        if np.nanmin(run.ntg_eigmin) < rounding:
            print(
                f"an eigenvalue below {rounding:.0e}, the rounding of {options.dtype}, may be zero"
            )
    train, test = root_mean_squares(options.loss, samples, run)
    shown = f"training {number(train)}" + ("" if test is None else f", test {number(test)}")
    print(f"root mean squared error in the units of {samples.columns.targets[0]}: {shown}")
