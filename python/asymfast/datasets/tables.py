"""Tables of the user's own: a strict CSV reader, and their rows as standardised samples."""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn

import numpy as np
import numpy.typing as npt

from asymfast import _check, _storage

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Missing = Literal["error", "drop"]

_FEW = 20  # rows below which a high correlation means little
_SHOWN = 40  # characters of a bad cell in a message
_MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "-"}
_THOUSANDS = re.compile(r"[+-]?\d{1,3}([ ',\u2019\u00a0\u2009\u202f]\d{3})+([.]\d*)?")


@dataclass(frozen=True, eq=False)
class Table:
    """Named columns of numbers, and of categories where asked for; see `read_csv`.

    Attributes
    ----------
    columns : tuple of str
        Names, all different, none empty.
    values : (rows, columns) float64 array
        All finite, C-contiguous; of a column of categories the indices into `categories`.
    categories : dict of str to tuple of str
        Values of the columns that were read as text, sorted.
    left_out : int
        Rows with missing cells that were left out, with ``missing="drop"``.
    """

    columns: tuple[str, ...]
    values: Floats
    categories: dict[str, tuple[str, ...]] = field(default_factory=dict)
    left_out: int = 0


_reading = partial(  # what the functions that read a table have in common
    _check.arguments,
    path=_storage.path,
    drop=_check.names,
    missing=_check.one_of("error", "drop"),
    decimal=_check.one_of(".", ","),
)


