"""Files that are either complete or absent."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
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
    # Other threads, and other hosts' processes of the same number, may be at the same file.
    temporary = path.with_name(f".{path.stem}-{os.urandom(8).hex()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_durably(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Replace a file, at once, when all is safely on the disk: not even a power cut leaves half.

    Raises
    ------
    OSError
        Disk full, folder not writable ...; the file is then what it was.
    """
    temporary = path.with_name(f".{path.name}-{os.getpid()}.tmp")
    try:
        with temporary.open("wb", buffering=0) as file:
            for part in parts:
                data = memoryview(part)
                while data:
                    data = data[os.write(file.fileno(), data) :]
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder as durable as its files."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(path: Path) -> None:
    """Remove what killed processes left of their `write_durably` to a path."""
    before, after = f".{path.name}-", ".tmp"
    for left in path.parent.iterdir():
        if left.name.startswith(before) and left.name.endswith(after):
            owner = left.name[len(before) : -len(after)]
            if owner.isdecimal() and not _runs(int(owner)):
                left.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
