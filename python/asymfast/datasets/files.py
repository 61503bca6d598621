"""Files of the paper's data sets: what identifies them, where they are, how they are fetched."""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import math
import os
import struct
import tempfile
import tomllib
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asymfast import _storage
from asymfast._optional import require

ENVIRONMENT = "ASYMFAST_DATA"
_TIMEOUT = 30  # seconds without an answer or without data
_LARGEST = 1 << 26  # bytes of an original, unpacked: several times the largest
_UNSIGNED_BYTES = 0x08
_MOST_AXES = 3

Source = tuple[str, str | None]  # address, and the name of the file in it if it is a zip archive


@dataclass(frozen=True)
class Original:
    """What identifies one file of a data set; originals.toml says what the fields are."""

    file: str
    shape: tuple[int, ...]
    sha256: str
    sources: tuple[Source, ...]
    columns: tuple[str, ...] = ()
    targets: int = 0


_ORIGINALS = tomllib.loads(
    (resources.files("asymfast.datasets") / "originals.toml").read_text(encoding="utf-8")
)


def _originals(group: str) -> dict[str, Original]:
    originals = {}
    for name, entry in _ORIGINALS[group].items():
        sources = tuple((url, *member, None)[:2] for url, *member in entry.pop("sources"))
        fields: Any = {key: tuple(v) if isinstance(v, list) else v for key, v in entry.items()}
        originals[name] = Original(sources=sources, **fields)
    return originals


TABLES = _originals("tables")
"""The tables by name."""

MNIST = _originals("mnist")
"""The four files of MNIST."""


def read(original: Original, data_dir: str | Path | None) -> npt.NDArray[Any]:
    """Read one file of a data set and verify it: float64 of a table, uint8 of an idx file.

    It is looked for in the folder given, or else in that of ASYMFAST_DATA; without both, in the
    user's cache, which is filled by a download.
    """
    origin = "data_dir" if data_dir else ENVIRONMENT
    folder = data_dir or os.environ.get(ENVIRONMENT)
    if not folder:
        return _verified(original, fetch(original))
    paths = [Path(folder, original.file)]
    if not original.columns:
        paths.append(Path(folder, original.file + ".gz"))
    for path in paths:
        if path.is_file():
            return _verified(original, path)
    raise FileNotFoundError(
        f"load: {original.file.split('/')[0].removesuffix('.csv')} needs "
        f"{' or '.join(map(str, paths))}, which does not exist (the folder was given by {origin})"
    )


def _verified(original: Original, path: Path) -> npt.NDArray[Any]:
    values = _read_table(original, path) if original.columns else read_idx(path)
    return verify(original, values, str(path))


def _read_table(original: Original, path: Path) -> npt.NDArray[Any]:
    """Numbers below a header; whether they are right is for their SHA-256 to say."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            header = tuple(cell.strip() for cell in file.readline().split(","))
            if header != original.columns:
                raise ValueError(f"the columns {', '.join(header)}")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it is empty; its shape will say so
                return np.loadtxt(file, delimiter=",", ndmin=2)
    except ValueError as error:  # also of text that is not UTF-8
        raise ValueError(
            f"load: {path} is not the original {original.file}: it has {error}; "
            f"expected the columns {', '.join(original.columns)}, and numbers"
        ) from None


def verify(original: Original, values: npt.NDArray[Any], source: str) -> npt.NDArray[Any]:
    """Return the values if they are the original's; the error names ``source``."""
    if values.shape != original.shape:
        raise ValueError(f"load: {source} has shape {values.shape}; expected {original.shape}")
    digest = hashlib.sha256(b"" if original.columns else idx_header(values.shape))
    digest.update(np.ascontiguousarray(values, "<f8" if original.columns else np.uint8).tobytes())
    if digest.hexdigest() != original.sha256:
        raise ValueError(
            f"load: {source} does not hold the values of the original {original.file}: "
            f"their SHA-256 is {digest.hexdigest()}, expected {original.sha256}"
        )
    return values


# ----------------------------------------------------------------------------------- downloads


def _pooch() -> Any:
    return require(
        "pooch", "data", f"downloading data (or name a folder that has the files in {ENVIRONMENT})"
    )


def cache_folder() -> Path:
    """The user's cache folder, as the operating system has it; it may not exist yet."""
    return Path(_pooch().os_cache("asymfast"))


def fetch(original: Original) -> Path:
    """Return the path of a file in the user's cache, downloading it if it is not there.

    Sources are tried in turn. Values are accepted only with the SHA-256 that is pinned in this
    package, so neither the connection nor the mirror needs to be trusted. The file appears complete
    and synchronised to disk, or not at all.
    """
    path = cache_folder() / original.file
    if path.is_file():
        return path
    failures = []
    for url, member in original.sources:
        try:
            with tempfile.TemporaryDirectory(prefix="asymfast-") as scratch:
                values = _converted(original, _download(url, scratch), member)
        except (OSError, ValueError) as error:
            failures.append((url, error))
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with _storage.replacing(path, durable=True) as temporary:
            temporary.write_bytes(b"".join(_content(original, values)))
        return path
    reasons = "; ".join(f"{url}: {error}" for url, error in failures)
    unreachable = all(isinstance(error, OSError) for _, error in failures)
    raise (ConnectionError if unreachable else ValueError)(
        f"load: {original.file} could not be downloaded ({reasons}); "
        f"a folder that has it can be given as data_dir or in {ENVIRONMENT}"
    )


