"""Files: paths, atomic replacement, digests, npz, record folders and checkpoints."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import hashlib
    import zipfile

T = TypeVar("T")
_LONGEST_NAME = 200  # bytes; file systems take 255


def brief(value: Any) -> str:
    """Show a value in a message; of an array or a table only what it is."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python shows
        text = "\n"
    if len(text) <= 80 and "\n" not in text:
        return text
    return (
        f"{text[:77]}..." if isinstance(value, str) else f"a value of type {type(value).__name__}"
    )


def path(fn: str, name: str, value: Any) -> Path:
    """Return a path of text, neither empty nor with a null character."""
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str):
        raise TypeError(f"{fn}: {name} must be a path, got {brief(value)}")
    if not text or "\0" in text:
        raise ValueError(f"{fn}: {name} must be a path, got {text!r}")
    return Path(text)


def file_to_write(fn: str, name: str, value: Any) -> Path:
    """Return the path of a file that can be written, as far as can be known now.

    It must not be a folder (IsADirectoryError), and its folder must exist (FileNotFoundError).
    """
    file = path(fn, name, value)
    if file.is_dir():
        raise IsADirectoryError(errno.EISDIR, f"{fn}: {name} must be a file", str(file))
    if not file.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"{fn}: the folder of {name} must exist", str(file))
    return file


def is_special(path: Path) -> bool:
    """Whether it is a pipe, a socket or a device: reading it may have no end."""
    return path.exists() and not path.is_file() and not path.is_dir()


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Give a temporary path to write to, and move it onto ``path`` once the block has succeeded.

    It is in the same folder, so that the final rename never crosses a file system, and has the same
    ending. When the block raises, ``path`` is unchanged and nothing is left behind. With `durable`
    not even a power cut leaves half a file: everything is on the disk before it is renamed. Where
    ``path`` is a symbolic link, the file it leads to is replaced.
    """
    path = Path(os.path.realpath(path))
    if is_special(path):
        raise FileExistsError(errno.EEXIST, "not a regular file, to be replaced", str(path))
    stem, ending = _stem_and_ending(path)
    # Other threads, and other hosts' processes of the same number, may be at the same file.
    temporary = path.with_name(f".{stem}-{os.getpid()}-{os.urandom(8).hex()}{ending}")
    try:
        yield temporary
        if durable:
            sync(temporary)
        os.replace(temporary, path)
        if durable:
            sync(path.parent)
    except OSError as error:
        if error.filename is None:  # of a full disk: the system does not say which file
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _stem_and_ending(path: Path) -> tuple[str, str]:
    """Those of a file's temporary files, whose names are longer than its own."""
    name = os.fsencode(path.name)
    if len(name) <= _LONGEST_NAME:
        return path.stem, path.suffix
    return blake2b(name, 16).hexdigest(), path.suffix[:16]


