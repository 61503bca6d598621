"""A strict reader for MNIST's idx format: unsigned bytes in an array of one to three axes."""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from asymfast import _storage

_UNSIGNED_BYTES = 0x08
_MOST_AXES = 3
_CHUNK = 1 << 20


def read_idx(path: str | Path) -> npt.NDArray[np.uint8]:
    """Read an idx file.

    Parameters
    ----------
    path : str or pathlib.Path
        The file: a big-endian header (two zero bytes, 8 for unsigned bytes, the number of axes,
        and 4 bytes for the length of each) followed by the array in C order. It may be compressed
        with gzip, which is told from its first bytes and not from its name.

    Returns
    -------
    uint8 array of one to three axes
        None of them of length zero.

    Raises
    ------
    OSError
        The file cannot be opened.
    ValueError
        The header is not that of an idx file of unsigned bytes, the array has no entries, there
        are fewer or more bytes than the header announces, or the compressed data are damaged.

    Notes
    -----
    Memory is taken as data arrive, 1 MiB at a time: a header that announces terabytes costs
    nothing.
    """
    path = _storage.path("read_idx", "path", path)
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not compressed:
            return _read(path, file)
        try:
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _read(path, unpacked)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"read_idx: {path} holds damaged gzip data ({error})") from error


def idx_header(shape: tuple[int, ...]) -> bytes:
    """The bytes before the data in an idx file of unsigned bytes of that shape."""
    return bytes([0, 0, _UNSIGNED_BYTES, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


def idx_sha256(array: npt.NDArray[np.uint8]) -> str:
    """SHA-256 of the uncompressed idx file that holds the array."""
    digest = hashlib.sha256(idx_header(array.shape))
    digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _read(path: Path, stream: IO[bytes] | gzip.GzipFile) -> npt.NDArray[np.uint8]:
    shape = _read_header(path, stream)
    expected = math.prod(shape)
    data = bytearray()
    while len(data) < expected:
        chunk = stream.read(min(_CHUNK, expected - len(data)))
        if not chunk:
            raise ValueError(
                f"read_idx: {path} ends after {len(data)} of {expected} bytes "
                f"for an array of shape {shape}"
            )
        data += chunk
    if stream.read(1):
        raise ValueError(
            f"read_idx: {path} goes on after the {expected} bytes of its array of shape {shape}"
        )
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)


def _read_header(path: Path, stream: IO[bytes] | gzip.GzipFile) -> tuple[int, ...]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:3] != bytes([0, 0, _UNSIGNED_BYTES]):
        raise ValueError(
            f"read_idx: {path} is not an idx file of unsigned bytes; it begins with "
            f"0x{magic.hex()}, expected 0x000008 and the number of axes"
        )
    axes = magic[3]
    if not 1 <= axes <= _MOST_AXES:
        raise ValueError(
            f"read_idx: {path} announces {axes} axes; an idx file has 1 to {_MOST_AXES} here"
        )
    lengths = stream.read(4 * axes)
    if len(lengths) < 4 * axes:
        raise ValueError(f"read_idx: {path} ends within its header")
    shape = struct.unpack(f">{axes}I", lengths)
    if 0 in shape:
        raise ValueError(f"read_idx: {path} holds an empty array of shape {shape}")
    return shape
