"""Configs as flat tables of parameters: names such as ``network.gamma``, and what varies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asymfast.sweeps.canonical import canonical


def nested(fn: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config in which ``{"network.gamma": 1}`` has become ``{"network": {"gamma": 1}}``.

    Raises
    ------
    ValueError
        A parameter is given twice, or both a value and a table.
    """
    result: dict[str, Any] = {}
    for name, value in config.items():
        merge(fn, result, _spelled_out(fn, name, value))
    return result


def _spelled_out(fn: str, name: str, value: Any) -> dict[str, Any]:
    head, dot, rest = name.partition(".")
    if dot:
        return {head: _spelled_out(fn, rest, value)}
    return {head: nested(fn, value) if isinstance(value, Mapping) else value}


def merge(fn: str, into: dict[str, Any], config: Mapping[str, Any], *, over: bool = False) -> None:
    """Add a nested config to another.

    Parameters
    ----------
    fn : str
        For messages.
    into : dict
        Is changed.
    config : mapping
        What to add.
    over : bool
        Whether its values replace those that are there.

    Raises
    ------
    ValueError
        A parameter is in both and `over` is False; or it is a table in one of them only.
    """
    for name, value in config.items():
        if name not in into:
            into[name] = copied(value)
        elif isinstance(value, Mapping) and isinstance(into[name], dict):
            merge(fn, into[name], value, over=over)
        elif over and not isinstance(value, Mapping) and not isinstance(into[name], dict):
            into[name] = value
        else:
            raise ValueError(f"{fn}: {name} is given twice, or is a table in one place only")


def copied(value: Any) -> Any:
    """Return a value whose tables can be changed without changing those it came from."""
    if isinstance(value, Mapping):
        return {name: copied(entry) for name, entry in value.items()}
    return value


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the parameters of a nested config by their full names."""
    result: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            result |= flat(value, f"{prefix}{name}.")
        else:
            result[f"{prefix}{name}"] = value
    return result


def varying(tables: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of those parameters that differ between flat configs, sorted.

    One that a config lacks differs from one that it has.
    """
    names = sorted({name for table in tables for name in table})
    return [
        name
        for name in names
        if len({canonical(table[name]) if name in table else "" for table in tables}) > 1
    ]


def label(table: Mapping[str, Any], names: Sequence[str]) -> str:
    """Describe a flat config by some of its parameters: ``gamma=0.5 seed=1``."""
    told = [name for name in names if table.get(name) is not None]
    return " ".join(f"{short(name)}={table[name]}" for name in told)


def short(name: str) -> str:
    """Return how a parameter is called in tables of results.

    The last part of its name, as ``gamma`` of network.gamma, but for names that two tables have or
    that a record has for something else: ``data_seed``, ``train_loss``, ``record_steps``.
    """
    table, _, last = name.rpartition(".")
    return f"{table}_{last}" if table and last in _AMBIGUOUS else last


_AMBIGUOUS = frozenset(
    {
        *("seed", "weights", "name", "n_test"),
        *("steps", "time", "times", "loss", "accuracy", "record"),
        *("ntg", "ntg_on", "ntg_change_2norm", "eigmin", "eigmax", "alignment"),
        *("effective_rank", "ntg_matrix", "top_nodes", "wall_seconds", "path", "target"),
    }
)
