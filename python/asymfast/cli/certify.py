"""``asymfast certify``: train, and compare the run with the paper's convergence theorems."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import asymfast as af
from asymfast import plot, theory
from asymfast._run_loop import ProgressBar
from asymfast.cli import _common as common
from asymfast.cli._common import CommandError, real, whole
from asymfast.datasets.paper import simulated
from asymfast.datasets.tables import listed
from asymfast.network import ACTIVATIONS

_NUMBERS = ("run.npz", "certificate.json", "certificate.csv")
_FIGURES = ("certificate.png", "certificate.pdf")
Floats = npt.NDArray[np.float64]


def register(commands: Any) -> None:
    """Add the command and its options to the subparsers of ``asymfast``."""
    parser = commands.add_parser(
        "certify",
        help="compare a run with the convergence theorems",
        description="Train on the paper's simulated data, or on the rows of a CSV file (a header "
        "line, then numbers), and compare the run with Theorem H.1 (gradient descent), 4.1 or A.1 "
        "(gradient flow). The inputs of a file are standardised and then divided by the length of "
        "the longest row, as Assumption 2.1 asks for; its target is standardised. The verdicts are "
        "printed and do not change the exit code. After Ctrl-C or a kill, the same command resumes "
        "from a checkpoint in the folder of the results, which is written every minute.",
    )
    option = parser.add_argument
    option("file", type=Path, nargs="?", metavar="FILE.csv", help="the table (simulated data)")
    option("--target", metavar="COLUMN", help="of the file: what to learn from the other columns")
    common.table_options(parser)
    option("--samples", type=whole(1), default=100, metavar="N", help="rows at most (100)")
    option("--inputs", type=whole(1), metavar="D", help="of the simulated data (50)")
    option(
        "--delta",
        type=real(0, 1, low_open=True, high_open=True),
        default=0.1,
        metavar="P",
        help="probability that the theorem may fail with (0.1)",
    )
    option("--corrected", action="store_true", help="use the true sup |sigma'| instead of 1")
    option("--gamma", type=real(0, 1), default=0.5, metavar="G", help="even part (0.5)")
    option("--alpha", type=real(0, low_open=True), default=0.7, metavar="A", help="decay (0.7)")
    option("--width", type=whole(1), default=2000, metavar="M", help="hidden nodes (2000)")
    option("--activation", choices=ACTIVATIONS, default="swish", help="of the hidden nodes (swish)")
    option("--lr", type=common.rate, default="auto", metavar="L", help="learning rate (auto)")
    option("--steps", type=whole(1), default=2000, metavar="N", help="training steps (2000)")
    option("--flow", action="store_true", help="gradient flow instead of gradient descent")
    option("--t-end", type=real(0, low_open=True), metavar="T", help="end of the flow (steps)")
    option("--record-every", type=whole(1), metavar="N", help="steps (about 50 records in all)")
    option("--seed", type=whole(0), default=0, metavar="N", help="of data and network (0)")
    common.run_options(parser, out="asymfast-certify")
    parser.set_defaults(execute=execute)


@dataclass(frozen=True)
class _Data:
    """The training set, in float64, and one line about it."""

    X: Floats
    y: Floats
    text: str


def execute(options: argparse.Namespace) -> int:
    """Train as the options say, print the certificate, and write it down.

    Returns
    -------
    int
        0, when training came to its end and everything was written, whatever the verdicts.

    Raises
    ------
    CommandError
        The request cannot be carried out (nothing was written), training diverged (what had been
        recorded was certified and written), or it was interrupted (its checkpoint is kept).
    """
    _check(options)
    common.require_device(options.device)
    if not options.no_figure:
        common.require_figures()
    data = _data(options)
    network = af.Network.init(
        d=data.X.shape[1],
        m=options.width,
        gamma=options.gamma,
        alpha=options.alpha,
        activation=options.activation,
        rng=_network_seed(options),
        dtype=options.dtype,
    )
    X, y = data.X.astype(options.dtype), data.y.astype(options.dtype)
    files = (*_NUMBERS, *_FIGURES)
    with common.results_folder(options, "asymfast-certify", files) as folder:
        _announce(options, data)
        run, message = _train(options, network, X, y, folder.checkpoint)
        if options.lr == "auto" and not options.flow:
            print(f"learning rate {run.config['lr']:.4g}, chosen from the largest eigenvalue")
        try:
            certificate = theory.certify(
                run, X, y, delta=options.delta, corrected=options.corrected
            )
        except ValueError as refused:  # rows of X that the mean NTG cannot be computed for
            raise CommandError(str(refused), common.INCOMPLETE) from refused
        print(f"\n{certificate.table()}\n")
        for name in _FIGURES:  # that of an earlier run would pass for one of this run
            (folder.path / name).unlink(missing_ok=True)
        run.save(folder.path / "run.npz")
        common.write_json(folder.path / "certificate.json", certificate.to_dict())
        common.write_rows(folder.path / "certificate.csv", list(certificate.rows()))
        folder.finished()
        written, problem = list(_NUMBERS), ""
        if not options.no_figure:
            drawn, problem = common.drawn(
                lambda: plot.save(certificate.figure(), folder.path / "certificate")
            )
            written += drawn
    print(f"written to {folder.path}: {', '.join(written)}")
    sys.stdout.flush()
    if message:
        raise CommandError(f"{message}; what there is of it is in {folder.path}", common.INCOMPLETE)
    if problem:
        raise CommandError(problem, common.INCOMPLETE)
    return 0


def _check(options: argparse.Namespace) -> None:
    """Refuse options that contradict each other, and fill in what depends on other options."""
    if options.t_end is not None and not options.flow:
        raise CommandError("--t-end needs --flow")
    if options.file is None and options.target is not None:
        raise CommandError("--target needs a file")
    if options.file is not None and options.target is None:
        raise CommandError("a file needs --target")
    if options.file is not None and options.inputs is not None:
        raise CommandError("--inputs is for simulated data")
    if options.file is None and (options.drop or options.one_hot):
        raise CommandError("--drop and --one-hot need a file")
    if options.gamma == 1.0:
        options.alpha = None  # plays no part


def _data(options: argparse.Namespace) -> _Data:
    """Read the file, or draw the paper's simulated data (Appendix J)."""
    if options.file is None:
        d = 50 if options.inputs is None else options.inputs
        X, y = simulated(n=options.samples, d=d, rng=options.seed)
        return _Data(X, y, f"simulated data: n = {len(y)}, d = {d}")
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
    return _Data(X / longest, y, f"{text}\ninputs: {listed(samples.columns.names)}")


