"""A record that grows on the disk: one .npy file a column, appended to as the run goes on."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._atomic import sweep, sync_folder, write_durably

_HEADER = 192  # bytes, a multiple of 64: the number of rows can change in place
_INDEX = "record.json"


class RecordFolder:
    """The columns of a run's record in a folder.

    Every column is a plain .npy file of shape (T, ...) that `numpy.load` reads, also while the run
    goes on and after it was killed. Rows are added in chunks; the number in the header grows after
    the rows themselves are on the disk.

    Parameters
    ----------
    fn : str
        The training function, for messages.
    path : path-like
        The folder; made if it does not exist, but not its parents.
    columns : mapping of name to (dtype, shape)
        The recorded columns and the shape of a row.
    identity : mapping
        What run this is, JSON-able; kept in record.json.
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
        self._identity = json.loads(json.dumps(identity))

    def begin(self, *, again: bool) -> None:
        """Start with no rows.

        Parameters
        ----------
        again : bool
            The folder may hold rows of this very run: it was killed before its first checkpoint.

        Raises
        ------
        FileExistsError
            The folder holds something else.
        OSError
            It cannot be made or written to.
        """
        self.path.mkdir(exist_ok=True)
        sweep(self.path / _INDEX)
        if any(self.path.iterdir()) and not (again and self._is_ours()):
            raise FileExistsError(
                errno.EEXIST, f"{self.fn}: record.folder must be new or empty", str(self.path)
            )
        write_durably(self.path / _INDEX, [json.dumps(self._identity, indent=1).encode()])
        for name, (dtype, shape) in self._columns.items():
            self._file(name).write_bytes(_header(dtype, shape, 0))
        sync_folder(self.path)

    def go_on(self, rows: int) -> None:
        """Go on after so many rows; later ones are forgotten.

        Raises
        ------
        FileNotFoundError, ValueError
            Files or rows are missing.
        """
        for name, (dtype, shape) in self._columns.items():
            need = _HEADER + rows * _row_bytes(dtype, shape)
            if self._file(name).stat().st_size < need:
                raise ValueError(f"{self.fn}: {self._file(name)} has lost rows of the record")
        self.rows = rows
        self._set_rows()

    def append(self, columns: Mapping[str, memoryview]) -> None:
        """Add complete rows, all columns or none.

        Raises
        ------
        OSError
            Disk full ...; the rows before are kept.
        """
        counts = {
            len(columns[name]) // _row_bytes(dtype, shape)
            for name, (dtype, shape) in self._columns.items()
            if _row_bytes(dtype, shape)
        }
        (count,) = counts
        try:
            for name, (dtype, shape) in self._columns.items():
                end = _HEADER + self.rows * _row_bytes(dtype, shape)
                with self._file(name).open("r+b") as file:
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
                file.truncate(_HEADER + self.rows * _row_bytes(dtype, shape))
                file.write(_header(dtype, shape, self.rows))

    def _file(self, name: str) -> Path:
        return self.path / f"{name}.npy"

    def _is_ours(self) -> bool:
        try:
            return bool(json.loads((self.path / _INDEX).read_text()) == self._identity)
        except (OSError, ValueError):
            return False


def _row_bytes(dtype: np.dtype[Any], shape: tuple[int, ...]) -> int:
    return int(dtype.itemsize * np.prod(shape, dtype=np.int64))


def _header(dtype: np.dtype[Any], shape: tuple[int, ...], rows: int) -> bytes:
    """Return the header of the .npy format, version 1.0, padded to a fixed length."""
    text = repr({"descr": dtype.str, "fortran_order": False, "shape": (rows, *shape)})
    start = b"\x93NUMPY\x01\x00" + (_HEADER - 10).to_bytes(2, "little")
    return start + text.encode().ljust(_HEADER - 11) + b"\n"
