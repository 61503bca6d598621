"""Reading the tables in the formats in which their authors published them."""

from __future__ import annotations

import errno
import io
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asymfast.datasets.csv import Table
from asymfast.datasets.extras import data_extra

_LARGEST = 1 << 26  # bytes of an original, unpacked: several times the largest
Rows = Iterable[Sequence[Any]]


def read_original(name: str, path: Path, columns: tuple[str, ...]) -> Table:
    """Read the original file of a table.

    Parameters
    ----------
    name : {"concrete", "energy", "airfoil", "plant"}
        Which table; this decides the format.
    path : pathlib.Path
        The original file, whatever its ending.
    columns : tuple of str
        Names for the columns; the ones in the file are not used.

    Returns
    -------
    Table
        All rows in the order of the file.

    Raises
    ------
    ImportError
        The format needs a package that is not installed.
    ValueError
        The file is not of that format, or not a table of so many columns of numbers.
    """
    rows = [row for row in _READERS[name](path) if any(cell not in (None, "") for cell in row)]
    width = len(columns)
    # Spreadsheets may have empty cells beyond the table.
    if any(len(row) < width or any(cell not in (None, "") for cell in row[width:]) for row in rows):
        raise ValueError(f"it has rows that are not of {width} cells")
    try:
        values = np.array([[float(cell) for cell in row[:width]] for row in rows])
    except (TypeError, ValueError) as error:
        raise ValueError(f"it has a cell that is not a number ({error})") from None
    return Table(columns, values.reshape(-1, width))


def extract(archive: Path, member: str, path: Path) -> None:
    """Unpack one file of a zip archive.

    Parameters
    ----------
    archive : pathlib.Path
        The archive.
    member : str
        Name of the file without the folder it is in.
    path : pathlib.Path
        Where to put it.

    Raises
    ------
    ValueError
        This is not a zip archive, it is damaged, or it has no or several files of that name.
    """
    try:
        with zipfile.ZipFile(archive) as content:
            found = [name for name in content.namelist() if name.rsplit("/", 1)[-1] == member]
            if len(found) != 1:
                raise ValueError(f"the archive has {len(found)} files with the name {member}")
            with content.open(found[0]) as packed:
                data = packed.read(_LARGEST + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"it is not a usable zip archive ({error})") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # zipfile seeks to wherever the directory says
            raise
        raise ValueError(f"it is not a usable zip archive ({error})") from error
    if len(data) > _LARGEST:
        raise ValueError(f"the archive's {member} has more than {_LARGEST} bytes")
    path.write_bytes(data)


def _read_text(path: Path) -> Rows:
    try:
        return [line.split() for line in path.read_text(encoding="ascii").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not plain text ({error})") from error


def _read_xls(path: Path) -> Rows:
    xlrd = data_extra("xlrd")
    try:
        # Its remarks on the file's structure would otherwise go to stdout.
        sheet = xlrd.open_workbook(str(path), logfile=io.StringIO()).sheet_by_index(0)
        return [sheet.row_values(row) for row in range(1, sheet.nrows)]
    except Exception as error:  # a foreign parser on foreign bytes fails in many ways
        raise ValueError(f"it is not a usable xls file ({error})") from error


def _read_xlsx(path: Path) -> Rows:
    openpyxl = data_extra("openpyxl")
    try:
        with zipfile.ZipFile(path) as parts:
            if sum(part.file_size for part in parts.infolist()) > _LARGEST:
                raise ValueError(f"it unpacks to more than {_LARGEST} bytes")
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")  # on styles and the like, which do not concern values
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
            rows = list(book.worksheets[0].iter_rows(min_row=2, values_only=True))
            book.close()
            return rows
    except Exception as error:  # as above
        raise ValueError(f"it is not a usable xlsx file ({error})") from error


_READERS: dict[str, Callable[[Path], Rows]] = {
    "airfoil": _read_text,
    "concrete": _read_xls,
    "energy": _read_xlsx,
    "plant": _read_xlsx,  # Sheet1; the other four hold the same rows in other orders
}
