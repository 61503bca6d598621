"""Checks of paths that a user gives, before anything is done with them."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any


def path(fn: str, name: str, value: Any) -> Path:
    """Return a path of text.

    Raises
    ------
    TypeError
        Neither a str nor a path-like object of text.
    ValueError
        Empty, or with a null character.
    """
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str):
        raise TypeError(f"{fn}: {name} must be a path, got {value!r}")
    if not text or "\0" in text:
        raise ValueError(f"{fn}: {name} must be a path, got {text!r}")
    return Path(text)


def file_to_write(fn: str, name: str, value: Any) -> Path:
    """Return the path of a file that can be written, as far as can be known now.

    Raises
    ------
    TypeError, ValueError
        See `path`.
    IsADirectoryError
        It is a folder.
    FileNotFoundError
        Its folder does not exist.
    """
    file = path(fn, name, value)
    if file.is_dir():
        raise IsADirectoryError(errno.EISDIR, f"{fn}: {name} must be a file", str(file))
    if not file.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"{fn}: the folder of {name} must exist", str(file))
    return file
