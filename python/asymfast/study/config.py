"""What a run is: the one configuration language of sweeps and of the paper's experiments.

A configuration is a dict, or TOML, of these tables. Keys are the keywords of the Python API.

=============  ================  ==============================================================
seed           0                 of everything random that has no seed of its own
[data]         name = ...        "simulated", a data set of `asymfast.datasets.load`, "csv", "npz"
[network]      m, gamma, ...     of `Network.init`; inputs and outputs are those of the data
[train]        trainer = ...     "gradient_descent", "gradient_flow" or "sgd", and its keywords
[record]       every, ...        the fields of `Record`; ntg_dtype; network
[stop]         loss, ...         the fields of `Stop`
[pruning]      importance        prune the trained network
[transfer]     features, ...     train external networks on its most important features
certificate    false             compare the run with the convergence theorems
=============  ================  ==============================================================
"""

from __future__ import annotations

import difflib
import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union

import msgspec
import numpy as np
from msgspec import Struct, structs

from asymfast.datasets import NAMES as TABLES
from asymfast.record import Record, Stop
from asymfast.train import gradient_descent, gradient_flow, sgd

TRAINERS: dict[str, Callable[..., Any]] = {
    "gradient_descent": gradient_descent,
    "gradient_flow": gradient_flow,
    "sgd": sgd,
}

# Arguments of the trainers that come from other tables, or from the sweep itself.
SET_BY_STUDY = frozenset(
    {"net", "X", "y", "X_test", "y_test", "record", "stop", "on_divergence"}
    | {"threads", "progress", "callback", "checkpoint", "checkpoint_every", "comm"}
)


class ConfigError(ValueError):
    """A configuration of a sweep that cannot be run.

    Examples
    --------
    >>> import asymfast as af
    >>> try:
    ...     af.train_config({"data": {"name": "simulatd"}})
    ... except af.ConfigError as error:
    ...     print(str(error)[-23:])
    did you mean simulated?
    """


# ---- tables ---------------------------------------------------------------------------------


