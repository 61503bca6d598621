"""The parameters of many runs, and their results as one data set."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from asymfast import _check, _storage
from asymfast._optional import require
from asymfast.run import Run
from asymfast.study.config import Config, as_table, flat, parse, sections
from asymfast.study.stages import stages
from asymfast.study.store import Arrays, Store, canonical

if TYPE_CHECKING:
    import xarray

_ALWAYS = ("network.gamma", "network.alpha", "seed")  # coordinates, even if they do not vary
_NETWORK = ("W", "a", "lam")  # of runs with record.network, not a part of the record
_STAGES = ("pruning", "transfer")
_AXES = (
    *("step", "key", "run", "record", "seconds"),
    *("member", "node", "input", "output", "sample", "sample2", "rank"),
)


def full_tables(configs: Sequence[Config]) -> list[dict[str, Any]]:
    """Return flat tables in which a parameter that one run has is spelled out in all.

    One that a run does not have, such as a learning rate in a flow, is None there.
    """
    full = [flat(msgspec.to_builtins(config)) for config in configs]
    for table in full:
        own = [name for name in table if table[name] is None and name.endswith((".seed", ".rng"))]
        table.update(dict.fromkeys(own, table["seed"]))
    used = {name for config in configs for name in flat(as_table(config))}
    names = sorted({*used, *_ALWAYS})
    return [{name: table.get(name) for name in names} for table in full]


def varying(tables: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of those parameters that differ between flat tables, alpha after gamma."""
    order = {"network.alpha": "network.gamma+"}
    names = sorted({name for table in tables for name in table}, key=lambda n: order.get(n, n))
    return [name for name in names if len({canonical(table.get(name)) for table in tables}) > 1]


def short(name: str) -> str:
    """Return what a parameter is called in tables of results.

    The last part of its name, such as ``gamma`` of network.gamma, but for names that two tables
    have, or that mean something else in a result: ``data_seed``, ``train_loss``, ``record_steps``.
    """
    table, _, last = name.rpartition(".")
    return f"{table}_{last}" if table in _STAGES or (table and last in _ambiguous()) else last


@cache
def _ambiguous() -> frozenset[str]:
    names = ["seed"]
    for table, kinds in sections().items():
        if table not in _STAGES:
            names += {key for keys in kinds.values() for key in keys}
    repeated = {name for name in names if names.count(name) > 1}
    return frozenset({*repeated, *_AXES, *(field.name for field in fields(Run))})