@_reading(text=_check.names)
def read_csv(
    path: str | Path,
    *,
    decimal: str = ".",
    missing: Missing = "error",
    text: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> Table:
    r"""Read a table of numbers; a file that is not clearly one is refused.

    Cost: about 0.3 microseconds a cell.

    Parameters
    ----------
    path : str or pathlib.Path
        A UTF-8 text file, with or without byte order mark. The first line holds the column names
        (after an optional line ``sep=;``, which names the separator), every other line one number
        per column. Cells are separated by commas, semicolons or tabs, whichever fits the first
        lines, and may be quoted. Blanks around cells and empty lines at the end are ignored.
    decimal : {".", ","}
        The decimal sign.
    missing : {"error", "drop"}
        What to do about a row with a cell that is empty, NA, N/A, NaN, null, none, ? or - (among
        categories, only an empty one): refuse the file, or leave out the row.
    text : sequence of str
        Columns that hold categories instead of numbers.
    drop : sequence of str
        Columns that are not read; they may hold anything.

    Returns
    -------
    Table
        At least one row and one column, every number correctly rounded to float64.

    Raises
    ------
    OSError
        The file cannot be opened.
    TypeError, ValueError
        An argument is invalid. The file is not a regular file or not UTF-8 text, has no header or
        no rows, has a column without a name or two of one name, a row of another length, or a cell
        that is empty, not a number, or not finite. The message names file, line and column.

    Examples
    --------
    >>> import asymfast as af
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "table.csv")
    ...     _ = path.write_text("length;weight\n1;2.5\n3;4\n")
    ...     table = af.datasets.read_csv(path)
    ...
    >>> table.columns, table.values.tolist()
    (('length', 'weight'), [[1.0, 2.5], [3.0, 4.0]])
    """
    path = Path(path)
    lines = _split(path, _text(path), decimal)
    if not lines:
        raise ValueError(f"read_csv: {path} is empty")
    (first, header), *rows = lines
    names = _header(path, first, header)
    for line, cells in rows:
        if len(cells) != len(names):
            remedy = ""
            if len(names) == 1 and decimal == "." and _is_number(".".join(cells)):
                remedy = "; if the decimal sign is a comma, use decimal=',' or --decimal ,"
            _refuse(path, line, f"has {len(cells)} cells, but the header has {len(names)}{remedy}")
    texts, dropped = (
        {find_column(str(path), names, name) for name in some} for some in (text, drop)
    )
    places = [place for place, name in enumerate(names) if name not in dropped]
    columns = tuple(names[place] for place in places)
    found = len(rows)
    if missing == "drop":
        rows = [
            (line, cells)
            for line, cells in rows
            if not any(
                cells[place].lower() in ({""} if names[place] in texts else _MISSING)
                for place in places
            )
        ]
    if not rows:
        without = " without missing cells" if missing == "drop" else ""
        raise ValueError(f"read_csv: {path} has a header but no rows{without}")
    values = np.empty((len(rows), len(columns)))
    categories = {}
    for j, (place, column) in enumerate(zip(places, columns, strict=True)):
        cells = [row[place] for _, row in rows]
        if column in texts:
            categories[column] = tuple(sorted(set(cells)))
            codes = {name: code for code, name in enumerate(categories[column])} | {"": math.nan}
            values[:, j] = [codes[cell] for cell in cells]
        else:
            values[:, j] = [_number(cell, decimal) for cell in cells]
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, j = map(int, bad[0])
        cells = [cells[places[j]] for _, cells in rows]
        problem = _problem(cells[row], cells, columns[j], names, decimal)
        _refuse(path, rows[row][0], f"column {columns[j]!r} {problem}", separator=", ")
    return Table(columns, values, categories, found - len(rows))


def read_header(path: Path) -> tuple[str, ...]:
    """The names in the first line of a CSV file, as `read_csv` takes them; errors likewise."""
    lines = _split(path, _text(path))
    if not lines:
        raise ValueError(f"read_csv: {path} is empty")
    return _header(path, *lines[0])


def as_table(fn: str, frame: Any) -> Table:
    """Turn a pandas DataFrame, or another mapping of names to columns, into a table."""
    columns = tuple(map(str, frame))
    if len(set(columns)) < len(columns):
        raise ValueError(f"{fn}: two columns have the same name in {', '.join(columns)}")
    arrays = [_check.as_array(fn, f"column {str(name)!r}", frame[name]) for name in frame]
    for name, array in zip(columns, arrays, strict=True):
        if array.ndim != 1 or len(array) != len(arrays[0]):
            shape = f"({len(arrays[0])},) as the first one" if arrays[0].ndim == 1 else "(n,)"
            raise ValueError(f"{fn}: column {name!r} must have shape {shape}, got {array.shape}")
    if not len(arrays[0]):
        raise ValueError(f"{fn}: the columns must have at least one row, got none")
    values, categories = np.empty((len(arrays[0]), len(arrays))), {}
    for place, (name, array) in enumerate(zip(columns, arrays, strict=True)):
        if array.dtype.kind not in "biuf":
            cells = array.tolist()
            if not all(isinstance(cell, str) for cell in cells):
                raise TypeError(
                    f"{fn}: column {name!r} must hold numbers or text, without missing values"
                )
            found, array = np.unique(np.array(cells, dtype=str), return_inverse=True)
            categories[name] = tuple(map(str, found))
        with np.errstate(over="ignore"):  # of long doubles
            values[:, place] = array
        _check.finite(fn, f"column {name!r}", values[:, place])
    return Table(columns, values, categories)


def find_column(where: str, columns: Sequence[str], name: str) -> str:
    """Return the column of that name, blanks at its ends aside."""
    for given in (name, name.strip().removeprefix("\ufeff").strip()):
        if given in columns:
            return given
    close = difflib.get_close_matches(name, columns, 1)
    meant = f" (did you mean {close[0]!r}?)" if close else ""
    raise ValueError(f"{where} has no column {name!r}{meant}; its columns are {listed(columns)}")


def listed(names: Sequence[str], most: int = 20) -> str:
    """The names, separated by commas; of more than `most` only the first ones and their number."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True, eq=False)
class Columns:
    """How columns become the inputs of a network, and its outputs predictions; see `read_samples`.

    Attributes
    ----------
    inputs, targets : tuple of str
        Names of the columns, in the order in which the network takes and gives them.
    categories : dict of str to tuple of str
        Inputs that are text: each of the values becomes an input of 0 and 1.
    input_mean, input_scale : (d,) float64 arrays
        ``x = (value - input_mean) / input_scale`` for every input after the categories.
    target_mean, target_scale : (k,) float64 arrays
        ``target = target_mean + target_scale * output``.
    """

    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    categories: dict[str, tuple[str, ...]]
    input_mean: Floats
    input_scale: Floats
    target_mean: Floats
    target_scale: Floats

    NUMBERS: ClassVar = ("input_mean", "input_scale", "target_mean", "target_scale")

    def numbers(self) -> dict[str, Floats]:
        """Return the arrays by their names."""
        return {name: getattr(self, name) for name in self.NUMBERS}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the network's inputs: those of categories are ``column=value``."""
        several = self.categories.items()
        expanded = {name: [f"{name}={one}" for one in values] for name, values in several}
        return tuple(one for name in self.inputs for one in expanded.get(name, [name]))

    def notes(self, given: Sequence[str]) -> list[str]:
        """Say what a table with the columns `given` has besides the inputs, or in another order."""
        said = []
        unused = [name for name in given if name not in self.inputs and name not in self.targets]
        if unused:
            said.append(f"ignored columns: {listed(unused)}")
        found = [name for name in given if name in self.inputs]
        if found != list(self.inputs) and len(found) == len(self.inputs):
            said.append(f"columns are in another order; taken by name: {listed(self.inputs)}")
        return said

    def X(self, where: str, table: Table) -> Floats:
        """Return the (n, d) inputs of a table, standardised.

        ValueError if a column is missing, a category is unknown, or a number is too large to
        standardise.
        """
        absent = [name for name in self.inputs if name not in table.columns]
        if absent:
            raise ValueError(
                f"{where} lacks the columns {listed(absent)}; it has {listed(table.columns)}"
            )
        for name in self.inputs:
            if (name in self.categories) != (name in table.categories):
                expected, kind = (
                    ("text", "str") if name in self.categories else ("numbers", "float")
                )
                raise ValueError(
                    f"{where}: column {name!r} must hold {expected}, as in training; "
                    f"in a DataFrame convert it by .astype({kind})"
                )
        raw = _expanded(where, table, self.inputs, self.categories)
        with _standardising(where):
            return np.asarray((raw - self.input_mean) / self.input_scale)

    def in_units(self, outputs: npt.NDArray[Any]) -> Floats:
        """Return (n,) or (n, k) outputs of the network in the units of the targets.

        OverflowError if one exceeds the range of float64.
        """
        rows = outputs.astype(np.float64).reshape(len(outputs), -1)
        with np.errstate(over="ignore"):
            values = (rows * self.target_scale + self.target_mean).reshape(outputs.shape)
        return _check.in_range("Columns.in_units", values)


@dataclass(frozen=True)
class Samples:
    """Standardised samples, and how they were made; see `read_samples`.

    Attributes
    ----------
    X_train, X_test : (n, d) and (n_test, d) float64 arrays
        Inputs, each shifted and scaled by the mean and the standard deviation of its training
        rows; the scale of a constant column is 1.
    y_train, y_test : (n,) and (n_test,), or (n, k) and (n_test, k) float64 arrays
        Targets, likewise.
    columns : Columns
        Which columns they are, and the way back to the user's units.
    left_out : int
        Rows with missing cells that were left out, with ``missing="drop"``.
    """

    X_train: Floats
    y_train: Floats
    X_test: Floats
    y_test: Floats
    columns: Columns
    left_out: int = 0

    @property
    def constant_columns(self) -> tuple[str, ...]:
        """Inputs that take one value on all training rows and so become zero."""
        by_name = zip(self.columns.names, self.X_train.T, strict=True)
        return tuple(name for name, values in by_name if not values.any())

    @property
    def nearly_targets(self) -> tuple[str, ...]:
        """Inputs whose correlation with a target exceeds 0.95 in the training rows."""
        inputs, targets = self.X_train, self.y_train.reshape(len(self.y_train), -1)
        correlation = np.abs(inputs.T @ targets).max(axis=1) / max(len(inputs), _FEW)
        names = zip(self.columns.names, correlation, strict=True)
        return tuple(name for name, value in names if value > 0.95)


def _targets(fn: str, name: str, value: Any) -> tuple[str, ...]:
    columns = _check.names(fn, name, [value] if isinstance(value, str) else value)
    if not columns:
        raise ValueError(f"{fn}: {name} must name at least one column, got none")
    return columns


@_reading(
    target=_targets,
    test_fraction=partial(_check.number, interval="[0, 1)"),
    one_hot=_check.names,
)
def read_samples(
    path: str | Path,
    target: str | Sequence[str],
    test_fraction: float = 0.2,
    seed: int = 0,
    *,
    drop: Sequence[str] = (),
    one_hot: Sequence[str] = (),
    missing: Missing = "error",
    decimal: str = ".",
) -> Samples:
    """Read a CSV file and prepare its rows for training.

    Parameters
    ----------
    path : str or pathlib.Path
        A file as `read_csv` takes it.
    target : str or sequence of str
        The column, or columns, to learn; all others are inputs.
    test_fraction : float
        Part of the rows, in [0, 1), that is kept for the test loss; rounded to whole rows.
    seed : int
        The test rows are the first ones of ``default_rng([seed, 1]).permutation(rows)``, the
        training rows are the rest in that order. The extra 1 keeps this stream apart from the
        one that draws the network from the same seed.
    drop : sequence of str
        Columns that are not used.
    one_hot : sequence of str
        Text columns: each of their values becomes an input of 0 and 1.
    missing, decimal
        As in `read_csv`.

    Returns
    -------
    Samples
        With ``n_test`` = 0 when ``test_fraction`` rounds to no row.

    Raises
    ------
    OSError
        The file cannot be read.
    TypeError, ValueError
        An argument is invalid. The file is not a table of numbers, lacks a column, leaves no input
        or fewer than two training rows, has a target (or only inputs) that does not vary, or
        numbers whose standard deviation overflows.

    Examples
    --------
    >>> import asymfast as af
    >>> import numpy as np
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "table.csv")
    ...     x = np.arange(10.0)
    ...     np.savetxt(path, np.c_[x, x % 3, 5 * x], delimiter=",", header="a,b,y", comments="")
    ...     samples = af.datasets.read_samples(path, "y", drop=["b"])
    ...
    >>> samples.X_train.shape, samples.y_test.shape, samples.columns.names
    ((8, 1), (2,), ('a',))
    >>> samples.columns.in_units(samples.y_test).round(6)
    array([45.,  5.])
    """
    table = read_csv(path, decimal=decimal, missing=missing, text=one_hot, drop=drop)
    for one in target:
        if one.strip() in map(str.strip, drop):
            raise ValueError(f"{path}: the target {one!r} must not be dropped")
    targets = tuple(dict.fromkeys(find_column(str(path), table.columns, one) for one in target))
    for one in targets:
        if one in table.categories:
            raise ValueError(f"{path}: the target {one!r} must hold numbers, not categories")
    inputs = tuple(name for name in table.columns if name not in targets)
    if not inputs:
        raise ValueError(
            f"{path} has only the target column{'s' if len(targets) > 1 else ''} "
            f"{', '.join(map(repr, targets))}, and no inputs"
        )
    rows = len(table.values)
    held_out = round(test_fraction * rows)
    if rows - held_out < 2:
        raise ValueError(
            f"{path} has {rows} rows, and a test fraction of {test_fraction:g} "
            f"leaves {rows - held_out} of them for training; at least 2 are needed"
        )
    order = np.random.default_rng([seed, 1]).permutation(rows)
    train, test = order[held_out:], order[:held_out]
    raw = _expanded(str(path), table, inputs, table.categories)
    outputs = table.values[:, [table.columns.index(name) for name in targets]]
    with _standardising(str(path)):
        numbers = *statistics(raw[train]), *statistics(outputs[train])
        columns = Columns(inputs, targets, table.categories, *numbers)
        X = columns.X(str(path), table)
        y = (outputs - columns.target_mean) / columns.target_scale
    if len(targets) == 1:
        y = y[:, 0]
    samples = Samples(X[train], y[train], X[test], y[test], columns, table.left_out)
    for one, values in zip(targets, samples.y_train.reshape(len(train), -1).T, strict=True):
        if not values.any():
            raise ValueError(f"the target {one!r} has one value in all training rows of {path}")
    if len(samples.constant_columns) == len(columns.names):
        raise ValueError(f"no input varies over the training rows of {path}")
    return samples


@contextmanager
def _standardising(where: str) -> Iterator[None]:
    try:
        with np.errstate(over="raise", divide="raise", invalid="raise", under="ignore"):
            yield
    except FloatingPointError:
        raise ValueError(f"{where} has numbers too large, or too small, to standardise") from None


def statistics(values: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation (divisor n) of every column, safe to divide by the latter.

    For a constant column the mean is its value exactly and the standard deviation is 1: the mean of
    equal numbers can be off by a rounding error, which division by an equally small standard
    deviation would blow up to order one.
    """
    constant = np.ptp(values, axis=0) == 0
    mean = np.where(constant, values[0], values.mean(axis=0))
    std = np.where(constant, 1.0, values.std(axis=0))
    return mean, std


def _expanded(
    where: str, table: Table, inputs: Sequence[str], categories: Mapping[str, Sequence[str]]
) -> Floats:
    """The input columns of a table, with a column of 0 and 1 for each of the categories."""
    places = {name: place for place, name in enumerate(table.columns)}
    if not categories:
        return table.values[:, [places[name] for name in inputs]]
    parts = []
    for name in inputs:
        values = table.values[:, places[name]]
        if name in categories:
            known, found = categories[name], table.categories[name]
            unknown = [one for one in found if one not in known]
            if unknown:
                raise ValueError(
                    f"{where}: column {name!r} has the values {listed(unknown)}, which are not "
                    f"among {listed(known)}"
                )
            codes = np.array([known.index(one) for one in found])[values.astype(int)]
            parts.append(np.eye(len(known))[codes])
        else:
            parts.append(values[:, None])
    return np.hstack(parts)


# --------------------------------------------------------------------------- from text to cells

_DROP = "; missing='drop' (--missing drop) leaves out such rows"


def _text(path: Path) -> str:
    if _storage.is_special(path):
        raise ValueError(f"read_csv: {path} is not a regular file")
    try:
        return path.read_bytes().decode("utf-8").lstrip("\ufeff")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"read_csv: {path} is not UTF-8 text ({error}); save the table as CSV in UTF-8"
        ) from None


def _split(path: Path, text: str, decimal: str = ".") -> list[tuple[int, list[str]]]:
    """Line numbers and cells, without the empty lines at the end."""
    lines = list(io.StringIO(text, newline=None))
    first = 0
    if lines and (named := re.fullmatch(r'"?sep=([^\s"\w]|[ \t])"?\s*', lines[0], re.IGNORECASE)):
        separator, first = named[1], 1
    else:
        separator = _separator(lines[:50], ",;\t" if decimal == "." else ";\t,")
    if '"' in text:  # blanks between a closing quote and the separator
        blanks = re.compile(rf'"[ ]+(?={re.escape(separator)}|$)')
        lines = [blanks.sub('"', line) for line in lines]
    reader = csv.reader(lines[first:], delimiter=separator, strict=True, skipinitialspace=True)
    rows = []
    try:
        for cells in reader:
            rows.append((reader.line_num + first, [cell.strip() for cell in cells]))
    except csv.Error as error:
        _refuse(path, reader.line_num + first, f"cannot be split into cells ({error})")
    while rows and not any(rows[-1][1]) and len(rows[-1][1]) < 2:
        rows.pop()
    return rows


def _separator(lines: Sequence[str], separators: str) -> str:
    """The separator by which most lines have as many cells as the header, and most are numbers.

    Of equals the first, as where there is one column.
    """

    def fit(separator: str) -> tuple[float, float, int]:
        try:
            rows = list(csv.reader(lines, delimiter=separator, skipinitialspace=True))
        except csv.Error:
            return 0.0, 0.0, 0
        width = max(map(len, rows[:1]), default=0)
        same = [row for row in rows[1:] if len(row) == width > 1]
        cells = [cell.strip().replace(",", ".") for row in same for cell in row]
        numbers = sum(map(_is_number, cells)) / max(1, len(cells))
        return len(same) / max(1, len(rows) - 1), numbers, width

    return max(separators, key=fit)


def _header(path: Path, line: int, header: Sequence[str]) -> tuple[str, ...]:
    if "\0" in "".join(header):  # as in UTF-16 without a mark
        _refuse(path, line, "has null characters; save the table as CSV in UTF-8")
    if not any(header):
        _refuse(path, line, "is empty, but must hold the column names")
    if all(not cell or _is_number(cell.replace(",", ".")) for cell in header):
        _refuse(path, line, "holds numbers, but must hold the column names; add a line of names")
    seen: set[str] = set()
    for position, name in enumerate(header, start=1):
        if not name:
            last = position == len(header) > 1
            end = " (a separator at the end of the line?)" if last else ""
            if position == 1:
                end = " (row numbers? In pandas, to_csv(index=False) leaves them out)"
            _refuse(path, line, f"has no name for column {position}{end}")
        if name in seen:
            header_missing = "; is the line of names missing?" if _is_number(name) else ""
            _refuse(path, line, f"has two columns with the name {name!r}{header_missing}")
        seen.add(name)
    return tuple(header)


def _number(cell: str, decimal: str = ".") -> float:
    """The number in a cell; NaN if there is none."""
    if decimal == ",":
        cell = "nan" if "." in cell else cell.replace(",", ".")
    try:
        return math.nan if "_" in cell else float(cell)  # float takes 1_000 for a thousand
    except ValueError:
        return math.nan


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _problem(
    cell: str, cells: Sequence[str], column: str, columns: Sequence[str], decimal: str
) -> str:
    """Say what is wrong with a cell, and what to do about it."""
    shown = cell if len(cell) <= _SHOWN else cell[:_SHOWN] + "..."
    drop = _DROP if cell.lower() in _MISSING else ""
    if not cell:
        return f"is empty{drop}"
    if decimal == "," and "." in cell:
        return f"is not a number: {shown!r} (the decimal sign is a comma: remove all points)"
    if _is_number(cell.replace(",", ".") if decimal == "," else cell):
        return f"is not finite: {shown}{drop}"
    remedy = drop
    if _THOUSANDS.fullmatch(cell):
        remedy = " (remove what separates thousands"
        remedy += "; if it is the decimal sign, use decimal=',' or --decimal ,)" * ("," in cell)
        remedy += ")" * ("," not in cell)
    elif _is_number(cell.replace(",", ".")):
        remedy = (
            " (the decimal sign must be a point; for files with a comma use decimal=',' or "
            "--decimal ,)"
        )
    elif len(columns) == 1 and (found := re.search(r"[|: ]", column)):
        remedy = (
            "; cells are separated by commas, semicolons or tabs, another separator can be named "
            f"by a first line: sep={found[0]}"
        )
    elif any(one.isdigit() for one in cell):
        remedy = " (a cell must hold a number and nothing else; --drop leaves the column out)"
    elif not drop and not any(_is_number(other.replace(",", ".")) for other in cells):
        remedy = (
            f"; if the column holds categories, use --one-hot {column!r} (one input for each "
            "value); --drop leaves it out"
        )
    return f"is not a number: {shown!r}{remedy}"


def _refuse(path: Path, line: int, problem: str, *, separator: str = " ") -> NoReturn:
    raise ValueError(f"read_csv: {path}, line {line}{separator}{problem}")
