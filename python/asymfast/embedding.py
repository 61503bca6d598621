"""Where an installed copy keeps what other programs are built with: headers, libraries, CMake."""

from __future__ import annotations

from pathlib import Path

from . import _core


def cmake_dir() -> Path:
    """Folder of the CMake package, for ``cmake -Dasymfast_DIR=...``.

    Raises
    ------
    FileNotFoundError
        This copy was not installed by pip: it has the extension module alone.
    """
    return _installed("lib/cmake/asymfast")


def include_dir() -> Path:
    """Folder of the headers: ``#include <asymfast/asymfast.h>``, or ``asymfast.hpp`` in C++17.

    Raises
    ------
    FileNotFoundError
        As for `cmake_dir`.
    """
    return _installed("include")


def library() -> Path:
    """The shared library with the C interface, for languages that load libraries by name.

    Raises
    ------
    FileNotFoundError
        As for `cmake_dir`.
    """
    names = ("libasymfast.so", "libasymfast.dylib", "asymfast.dll")
    found = [path for path in (_installed("lib") / name for name in names) if path.exists()]
    if not found:
        raise FileNotFoundError(f"no {' or '.join(names)} in {_installed('lib')}")
    return found[0]


def _installed(name: str) -> Path:
    # Beside the compiled core: an editable install keeps that, and these, apart from the sources.
    path = Path(_core.__file__).resolve().parent / name
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist: headers and libraries come with `pip install`, not with a "
            "checkout"
        )
    return path
