"""A reader for .npz files of plain arrays that takes no more memory than there can be data for.

`numpy.load` allocates what the header of an array announces before it reads it. Here every size is
compared first with the bytes that are there, headers are matched and not evaluated, and names are
nothing but names: no path is made of them.
"""

from __future__ import annotations

import errno
import math
import os
import re
import struct
import zipfile
import zlib
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

_MOST_MEMBERS = 1000
_LARGEST_RATIO = 1032  # of deflate
_KINDS = "biufcSU"
_MAGIC = b"\x93NUMPY\x01\x00"
_HEADER = re.compile(
    r"\{ *'descr': *'([<>|=]?[a-zA-Z]\d{0,9})', *'fortran_order': *(True|False),"
    r" *'shape': *\(((?: *\d{1,18} *,)* *(?:\d{1,18})? *)\),? *\} *\n?"
)


def read_npz(path: str | os.PathLike[str], *, compressed: bool = False) -> dict[str, NDArray[Any]]:
    """Read all arrays of an .npz file; nothing in it is ever executed.

    Parameters
    ----------
    path : path-like
        The file.
    compressed : bool
        Whether it may be one of `numpy.savez_compressed`, which grows to a thousand times its size
        at most; else as `numpy.savez` writes it.

    Returns
    -------
    dict of name to array
        Of bool, integers, floats or text; C-contiguous, in the machine's byte order.

    Raises
    ------
    OSError
        The file cannot be opened or read.
    ValueError
        It is damaged, or something else.

    Notes
    -----
    The checksum of every member is verified.
    """
    try:
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            size = os.fstat(file.fileno()).st_size
            members = _members(archive, size, compressed)
            return {_name(info): _array(archive, info) for info in members}
    except (zipfile.BadZipFile, struct.error, zlib.error, EOFError, NotImplementedError) as error:
        raise ValueError(str(error) or "it is cut short") from error
    except (UnicodeError, TypeError, RuntimeError) as error:
        raise ValueError(f"it is damaged ({error})") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # zipfile seeks to wherever the directory says
            raise
        raise ValueError("it is damaged: a member lies outside of the file") from error


def _members(archive: zipfile.ZipFile, size: int, compressed: bool) -> list[zipfile.ZipInfo]:
    members = archive.infolist()
    if len(members) > _MOST_MEMBERS:
        raise ValueError(f"it has {len(members)} members, more than {_MOST_MEMBERS}")
    names = [info.filename for info in members]
    if len(set(names)) < len(names):
        raise ValueError("two of its members have one name")
    for info in members:
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


def _name(info: zipfile.ZipInfo) -> str:
    if not info.filename.endswith(".npy"):
        raise ValueError(f"its member {info.filename!r} is no array")
    return info.filename.removesuffix(".npy")


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(info) as member:
        shape, fortran, dtype = _header(member)
        there, need = info.file_size - member.tell(), math.prod(shape) * dtype.itemsize
        if there == need:
            data = member.read()  # which compares the checksum
            there = len(data)
    if there != need:
        raise ValueError(
            f"its member {info.filename!r} has {there} bytes of data, "
            f"but an array of shape {shape} and dtype {dtype} has {need}"
        )
    values = np.frombuffer(bytearray(data), dtype).astype(dtype.newbyteorder("="), copy=False)
    # Not np.ascontiguousarray, which makes an array of one axis of a single number.
    return np.require(values.reshape(shape, order="F" if fortran else "C"), requirements="C")


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran's order, dtype: what NumPy writes, matched and not evaluated."""
    start = member.read(len(_MAGIC) + 2)
    if start[: len(_MAGIC)] != _MAGIC or len(start) < len(_MAGIC) + 2:
        raise ValueError("a member is no array in version 1.0 of its format")
    (length,) = struct.unpack("<H", start[len(_MAGIC) :])
    found = _HEADER.fullmatch(member.read(length).decode("ascii"))
    if not found:
        raise ValueError("the header of an array is not what NumPy writes")
    descr, fortran, lengths = found.groups()
    dtype = np.dtype(descr)
    if dtype.kind not in _KINDS or dtype.itemsize == 0:
        raise ValueError(f"an array has dtype {dtype}, expected numbers or text")
    return tuple(int(n) for n in lengths.split(",") if n.strip()), fortran == "True", dtype
