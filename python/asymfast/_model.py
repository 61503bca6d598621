"""A trained network with everything that predictions from a user's table need."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asymfast import _check, _storage
from asymfast.datasets.tables import Columns, Table, as_table
from asymfast.network import Network

_FORMAT = "asymfast model 1"


@_check.guarded
class Model:
    """A network that predicts the targets of a table, in their units.

    Parameters
    ----------
    network : Network
        Not an ensemble; its inputs are those of `columns`.
    columns : Columns
        Names, order and standardisation of the table's columns.
    about : mapping
        JSON-able: settings, seed and versions, for the record.

    Attributes
    ----------
    network, columns, about
        As given.

    Raises
    ------
    ValueError
        The network does not have the inputs and outputs of the columns.

    Examples
    --------
    >>> import asymfast as af
    >>> import numpy as np
    >>> from asymfast.datasets.tables import Columns
    >>> columns = Columns(
    ...     inputs=("x",), targets=("y",), categories={},
    ...     input_mean=np.array([1.0]), input_scale=np.array([2.0]),
    ...     target_mean=np.array([10.0]), target_scale=np.array([5.0]),
    ... )
    >>> net = af.Network(np.ones((1, 1)), np.ones(1), np.ones(1), activation="identity")
    >>> af.Model(net, columns, about={}).predict([[3.0]])  # 10 + 5 * (3 - 1) / 2
    array([15.])
    """

    @_check.arguments(
        "Model", network=_check.instance_of(Network), columns=_check.instance_of(Columns)
    )
    def __init__(self, network: Network, columns: Columns, about: Mapping[str, Any]) -> None:
        names, targets = len(columns.names) + network.bias, len(columns.targets)
        if network.B is not None or (network.d, network.k) != (names, targets):
            raise ValueError(
                f"Model: network must be a single one with {names} inputs and {targets} outputs, "
                f"as the columns have, got {network!r}"
            )
        if not isinstance(about, Mapping):
            raise TypeError(f"Model: about must be a mapping, got {type(about).__name__}")
        try:
            json.dumps(dict(about))
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"Model: about must be JSON-able, such as run.config: {error}"
            ) from None
        self.network, self.columns, self.about = network, columns, dict(about)

    def __repr__(self) -> str:
        inputs, targets = ", ".join(self.columns.inputs), ", ".join(self.columns.targets)
        return f"Model({targets} from {inputs}; m={self.network.m}, {self.network.activation})"

    def predict(self, X: Any, *, threads: int | None = None) -> NDArray[np.float64]:
        """Predict the targets of new rows.

        Cost: that of the network, O(n d m).

        Parameters
        ----------
        X : (n, c) array, DataFrame, or mapping of names to columns
            The inputs, not standardised: an array has the c columns of ``columns.inputs`` in that
            order; those of a DataFrame or mapping are found by their names, whatever their order,
            and columns that the model does not know are ignored with a warning. Categories are
            text, and need a DataFrame.
        threads : int, optional
            As many as OpenMP uses by default.

        Returns
        -------
        (n,) or (n, k) float64 array
            In the units of the targets; (n, k) if there are several.

        Raises
        ------
        TypeError
            `X` holds something else than numbers or text.
        ValueError
            A column is missing (the message names it), a category was not among those trained on,
            a value is missing or not finite, or the shape is wrong.
        OverflowError
            A prediction exceeds the range of the network's dtype.
        """
        fn, columns = "Model.predict", self.columns
        if isinstance(X, Table):
            table = X
        elif isinstance(X, Mapping) or (hasattr(X, "columns") and not callable(X.columns)):
            given = [name for name in X if str(name) in columns.inputs]
            for note in columns.notes(list(map(str, X))):
                if note.startswith("ignored"):
                    warnings.warn(f"{fn}: {note}", UserWarning, stacklevel=3)
            if not given:
                raise ValueError(f"{fn}: X lacks the columns {', '.join(columns.inputs)}")
            table = as_table(fn, {str(name): X[name] for name in given})
        else:
            values = _check.reals(fn, "X", X)
            _check.require_shape(fn, "X", values.shape, ("n", len(columns.inputs)))
            if columns.categories:
                raise TypeError(f"{fn}: X must be a DataFrame: the model has columns of text")
            table = Table(columns.inputs, values)
        inputs = columns.X(f"{fn}: X", table).astype(self.network.dtype)
        return columns.in_units(self.network(inputs, threads=threads))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to one .npz file of plain arrays, without pickle.

        An earlier file is what it was if that fails.
        """
        columns, network = self.columns, self.network
        arrays, header = network._stored()
        header |= {name: getattr(columns, name) for name in ("inputs", "targets", "categories")}
        header |= {"format": _FORMAT, "about": self.about}
        file = _storage.file_to_write("Model.save", "path", path)
        _storage.save_npz(file, arrays | columns.numbers(), header)


@_check.guarded
def load_model(path: str | os.PathLike[str]) -> Model:
    """Read a model that `asymfast train` or `Model.save` has written.

    Parameters
    ----------
    path : path-like
        The file, or a folder of results with ``model.npz``.

    Raises
    ------
    OSError
        There is no such file, or it cannot be read.
    TypeError
        `path` is not a path.
    ValueError
        The file is damaged or not a model. Nothing in it is ever executed, and every number is
        checked, so a file from a stranger does no harm.

    Examples
    --------
    >>> import asymfast as af
    >>> af.load_model("no_such_model.npz")
    Traceback (most recent call last):
        ...
    FileNotFoundError: ... 'no_such_model.npz'
    """
    file = _storage.path("load_model", "path", path)
    if file.is_dir():
        file /= "model.npz"
    try:
        return _storage.load_npz(file, _FORMAT, _model)
    except ValueError as error:
        raise ValueError(f"load_model: {file} is not a model file: {error}") from None


def _model(stored: dict[str, NDArray[Any]], header: dict[str, Any]) -> Model:
    inputs, targets = _names(header, "inputs"), _names(header, "targets")
    categories = {name: _names(header["categories"], name) for name in dict(header["categories"])}
    if not set(categories) <= set(inputs):
        raise ValueError("its categories are invalid")
    if set(inputs) & set(targets):
        raise ValueError("a column is both an input and a target")
    numbers = {
        name: _check.array("its columns", name, stored[name], dtype=np.float64, shape=("d",))
        for name in Columns.NUMBERS
    }
    for name, values in numbers.items():
        count = len(targets)
        if name.startswith("input"):
            count = sum(len(categories.get(one, (one,))) for one in inputs)
        if len(values) != count:
            raise ValueError(f"{name} has {len(values)} entries, expected {count}")
        if name.endswith("scale") and values.min() <= 0:
            raise ValueError(f"{name} must be positive")
    columns = Columns(inputs, targets, categories, **numbers)
    return Model(Network._from_arrays(stored, header), columns, dict(header["about"]))


def _names(table: Any, key: str) -> tuple[str, ...]:
    names = table[key]
    if not isinstance(names, list) or not names or not all(isinstance(one, str) for one in names):
        raise ValueError(f"{key} must be a list of names")
    if len(set(names)) < len(names):
        raise ValueError(f"{key} has a name twice")
    return tuple(names)
