"""``asymfast train``, ``predict`` and ``export``: from a table to a trained network and its use."""

from __future__ import annotations

import argparse
import csv
import math
import re
import sys
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

import asymfast as af
from asymfast import _export, plot
from asymfast._model import Model, load_model
from asymfast._run_loop import ProgressBar, duration
from asymfast._storage import file_to_write, is_special
from asymfast.cli import _common as common
from asymfast.cli._common import CommandError, Outcome, fraction, natural, number, share
from asymfast.datasets.tables import Columns, Floats, Samples, listed, read_csv, read_header
from asymfast.scaling import node_scaling_name

# The NTG of n samples takes n^2 memory, and n^3 time for its eigenvalue, at every record.
_NTG_SAMPLES = 500
_ROWS_ON_SCREEN = 11
_NUMBERS = ("run.npz", "model.npz", "results.csv", "summary.json")
_FIGURES = ("figure.png", "figure.pdf")


def register(commands: Any) -> None:
    """Add the commands and their options to the subparsers of ``asymfast``."""
    parser = common.command(commands, train)
    option, path = parser.option, common.some_path
    option("file", path, "FILE.csv", "the table to learn from")
    parser.columns("--target", "what to learn from the other columns", required=True)
    common.table_options(parser)
    parser.flag("--bias", "add an input that is always 1")
    option(
        "--loss", ("mse", "half_sse"), None, "mean of the squared errors, or half their sum", "mse"
    )
    text = "single steps, leaps over many with a controlled error, or the cheaper one (step)"
    option("--method", ("step", "leap", "auto"), None, text)
    option("--rtol", fraction, "R", "relative error allowed in the flow or in leaps (1e-6)")
    option("--test-fraction", share, "P", "share of the rows kept for the test", 0.2)
    option("--ntg-on", natural, "N", "rows to measure the NTG on (at most 500); 0: no NTG")
    common.run_options(parser, out="asymfast-FILE", seed="the split and the network")

    parser = common.command(commands, predict)
    option = parser.option
    option("model", path, "MODEL", "model.npz, or the folder that has it")
    option("file", path, "NEW.csv", "a table with the inputs of the model")
    option(*common.DECIMAL)
    option(*common.THREADS_OF_ALL)
    option("--out", path, "FILE.csv", "file to write the predictions to (the screen)")
    parser.flag("--overwrite", "replace the file of --out")

    parser = common.command(commands, export)
    option = parser.option
    option("model", path, "MODEL", "model.npz, its folder, or run.npz")
    option("--c", path, "FILE.h", "write a C header with a function to call")
    option("--onnx", path, "FILE.onnx", "write an ONNX file; needs the extra onnx")
    option("--numpy", path, "FILE.py", "write a Python module with a function predict(X)")
    text = "precision of the weights (that of the model)"
    option("--dtype", ("float64", "float32"), None, text)
    parser.flag("--overwrite", "replace files that exist")


def train(options: argparse.Namespace) -> int:
    """Train on a CSV file.

    The file has a header line, then numbers. Written are run.npz, model.npz, results.csv,
    summary.json and a figure; `asymfast predict` applies the model to new rows. Inputs and targets
    are standardised by the mean and the standard deviation of the training rows. After Ctrl-C or a
    kill, the same command resumes from a checkpoint in the folder of results, which is written
    every minute.
    """
    _check(options)
    with ProgressBar(f"reading {options.file.name}") as bar:
        bar(0.0, None)
        if not options.no_figure:
            common.require_figures()
        samples = common.samples_of(options, options.test_fraction)
    _require_moderate(samples, np.dtype(options.dtype))
    work = _Training(options, samples)
    files = (*_NUMBERS, *_FIGURES)
    with common.results_folder(options, f"asymfast-{options.file.stem}", files) as folder:
        work.announce()
        started = time.monotonic()
        outcome = work.train(folder / common.CHECKPOINT)
        seconds = time.monotonic() - started
        written = work.write(folder, outcome, seconds)
        if outcome.exit_code != common.INTERRUPTED:
            common.finished(folder)
        work.report(outcome.run)
        print(f"{duration(seconds)} of training; ", end="")
        draw = lambda: work.draw(folder, outcome.run)  # noqa: E731
        common.conclude(options, outcome, folder, written, draw)
    print(f"to predict the targets of new rows: asymfast predict {folder} NEW.csv")
    return 0


def _check(options: argparse.Namespace) -> None:
    """Refuse options that contradict each other, and fill in what depends on other options."""
    if options.method is not None and options.flow:
        raise CommandError("--method is for gradient descent, not for --flow")
    leaps = options.method in ("leap", "auto")
    if options.rtol is not None and not (options.flow or leaps):
        raise CommandError("--rtol needs --flow, or --method leap or auto")
    if options.rtol is None and (options.flow or leaps):
        options.rtol = 1e-6
    common.complete(options)


