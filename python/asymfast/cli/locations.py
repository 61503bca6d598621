"""``asymfast --cmakedir``, ``--includes`` and ``--library``: what builds of other programs ask."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from asymfast import _build

# Option, what it prints, and how help describes it.
_LOCATIONS: dict[str, tuple[Callable[[], str], str]] = {
    "--cmakedir": (lambda: str(_build.cmake_dir()), "print the folder of the CMake package"),
    "--includes": (lambda: f"-I{_build.include_dir()}", "print the compiler's option"),
    "--library": (lambda: str(_build.library()), "print the path of the shared library"),
}


def register(parser: argparse.ArgumentParser) -> None:
    """Add the options to the parser of ``asymfast``; each prints one line and leaves."""
    for option, (_, description) in _LOCATIONS.items():
        parser.add_argument(option, action=_Print, help=f"{description} and exit")


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
