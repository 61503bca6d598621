"""Downloading the originals into the user's cache: verified first, then put in place at once."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from asymfast._storage import replacing
from asymfast.datasets import mnist_files, sources, tables
from asymfast.datasets.csv import format_csv
from asymfast.datasets.extras import data_extra
from asymfast.datasets.idx import idx_header, read_idx
from asymfast.datasets.originals import extract, read_original
from asymfast.datasets.sources import Source

_TIMEOUT = 30  # seconds without an answer or without data


def cache_folder() -> Path:
    """The user's cache folder for asymfast, as the operating system has it; it may not exist yet.

    Raises
    ------
    ImportError
        The extra ``data`` is not installed.
    """
    return Path(data_extra("pooch").os_cache("asymfast"))


def fetch(
    file: str, path: Path, *, registry: Mapping[str, tuple[Source, ...]] | None = None
) -> None:
    """Download the original of a file, convert it, verify it, and put it in place.

    Parameters
    ----------
    file : str
        A key of `asymfast.datasets.sources.SOURCES`.
    path : pathlib.Path
        The CSV or idx file to create; folders are created as needed.
    registry : mapping, optional
        Other sources than `asymfast.datasets.sources.SOURCES`.

    Raises
    ------
    ConnectionError
        No source could be reached.
    ImportError
        The extra ``data`` is not installed.
    OSError
        The file cannot be written.
    ValueError
        A source was reached, but what it has is not the original. The message names every source
        with its reason.

    Notes
    -----
    Sources are tried in turn. What arrives is judged by the SHA-256 of its values alone, which is
    pinned in this package, so neither the connection nor the mirror needs to be trusted. The file
    appears complete and synchronised to disk, or not at all.
    """
    registry = sources.SOURCES if registry is None else registry
    failures: list[tuple[Source, Exception]] = []
    for source in registry[file]:
        try:
            content, sha256 = _original(file, source)
        except (OSError, ValueError) as error:
            failures.append((source, error))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            _place(path, content, sha256)
            return
    reasons = "; ".join(f"{source.url}: {error}" for source, error in failures)
    unreachable = all(isinstance(error, OSError) for _, error in failures)
    raise (ConnectionError if unreachable else ValueError)(
        f"load: {file} could not be downloaded ({reasons}); "
        "a folder that has it can be given as data_dir or in ASYMFAST_DATA"
    )


def _original(file: str, source: Source) -> tuple[bytes, str]:
    """Content of the verified file in the library's own format, and its SHA-256."""
    with tempfile.TemporaryDirectory(prefix="asymfast-") as scratch:
        path = Path(scratch, "download")
        data_extra("pooch").HTTPDownloader(timeout=_TIMEOUT)(source.url, str(path), None)
        if source.member is not None:
            archive, path = path, Path(scratch, "member")
            extract(archive, source.member, path)
        return _table(file, path) if file.endswith(".csv") else _idx(file, path)


def _table(file: str, path: Path) -> tuple[bytes, str]:
    name, facts = next((name, facts) for name, facts in tables.TABLES.items() if facts.file == file)
    table = read_original(name, path, facts.columns)
    tables.verify(facts, table, "the download")
    return format_csv(table).encode(), facts.file_sha256


def _idx(file: str, path: Path) -> tuple[bytes, str]:
    facts = next(facts for facts in mnist_files.MNIST.values() if facts.file == file)
    array = read_idx(path)
    mnist_files.verify(facts, array, "the download")
    return idx_header(array.shape) + array.tobytes(), facts.file_sha256


def _place(path: Path, content: bytes, sha256: str) -> None:
    """Write, synchronise, read back, and only then rename."""
    with replacing(path) as temporary:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if hashlib.sha256(temporary.read_bytes()).hexdigest() != sha256:
            raise OSError(f"load: {path} could not be written correctly")
