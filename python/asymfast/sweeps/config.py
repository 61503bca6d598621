"""What a config may hold, and what is wrong with one that holds something else.

seed = 0                        of everything random whose own seed is not given
[data]      name = ...          "simulated", a data set of `asymfast.datasets.load`, "csv", "npz"
[network]   m, gamma ...        of `Network.init`; inputs and outputs are those of the data
[train]     trainer = ...       "gradient_descent", "gradient_flow" or "sgd", and its keywords
[record]    every = ...         the fields of `Record`
[stop]      loss = ...          the fields of `Stop`
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from asymfast.datasets.paper import NAMES as TABLES
from asymfast.record import Record, Stop
from asymfast.sweeps.canonical import plain
from asymfast.sweeps.parameters import nested
from asymfast.train import gradient_descent, gradient_flow, sgd

TRAINERS: dict[str, Callable[..., Any]] = {
    "gradient_descent": gradient_descent,
    "gradient_flow": gradient_flow,
    "sgd": sgd,
}
SECTIONS = ("data", "network", "train", "record", "stop")

# Arguments of the trainers that come from elsewhere: the sections, or the sweep itself.
_NOT_IN_TRAIN = frozenset(
    {"net", "X", "y", "X_test", "y_test", "record", "stop"}
    | {"threads", "progress", "callback", "checkpoint", "checkpoint_every", "comm"}
)
_NOT_IN_RECORD = frozenset({"folder"})  # the store keeps the record


class ConfigError(ValueError):
    """A config of a sweep that cannot be run.

    Examples
    --------
    >>> import asymfast as af
    >>> try:
    ...     af.train_config({"data": {"name": "simulatd"}})
    ... except af.ConfigError as error:
    ...     print(str(error)[-23:])
    did you mean simulated?
    """


@dataclass(frozen=True)
class Keys:
    """The keys of a section: those that must be there, and the others with their defaults."""

    required: tuple[str, ...]
    defaults: dict[str, Any]

    @property
    def all(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.required, *self.defaults)


_OF_TABLES = Keys(("name",), {"n": None, "n_test": None, "split_seed": 0, "target": None})
_DATA = {
    "simulated": Keys(("name",), {"n": 100, "d": 50, "seed": None, "noise": 1.0, "n_test": 0}),
    **dict.fromkeys(TABLES, _OF_TABLES),
    "mnist": Keys(("name",), {"n": None, "n_test": None}),
    "npz": Keys(("name", "path"), {"sha256": None}),
    "csv": Keys(("name", "path", "target"), {"test_fraction": 0.2, "seed": None, "sha256": None}),
}
_NETWORK = Keys(
    ("m", "gamma"), {"alpha": None, "activation": "swish", "seed": None, "dtype": "float64"}
)


@cache
def _train_keys(trainer: str) -> Keys:
    known = {
        name: parameter.default
        for name, parameter in inspect.signature(TRAINERS[trainer]).parameters.items()
        if name not in _NOT_IN_TRAIN
    }
    defaults = {
        name: default for name, default in known.items() if default is not inspect.Parameter.empty
    }
    if "rng" in defaults:
        defaults["rng"] = None  # the seed of the config
    required = tuple(name for name in known if name not in defaults)
    return Keys(("trainer", *required), defaults)


def _of_fields(kind: Any, leave_out: frozenset[str] = frozenset()) -> Keys:
    return Keys((), {f.name: f.default for f in fields(kind) if f.name not in leave_out})


def keys(section: str, config: Mapping[str, Any]) -> Keys:
    """Return the keys of a section of a nested config, which depend on data set and trainer.

    Raises
    ------
    ConfigError
        The config does not say, or there is no such data set or trainer.
    """
    if section == "data":
        return _DATA[_chosen(config, "data", "name", _DATA)]
    if section == "train":
        return _train_keys(_chosen(config, "train", "trainer", TRAINERS))
    if section == "network":
        return _NETWORK
    return _of_fields(Record, _NOT_IN_RECORD) if section == "record" else _of_fields(Stop)


def _chosen(config: Mapping[str, Any], section: str, key: str, known: Mapping[str, Any]) -> str:
    value = config.get(section, {}).get(key)
    if value is None:
        raise ConfigError(f"{section} must have a {key}: one of {', '.join(known)}")
    if not isinstance(value, str) or value not in known:
        raise ConfigError(
            f"{section}.{key} must be one of {', '.join(known)}, got {value!r}"
            + _meant(str(value), known)
        )
    return value


def spelled_out(config: Any) -> dict[str, Any]:
    """Return a config as nested plain values, after a look at its keys.

    Raises
    ------
    ConfigError
        A key is unknown, missing, or no section; the message names the nearest one that is known.
    """
    try:
        if not isinstance(config, Mapping):
            raise TypeError(f"a config must be a mapping, got {type(config).__name__}")
        result = nested("config", plain("sweep", "config", config))
    except (TypeError, ValueError) as error:
        raise ConfigError(str(error)) from error
    for name in result:
        if name != "seed" and name not in SECTIONS:
            raise ConfigError(f"unknown key {name!r}" + _elsewhere(name, ("seed", *SECTIONS)))
    for section in SECTIONS:
        entries = result.setdefault(section, {})
        if not isinstance(entries, dict):
            raise ConfigError(f"{section} must be a table, got {entries!r}")
    for section in SECTIONS:
        _require_keys(section, result[section], keys(section, result))
    return result


def _require_keys(section: str, entries: Mapping[str, Any], known: Keys) -> None:
    variants = {"data": _DATA, "train": {each: _train_keys(each) for each in TRAINERS}}
    for name in entries:
        if name not in known.all:
            having = [each for each, of in variants.get(section, {}).items() if name in of.all]
            hint = f"; only {', '.join(having)} has that" if having else ""
            raise ConfigError(
                f"unknown key {section}.{name}" + (hint or _elsewhere(name, known.all))
            )
    for name in known.required:
        if entries.get(name) is None:
            raise ConfigError(f"{section}.{name} is missing")


def shortened(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config without what is as by default, so that equal runs have equal configs."""
    result: dict[str, Any] = {}
    if config.get("seed", 0) != 0:
        result["seed"] = config["seed"]
    for section in SECTIONS:
        defaults = keys(section, config).defaults
        kept = {
            name: value
            for name, value in config.get(section, {}).items()
            if name not in defaults or value != defaults[name]
        }
        if kept:
            result[section] = kept
    return result


def default(name: str, config: Mapping[str, Any]) -> Any:
    """Return what a parameter that a config leaves out is; None where it means nothing there."""
    section, _, key = name.rpartition(".")
    if not section:
        return 0 if name == "seed" else None
    value = keys(section, config).defaults.get(key)
    return config.get("seed", 0) if key in ("seed", "rng") and value is None else value


def _elsewhere(name: str, known: Any) -> str:
    if meant := _meant(name, known):
        return meant
    places = {
        "network": _NETWORK.all,
        "train": tuple(key for trainer in TRAINERS for key in _train_keys(trainer).all),
        "record": keys("record", {}).all,
        "data": tuple(key for each in _DATA.values() for key in each.all),
        "stop": keys("stop", {}).all,
    }
    for section, names in places.items():
        if name in names:
            return f"; did you mean {section}.{name}?"
    return f"; known are {', '.join(known)}"


def _meant(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""