@_check.guarded
def load_sweep(
    folder: str | os.PathLike[str], configs: Sequence[Mapping[str, Any]] | None = None
) -> xarray.Dataset:
    """Return the finished runs of a folder (extra ``sweep``).

    A full grid becomes an axis for each parameter by
    ``ds.set_index(run=["gamma", "seed"]).unstack("run")``.

    Parameters
    ----------
    folder : path-like
        That of a `sweep`, which may still be running.
    configs : sequence of dict, optional
        Only these, as `SweepResult.configs` has them. Those that are not finished are left out.

    Returns
    -------
    xarray.Dataset
        With the dimension run, in the order of the parameters that differ (or as `configs` has
        them), and those of `Run.to_xarray`. Variables are what was recorded, and for every run:
        diverged, seconds. Coordinates of run are its key, gamma, alpha, seed and the parameters
        that differ between the runs, named as in ``lr``, or ``train_loss`` where there are
        several of that name; a parameter that a run does not have is NaN, or None among texts. step
        and time are coordinates of record, or variables if they differ between the runs. Attributes
        are the parameters that all runs share.

        Runs of different lengths are padded: with NaN, -1 among integers.

    Raises
    ------
    ImportError
        xarray is not installed.
    FileNotFoundError, StoreError
        The folder does not exist or is not that of a sweep, or a file in it is damaged.
    TypeError, ValueError
        `folder` is not a valid path; no run is finished.

    Examples
    --------
    >>> import asymfast as af
    >>> import tempfile
    >>> config = {"data.name": "simulated", "network.m": 20, "network.gamma": 1.0}
    >>> config |= {"train.trainer": "gradient_descent", "train.steps": 50}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     grid = {"base": config, "grid": {"seed": [0, 1, 2]}}
    ...     result = af.sweep(grid, out=folder, jobs=1)
    ...     ds = af.load_sweep(folder)
    >>> ds.loss.sizes["run"], ds.seed.values.tolist()
    (3, [0, 1, 2])
    """
    Dataset = require("xarray", "sweep", "load_sweep").Dataset
    store = Store(_storage.path("load_sweep", "folder", folder), create=False)
    if configs is not None and (isinstance(configs, (str, Mapping)) or not np.iterable(configs)):
        given = _storage.brief(configs)
        raise TypeError(f"load_sweep: configs must be a sequence of configurations, got {given}")
    found = _training_runs(store, configs)
    if not found:
        raise ValueError(f"load_sweep: no run is finished in {store.folder}")
    tables = full_tables([config for config, _, _ in found])
    differing = varying(tables)
    if configs is None:  # files are ordered by their hashes, which say nothing
        pairs = zip(tables, found, strict=True)
        order = sorted(pairs, key=lambda pair: [_rank(pair[0][name]) for name in differing])
        tables, found = [table for table, _ in order], [one for _, one in order]
    variables: dict[str, Any] = {}
    coordinates: dict[str, Any] = {}
    axes_of: dict[str, Sequence[str]] = {}
    sizes: dict[str, int] = {}  # the longest, also of runs that lack a column
    for _, arrays, info in found:
        for name, values in arrays.items():
            axes_of.setdefault(name, info["axes"][name])
            for axis, size in zip(axes_of[name], values.shape, strict=True):
                sizes[axis] = max(size, sizes.get(axis, 0))
    for name, axes in axes_of.items():
        shape = [sizes[axis] for axis in axes]
        values = _stacked([arrays.get(name) for _, arrays, _ in found], shape)
        if name in ("steps", "time") and (values == values[0]).all():
            coordinates["step" if name == "steps" else name] = axes, values[0]
        else:
            variables[name] = ("run", *axes), values
    variables["diverged"] = "run", np.array([i["status"] == "diverged" for _, _, i in found])
    variables["seconds"] = "run", np.array([info["seconds"] for _, _, info in found])
    keys = [Store.key(stages(config)["training"]) for config, _, _ in found]
    coordinates["key"] = "run", np.array(keys)
    names = dict.fromkeys([*_ALWAYS, *differing])
    for name in names:
        coordinates[short(name)] = "run", _column([table[name] for table in tables])
    shared = {name: value for name, value in tables[0].items() if name not in names}
    shared |= {
        name: str(value) for name, value in shared.items() if isinstance(value, (bool, type(None)))
    }
    dataset: xarray.Dataset = Dataset(variables, coordinates, shared)
    return dataset


def _training_runs(
    store: Store, configs: Sequence[Mapping[str, Any]] | None
) -> list[tuple[Config, Arrays, dict[str, Any]]]:
    if configs is None:
        read = [(parse(c), arrays, info) for c, arrays, info in store.items() if "of" not in c]
    else:
        tables = [(c, stages(c)["training"]) for c in map(parse, configs)]
        read = [(c, *store.load(table)) for c, table in tables if store.finished(table)]
    return [
        (config, {name: a for name, a in arrays.items() if name not in _NETWORK}, info)
        for config, arrays, info in read
    ]


def _rank(value: Any) -> tuple[int, float, str]:
    """Order of values of any kind: None, numbers, the rest by how it is written."""
    if value is None:
        return 0, 0.0, ""
    return (1, value, "") if isinstance(value, (int, float)) else (2, 0.0, str(value))


def _stacked(columns: Sequence[NDArray[Any] | None], shape: Sequence[int]) -> NDArray[Any]:
    """Stack arrays along a new first axis, each padded to a shape."""
    present = [column for column in columns if column is not None]
    fill = -1 if present[0].dtype.kind == "i" else np.nan
    result = np.full((len(columns), *shape), fill, np.result_type(*present))
    for row, column in zip(result, columns, strict=True):
        if column is not None:
            row[tuple(slice(size) for size in column.shape)] = column
    return result


def _column(values: Sequence[Any]) -> NDArray[Any]:
    """Return the values of a parameter: numbers, with NaN for None, or else as they are."""
    kinds = {type(value) for value in values}
    if kinds <= {int, float, type(None)}:
        return np.array([np.nan if value is None else value for value in values])
    if kinds in ({bool}, {str}):
        return np.array(values)
    column = np.empty(len(values), object)
    # Lists too are one value of a parameter.
    column[:] = [v if isinstance(v, (str, type(None))) else str(v) for v in values]
    return column