def _download(url: str, folder: str) -> Path:
    """Download one of the originals into a folder."""
    pooch = _pooch()
    log = pooch.get_logger()
    level = log.level
    log.setLevel("WARNING")  # a library prints nothing
    try:
        downloader = pooch.HTTPDownloader(timeout=_TIMEOUT)
        name = url.rsplit("/", 1)[-1]  # its ending tells the format
        return Path(pooch.retrieve(url, None, fname=name, path=folder, downloader=downloader))
    finally:
        log.setLevel(level)


def _converted(original: Original, path: Path, member: str | None) -> npt.NDArray[Any]:
    """The verified values of a file as its authors published it."""
    if member is not None:
        path = extract(path, member)
    if not original.columns:
        return verify(original, read_idx(path), "the download")
    name = original.sources[-1][1] or path.name
    return verify(original, read_original(path, Path(name).suffix), "the download")


def _content(original: Original, values: npt.NDArray[Any]) -> list[bytes]:
    """A file of the values: idx, or CSV with the fewest digits that give every number back."""
    if not original.columns:
        return [idx_header(values.shape), values.tobytes()]
    rows = [[repr(cell).removesuffix(".0") for cell in row] for row in values.tolist()]
    return [("\n".join(map(",".join, [original.columns, *rows])) + "\n").encode()]


def extract(archive: Path, member: str) -> Path:
    """Unpack one file of a zip archive, given without its folder, beside the archive."""
    with _storage.opened_zip(archive) as content:
        found = [name for name in content.namelist() if name.rsplit("/", 1)[-1] == member]
        if len(found) != 1:
            raise ValueError(f"the archive has {len(found)} files with the name {member}")
        with content.open(found[0]) as packed:
            data = packed.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError(f"the archive's {member} has more than {_LARGEST} bytes")
    path = archive.with_name(f"{archive.name}-{member}")
    path.write_bytes(data)
    return path


def read_original(path: Path, ending: str) -> npt.NDArray[np.float64]:
    """Read a table in the format of its authors: columns separated by blanks, .xls or .xlsx."""
    engine = {".xls": "xlrd", ".xlsx": "openpyxl"}.get(ending)
    try:
        # Remarks on styles or an empty file are no concern: shape and SHA-256 decide.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if engine is None:
                return np.loadtxt(path, ndmin=2, encoding="ascii")
            pandas = require("pandas", "data", f"reading {ending} files")
            require(engine, "data", f"reading {ending} files")
            if ending == ".xlsx":
                with zipfile.ZipFile(path) as parts:
                    if sum(part.file_size for part in parts.infolist()) > _LARGEST:
                        raise ValueError(f"it unpacks to more than {_LARGEST} bytes")
            quiet = {"logfile": io.StringIO()} if engine == "xlrd" else {}  # not to stdout
            frame = pandas.read_excel(path, engine=engine, engine_kwargs=quiet)
        # Spreadsheets may have empty cells beyond the table.
        frame = frame.dropna(axis="index", how="all").dropna(axis="columns", how="all")
        values: npt.NDArray[np.float64] = frame.to_numpy(np.float64)
        return values
    except ImportError:
        raise
    except Exception as error:  # a parser on foreign bytes fails in many ways
        raise ValueError(f"it is not a table of numbers in the format {ending}: {error}") from error


# ----------------------------------------------------------------------------------- idx files


def read_idx(path: str | Path) -> npt.NDArray[np.uint8]:
    """Read an idx file of unsigned bytes with one to three axes.

    A big-endian header (two zero bytes, 8 for unsigned bytes, the number of axes, and 4 bytes for
    the length of each) is followed by the array in C order. The file may be compressed with gzip,
    which is told from its first bytes and not from its name. It is read up to 64 MiB, whatever its
    header announces.
    """
    path = _storage.path("read_idx", "path", path)
    if _storage.is_special(path):
        raise ValueError(f"read_idx: {path} is not a regular file")
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        try:
            stream = gzip.GzipFile(fileobj=file) if compressed else file
            # Memory is taken as data arrive, not as a header announces them.
            chunks = (stream.read(1 << 20) for _ in range(_LARGEST >> 20))
            data = b"".join(itertools.takewhile(bool, chunks))
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"read_idx: {path} holds damaged gzip data ({error})") from error
    axes = data[3] if len(data) > 3 and data[:3] == bytes([0, 0, _UNSIGNED_BYTES]) else 0
    begin = 4 + 4 * axes
    shape = struct.unpack(f">{axes}I", data[4:begin]) if len(data) >= begin else ()
    if not (1 <= axes <= _MOST_AXES and 0 < math.prod(shape) == len(data) - begin):
        raise ValueError(
            f"read_idx: {path} is not an idx file of unsigned bytes with 1 to {_MOST_AXES} axes: "
            f"it begins with 0x{data[:4].hex()}, announces shape {shape} and has {len(data)} bytes"
        )
    return np.frombuffer(bytearray(data[begin:]), dtype=np.uint8).reshape(shape)


def idx_header(shape: tuple[int, ...]) -> bytes:
    """The bytes before the data in an idx file of unsigned bytes of that shape."""
    return bytes([0, 0, _UNSIGNED_BYTES, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)