def _network_seed(options: argparse.Namespace) -> np.random.Generator:
    """As `asymfast train` for a file and as `asymfast paper` for simulated data, whose stream the
    weights must not share.
    """
    seed = options.seed if options.file is not None else [options.seed, 1]
    return np.random.default_rng(seed)


def _announce(options: argparse.Namespace, data: _Data) -> None:
    print(data.text)
    print(
        f"network: {options.width} hidden nodes, {options.activation}, "
        f"{common.setting_name(options.gamma, options.alpha)}, {options.dtype}, seed {options.seed}"
    )
    lr = options.lr if options.lr == "auto" else f"{options.lr:g}"
    how = (
        f"gradient flow to time {_t_end(options):g}"
        if options.flow
        else f"{options.steps} steps of gradient descent, learning rate {lr}"
    )
    print(f"training: {how}, loss half_sse", flush=True)


def _t_end(options: argparse.Namespace) -> float:
    lr = 1.0 if options.lr == "auto" else options.lr
    return float(options.steps * lr if options.t_end is None else options.t_end)


def _train(
    options: argparse.Namespace,
    network: af.Network,
    X: npt.NDArray[Any],
    y: npt.NDArray[Any],
    checkpoint: Path,
) -> tuple[af.Run, str]:
    """Return the run, and what went wrong with it, if anything."""
    settings: dict[str, Any] = {
        "record": af.Record(every=options.record_every, ntg_on=len(y), ntg_change_2norm=True),
        "threads": options.threads,
        "device": options.device,
        "checkpoint": checkpoint,
        "loss": "half_sse",
    }
    try:
        with ProgressBar() as bar:
            if options.flow:
                end = _t_end(options)
                return af.gradient_flow(network, X, y, t_end=end, progress=bar, **settings), ""
            settings |= {"lr": options.lr, "steps": options.steps, "progress": bar}
            return af.gradient_descent(network, X, y, **settings), ""
    except (af.CheckpointError, OverflowError, ValueError) as refused:
        raise CommandError(str(refused)) from refused
    except KeyboardInterrupt:
        raise CommandError("interrupted; the same command resumes", common.INTERRUPTED) from None
    except af.DivergenceError as left:
        if not len(left.run.steps):
            raise CommandError(
                f"training diverged at step {left.step}", common.INCOMPLETE
            ) from left
        return left.run, f"training diverged at step {left.step}; try --lr below {left.bound:.2g}"
