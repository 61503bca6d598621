"""What the commands share in reading their arguments: numbers in a range, common options."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from asymfast._check import LARGEST
from asymfast._device import MOST_THREADS


class Parser(argparse.ArgumentParser):
    """An argument parser that answers a mistake with one sentence instead of the usage text."""

    def __init__(self, **options: Any) -> None:
        # An abbreviated option would change its meaning when a later release adds another.
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Print ``asymfast train: <message>`` and leave with exit code 2."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def real(
    low: float, high: float = math.inf, *, low_open: bool = False, high_open: bool = False
) -> Callable[[str], float]:
    """Make a reader of finite real numbers in the interval from ``low`` to ``high``.

    Parameters
    ----------
    low, high : float
        Ends of the interval; an infinite ``high`` means no upper end.
    low_open, high_open : bool
        The end itself is not allowed.

    Returns
    -------
    callable
        Takes text and returns a float, or raises `argparse.ArgumentTypeError` with the interval
        and the text in its message.
    """
    if math.isinf(high):
        rule = f"> {low:g}" if low_open else f">= {low:g}"
    else:
        rule = f"in {'(' if low_open else '['}{low:g}, {high:g}{')' if high_open else ']'}"

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        above = value > low if low_open else value >= low
        below = value < high if high_open else value <= high
        if not (above and below and math.isfinite(value)):
            raise argparse.ArgumentTypeError(f"must be a number {rule}, got {text}")
        return value

    return read


def whole(low: int, high: int = LARGEST) -> Callable[[str], int]:
    """Make a reader of whole numbers from ``low`` to ``high``.

    Parameters
    ----------
    low, high : int
        Smallest and largest number allowed.

    Returns
    -------
    callable
        Takes text (``50_000`` is fine) and returns an int, or raises
        `argparse.ArgumentTypeError` with the rule and the text in its message.
    """

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low:
            raise argparse.ArgumentTypeError(f"must be a whole number >= {low}, got {text}")
        if value > high:
            raise argparse.ArgumentTypeError(f"must be at most {high}, got {text}")
        return value

    return read


def run_options(parser: argparse.ArgumentParser, *, out: str) -> None:
    """Add the options that every training command has.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of the command.
    out : str
        Where results go by default, as the help text shows it.
    """
    option = parser.add_argument
    option("--threads", type=whole(1, MOST_THREADS), metavar="N", help="(all cores)")
    option("--device", choices=("cpu", "cuda"), default="cpu", help="what trains (cpu)")
    option("--dtype", choices=("float64", "float32"), default="float64", help="precision (float64)")
    option("--out", type=Path, metavar="DIR", help=f"folder for the results ({out})")
    option("--no-figure", action="store_true", help="draw no figure; needs no matplotlib")
