"""The command ``asymfast``: train on a CSV file, predict, export a model, certify a run, repeat the
paper, sweep a grid, measure speed, describe the build.

Exit codes: 0 when everything was done; 1 when the work began but did not all succeed; 2 when the
request could not be carried out (the sentence on stderr says why); 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from importlib import metadata
from typing import Any

import numpy as np

import asymfast as af
from asymfast import _build
from asymfast.cli import _common as common
from asymfast.cli import bench, certify, study, train

# Extra by extra, what each installs: pip install 'asymfast[plot]'.
_EXTRAS = {
    "plot": "matplotlib",
    "data": "pandas pooch openpyxl xlrd",
    "theory": "scipy",
    "sklearn": "scikit-learn",
    "sweep": "joblib dask distributed filelock jinja2 msgspec pandas tqdm xarray",
    "mpi": "mpi4py",
    "torch": "torch",
    "onnx": "onnx",
}


# Option, what it prints, and how help describes it.
_LOCATIONS: dict[str, tuple[Callable[[], str], str]] = {
    "--cmakedir": (lambda: str(_build.cmake_dir()), "print the folder of the CMake package"),
    "--includes": (lambda: f"-I{_build.include_dir()}", "print the compiler's option"),
    "--library": (lambda: str(_build.library()), "print the path of the shared library"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line, with the arguments after the program's name; return the exit code.

    Nothing is raised for a mistake of the user: one sentence goes to stderr.
    """
    with _streams():
        try:
            parser = _parser()
            parser.require_known_start(sys.argv[1:] if argv is None else argv)
            options, unknown = parser.parse_known_args(argv)
            if unknown:
                options.parser.unknown(unknown)
        except SystemExit as leaving:  # --help, --version or a mistake, which argparse reports
            return int(leaving.code or 0)
        vars(options).pop("options_seen", None)
        del options.parser
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _warn
                code: int = options.execute(options)
            sys.stdout.flush()
        except common.CommandError as stopped:
            return _fail(options.command, str(stopped), stopped.exit_code)
        except MemoryError as shortage:
            return _fail(options.command, f"not enough memory: {shortage}", common.INCOMPLETE)
        except KeyboardInterrupt:
            return _fail(options.command, "interrupted", common.INTERRUPTED)
        except BrokenPipeError:
            # The reader of our output has gone (`| head`). The interpreter flushes stdout once
            # more on its way out; give it somewhere to write.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return common.INCOMPLETE
        except OSError as refused:  # a full disk, at the end of a run
            what = ""
            if refused.errno is not None:  # None: of a library, such as a time-out of Dask
                what = f"cannot write {'the results' if refused.filename else 'to stdout'}: "
            return _fail(options.command, f"{what}{refused}", common.INCOMPLETE)
        except (ValueError, ImportError, RuntimeError, OverflowError) as refused:
            message = str(refused).removeprefix(f"{options.command}: ").removeprefix("asymfast: ")
            return _fail(options.command, message, common.BAD_INPUT)
        return code


@contextmanager
def _streams() -> Iterator[None]:
    """Escape what stdout and stderr cannot show, and let closed ones swallow what is printed."""

    def restore(stream: io.TextIOWrapper, errors: str | None) -> None:
        if not stream.closed:
            stream.reconfigure(errors=errors)

    with ExitStack() as stack:
        for stream, redirect in ((sys.stdout, redirect_stdout), (sys.stderr, redirect_stderr)):
            if stream is None:
                nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
                stack.enter_context(redirect(nowhere))
            elif isinstance(stream, io.TextIOWrapper):
                stack.callback(restore, stream, stream.errors)
                stream.reconfigure(errors="backslashreplace")
        yield


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    """Show a warning as a sentence, without the line of code that gave it."""
    print(f"note: {message}", file=sys.stderr)


def _fail(command: str, message: str, code: int) -> int:
    print(f"asymfast {command}: {message}", file=sys.stderr)
    return code


def _parser() -> common.Parser:
    parser = common.Parser(
        prog="asymfast",
        description="Shallow neural networks with asymmetrical node scaling.",
        epilog="Exit codes: 0 everything was done; 1 the work began but did not all succeed; 2 the "
        "request could not be carried out, stderr says why; 130 after Ctrl-C.",
    )
    parser.add_argument("--version", action="version", version=f"asymfast {af.__version__}")
    for option, (_, description) in _LOCATIONS.items():
        parser.add_argument(option, action=_Print, help=f"{description} and exit")
    commands = parser.add_subparsers(
        dest="command",
        required=True,
        metavar="{train,predict,export,certify,paper,sweep,bench,info}",
    )
    for module in (train, certify, study, bench):
        module.register(commands)
    common.command(commands, info).epilog = None  # it has no options
    return parser


class _Print(argparse.Action):
    def __init__(self, option_strings: list[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **options)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        _namespace: argparse.Namespace,
        _values: Any,
        option: str | None = None,
    ) -> None:
        assert option is not None
        try:
            print(_LOCATIONS[option][0]())
        except FileNotFoundError as missing:
            parser.exit(2, f"{parser.prog}: {missing}\n")
        parser.exit(0)


def info(_options: argparse.Namespace) -> int:
    """Show version, compiler, instruction set, threads and extras."""
    rows = [[name, _shown(value)] for name, value in af.build_config().items()]
    rows += [["python", platform.python_version()], ["numpy", np.__version__]]
    rows += [[f"extra: {extra}", _extra(extra, names)] for extra, names in _EXTRAS.items()]
    print(common.text_table([], rows, left=2))
    return 0


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value)


def _extra(extra: str, packages: str) -> str:
    found = {name: _version(name) for name in packages.split()}
    shown = ", ".join(f"{name} {version or 'missing'}" for name, version in found.items())
    complete = all(found.values())
    return shown if complete else f"{shown}; install with: pip install 'asymfast[{extra}]'"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
