"""``asymfast certify``: train, and compare the run with the paper's convergence theorems."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

import asymfast as af
from asymfast import plot, theory
from asymfast.cli import _common as common
from asymfast.cli._common import CommandError, count, fraction
from asymfast.datasets.paper import simulated
from asymfast.datasets.tables import listed

_NUMBERS = ("run.npz", "certificate.json", "certificate.csv")
_FIGURES = ("certificate.png", "certificate.pdf")
Floats = npt.NDArray[np.float64]


def register(commands: Any) -> None:
    """Add the command and its options to the subparsers of ``asymfast``."""
    parser = common.command(commands, certify)
    option = parser.option
    option("file", common.some_path, "FILE.csv", "the table (default: simulated data)", nargs="?")
    option("--target", str, "COLUMN", "what to learn from the other columns of the file")
    common.table_options(parser)
    option("--samples", count, "N", "number of rows, at most", 100)
    option("--inputs", count, "D", "number of inputs of the simulated data (50)")
    option("--delta", fraction, "P", "probability that the theorem may fail with", 0.1)
    parser.flag("--corrected", "use the true sup |sigma'| instead of 1")
    common.run_options(parser, out="asymfast-certify", seed="data and network")


def certify(options: argparse.Namespace) -> int:
    """Compare a run with the convergence theorems.

    The network is trained on the paper's simulated data, or on the rows of a CSV file (a header
    line, then numbers), and the run compared with Theorem H.1 (gradient descent), 4.1 or A.1
    (gradient flow). The inputs of a file are standardised and then divided by the length of the
    longest row, as Assumption 2.1 asks for; its target is standardised. The verdicts are printed
    and do not change the exit code. After Ctrl-C or a kill, the same command resumes from a
    checkpoint in the folder of the results, which is written every minute.
    """
    _check(options)
    if not options.no_figure:
        common.require_figures()
    X, y, described = _data(options)
    # Simulated data are drawn from the seed itself, whose stream the weights must not share.
    seed = options.seed if options.file is not None else [options.seed, 1]
    network = common.network_of(options, X.shape[1], np.random.default_rng(seed))
    X, y = X.astype(options.dtype), y.astype(options.dtype)
    files = (*_NUMBERS, *_FIGURES)
    with common.results_folder(options, "asymfast-certify", files) as folder:
        print(described)
        common.announce(options, "half_sse")
        sys.stdout.flush()
        record = af.Record(every=options.record_every, ntg_on=len(y), ntg_change_2norm=True)
        outcome = common.trained(
            options,
            network,
            X,
            y,
            loss="half_sse",
            record=record,
            checkpoint=folder / common.CHECKPOINT,
        )
        run, message = outcome.run, outcome.message
        if outcome.exit_code == common.INTERRUPTED:
            raise CommandError(f"{message}; the same command resumes", common.INTERRUPTED)
        try:
            certificate = theory.certify(
                run, X, y, delta=options.delta, corrected=options.corrected
            )
        # Rows of X that the mean NTG cannot be computed for; settings beyond the range of floats.
        except (ValueError, OverflowError) as refused:
            text = f"{message}; {refused}" if message else str(refused)
            raise CommandError(text, common.INCOMPLETE) from refused
        print(f"\n{certificate.table()}\n")
        for name in _FIGURES:  # that of an earlier run would pass for one of this run
            (folder / name).unlink(missing_ok=True)
        run.save(folder / "run.npz")
        common.write_json(folder / "certificate.json", certificate.to_dict())
        rows = [*certificate.rows()]
        common.write_rows(folder / "certificate.csv", [*rows[0]], (row.values() for row in rows))
        common.finished(folder)
        draw = lambda: plot.save(certificate.figure(), folder / "certificate")  # noqa: E731
        common.conclude(options, outcome, folder, _NUMBERS, draw)
    return 0


def _check(options: argparse.Namespace) -> None:
    """Refuse options that contradict each other, and fill in what depends on other options."""
    if options.file is None and options.target is not None:
        raise CommandError("--target needs a file")
    if options.file is not None and options.target is None:
        raise CommandError("a file needs --target")
    if options.file is not None and options.inputs is not None:
        raise CommandError("--inputs is for simulated data")
    given = [name for name, usual in common.TABLE.items() if getattr(options, name) != usual]
    if options.file is None and given:
        raise CommandError(f"--{given[0].replace('_', '-')} needs a file")
    common.complete(options)


def _data(options: argparse.Namespace) -> tuple[Floats, Floats, str]:
    """Read the file, or draw the paper's simulated data (Appendix J); describe them in a line."""
    if options.file is None:
        d = 50 if options.inputs is None else options.inputs
        X, y = simulated(n=options.samples, d=d, rng=options.seed)
        return X, y, f"simulated data: n = {len(y)}, d = {d}"
    samples = common.samples_of(options, 0.0)
    rows = len(samples.y_train)
    X, y = samples.X_train[: options.samples], samples.y_train[: options.samples]
    longest = float(np.linalg.norm(X, axis=1).max())
    if longest == 0:
        raise CommandError(f"the inputs of the {len(y)} chosen rows are all equal to their mean")
    text = (
        f"{options.file.name}: {len(y)} of {rows} rows, {X.shape[1]} inputs, target "
        f"{samples.columns.targets[0]}; inputs standardised and divided by the longest row, "
        f"{longest:.4g}"
    )
    inputs = f"{common.left_out(samples)}inputs: {listed(samples.columns.names)}"
    return X / longest, y, f"{text}\n{inputs}"
