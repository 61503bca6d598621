r"""Files that keep the state of a run, so that a killed run can be gone on with.

Layout, integers little-endian:

    b"asymfast checkpoint 1\n"         22 bytes
    length of the header               8 bytes
    length of the state                8 bytes
    header: JSON                       what run this is: settings, versions, a hash of the data
    state                              the core's own bytes
    BLAKE2b of everything before       32 bytes

Nothing in a file is ever executed. Its length must be what the two lengths say and its hash right
before anything in it is looked at.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ._atomic import sweep, write_durably
from ._digest import blake2b
from ._paths import file_to_write

_MAGIC = b"asymfast checkpoint 1\n"
_LENGTHS = struct.Struct("<QQ")
_START = len(_MAGIC) + _LENGTHS.size
_DIGEST = 32  # bytes


class CheckpointError(ValueError):
    """A file is no checkpoint, is damaged, or belongs to another run.

    Examples
    --------
    >>> import asymfast as af, pathlib, tempfile
    >>> X, y = af.datasets.simulated(n=20, d=5, rng=0)
    >>> net = af.Network.init(d=5, m=50, gamma=1.0, rng=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "run.ckpt")
    ...     run = af.gradient_descent(net, X, y, lr=1.0, steps=10, checkpoint=path)
    ...     try:
    ...         af.gradient_descent(net, X, y, lr=0.5, steps=10, checkpoint=path)
    ...     except af.CheckpointError as error:
    ...         print(str(error).split("which ")[1].split(";")[0])
    ...
    differs in lr: 1.0 then, 0.5 now
    """


class Checkpoint:
    """The checkpoint file of one run.

    Parameters
    ----------
    fn : str
        The training function, for messages.
    path : path-like
        The file. Its folder must exist.
    identity : mapping
        What the run's numbers depend on; JSON-able. Only a checkpoint of the same is gone on with.

    Raises
    ------
    TypeError, ValueError
        `path` is no path.
    FileNotFoundError, IsADirectoryError
        The folder does not exist, or the path is that of a folder.
    """

    def __init__(self, fn: str, path: str | os.PathLike[str], identity: Mapping[str, Any]) -> None:
        self.fn = fn
        self.path = Path(os.path.realpath(file_to_write(fn, "checkpoint", path)))
        self.identity = json.loads(json.dumps(identity))

    def write(self, state: memoryview, extra: Mapping[str, Any]) -> None:
        """Replace the file, at once, when all is safely on the disk.

        Parameters
        ----------
        state : memoryview
            Of the core.
        extra : mapping
            More to keep, JSON-able, not compared at reading.

        Raises
        ------
        OSError
            Disk full, folder not writable ...; the file is then what it was.
        """
        header = json.dumps({"identity": self.identity, "extra": dict(extra)}).encode()
        start = _MAGIC + _LENGTHS.pack(len(header), len(state)) + header
        digest = blake2b(start, _DIGEST)
        digest.update(state)
        write_durably(self.path, (start, state, digest.digest()))

    def read(self) -> tuple[bytes, dict[str, Any]] | None:
        """Return state and extra of the file; None where there is none.

        Raises
        ------
        CheckpointError
            It is damaged, no checkpoint, or that of another run; the message says which.
        OSError
            It cannot be read.
        """
        sweep(self.path)
        if not self.path.exists():
            return None
        if not self.path.is_file():  # a pipe or a device may have no end
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
        """By pieces: what is to be hashed may be more than the memory holds."""
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
        for name in dict.fromkeys([*self.identity, *identity]):  # settings first, data last
            was, now = identity.get(name), self.identity.get(name)
            if was != now:
                values = f": {_short(was)} then, {_short(now)} now" if name != "data" else ""
                raise self.error(
                    f"belongs to another run, which differs in {name}{values}; "
                    "give another path, or delete it to start anew"
                )

    def error(self, what: str) -> CheckpointError:
        """What to raise when the file is not what it should be."""
        return CheckpointError(f"{self.fn}: checkpoint {self.path} {what}")


def identity_of(
    config: Mapping[str, Any], schedule: Mapping[str, Any], arrays: Mapping[str, Any]
) -> dict[str, Any]:
    """What the bits of a run depend on: its settings, the schedule, a hash of all its arrays."""
    digest = blake2b(size=_DIGEST)
    for name, values in arrays.items():
        if values is None:
            continue
        data: NDArray[Any] = np.ascontiguousarray(values)
        digest.update(f"{name} {data.dtype.str} {data.shape};".encode())
        digest.update(data.data)
    kept = {name: value for name, value in config.items() if name not in ("threads", "numpy")}
    return {**kept, **schedule, "data": digest.hexdigest()}


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
