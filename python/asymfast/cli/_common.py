"""What the commands share: options, errors, tables of text, files, the folder of the results."""

from __future__ import annotations

import argparse
import csv
import difflib
import inspect
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

import asymfast as af
from asymfast import _check, cuda
from asymfast._device import THREADS, backend_name
from asymfast._run_loop import ProgressBar
from asymfast._storage import difference, replacing, sha256, write_text
from asymfast.datasets.tables import Samples, read_samples
from asymfast.network import ACTIVATIONS
from asymfast.scaling import node_scaling_name

BAD_INPUT = 2  # the user can correct it; nothing was done
INCOMPLETE = 1  # the work began and did not all succeed
INTERRUPTED = 130  # what a shell reports after Ctrl-C


class CommandError(Exception):
    """Ends a command with one sentence on stderr, without its name, instead of a traceback."""

    def __init__(self, message: str, exit_code: int = BAD_INPUT) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@contextmanager
def explaining(what: str) -> Iterator[None]:
    """Say what cannot be done with files, and why, such as "cannot read table.csv"."""
    try:
        yield
    except OSError as refused:
        raise CommandError(f"{what}: {refused.strerror or refused}") from refused


# --------------------------------------------------------------------------------------- options


class Parser(argparse.ArgumentParser):
    """Answers a mistake, such as an option given twice, with one sentence instead of the usage."""

    def __init__(self, **options: Any) -> None:
        # An abbreviated option would change its meaning when a later release adds another.
        super().__init__(allow_abbrev=False, **options)
        self.register("action", None, _Once)

    def option(
        self, name: str, kind: Any, metavar: str | None, text: str, default: Any = None, **more: Any
    ) -> None:
        """Add an argument, whose kind is a reader of texts or a tuple of choices."""
        kinds = {"choices": kind} if isinstance(kind, tuple) else {"type": kind}
        if default is not None:
            text += f" ({default if isinstance(default, str) else f'{default:g}'})"
        self.add_argument(name, help=text, metavar=metavar, default=default, **kinds, **more)

    def flag(self, name: str, text: str) -> None:
        """Add an option that is there or not."""
        self.add_argument(name, action="store_true", help=text)

    def columns(self, name: str, text: str, **more: Any) -> None:
        """Add an option that names a column, and may be given several times."""
        text += " (repeatable)"
        self.add_argument(name, action="append", metavar="COLUMN", help=text, **more)

    def error(self, message: str) -> NoReturn:
        """Print ``asymfast train: <message>`` and leave with exit code 2."""
        self.exit(BAD_INPUT, f"{self.prog}: {message} (see {self.prog} --help)\n")

    def require_known_start(self, arguments: Sequence[str]) -> None:
        """Refuse an unknown option before the command, which would be blamed for what follows."""
        first = next(iter(arguments), "")
        if first.startswith("-") and first not in self._option_string_actions:
            self.error(f"unrecognized arguments: {first}; options of a command come after its name")

    def unknown(self, arguments: Sequence[str]) -> NoReturn:
        """Refuse arguments that the command does not have."""
        known = self._option_string_actions
        near = difflib.get_close_matches(arguments[0].partition("=")[0], known, 1)
        meant = f"; did you mean {near[0]}?" if near else ""
        self.error(f"unrecognized arguments: {' '.join(arguments)}{meant}")


class _Once(argparse.Action):
    """Stores a value, and refuses a second one, which would silently replace the first."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option: str | None = None,
    ) -> None:
        if option is not None:
            seen = vars(namespace).setdefault("options_seen", set())
            if self.dest in seen:
                parser.error(f"argument {option}: given more than once")
            seen.add(self.dest)
        setattr(namespace, self.dest, values)


def read_by(check: _check.Check, convert: Callable[[str], Any], rule: str) -> Callable[[str], Any]:
    """Make a reader of an option's text, which must be what an argument of the API must be."""

    def read(text: str) -> Any:
        try:
            return check("", "", convert(text))
        except (TypeError, ValueError) as error:
            _, too_large, rest = str(error).partition("must be at most")
            raise argparse.ArgumentTypeError(
                f"{too_large}{rest}" if too_large else f"must be {rule}, got {text}"
            ) from None

    return read


def _step(fn: str, name: str, text: str) -> Any:
    return text if text == "auto" else _check.POSITIVE(fn, name, float(text))


