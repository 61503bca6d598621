"""``asymfast info``: how this copy was built and which optional packages it can use."""

from __future__ import annotations

import argparse
import platform
from importlib import metadata
from typing import Any

import numpy as np

import asymfast as af
from asymfast.cli.table import text_table

# Extra by extra, what each installs: pip install 'asymfast[plot]'.
_EXTRAS = {
    "plot": ("matplotlib",),
    "data": ("pandas", "pooch", "openpyxl", "xlrd"),
    "theory": ("scipy",),
    "sklearn": ("scikit-learn",),
    "sweep": (
        "joblib",
        "dask",
        "distributed",
        "filelock",
        "jinja2",
        "msgspec",
        "pandas",
        "tqdm",
        "xarray",
    ),
    "mpi": ("mpi4py",),
    "torch": ("torch", "torchvision"),
    "onnx": ("torch", "onnx", "onnxscript"),
}


def register(commands: Any) -> None:
    """Add the command to the subparsers of ``asymfast``."""
    parser = commands.add_parser(
        "info", help="show version, compiler, instruction set, threads and extras"
    )
    parser.set_defaults(execute=execute)


def execute(_options: argparse.Namespace) -> int:
    """Print the build configuration and the optional packages, aligned."""
    rows = [[name, _shown(value)] for name, value in af.build_config().items()]
    rows += [["python", platform.python_version()], ["numpy", np.__version__]]
    rows += [[f"extra: {extra}", _extra(extra, names)] for extra, names in _EXTRAS.items()]
    print(text_table([], rows, left=2))
    return 0


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value)


def _extra(extra: str, packages: tuple[str, ...]) -> str:
    found = {name: _version(name) for name in packages}
    shown = ", ".join(f"{name} {version or 'missing'}" for name, version in found.items())
    complete = all(found.values())
    return shown if complete else f"{shown}; install with: pip install 'asymfast[{extra}]'"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
