"""Files that are either complete or absent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, and move it onto ``path`` once the block has succeeded.

    Parameters
    ----------
    path : pathlib.Path
        The file to create or replace; its folder must exist.

    Yields
    ------
    pathlib.Path
        A path in the same folder with the same ending, so that the final rename never crosses a
        file system and writers that look at the ending (``numpy.savez``) leave it alone.

    Raises
    ------
    OSError
        The folder cannot be written to.

    Notes
    -----
    When the block raises, ``path`` is untouched and nothing is left behind. A reader therefore
    never meets half a file, whatever interrupts the writer.
    """
    temporary = path.with_name(f".{path.stem}-{os.getpid()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