count = read_by(_check.COUNT, int, "a whole number >= 1")
natural = read_by(_check.NATURAL, int, "a whole number >= 0")
threads = read_by(THREADS, int, "a whole number >= 1")
positive = read_by(_check.POSITIVE, float, "a number > 0")
unit = read_by(_check.UNIT, float, "a number in [0, 1]")
fraction = read_by(_check.FRACTION, float, "a number in (0, 1)")
share = read_by(partial(_check.number, interval="[0, 1)"), float, "a number in [0, 1)")
rate = read_by(_step, str, "a number > 0 or auto")


def some_path(text: str) -> Path:
    """Read a path; an empty one, as of an unset variable, would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("must not be empty")
    return Path(text)


def command(commands: Any, function: Callable[[argparse.Namespace], int]) -> Parser:
    """Add a command that has the name of a function and is described by its docstring."""
    summary, _, text = inspect.cleandoc(function.__doc__ or "").partition("\n\n")
    title = summary.removesuffix(".")
    parser: Parser = commands.add_parser(
        function.__name__,
        help=title[:1].lower() + title[1:],
        description=f"{summary} {text}",
        epilog="Defaults are in parentheses.",
    )
    parser.set_defaults(execute=function, parser=parser)
    return parser


# Options that mean the same in several commands.
DECIMAL = ("--decimal", (".", ","), None, "decimal sign in the file", ".")
DEVICE = ("--device", ("cpu", "cuda"), None, "where to train", "cpu")
NO_FIGURE = ("--no-figure", "draw no figure; needs no matplotlib")
THREADS_OF_ALL = ("--threads", threads, "N", "how many threads to use (all cores)")

# How a CSV file is read, unless an option says otherwise.
TABLE: dict[str, Any] = {"drop": [], "one_hot": [], "missing": "error", "decimal": DECIMAL[-1]}


def table_options(parser: Parser) -> None:
    """Add the options that say how a CSV file is read."""
    parser.columns("--drop", "leave this column out", default=TABLE["drop"])
    text = "a column of text: each of its values becomes an input of 0 and 1"
    parser.columns("--one-hot", text, default=TABLE["one_hot"])
    text = "refuse rows with empty cells, or leave them out"
    parser.option("--missing", ("error", "drop"), None, text, TABLE["missing"])
    parser.option(*DECIMAL)


def run_options(parser: Parser, *, out: str, seed: str) -> None:
    """Add the options of network and training that every training command has."""
    option = parser.option
    option("--gamma", unit, "G", "share of the scaling that all nodes get alike, 0 to 1", 0.5)
    option("--alpha", positive, "A", "the rest falls like j^(-1/alpha)", 0.7)
    option("--width", count, "M", "number of hidden nodes", 2000)
    option("--activation", ACTIVATIONS, None, "function of the hidden nodes", "swish")
    option("--lr", rate, "L", "learning rate, a number or auto", "auto")
    option("--steps", count, "N", "number of training steps", 2000)
    parser.flag("--flow", "gradient flow instead of gradient descent")
    option("--t-end", positive, "T", "time at which the flow ends (steps times learning rate)")
    option("--record-every", count, "N", "steps between two records (about 50 records in all)")
    option("--seed", natural, "N", f"random seed of {seed}", 0)
    option(*THREADS_OF_ALL)
    option(*DEVICE)
    option("--dtype", ("float64", "float32"), None, "precision of the numbers", "float64")
    option("--out", some_path, "DIR", f"folder for the results ({out})")
    parser.flag("--overwrite", "replace the results of another run there")
    parser.flag(*NO_FIGURE)


def complete(options: argparse.Namespace) -> None:
    """Refuse options that contradict each other, and fill in what depends on other options."""
    if options.t_end is not None and not options.flow:
        raise CommandError("--t-end needs --flow")
    if options.flow and options.t_end is None:
        options.t_end = options.steps * (1.0 if options.lr == "auto" else options.lr)
    if options.gamma == 1.0:
        options.alpha = None  # plays no part
    require_device(options.device)


# -------------------------------------------------------------------------------------- training


def network_of(options: argparse.Namespace, d: int, rng: Any, **more: Any) -> af.Network:
    """Draw the network that the options describe."""
    names = ("gamma", "alpha", "activation", "dtype")
    settings = {name: getattr(options, name) for name in names}
    return af.Network.init(d=d, m=options.width, rng=rng, **settings, **more)


def announce(options: argparse.Namespace, loss: str) -> None:
    """Print which network is trained, and how."""
    print(
        f"network: {options.width} hidden nodes, {options.activation}, "
        f"{node_scaling_name(options.gamma, options.alpha)}, {options.dtype}, seed {options.seed}"
    )
    lr = options.lr if options.lr == "auto" else f"{options.lr:g}"
    how = (
        f"gradient flow to time {options.t_end:g}"
        if options.flow
        else f"{options.steps} steps of gradient descent, learning rate {lr}"
    )
    print(f"training: {how}, loss {loss}")


@dataclass(frozen=True)
class Outcome:
    """How training ended: in full, or early with an exit code and a sentence for stderr."""

    run: af.Run
    exit_code: int = 0
    message: str = ""


def trained(
    options: argparse.Namespace, network: af.Network, X: Any, y: Any, **settings: Any
) -> Outcome:
    """Train by gradient descent or flow, as the options say."""
    settings |= {name: getattr(options, name) for name in ("threads", "device")}
    try:
        with ProgressBar() as bar:
            if options.flow:
                settings |= {"t_end": options.t_end, "progress": bar}
                return Outcome(af.gradient_flow(network, X, y, **settings))
            settings |= {"lr": options.lr, "steps": options.steps, "progress": bar}
            run = af.gradient_descent(network, X, y, **settings)
        if options.lr == "auto":
            print(f"learning rate {run.config['lr']:.4g}, chosen from the largest eigenvalue")
        return Outcome(run)
    except af.DivergenceError as left:
        remedy = "a smaller --rtol" if options.flow else "a smaller --lr"
        if not options.flow and 0 < left.bound < math.inf:
            unit = 10.0 ** (math.floor(math.log10(left.bound)) - 1)  # two digits, rounded down
            remedy = f"--lr below {math.floor(left.bound / unit) * unit:.2g}"
        message = f"training diverged at step {left.step}, last finite loss {left.last_loss:.3g}"
        if not len(left.run.steps):
            raise CommandError(message, INCOMPLETE) from left
        return Outcome(left.run, INCOMPLETE, f"{message}; try {remedy}")
    except KeyboardInterrupt as stop:
        so_far: af.Run | None = getattr(stop, "run", None)
        if so_far is None or not len(so_far.steps):  # before the first record
            raise
        return Outcome(so_far, INTERRUPTED, f"interrupted at step {so_far.steps[-1]}")


# ---------------------------------------------------------------------------------- requirements


def require_device(device: str) -> None:
    """Check that the device, or the backend that the environment names, can be used."""
    if device == "cuda":
        cuda.require("--device cuda")
    else:
        backend_name("asymfast", None)


def require_figures() -> None:
    """Check that figures can be drawn."""
    from asymfast import plot

    try:
        plot.require_matplotlib()
    except ImportError as missing:
        raise CommandError(f"{missing}, or add --no-figure") from missing


def conclude(
    options: argparse.Namespace,
    outcome: Outcome,
    folder: Path,
    written: Sequence[str],
    draw: Callable[[], Sequence[Path]],
) -> None:
    """Draw the figure, name the files, and raise CommandError unless all was done.

    The results are worth more than their picture, which LaTeX and fonts can spoil in many ways.
    """
    sys.stdout.flush()
    files, problem = list(written), ""
    if not options.no_figure:
        try:
            files += [path.name for path in draw()]
        except Exception as error:
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            problem = f"the figure could not be drawn ({reason}); --no-figure leaves it out"
    print(f"written to {folder}: {', '.join(files)}", flush=True)
    if outcome.exit_code:
        more = "; the same command resumes" if outcome.exit_code == INTERRUPTED else ""
        raise CommandError(
            f"{outcome.message}; the records so far are in {folder}{more}", outcome.exit_code
        )
    if problem:
        raise CommandError(problem, INCOMPLETE)


def samples_of(options: argparse.Namespace, test_fraction: float) -> Samples:
    """Read the table that the options name."""
    settings = {name: getattr(options, name) for name in TABLE}
    with explaining(f"cannot read {options.file}"):
        return read_samples(options.file, options.target, test_fraction, options.seed, **settings)


def require_others(path: Path, *read: Path) -> None:
    """Refuse to replace a file that the command reads."""
    for one in read:
        if path.exists() and one.exists() and path.samefile(one):
            raise CommandError(f"{path} is read, and must not be replaced; name another file")


def left_out(samples: Samples) -> str:
    """Say how many rows --missing drop has left out, in a line; no line if none."""
    n, kept = samples.left_out, len(samples.y_train) + len(samples.y_test)
    return f"{n} of {n + kept} rows have missing cells and are left out\n" if n else ""


# ---------------------------------------------------------------------------------- text tables


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 0) -> str:
    """Lay out rows of text in columns."""
    lines = [list(header), *map(list, rows)] if header else list(map(list, rows))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    if header:
        lines.insert(1, ["-" * width for width in widths])

    def laid_out(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(padded).rstrip()

    return "\n".join(map(laid_out, lines))


def number(value: float) -> str:
    """Show four significant digits, with an exponent where that is shorter: ``1.234e-09``."""
    return f"{value:.4g}"


def percent(value: float) -> str:
    """Show a fraction as a percentage with three significant digits: ``6.02 %``, ``112 %``."""
    return f"{100 * value:.3g} %"


# ---------------------------------------------------------------------------------------- files


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file; numbers that JSON cannot express (NaN, infinity) become null."""
    text = json.dumps(_finite(content), indent=2, ensure_ascii=False, allow_nan=False)
    # A file name that is not UTF-8 gives surrogates, whose escapes are those of JSON.
    write_text(path, text + "\n", errors="backslashreplace")