def _require_moderate(samples: Samples, dtype: np.dtype[Any]) -> None:
    """Refuse rows whose squared outputs, and so the loss, may exceed the range of the numbers."""
    limit = math.sqrt(float(np.finfo(dtype).max)) / 1e6
    columns = samples.columns
    parts = {
        "test": (samples.X_test, samples.y_test),
        "training": (samples.X_train, samples.y_train),
    }
    for part, (X, y) in parts.items():
        values = np.c_[X, y.reshape(len(X), len(columns.targets))]
        bad = np.argwhere(np.abs(values) > limit)
        if len(bad):
            row, column = bad[0]
            name = (*columns.names, *columns.targets)[column]
            raise CommandError(
                f"column {name!r} has a value in a {part} row that is {values[row, column]:.2g} "
                f"standard deviations from the mean of the training rows: too far to compute a "
                f"loss in {dtype}; correct or remove that row"
            )


class _Training:
    """A network at its start, and the samples of a table that it is trained on."""

    def __init__(self, options: argparse.Namespace, samples: Samples) -> None:
        self.options, self.samples, self.columns = options, samples, samples.columns
        d, k = samples.X_train.shape[1], len(self.columns.targets)
        self.network = common.network_of(options, d, options.seed, outputs=k, bias=options.bias)
        wanted = _NTG_SAMPLES if options.ntg_on is None else options.ntg_on
        self.watched = min(wanted, len(samples.y_train))  # samples that the NTG is measured on

    @cached_property
    def ntg_norm(self) -> float | None:
        """Frobenius norm of the recorded NTG before training; None without an NTG."""
        if not self.watched:
            return None
        X = self.samples.X_train[: self.watched].astype(self.options.dtype)
        return float(np.linalg.norm(self.network.ntg(X, threads=self.options.threads)))

    def announce(self) -> None:
        """Print what is trained on what."""
        options, samples, columns = self.options, self.samples, self.columns
        train, test = len(samples.y_train), len(samples.y_test)
        names, k = (*columns.names, *(["(ones)"] if options.bias else [])), len(columns.targets)
        print(
            f"{options.file.name}: {train} training and {test} test rows, {len(names)} inputs, "
            f"target{'s' if k > 1 else ''} {', '.join(columns.targets)}"
        )
        print(f"{common.left_out(samples)}inputs: {listed(names)}")
        if constant := samples.constant_columns:
            print(f"inputs without effect, constant in training: {listed(constant)}")
        for name in samples.nearly_targets:
            print(
                f"the input {name} is nearly a target (correlation above 0.95); if it is not known "
                f"when predicting, leave it out: --drop {name!r}"
            )
        common.announce(options, f"{options.loss} of the standardised target{'s' if k > 1 else ''}")
        watched = self.watched
        if watched < train:
            part = f"from the first {watched} of {train} training samples"
            part = part if watched else "not recorded"
            print(f"NTG and its smallest eigenvalue: {part} (--ntg-on)")
        repeated = watched - len(np.unique(samples.X_train[:watched], axis=0))
        if repeated:
            print(
                f"{repeated} of the rows in the NTG repeat the inputs of another: "
                "its smallest eigenvalue is 0 up to rounding"
            )
        sys.stdout.flush()  # training may take long; a reader behind a pipe sees what was asked for

    def train(self, checkpoint: Path) -> Outcome:
        """Train as the options say."""
        options, samples, watched = self.options, self.samples, self.watched
        tested = len(samples.y_test) > 0
        named = {name: getattr(options, name) for name in ("rtol", "method")}
        record = af.Record(
            every=options.record_every, ntg=watched > 0, ntg_on=watched or None, eigmin=watched > 0
        )
        X, y = (part.astype(options.dtype) for part in (samples.X_train, samples.y_train))
        return common.trained(
            options,
            self.network,
            X,
            y,
            loss=options.loss,
            record=record,
            X_test=samples.X_test.astype(options.dtype) if tested else None,
            y_test=samples.y_test.astype(options.dtype) if tested else None,
            checkpoint=checkpoint,
            **{name: value for name, value in named.items() if value is not None},
        )

    def write(self, folder: Path, outcome: Outcome, seconds: float) -> list[str]:
        """Write all numbers and return the names of the files."""
        run = outcome.run
        # The picture or the model of an earlier run in the same folder would pass for this run's.
        for name in ("model.npz", *_FIGURES):
            (folder / name).unlink(missing_ok=True)
        run.save(folder / "run.npz")
        if not run.diverged:
            settings = common.settings_of(self.options)
            about = {"settings": settings, "seed": self.options.seed, **run.config}
            Model(run.network, self.columns, about).save(folder / "model.npz")
        record = self.record(run)
        common.write_rows(folder / "results.csv", list(record), zip(*record.values(), strict=True))
        about = {"ending": outcome.message or "finished", "seconds": seconds, **self.summary(run)}
        common.write_json(folder / "summary.json", about)
        return [name for name in _NUMBERS if (folder / name).exists()]

    def draw(self, folder: Path, run: af.Run) -> tuple[Path, ...]:
        """Draw the figure and return its files."""
        options = self.options
        against: Literal["step", "time"] = "time" if options.flow else "step"
        name = node_scaling_name(options.gamma, options.alpha, symbols=True)
        shown = f"{options.file.name}, {', '.join(self.columns.targets)}"
        shown = shown.encode("utf-8", "backslashreplace").decode().replace("$", r"\$")
        figure = plot.training_figure({name: run}, against=against, title=f"{shown}; {name}")
        return plot.save(figure, folder / "figure")

    def record(self, run: af.Run) -> dict[str, list[Any]]:
        """The record by columns; None stands for what was not recorded."""
        change, norm = run.ntg_change, self.ntg_norm
        columns = {
            "step": run.steps,
            "time": run.time,
            "loss": run.loss,
            "test_loss": run.test_loss,
            "weight_change_max": run.weight_change.max(axis=1),
            "weight_change_mean": run.weight_change.mean(axis=1),
            "ntg_change": change,
            "ntg_change_relative": change / norm if change is not None and norm else None,
            "ntg_eigmin": run.ntg_eigmin,
        }
        T = len(run.steps)
        return {name: [None] * T if of is None else of.tolist() for name, of in columns.items()}

    def report(self, run: af.Run) -> None:
        """Print the record and the errors."""
        print(f"\n{_table(self.record(run))}\n")
        if self.ntg_norm is not None and run.ntg_eigmin is not None:
            dtype = self.options.dtype
            rounding = float(np.finfo(dtype).eps) * self.ntg_norm
            if np.nanmin(run.ntg_eigmin) < rounding:
                print(f"an eigenvalue below {rounding:.0e}, the rounding of {dtype}, may be zero")
        trained, tested = self.root_mean_squares(run)
        for k, target in enumerate(self.columns.targets):
            errors = f"training {number(trained[k])}"
            errors += "" if tested is None else f", test {number(tested[k])}"
            print(f"root mean squared error in the units of {target}: {errors}")

    def summary(self, run: af.Run) -> dict[str, Any]:
        """Describe a run so that it can be repeated."""

        def described(names: Any, means: Any, scales: Any) -> list[dict[str, Any]]:
            each = zip(names, means, scales, strict=True)
            return [{"column": name, "mean": mean, "scale": scale} for name, mean, scale in each]

        trained, tested = self.root_mean_squares(run)
        samples, columns = self.samples, self.columns
        targets = described(columns.targets, columns.target_mean, columns.target_scale)
        several = len(targets) > 1
        return {
            "settings": common.settings_of(self.options),
            "data": {
                "file": str(self.options.file),
                "training_rows": len(samples.y_train),
                "test_rows": len(samples.y_test),
                "rows_left_out": samples.left_out,
                "split": "the test rows come first in default_rng([seed, 1]).permutation(rows)",
                "inputs": described(columns.names, columns.input_mean, columns.input_scale),
                "target": targets if several else targets[0],
                "categories": columns.categories,
                "prediction": "asymfast predict, or asymfast.load_model(folder).predict(table); "
                "target = mean + scale * run.network((inputs - mean) / scale)",
            },
            "ntg_initial_norm": self.ntg_norm,
            "final": {
                **{name: values[-1] for name, values in self.record(run).items()},
                "training_rmse_in_target_units": trained if several else trained[0],
                "test_rmse_in_target_units": tested if several or tested is None else tested[0],
            },
            "run": run.config,
            "build": af.build_config(),
        }

    def root_mean_squares(self, run: af.Run) -> tuple[list[float], list[float] | None]:
        """Errors of the final network in the units of every target, on training and test rows."""
        samples, scale = self.samples, self.columns.target_scale

        def errors(X: Floats, y: Floats, value: float) -> list[float]:
            if len(scale) == 1:
                mean_square = value if self.options.loss == "mse" else 2.0 * value / len(y)
                return [float(scale[0]) * math.sqrt(mean_square)]
            dtype = run.network.dtype
            difference = run.network(X.astype(dtype)).astype(np.float64) - y
            return [float(one) for one in scale * np.sqrt(np.mean(difference**2, axis=0))]

        trained = errors(samples.X_train, samples.y_train, float(run.loss[-1]))
        if run.test_loss is None:
            return trained, None
        return trained, errors(samples.X_test, samples.y_test, float(run.test_loss[-1]))


