"""Many configs from few words: a base, lists that multiply out, and single runs."""

from __future__ import annotations

import itertools
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from asymfast.sweeps.canonical import plain
from asymfast.sweeps.config import ConfigError
from asymfast.sweeps.parameters import copied, flat, merge, nested

_PARTS = ("base", "grid", "variants", "runs")


def configs_of(source: Any) -> list[Any]:
    """Return the configs that somebody means.

    Parameters
    ----------
    source : path-like, mapping, or iterable of mappings
        The path of a TOML file, what such a file holds, or the configs themselves.

    Raises
    ------
    ConfigError
        The grid is none.
    OSError
        The file cannot be read.
    TypeError
        Something else was given.
    """
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        try:
            return expanded(_toml(path))
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error
    if isinstance(source, Mapping):
        return expanded(source)
    if isinstance(source, Iterable):
        return list(source)
    raise TypeError(
        "sweep: configs must be a list of configs, a grid, or the path of a TOML file, "
        f"got {type(source).__name__}"
    )


def expanded(grid: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the configs of a grid: base x variants x grid, then base with each of the runs.

    Parameters
    ----------
    grid : mapping
        base: a config, which may be incomplete. variants: a list of such, each laid over the base.
        grid: for parameters, lists of values; every combination is a run. runs: a list of configs,
        each laid over the base alone.

    Raises
    ------
    ConfigError
        A part is unknown, not a list, empty, or two parts set the same.
    """
    unknown = [name for name in grid if name not in _PARTS]
    if unknown:
        raise ConfigError(
            f"a grid has the parts {', '.join(_PARTS)}, got {unknown[0]!r}; "
            "a single config must be in a list"
        )
    try:
        grid = plain("sweep", "grid", grid)
        base = nested("base", _table("base", grid.get("base", {})))
        axes = flat(nested("grid", _table("grid", grid.get("grid", {}))))
        variants = [nested("variants", each) for each in _tables("variants", grid)]
        runs = [nested("runs", each) for each in _tables("runs", grid)]
        for name, values in axes.items():
            if not isinstance(values, list) or not values:
                raise ConfigError(f"grid.{name} must be a list of values, got {values!r}")
            if any(isinstance(value, dict) for value in values):
                raise ConfigError(f"grid.{name} must be a list of values; tables go to variants")
        for variant in variants:
            if both := sorted(flat(variant).keys() & axes.keys()):
                raise ConfigError(f"{both[0]} is in both grid and variants")
        product = variants or axes or not runs
        combinations = itertools.product(variants or [{}], *axes.values()) if product else ()
        configs = [
            _laid_over(base, variant, dict(zip(axes, values, strict=True)))
            for variant, *values in combinations
        ]
        return configs + [_laid_over(base, run, {}) for run in runs]
    except ConfigError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(str(error)) from error


def _laid_over(
    base: dict[str, Any], table: dict[str, Any], values: dict[str, Any]
) -> dict[str, Any]:
    config: dict[str, Any] = copied(base)
    merge("grid", config, table, over=True)
    merge("grid", config, nested("grid", values), over=True)
    return config


def _table(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{name} must be a table, got {value!r}")
    return value


def _tables(name: str, grid: Mapping[str, Any]) -> list[dict[str, Any]]:
    tables = grid.get(name, [])
    if not isinstance(tables, list) or (name in grid and not tables):
        raise ConfigError(f"{name} must be a list of tables, got {tables!r}")
    return [_table(f"{name}[{i}]", table) for i, table in enumerate(tables)]


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ConfigError(f"not a TOML file: {error}") from error