def write_rows(path: Path, names: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write a CSV file, floats with all their digits, empty cells for what is unknown."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([names, *rows])


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        return _finite(value.tolist())
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value


# ---------------------------------------------------------------------- the folder of the results


def require_folder(folder: Path) -> None:
    """Create the folder if it is missing, and try that files can be written there."""
    with explaining(f"cannot write to the folder {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / "asymfast.probe") as temporary:
            temporary.touch()
        (folder / "asymfast.probe").unlink()


CHECKPOINT = "unfinished.checkpoint"
_STARTED = "unfinished.json"  # what run it is; both are removed when the results are written
# Settings that do not change the results, or whose effect on them is compared elsewhere.
_NOT_COMPARED = {"command", "execute", "out", "overwrite", "no_figure", "threads"}


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """The options that a run depends on, JSON-able."""
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(options).items()
        if name not in _NOT_COMPARED
    }


def finished(folder: Path) -> None:
    """Forget that the run in a folder is unfinished: its results are written."""
    for name in (CHECKPOINT, _STARTED):
        (folder / name).unlink(missing_ok=True)


@contextmanager
def results_folder(
    options: argparse.Namespace, default: str, files: Sequence[str]
) -> Iterator[Path]:
    """Take a folder for the results of a run; it never replaces those of another one unasked."""
    run = {**settings_of(options), "sha256": options.file and sha256(options.file)}
    name = path = options.out or Path(default)
    taken = first = _taken(name, run, files, overwrite=options.overwrite)
    number = 1
    while taken:
        if options.out is not None:
            raise CommandError(
                f"{name} {taken}; replace it by --overwrite, or name another folder by --out"
            )
        number += 1
        path = name.with_name(f"{name.name}-{number}")
        taken = _taken(path, run, files, overwrite=False)
    if first:
        print(f"{name} {first}: this run goes to {path}", flush=True)
    if (path / CHECKPOINT).exists():
        print(f"resuming from {path / CHECKPOINT}", flush=True)
    try:
        yield path
    finally:
        if not any((path / file).exists() for file in (*files, CHECKPOINT)):
            (path / _STARTED).unlink(missing_ok=True)


def _taken(path: Path, run: Mapping[str, Any], files: Sequence[str], *, overwrite: bool) -> str:
    """Take a folder for a run; if another run has it, say which, as in "holds ..."."""
    started = path / _STARTED
    with explaining(f"cannot write to the folder {path}"):
        path.mkdir(parents=True, exist_ok=True)
        if overwrite:
            finished(path)
        elif not started.exists():
            found = [name for name in (*files, CHECKPOINT) if (path / name).exists()]
            if found:
                return f"holds the results of another run ({', '.join(found)})"
        try:
            with started.open("x", encoding="utf-8") as file:
                json.dump(run, file, indent=2)
        except FileExistsError:
            return _difference(started, run)
    return ""


def _difference(started: Path, run: Mapping[str, Any]) -> str:
    try:
        before = dict(json.loads(started.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        return "holds an unfinished run"
    found = difference(before, json.loads(json.dumps(run)))
    found = "the content of the file" if found.startswith("sha256") else found
    return found and f"holds an unfinished run, which differs in {found}"