def write_text(path: Path, text: str, *, errors: str = "strict") -> None:
    """Create or replace a file of text in UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors=errors)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(path: Path) -> None:
    """Remove temporary files that killed processes left in `replacing`."""
    stem, ending = _stem_and_ending(path)
    name = rf"\.{re.escape(stem)}-(\d+)-[0-9a-f]{{16}}{re.escape(ending)}"
    for left in path.parent.iterdir():
        found = re.fullmatch(name, left.name)
        if found and not process_exists(int(found[1])):
            left.unlink(missing_ok=True)


def process_exists(pid: int) -> bool:
    """Whether a process of this number runs on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # another user's, or not a number of a process
        return True
    return True


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex digits."""
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def blake2b(data: bytes = b"", size: int = 64) -> hashlib.blake2b:
    """Return a BLAKE2b hash object over `data`, of `size` bytes."""
    import hashlib  # loads OpenSSL, a sixth of what importing asymfast takes

    return hashlib.blake2b(data, digest_size=size)


_MOST_MEMBERS = 1000
_LARGEST_RATIO = 1032  # of deflate
_KINDS = "biufcSU"
_LONGEST_HEADER = 1000  # characters; a long one could exhaust the stack of the parser


def save_npz(
    path: Path,
    arrays: Mapping[str, Any],
    header: Mapping[str, Any] | None = None,
    *,
    durable: bool = False,
) -> None:
    """Write arrays, and a JSON header with their digest as one of them, to an .npz file.

    Nothing is pickled.
    """
    import zipfile

    entries = dict(arrays)
    if header:
        sealed = {**header, "digest": _digest_of(arrays, header)}
        entries["header"] = np.array(json.dumps(sealed))
    # Not numpy.savez, whose own arguments some names would be.
    with replacing(path, durable=durable) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, values in entries.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asanyarray(values), allow_pickle=False)


def load_npz(
    path: Path, form: str, build: Callable[[dict[str, NDArray[Any]], dict[str, Any]], T]
) -> T:
    """Build an object from the arrays and the header of an .npz file of that format.

    A ValueError says why the file is damaged or something else, but does not name it.
    """
    try:
        stored = read_npz(path)
        header = json.loads(str(stored.pop("header")))
        if header["format"] != form:
            raise ValueError(f"its format is {header['format']!r}, expected {form!r}")
        digest = header.pop("digest", None)  # files of 0.1 have none
        own = _digest_of(stored, header) if digest is not None else None
        built = build(stored, header)
        if digest != own:
            raise ValueError("its arrays or settings were changed after it was written")
        return built
    except KeyError as error:
        raise ValueError(f"no entry {error}") from error
    except (TypeError, IndexError, AttributeError, RecursionError, ArithmeticError) as error:
        raise ValueError(str(error)) from error


def _digest_of(arrays: Mapping[str, Any], header: Mapping[str, Any]) -> str:
    digest = blake2b(json.dumps(dict(header)).encode(), 16)
    _update(digest, {name: arrays[name] for name in sorted(arrays)})
    return digest.hexdigest()


def _update(digest: hashlib.blake2b, arrays: Mapping[str, Any]) -> None:
    """Add names, dtypes, shapes and values to a digest, the same on every machine."""
    for name, values in arrays.items():
        data: NDArray[Any] = np.ascontiguousarray(values)
        data = data.astype(data.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{name} {data.dtype.str} {data.shape};".encode())
        digest.update(data.data)


def read_npz(path: str | os.PathLike[str], *, compressed: bool = False) -> dict[str, NDArray[Any]]:
    """Read all arrays of an .npz file; nothing in it is ever executed.

    They are of bool, integers, floats or text, C-contiguous, in the machine's byte order. The
    checksum of every member is verified; a damaged file, or something else, is a ValueError. With
    `compressed` it may be one of `numpy.savez_compressed`, which grows to a thousand times its size
    at most.
    """
    if is_special(Path(path)):
        raise ValueError("it is not a regular file")
    with opened_zip(Path(path)) as archive:
        members = _members(archive, Path(path).stat().st_size, compressed)
        return {info.filename.removesuffix(".npy"): _array(archive, info) for info in members}


@contextmanager
def opened_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive; damage of any kind is a ValueError."""
    import zipfile  # a tenth of what importing asymfast takes
    import zlib

    damage = (zipfile.BadZipFile, struct.error, zlib.error, EOFError, NotImplementedError)
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (*damage, UnicodeError, TypeError, RuntimeError) as error:
        raise ValueError(f"it is not a usable zip archive ({error or 'cut short'})") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # zipfile seeks to wherever the directory says
            raise
        raise ValueError(f"it is not a usable zip archive ({error})") from error


def _members(archive: zipfile.ZipFile, size: int, compressed: bool) -> list[zipfile.ZipInfo]:
    import zipfile

    members = archive.infolist()
    if len(members) > _MOST_MEMBERS:
        raise ValueError(f"it has {len(members)} members, more than {_MOST_MEMBERS}")
    names = [info.filename for info in members]
    if len(set(names)) < len(names):
        raise ValueError("two of its members have one name")
    for info in members:
        if not info.filename.endswith(".npy"):
            raise ValueError(f"its member {info.filename!r} is not an array")
        if info.compress_type == zipfile.ZIP_STORED:
            most = info.compress_size
        elif compressed and info.compress_type == zipfile.ZIP_DEFLATED:
            most = _LARGEST_RATIO * info.compress_size
        else:
            raise ValueError(f"its member {info.filename!r} is compressed")
        if info.file_size > most:
            raise ValueError(f"its member {info.filename!r} announces too many bytes")
    total = sum(info.compress_size for info in members)
    if total > size:  # members may overlap
        raise ValueError(f"its members announce {total} bytes, but the file has {size}")
    return members


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(info) as member:
        shape, fortran, dtype = _npz_header(member)
        found, need = info.file_size - member.tell(), math.prod(shape) * dtype.itemsize
        if found == need:
            data = member.read()  # which compares the checksum
            found = len(data)
    if found != need:
        raise ValueError(
            f"its member {info.filename!r} has {found} bytes of data, "
            f"but an array of shape {shape} and dtype {dtype} has {need}"
        )
    values = np.frombuffer(bytearray(data), dtype).astype(dtype.newbyteorder("="), copy=False)
    # Not np.ascontiguousarray, which makes an array of one axis of a single number.
    return np.require(values.reshape(shape, order="F" if fortran else "C"), requirements="C")


