"""Many configurations from few words: a base, lists that multiply out, and single runs."""

from __future__ import annotations

import copy
import itertools
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from asymfast import _storage
from asymfast.run import Run
from asymfast.study.config import (
    Config,
    ConfigError,
    as_plain,
    as_table,
    explained,
    flat,
    merge,
    nested,
    parse,
    sections,
)
from asymfast.study.data import Places, regular_file, with_digest
from asymfast.study.store import Store, canonical
from asymfast.study.train import check


class Presentation(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How an experiment is shown: its title, the panels of its figure, the paper's figures."""

    title: str
    panels: tuple[str, ...]
    figures: dict[str, str] = {}


class Grid(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A grid of configurations; paper and quick are of descriptions of experiments."""

    base: dict[str, Any] = {}
    grid: dict[str, Any] = {}
    variants: list[dict[str, Any]] = []
    runs: list[dict[str, Any]] = []
    paper: Presentation | None = None
    quick: dict[str, Any] = {}


@dataclass(frozen=True)
class Plan:
    """The runs of a sweep: each once, by its key, and a few words that tell it from the others."""

    configs: dict[str, Config]
    labels: dict[str, str]


def planned(source: Any, data_dir: str | os.PathLike[str] | None) -> Plan:
    """Expand and check the configurations of a sweep.

    Raises
    ------
    ConfigError
        One of them cannot be run; the message says which.
    OSError, ImportError, TypeError
        A file or data set is not available; `source` is not a valid type.
    """
    if isinstance(source, Plan):
        return source
    given = configs_of(source)
    if not given:
        raise ConfigError("sweep: configs must hold at least one configuration, got none")
    configs: dict[str, Config] = {}
    places = Places.of(data_dir)
    checked = set()
    for i, one in enumerate(given):
        try:
            config = with_digest(parse(one), places)
            if (kind := canonical(_without_seeds(config.table()))) not in checked:
                check(config, places)
                checked.add(kind)
        except ConfigError as error:
            raise ConfigError(f"sweep: config {i} of {len(given)}: {error}") from error
        configs.setdefault(Store.key(config.table()), config)
    names = varying(tables := full_tables(list(configs.values())))
    labels = (label(table, names) for table in tables)
    return Plan(configs, dict(zip(configs, labels, strict=True)))


# ---- grids ----------------------------------------------------------------------------------


def configs_of(source: Any) -> list[Any]:
    """Return the configurations that a TOML file, a grid, or an iterable of them stands for.

    Raises
    ------
    ConfigError
        The grid is invalid.
    OSError
        The file cannot be read.
    TypeError
        Something else was given.
    """
    if isinstance(source, (str, os.PathLike)):
        path = _storage.path("sweep", "configs", source)
        try:
            return expanded(read_toml(path))
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error
    if isinstance(source, Mapping):
        return expanded(source)
    if isinstance(source, Iterable):
        return list(source)
    raise TypeError(
        "sweep: configs must be a list of configurations, a grid, or the path of a TOML file, "
        f"got {type(source).__name__}"
    )


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; a byte order mark is skipped.

    Raises
    ------
    ConfigError
        It is not TOML; the message says where.
    OSError
        It cannot be read, or is not a regular file.
    """
    try:
        return tomllib.loads(regular_file(path).read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ConfigError(f"not a TOML file: {error}") from error


def expanded(grid: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the configurations of a grid: base x variants x grid, then base with each run.

    Parameters
    ----------
    grid : mapping
        base: a configuration, which may be incomplete. variants: a list of such, each laid over the
        base. grid: for parameters, lists of values; every combination is a run. runs: a list of
        configurations, each laid over the base alone. paper and quick are ignored here.

    Raises
    ------
    ConfigError
        A part is unknown, not a list, empty, or two parts set the same parameter.
    """
    try:
        plain = as_plain("sweep", "grid", grid)
        parts = msgspec.convert(plain, Grid)
        for name in ("variants", "runs"):
            if name in grid and not grid[name]:
                raise ConfigError(f"{name} must be a list of tables, got []")
        base, axes = nested("base", parts.base), flat(nested("grid", parts.grid))
        variants = [nested("variants", each) for each in parts.variants]
        for name, values in axes.items():
            if not isinstance(values, list) or not values:
                raise ConfigError(f"grid.{name} must be a list of values, got {values!r}")
            if any(isinstance(value, dict) for value in values):
                raise ConfigError(f"grid.{name} must be a list of values; tables go to variants")
        for variant in variants:
            if both := sorted(flat(variant).keys() & axes.keys()):
                raise ConfigError(f"{both[0]} is in both grid and variants")
        product = variants or axes or not parts.runs
        combinations = itertools.product(variants or [{}], *axes.values()) if product else ()
        configs = [
            _laid_over(base, variant, dict(zip(axes, values, strict=True)))
            for variant, *values in combinations
        ]
        return configs + [_laid_over(base, nested("runs", run), {}) for run in parts.runs]
    except ConfigError:
        raise
    except msgspec.ValidationError as error:
        single = "; a single configuration must be in a list" if "data" in grid else ""
        raise ConfigError(explained(str(error), plain, Grid) + single) from error
    except (TypeError, ValueError) as error:
        raise ConfigError(str(error)) from error


def _laid_over(
    base: dict[str, Any], table: dict[str, Any], values: dict[str, Any]
) -> dict[str, Any]:
    config = copy.deepcopy(base)
    merge("grid", config, table, over=True)
    merge("grid", config, nested("grid", values), over=True)
    return config


def _without_seeds(table: dict[str, Any]) -> dict[str, Any]:
    """Leave out valid seeds, which no check depends on."""
    kept: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            kept[name] = _without_seeds(value)
        elif name not in ("seed", "rng") or type(value) is not int or value < 0:
            kept[name] = value
    return kept


# ---- parameters of many runs ----------------------------------------------------------------


def full_tables(configs: Sequence[Config]) -> list[dict[str, Any]]:
    """Return flat tables in which a parameter that one run has is spelled out in all.

    One that a run does not have, such as a learning rate in a flow, is None there.
    """
    full = [flat(msgspec.to_builtins(config)) for config in configs]
    for table in full:
        own = [name for name in table if table[name] is None and name.endswith((".seed", ".rng"))]
        table.update(dict.fromkeys(own, table["seed"]))
    used = {name for config in configs for name in flat(as_table(config))}
    names = sorted({*used, "seed", "network.gamma", "network.alpha"})
    return [{name: table.get(name) for name in names} for table in full]


def varying(tables: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of those parameters that differ between flat tables, alpha after gamma."""
    order = {"network.alpha": "network.gamma+"}
    names = sorted({name for table in tables for name in table}, key=lambda n: order.get(n, n))
    return [name for name in names if len({canonical(table.get(name)) for table in tables}) > 1]


def label(table: Mapping[str, Any], names: Sequence[str]) -> str:
    """Describe a flat table by some of its parameters: ``gamma=0.5 seed=1``."""
    shown = [name for name in names if table.get(name) is not None]
    return " ".join(f"{short(name)}={table[name]}" for name in shown)


def short(name: str) -> str:
    """Return what a parameter is called in tables of results.

    The last part of its name, such as ``gamma`` of network.gamma, but for names that two tables
    have, or that mean something else in a result: ``data_seed``, ``train_loss``, ``record_steps``.
    """
    table, _, last = name.rpartition(".")
    return f"{table}_{last}" if table in _STAGES or (table and last in _ambiguous()) else last


_STAGES = ("pruning", "transfer")
_AXES = (
    *("step", "key", "run", "record", "seconds"),
    *("member", "node", "input", "output", "sample", "sample2", "rank"),
)


@cache
def _ambiguous() -> frozenset[str]:
    names = ["seed"]
    for table, kinds in sections().items():
        if table not in _STAGES:
            names += {key for keys in kinds.values() for key in keys}
    repeated = {name for name in names if names.count(name) > 1}
    return frozenset({*repeated, *_AXES, *(field.name for field in fields(Run))})
