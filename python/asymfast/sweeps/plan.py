"""The runs of a sweep, all checked before the first one begins."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from asymfast.sweeps.canonical import canonical
from asymfast.sweeps.config import ConfigError, default, shortened, spelled_out
from asymfast.sweeps.data import data_file, digest
from asymfast.sweeps.grid import configs_of
from asymfast.sweeps.parameters import flat, label, varying
from asymfast.sweeps.store import Store
from asymfast.sweeps.train import check


@dataclass(frozen=True)
class Plan:
    """The configs of a sweep, each once, and a few words on each that tell it from the others."""

    configs: list[dict[str, Any]]
    labels: list[str]


def planned(source: Any, data_dir: str | os.PathLike[str] | None) -> Plan:
    """Expand and check the configs of a sweep.

    Raises
    ------
    ConfigError
        One of them cannot be run; the message says which.
    OSError, ImportError, TypeError
        A file or data set cannot be had; `source` is no configs.
    """
    given = configs_of(source)
    if not given:
        raise ConfigError("sweep: configs must hold at least one config, got none")
    plain, checked = {}, set()
    for i, config in enumerate(given):
        try:
            one = _with_digest(spelled_out(config), data_dir)
            if (kind := canonical(_without_seeds(one))) not in checked:
                check(one, data_dir)
                checked.add(kind)
            one = shortened(one)
        except ConfigError as error:
            raise ConfigError(f"sweep: config {i} of {len(given)}: {error}") from error
        plain[Store.key(one)] = one
    configs = list(plain.values())
    tables = full_tables(configs)
    names = varying(tables)
    return Plan(configs, [label(table, names) for table in tables])


def full_tables(configs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return flat configs in which a parameter that one has is spelled out in all, by default.

    One that means nothing in a config, as a learning rate in a flow, is None there.
    """
    tables = [flat(config) for config in configs]
    names = {name for table in tables for name in table}
    return [
        {name: table[name] if name in table else default(name, config) for name in names}
        for table, config in zip(tables, configs, strict=True)
    ]


def _with_digest(config: dict[str, Any], data_dir: str | os.PathLike[str] | None) -> dict[str, Any]:
    """Add what a file of the user's holds to the config: results belong to that."""
    data = config["data"]
    if "path" not in data:
        return config
    found = digest(data_file(data, data_dir))
    if data.get("sha256") not in (None, found):
        raise ConfigError(f"{data['path']} has changed: its SHA-256 is {found}")
    return {**config, "data": {**data, "sha256": found}}


def _without_seeds(config: dict[str, Any]) -> dict[str, Any]:
    """Leave out what no check depends on but that it is a seed."""
    kept: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, dict):
            value = _without_seeds(value)
        elif name in ("seed", "rng") and type(value) is int and value >= 0:
            continue
        kept[name] = value
    return kept