# Columns on the screen: title and how a number is written.
_SHOWN: dict[str, tuple[str, Callable[[Any], str]]] = {
    "step": ("step", str),
    "time": ("time", number),
    "loss": ("loss", number),
    "test_loss": ("test loss", number),
    "weight_change_max": ("weight change", number),
    "ntg_change_relative": ("NTG change", common.percent),
    "ntg_eigmin": ("smallest eigenvalue", number),
}


def _table(columns: dict[str, list[Any]]) -> str:
    """Lay out about a dozen records, evenly spaced over the run, as a table for people."""
    last = len(columns["step"]) - 1
    places = sorted({round(i) for i in np.linspace(0, last, _ROWS_ON_SCREEN)})
    shown = [name for name in _SHOWN if columns[name][0] is not None]
    rows = [[_SHOWN[name][1](columns[name][t]) for name in shown] for t in places]
    return common.text_table([_SHOWN[name][0] for name in shown], rows)


# ------------------------------------------------------------------------------------- predict


# Advice that only `train` can follow.
_OF_TRAIN = re.compile(r"; (missing='drop' |if the column holds ).*|; --drop leaves [^)]*")


def predict(options: argparse.Namespace) -> int:
    """Apply a trained model to new rows.

    The targets of the rows of a CSV file are predicted by a model of `asymfast train`, in the units
    of the targets. Columns are found by their names; others are ignored.
    """
    common.require_device("cpu")
    out = options.out
    if out is not None:
        common.require_others(out, options.file, options.model, options.model / "model.npz")
        if out.exists() and not options.overwrite:
            raise CommandError(f"{out} exists; --overwrite replaces it")
        if not out.parent.is_dir() or (out.exists() and not out.is_file()):
            raise CommandError(f"--out must be a file in a folder that exists, got {out}")
    try:
        model = load_model(options.model)
        columns = model.columns
        given = read_header(options.file)
        unused = [name for name in given if name not in columns.inputs]
        if len(unused) == len(given):
            inputs, names = listed(columns.inputs), listed(given)
            raise CommandError(f"{options.file} has none of the columns {inputs}; it has {names}")
        text = [name for name in columns.categories if name in given]
        table = read_csv(options.file, decimal=options.decimal, text=text, drop=unused)
        for note in columns.notes(given):
            print(f"{options.file.name}: {note}", file=sys.stderr)
        predicted = model.predict(table, threads=options.threads)
    except OSError as refused:
        raise CommandError(
            f"cannot read {refused.filename or options.file}: {refused.strerror or refused}"
        ) from refused
    except (ValueError, OverflowError) as wrong:
        raise CommandError(_OF_TRAIN.sub("", str(wrong))) from wrong
    rows = predicted.reshape(len(predicted), -1).tolist()
    if out is None:
        csv.writer(sys.stdout, lineterminator="\n").writerows([columns.targets, *rows])
        return 0
    common.write_rows(out, columns.targets, rows)
    print(f"{len(predicted)} predictions of {', '.join(columns.targets)} written to {out}")
    return 0