class _Table(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of a configuration."""


class _Data(_Table, frozen=True, tag_field="name"):
    """Where the samples come from."""


class Simulated(_Data, frozen=True, tag="simulated"):
    """`asymfast.datasets.simulated`, and n_test further samples to test on."""

    n: int = 100
    d: int = 50
    noise: float = 1.0
    seed: int | None = None
    n_test: int = 0


class DataSet(_Data, frozen=True):
    """A data set of `asymfast.datasets.load`: the first n and n_test samples of its parts."""

    n: int | None = None
    n_test: int | None = None
    split_seed: int = 0
    target: str | None = None


class Mnist(_Data, frozen=True, tag="mnist"):
    """The first n training and n_test test images of MNIST."""

    n: int | None = None
    n_test: int | None = None


class Csv(_Data, frozen=True, tag="csv"):
    """A table of the user's, prepared as by ``asymfast train``."""

    path: str
    target: str | tuple[str, ...]
    drop: tuple[str, ...] = ()
    one_hot: tuple[str, ...] = ()
    missing: Literal["error", "drop"] = "error"
    decimal: Literal[".", ","] = "."
    test_fraction: float = 0.2
    seed: int | None = None
    sha256: str | None = None


class Npz(_Data, frozen=True, tag="npz"):
    """Arrays X, y and perhaps X_test, y_test of an .npz file; path may be a pattern."""

    path: str
    n: int | None = None
    n_test: int | None = None
    sha256: str | None = None


class Network(_Table, frozen=True):
    """The keywords of `Network.init`; zipf_start is the j of the first weight j^(-1/alpha)."""

    m: int
    gamma: float
    alpha: float | None = None
    activation: str = "swish"
    seed: int | None = None
    dtype: Literal["float64", "float32"] = "float64"
    zipf_start: int = 1
    bias: bool = False


class Pruning(_Table, frozen=True):
    """Pruning curves on training and test samples, by `asymfast.pruning_curve`."""

    importance: Literal["paper", "authors"] = "paper"


class Transfer(_Table, frozen=True):
    """An external ReLU network of m nodes for each number of features; both layers are trained.

    It is trained by full batches, for so many steps, on samples that the network has not seen.
    """

    features: tuple[int, ...]
    m: int
    lr: float
    steps: int
    loss: str = "mse"
    importance: Literal["paper", "authors"] = "paper"
    standardise: bool = False


_SIMPLE = {
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
    "int | None": int | None,
    "float | None": float | None,
    "bool | None": bool | None,
    "str | None": str | None,
}


def _from_signature(
    name: str, function: Callable[..., Any], exclude: Iterable[str], **options: Any
) -> type[Struct]:
    """Make a table of the keywords of a function, with their defaults.

    Simple types are checked here, all else by the function.
    """
    fields: list[Any] = list(options.pop("more", ()))
    for key, parameter in inspect.signature(function).parameters.items():
        if key not in exclude:
            kind: Any = _SIMPLE.get(str(parameter.annotation), Any)
            if key == "rng":
                fields.append((key, Any, None))  # None: the seed of the configuration
            elif parameter.default is inspect.Parameter.empty:
                fields.append((key, kind))
            else:
                fields.append((key, kind, parameter.default))
    return msgspec.defstruct(name, fields, bases=(_Table,), frozen=True, kw_only=True, **options)


DATA: dict[str, type[Struct]] = {
    "simulated": Simulated,
    **{
        name: msgspec.defstruct(name, [], bases=(DataSet,), frozen=True, tag=name)
        for name in TABLES
        if name != "mnist"
    },
    "mnist": Mnist,
    "csv": Csv,
    "npz": Npz,
}
TRAIN = {
    name: _from_signature(name, function, SET_BY_STUDY, tag_field="trainer", tag=name)
    for name, function in TRAINERS.items()
}
_RecordTable = _from_signature(
    "record",
    Record,
    {"folder"},  # the store keeps the record
    more=[("ntg_dtype", Literal["float64"] | None, None), ("network", bool, False)],
)
_StopTable = _from_signature("stop", Stop, ())

if TYPE_CHECKING:
    AnyData: TypeAlias = Any
    AnyTrain: TypeAlias = Any
    AnyRecord: TypeAlias = Any
    AnyStop: TypeAlias = Any
else:
    AnyData = Union[tuple(DATA.values())]  # noqa: UP007
    AnyTrain = Union[tuple(TRAIN.values())]  # noqa: UP007
    AnyRecord, AnyStop = _RecordTable, _StopTable


class Config(_Table, frozen=True):
    """A run. In ``record``, ntg_dtype = "float64" computes the NTG of a float32 run in float64,
    and network = true keeps the trained network with the results.
    """

    data: AnyData
    network: Network
    train: AnyTrain
    record: AnyRecord = _RecordTable()
    stop: AnyStop = _StopTable()
    seed: int = 0
    certificate: bool = False
    pruning: Pruning | None = None
    transfer: Transfer | None = None

    def seed_of(self, part: Any) -> int:
        """Return the seed of a table: its own, or else that of the configuration."""
        own = getattr(part, "seed", None)
        return self.seed if own is None else int(own)

    def table(self) -> dict[str, Any]:
        """Return the configuration as plain values, without what equals its default."""
        return as_table(self)


def parse(config: Any) -> Config:
    """Return a checked configuration.

    Only names and types are checked here, values by the functions that they are for. Parameters
    that the numbers do not depend on are set to their defaults, so that equal runs are equal: alpha
    where gamma is 1, and a seed that nothing uses.

    Raises
    ------
    ConfigError
        A key is unknown or missing, or a value has the wrong type. The message names the key, what
        was expected and what came, and the nearest key that is known.
    """
    if isinstance(config, Config):
        return config
    if not isinstance(config, Mapping):
        raise ConfigError(f"a configuration must be a mapping, got {type(config).__name__}")
    try:
        table = nested("config", as_plain("sweep", "config", config))
    except (TypeError, ValueError) as error:
        raise ConfigError(str(error)) from error
    try:
        return _normalised(msgspec.convert(table, Config))
    except msgspec.ValidationError as error:
        raise ConfigError(explained(str(error), table, Config)) from error


def _normalised(config: Config) -> Config:
    network, record = config.network, config.record
    if network.gamma == 1:
        network = structs.replace(network, alpha=None, zipf_start=1)
    if config.pruning or config.transfer:
        record = structs.replace(record, network=True)
    config = structs.replace(config, network=network, record=record)
    uses_seed = (
        network.seed is None
        or getattr(config.data, "seed", 0) is None
        or getattr(config.train, "rng", 0) is None
    )
    return config if uses_seed else structs.replace(config, seed=0)


def as_table(part: Any) -> dict[str, Any]:
    """Return a table as plain values, without what equals its default."""
    info = part.__struct_config__
    result: dict[str, Any] = {} if info.tag is None else {info.tag_field: info.tag}
    for field in structs.fields(part):
        value = getattr(part, field.name)
        default = field.default
        if isinstance(value, Struct):
            value = as_table(value)
            default = None if default is None else {}
        if not _equal(value, default):
            result[field.name] = list(value) if isinstance(value, tuple) else value
    return result


def _equal(value: Any, default: Any) -> bool:
    """Whether a value equals a default; True is not 1 here."""
    if isinstance(value, bool) or isinstance(default, bool):
        return value is default
    return bool(value == default)


# ---- messages -------------------------------------------------------------------------------

_EXPECTED = {"int": "an integer", "float": "a number", "str": "text", "bool": "true or false"}
_EXPECTED |= {"object": "a table", "array": "a list", "null": "nothing"}
_CHOICES = {
    "data.name": list(DATA),
    "train.trainer": list(TRAINERS),
    "network.dtype": ["float64", "float32"],
    "record.ntg_dtype": ["float64"],
    "data.missing": ["error", "drop"],
    "data.decimal": [".", ","],
}


def explained(message: str, table: Mapping[str, Any], kind: type[Struct]) -> str:
    """Rewrite a message of msgspec: which key, what was expected, what came, what was meant."""
    what, _, path = message.removesuffix("`").partition(" - at `$")
    name = path.removeprefix(".")
    value = _value_at(table, path)
    choices = _CHOICES.get(name, ["paper", "authors"])
    begin, _, detail = what.partition("`")
    if begin == "Object contains unknown field ":
        return _unknown_key(name, detail.removesuffix("`"), table, kind)
    if begin == "Object missing required field ":
        missing = f"{name}.{detail.removesuffix('`')}".removeprefix(".")
        if missing in _CHOICES:
            options = ", ".join(_CHOICES[missing])
            return f"{name} must have a {missing.partition('.')[2]}: one of {options}"
        return f"{missing} is missing"
    if what.startswith("Invalid") or name in _CHOICES:
        meant = _did_you_mean(str(value), choices)
        return f"{name} must be one of {', '.join(choices)}, got {value!r}{meant}"
    if begin == "Expected ":
        kinds = [_EXPECTED.get(one, one) for one in detail.partition("`")[0].split(" | ")]
        return f"{name} must be {' or '.join(kinds)}, got {value!r}"
    return f"{name}: {what}"


def _value_at(table: Any, path: str) -> Any:
    for key, index in re.findall(r"\.([^.\[]+)|\[(\d+)\]", path):
        table = table.get(key) if key else table[int(index)]
    return table


def sections() -> dict[str, dict[str, tuple[str, ...]]]:
    """Return the keys of every table, by its name and, of data and train, by its kind."""

    def keys(kind: Any) -> tuple[str, ...]:
        tag = kind.__struct_config__.tag_field
        return (*([tag] if tag else []), *kind.__struct_fields__)

    one_kind: dict[str, Any] = {"network": Network, "record": _RecordTable, "stop": _StopTable}
    one_kind |= {"pruning": Pruning, "transfer": Transfer}
    many: dict[str, dict[str, Any]] = {"train": TRAIN, "data": DATA}
    many |= {name: {"": one} for name, one in one_kind.items()}
    return {
        name: {kind: keys(table) for kind, table in kinds.items()} for name, kinds in many.items()
    }


def _unknown_key(section: str, key: str, table: Mapping[str, Any], kind: type[Struct]) -> str:
    known = sections()
    kinds = known.get(section, {"": kind.__struct_fields__})
    tag = {"data": "name", "train": "trainer"}.get(section)
    own = kinds[table[section][tag] if tag else ""]
    name = f"{section}.{key}" if section else repr(key)
    if having := [kind for kind, keys in kinds.items() if key in keys]:
        return f"unknown key {name}; only {', '.join(having)} has that"
    if meant := _did_you_mean(key, own):
        return f"unknown key {name}{meant}"
    for other, tables in known.items():
        if any(key in keys for keys in tables.values()):
            return f"unknown key {name}; did you mean {other}.{key}?"
    return f"unknown key {name}; known are {', '.join(own)}"


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


# ---- plain values and dotted names ----------------------------------------------------------


def as_plain(fn: str, name: str, value: Any, *, finite: bool = True) -> Any:
    """Return a value as JSON has it: NumPy's scalars as Python's, tuples and arrays as lists.

    Raises
    ------
    TypeError
        Something that JSON does not have; the message says where.
    ValueError
        A number that is not finite, if `finite`.
    """
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if finite and not math.isfinite(value):
            raise ValueError(f"{fn}: {name} must be finite, got {value}")
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{fn}: {name} must have text as keys, got {key!r}")
        return {
            key: as_plain(fn, f"{name}.{key}", entry, finite=finite) for key, entry in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [as_plain(fn, f"{name}[{i}]", entry, finite=finite) for i, entry in enumerate(value)]
    raise TypeError(
        f"{fn}: {name} must be a number, text, True, False, None, a list or a dict of such, "
        f"got {type(value).__name__}"
    )


def nested(fn: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table in which ``{"network.gamma": 1}`` has become ``{"network": {"gamma": 1}}``.

    Raises
    ------
    ValueError
        A parameter is given twice, or is given both a value and a table.
    """
    result: dict[str, Any] = {}
    for name, value in config.items():
        *tables, last = name.split(".")
        entry: dict[str, Any] = {last: nested(fn, value) if isinstance(value, Mapping) else value}
        for table in reversed(tables):
            entry = {table: entry}
        merge(fn, result, entry)
    return result


def merge(fn: str, into: dict[str, Any], config: Mapping[str, Any], *, over: bool = False) -> None:
    """Add a nested table to another one, which is changed; with `over` its values replace those.

    Raises
    ------
    ValueError
        A parameter is in both and `over` is False; or it is a table in one of them only.
    """
    for name, value in config.items():
        if isinstance(value, Mapping) and isinstance(into.get(name, {}), dict):
            merge(fn, into.setdefault(name, {}), value, over=over)
        elif name not in into or (
            over and not isinstance(value, Mapping) and not isinstance(into[name], dict)
        ):
            into[name] = value
        else:
            raise ValueError(f"{fn}: {name} is given twice, or is a table in one place only")


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the parameters of a nested table by their full names."""
    result: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            result |= flat(value, f"{prefix}{name}.")
        else:
            result[f"{prefix}{name}"] = value
    return result