def _npz_header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran's order, dtype."""
    try:
        if np.lib.format.read_magic(member) != (1, 0):
            raise ValueError
        header = np.lib.format.read_array_header_1_0(member, max_header_size=_LONGEST_HEADER)
    except Exception as error:  # of ast and tokenize too, on bytes of any kind
        raise ValueError(
            "a member is not an array in version 1.0 of its format, or its header is not what "
            "NumPy writes"
        ) from error
    shape, fortran, dtype = header
    if dtype.kind not in _KINDS or dtype.itemsize == 0:
        raise ValueError(f"an array has dtype {dtype}, expected numbers or text")
    return shape, fortran, dtype


_HEADER = 192  # bytes, a multiple of 64: the number of rows can change in place
_INDEX = "record.json"


class RecordFolder:
    """The columns of a run's record in a folder; `fn` is the training function, for messages.

    Every column is a .npy file of shape (T, ...) that `numpy.load` reads, also during the run and
    after it was killed. Rows are added in chunks; the number in the header is raised only once the
    rows are on the disk. `columns` has the dtype of each column and the shape of a row, `identity`
    what identifies the run, kept in record.json. The folder is created if missing, but not its
    parents.
    """

    def __init__(
        self,
        fn: str,
        path: str | os.PathLike[str],
        columns: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]],
        identity: Mapping[str, Any],
    ) -> None:
        self.fn = fn
        self.path = Path(os.path.realpath(path))
        self.rows = 0
        self._columns = columns
        self._row_bytes = {
            name: dtype.itemsize * math.prod(shape) for name, (dtype, shape) in columns.items()
        }
        self._identity = json.loads(json.dumps(identity))

    def begin(self, *, again: bool) -> None:
        """Start with no rows; FileExistsError if the folder holds something else.

        With `again` it may hold rows of this run, killed before its first checkpoint.
        """
        try:
            self.path.mkdir(exist_ok=True)
        except FileNotFoundError as error:
            error.strerror = f"{self.fn}: the folder of record.folder must exist"
            raise
        except FileExistsError as error:
            error.strerror = f"{self.fn}: record.folder must be a folder"
            raise
        sweep(self.path / _INDEX)
        if any(self.path.iterdir()) and not (again and self._is_ours()):
            raise FileExistsError(
                errno.EEXIST, f"{self.fn}: record.folder must be new or empty", str(self.path)
            )
        with replacing(self.path / _INDEX, durable=True) as index:
            index.write_text(json.dumps(self._identity, indent=1))
        for name, (dtype, shape) in self._columns.items():
            self._file(name).write_bytes(_header(dtype, shape, 0))
        sync(self.path)

    def resume(self, rows: int) -> None:
        """Resume after the first `rows` rows and discard the later ones.

        FileNotFoundError or ValueError if files or rows are missing, or are those of another run.
        """
        if not self._is_ours():
            raise ValueError(f"{self.fn}: {self.path} does not hold the record of this run")
        for name, size in self._row_bytes.items():
            if self._file(name).stat().st_size < _HEADER + rows * size:
                raise ValueError(f"{self.fn}: {self._file(name)} has lost rows of the record")
        self.rows = rows
        self._set_rows()

    def append(self, columns: Mapping[str, memoryview]) -> None:
        """Add complete rows, all columns or none: on an OSError the rows before are kept."""
        (count,) = {len(columns[name]) // size for name, size in self._row_bytes.items() if size}
        try:
            for name, size in self._row_bytes.items():
                end = _HEADER + self.rows * size
                with self._file(name).open("r+b") as file:
                    if file.seek(0, os.SEEK_END) < end:  # truncate would fill up with zeros
                        raise OSError(errno.EIO, "rows of the record are lost", file.name)
                    file.truncate(end)
                    file.seek(end)
                    file.write(columns[name])
                    file.flush()
                    os.fsync(file.fileno())
        except BaseException:
            self._set_rows()
            raise
        self.rows += count
        self._set_rows()

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the columns, mapped into memory rather than read."""
        return {
            name: np.load(self._file(name), mmap_mode="r" if self.rows else None)
            for name in self._columns
        }

    def _set_rows(self) -> None:
        for name, (dtype, shape) in self._columns.items():
            with self._file(name).open("r+b") as file:
                file.truncate(_HEADER + self.rows * self._row_bytes[name])
                file.write(_header(dtype, shape, self.rows))

    def _file(self, name: str) -> Path:
        return self.path / f"{name}.npy"

    def _is_ours(self) -> bool:
        try:
            return bool(json.loads((self.path / _INDEX).read_text()) == self._identity)
        except (OSError, ValueError):
            return False


def _header(dtype: np.dtype[Any], shape: tuple[int, ...], rows: int) -> bytes:
    """Return the header of the .npy format, version 1.0, padded to a fixed length."""
    text = repr({"descr": dtype.str, "fortran_order": False, "shape": (rows, *shape)})
    start = b"\x93NUMPY\x01\x00" + (_HEADER - 10).to_bytes(2, "little")
    return start + text.encode().ljust(_HEADER - 11) + b"\n"


_MAGIC = b"asymfast checkpoint 1\n"
_LENGTHS = struct.Struct("<QQ")
_START = len(_MAGIC) + _LENGTHS.size
_DIGEST = 32  # bytes


class CheckpointError(ValueError):
    """A file is not a checkpoint, is damaged, or is another run's; see `gradient_descent`."""


class Checkpoint:
    """The checkpoint file of one run; `fn` is the training function, for messages.

    `identity` is what the run's numbers depend on; JSON-able. Only a checkpoint with the same
    identity can be resumed.
    """

    def __init__(self, fn: str, path: str | os.PathLike[str], identity: Mapping[str, Any]) -> None:
        self.fn = fn
        self.path = Path(os.path.realpath(file_to_write(fn, "checkpoint", path)))
        self.identity = json.loads(json.dumps(identity))

    def write(self, state: memoryview, extra: Mapping[str, Any]) -> None:
        """Replace the file once all data are on the disk; on an OSError it is unchanged.

        `state` is the core's; `extra` is JSON-able and not compared on reading.
        """
        header = json.dumps({"identity": self.identity, "extra": dict(extra)}).encode()
        start = _MAGIC + _LENGTHS.pack(len(header), len(state)) + header
        digest = blake2b(start, _DIGEST)
        digest.update(state)
        with replacing(self.path, durable=True) as temporary, temporary.open("wb") as file:
            file.writelines((start, state, digest.digest()))

    def read(self) -> tuple[bytes, dict[str, Any]] | None:
        """Return state and extra of the file; None if it does not exist.

        A CheckpointError says that it is damaged, no checkpoint, or that of another run.
        """
        sweep(self.path)
        if not self.path.exists():
            return None
        if is_special(self.path):
            raise self.error("is not a regular file")
        with self.path.open("rb") as file:
            header_length, state_length = self._lengths(file)
            self._require_digest(file)
            file.seek(_START)
            text, state = file.read(header_length), file.read(state_length)
        if not state:
            raise self.error("is empty")
        try:
            header = json.loads(text)
            identity, extra = dict(header["identity"]), dict(header["extra"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self.error(f"is not a checkpoint: {error}") from error
        self._compare(identity)
        return state, extra

    def _lengths(self, file: BinaryIO) -> tuple[int, int]:
        start = file.read(_START)
        if not start.startswith(_MAGIC) or len(start) < _START:
            raise self.error("is not a checkpoint of this version")
        header, state = _LENGTHS.unpack_from(start, len(_MAGIC))
        if _START + header + state + _DIGEST != os.fstat(file.fileno()).st_size:
            raise self.error("is damaged: its length is wrong")
        return header, state

    def _require_digest(self, file: BinaryIO) -> None:
        """Compare the checksum, piece by piece: the file may exceed the memory."""
        digest = blake2b(size=_DIGEST)
        left = file.seek(0, os.SEEK_END) - _DIGEST
        file.seek(0)
        while left > 0:
            piece = file.read(min(left, 1 << 20))
            digest.update(piece)
            left -= len(piece)
        if digest.digest() != file.read():
            raise self.error("is damaged: its checksum is wrong")

    def _compare(self, identity: dict[str, Any]) -> None:
        if found := difference(identity, self.identity):
            raise self.error(
                f"belongs to another run, which differs in {found}; "
                "pass another path, or delete it to start again"
            )

    def error(self, what: str) -> CheckpointError:
        """The error to raise for this file."""
        return CheckpointError(f"{self.fn}: checkpoint {self.path} {what}")


def identity_of(
    config: Mapping[str, Any], schedule: Mapping[str, Any], arrays: Mapping[str, Any]
) -> dict[str, Any]:
    """What determines a run's bits: settings, schedule and a hash of all arrays."""
    digest = blake2b(size=_DIGEST)
    _update(digest, {name: values for name, values in arrays.items() if values is not None})
    kept = {name: value for name, value in config.items() if name not in ("threads", "numpy")}
    return {**kept, **schedule, "data": digest.hexdigest()}


def difference(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first setting that differs, its values then and now, or "" if none does."""
    for name in dict.fromkeys([*now, *was]):  # settings first, data last
        if was.get(name) != now.get(name):
            texts = [json.dumps(settings.get(name)) for settings in (was, now)]
            place = next((i for i, (a, b) in enumerate(zip(*texts, strict=False)) if a != b), 0)
            then, today = (_around(text, place) for text in texts)
            return name if name == "data" else f"{name}: {then} then, {today} now"
    return ""


def _around(text: str, place: int) -> str:
    """A text, of a long one the part around a place."""
    if len(text) <= 60:
        return text
    start = max(0, place - 27)
    return "..." * (start > 0) + text[start : start + 54] + "..." * (start + 54 < len(text))