# -------------------------------------------------------------------------------------- export


def export(options: argparse.Namespace) -> int:
    """Write a trained model for other programs.

    A model of `asymfast train`, or the network of a run.npz, becomes a header of C99, a file of
    ONNX or a module of NumPy alone. A model takes rows in the units of the table, columns in the
    order of training, categories as numbers; the file says which.
    """
    wanted = {
        path: write
        for path, write in (
            (options.onnx, _export.write_onnx),  # first: it may be missing
            (options.c, _export.write_c),
            (options.numpy, _export.write_numpy),
        )
        if path is not None
    }
    if not wanted:
        raise CommandError("needs at least one of --c, --onnx, --numpy")
    named = [path for path in (options.c, options.onnx, options.numpy) if path is not None]
    if len({path.resolve() for path in named}) < len(named):
        raise CommandError("--c, --onnx and --numpy must name different files")
    try:
        for path in wanted:
            common.require_others(path, options.model, options.model / "model.npz")
            if path.exists() and not options.overwrite:
                raise CommandError(f"{path} exists; --overwrite replaces it")
            if is_special(path):
                raise CommandError(f"{path} is not a regular file")
            file_to_write("export", "path", path)
        network, columns = _exported(options.model)
        dtype = np.dtype(options.dtype or network.dtype)
        layers = _export.Layers.from_network("export", network).astype(dtype)
        for path, write in wanted.items():
            write(layers, path, columns, "export")
    except OSError as refused:
        raise CommandError(f"{refused.filename or options.model}: {refused.strerror}") from refused
    print(f"written: {', '.join(map(str, wanted))}")
    return 0


def _exported(path: Path) -> tuple[af.Network, Columns | None]:
    """Return a network, and the columns of its table if it has one."""
    try:
        model = load_model(path)
        return model.network, model.columns
    except ValueError as neither:
        if not path.is_file():
            raise
        try:
            return af.Run.load(path).network, None
        except ValueError:
            raise neither from None
