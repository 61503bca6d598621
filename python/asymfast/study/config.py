"""What a run is: the one configuration language of sweeps and of the paper's experiments.

A configuration is a dict, or TOML, of these tables. Keys are the keywords of the Python API.

=============  ================  ==============================================================
seed           0                 of everything random that has no seed of its own
[data]         name = ...        "simulated", a data set of `asymfast.datasets.load`, "csv", "npz"
[network]      m, gamma, ...     of `Network.init`; inputs and outputs are those of the data
[train]        trainer = ...     "gradient_descent", "gradient_flow" or "sgd", and its keywords
[record]       every, ...        the fields of `Record`; ntg_dtype; network
[stop]         loss, ...         the fields of `Stop`
[pruning]      kind              prune the trained network
[transfer]     features, ...     train external networks on its most important features
certificate    false             compare the run with the convergence theorems
=============  ================  ==============================================================
"""

from __future__ import annotations

import difflib
import inspect
import itertools
import math
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union

import msgspec
import numpy as np
from msgspec import Struct, structs

from asymfast import _storage
from asymfast.datasets import NAMES as DATA_SETS
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
    """A configuration of a sweep that cannot be run; see `sweep`."""


# ---- tables ---------------------------------------------------------------------------------


class Table(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of a configuration."""


class _Data(Table, frozen=True, tag_field="name"):
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


class Network(Table, frozen=True):
    """The keywords of `Network.init`; zipf_start is the j of the first weight j^(-1/alpha)."""

    m: int
    gamma: float
    alpha: float | None = None
    activation: str = "swish"
    seed: int | None = None
    dtype: Literal["float64", "float32"] = "float64"
    zipf_start: int = 1
    bias: bool = False


class Pruning(Table, frozen=True):
    """Pruning curves on training and test samples, by `asymfast.pruning_curve`."""

    kind: Literal["paper", "authors"] = "paper"


class Transfer(Table, frozen=True):
    """An external ReLU network of m nodes for each number of features; both layers are trained.

    It is trained by full batches for `steps` steps on samples that the network has not seen, with
    the mean squared error.
    """

    features: tuple[int, ...]
    m: int
    lr: float
    steps: int


_SIMPLE: dict[str, Any] = {kind.__name__: kind for kind in (int, float, bool, str)}
_SIMPLE |= {f"{name} | None": kind | None for name, kind in _SIMPLE.items()}


def _from_signature(
    name: str, function: Callable[..., Any], exclude: Iterable[str] = (), *more: Any, **tag: str
) -> type[Struct]:
    """Make a table of the keywords of a function, with their defaults.

    Simple types are checked here, all else by the function.
    """
    fields: list[Any] = list(more)
    for key, parameter in inspect.signature(function).parameters.items():
        if key == "rng":
            fields.append((key, Any, None))  # None: the seed of the configuration
        elif key not in exclude:
            kind = _SIMPLE.get(str(parameter.annotation), Any)
            required = parameter.default is inspect.Parameter.empty
            fields.append((key, kind) if required else (key, kind, parameter.default))
    options: Any = tag
    return msgspec.defstruct(name, fields, bases=(Table,), frozen=True, kw_only=True, **options)


_TABLES = [
    msgspec.defstruct(name, [], bases=(DataSet,), frozen=True, tag=name)
    for name in DATA_SETS
    if name != "mnist"
]
_KINDS: tuple[type[Struct], ...] = (Simulated, *_TABLES, Mnist, Csv, Npz)
DATA = {str(kind.__struct_config__.tag): kind for kind in _KINDS}
TRAIN = {
    name: _from_signature(name, function, SET_BY_STUDY, tag_field="trainer", tag=name)
    for name, function in TRAINERS.items()
}
_RECORD = _from_signature(
    "record",
    Record,
    {"folder"},  # the store keeps the record
    ("ntg_dtype", Literal["float64"] | None, None),
    ("network", bool, False),
)
_STOP = _from_signature("stop", Stop)

if TYPE_CHECKING:
    AnyData: TypeAlias = Any
    AnyTrain: TypeAlias = Any
    AnyRecord: TypeAlias = Any
    AnyStop: TypeAlias = Any
else:
    AnyData, AnyTrain = (Union[tuple(kinds.values())] for kinds in (DATA, TRAIN))  # noqa: UP007
    AnyRecord, AnyStop = _RECORD, _STOP


class Config(Table, frozen=True):
    """A run. In ``record``, ntg_dtype = "float64" computes the NTG of a float32 run in float64,
    and network = true keeps the trained network with the results.
    """

    data: AnyData
    network: Network
    train: AnyTrain
    record: AnyRecord = _RECORD()
    stop: AnyStop = _STOP()
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
    where gamma is 1, and a seed that nothing uses. A ConfigError names the key, what was expected
    and what came, and the nearest key that is known.
    """
    if isinstance(config, Config):
        return config
    if not isinstance(config, Mapping):
        raise ConfigError(f"a configuration must be a mapping, got {type(config).__name__}")
    try:
        table = nested(as_plain("sweep", "config", config))
    except (TypeError, ValueError) as error:
        raise ConfigError(str(error)) from error
    return _normalised(converted(table, Config))


def _normalised(config: Config) -> Config:
    network, record = config.network, config.record
    if network.gamma == 1:
        network = structs.replace(network, alpha=None, zipf_start=1)
    if config.pruning or config.transfer:
        record = structs.replace(record, network=True)
    own = network.seed, getattr(config.data, "seed", 0), getattr(config.train, "rng", 0)
    seed = config.seed if None in own else 0
    return structs.replace(config, network=network, record=record, seed=seed)


def as_table(part: Any) -> dict[str, Any]:
    """Return a table as plain values, without what equals its default."""
    info = part.__struct_config__
    result: dict[str, Any] = {} if info.tag is None else {info.tag_field: info.tag}
    for field in structs.fields(part):
        value, default = getattr(part, field.name), field.default
        if isinstance(value, Struct):
            value, default = as_table(value), None if default is None else {}
        # True is not 1 here.
        if value != default or isinstance(value, bool) != isinstance(default, bool):
            result[field.name] = list(value) if isinstance(value, tuple) else value
    return result


# ---- grids ----------------------------------------------------------------------------------


class Presentation(Table, frozen=True):
    """How an experiment is shown: its title, the panels of its figure, the paper's figures.

    With log_steps, training steps are on a logarithmic axis, on which it is marked until when the
    first setting leads.
    """

    title: str
    panels: tuple[str, ...]
    figures: dict[str, str] = {}
    log_steps: bool = False


class Grid(Table, frozen=True):
    """Many configurations from few words; paper and quick are of descriptions of experiments."""

    base: dict[str, Any] = {}
    grid: dict[str, Any] = {}
    variants: list[dict[str, Any]] = []
    runs: list[dict[str, Any]] = []
    paper: Presentation | None = None
    quick: dict[str, Any] = {}


def configs_of(source: Any) -> list[Any]:
    """Return the configurations that a TOML file, a grid, or an iterable of them stands for."""
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
    """Read a TOML file; a byte order mark is skipped."""
    try:
        return tomllib.loads(regular_file(path).read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ConfigError(f"not a TOML file: {error}") from error


def packaged(file: str, key: str, kind: Any) -> Any:
    """Return an entry of a TOML file of this package."""
    text = (resources.files("asymfast.study") / file).read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text)[key], kind)


def regular_file(path: Path) -> Path:
    """Return a path that is that of a regular file, not a device or pipe without an end."""
    path.stat()
    if not path.is_file():
        raise ConfigError(f"{path} must be a regular file, not a folder, device or pipe")
    return path


def expanded(grid: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the configurations of a grid: base x variants x grid, then base with each run.

    base: a configuration, which may be incomplete. variants: a list of such, each laid over the
    base. grid: for parameters, lists of values; every combination is a run. runs: a list of
    configurations, each laid over the base alone. paper and quick are ignored here. A ConfigError
    says that a part is unknown, not a list, empty, or that two parts set the same parameter.
    """
    try:
        parts = converted(as_plain("sweep", "grid", grid), Grid)
        if [] in (grid.get("variants"), grid.get("runs")):
            raise ConfigError("variants must be a list of tables, and runs, too, got []")
        base, axes = flat(parts.base), flat(parts.grid)
        variants = [flat(each) for each in parts.variants]
        for name, values in axes.items():
            if not isinstance(values, list) or not values:
                raise ConfigError(f"grid.{name} must be a list of values, got {values!r}")
            if any(isinstance(value, dict) for value in values):
                raise ConfigError(f"grid.{name} must be a list of values; tables go to variants")
            if any(name in variant for variant in variants):
                raise ConfigError(f"{name} is in both grid and variants")
        product = variants or axes or not parts.runs
        combinations = itertools.product(variants or [{}], *axes.values()) if product else ()
        over = [variant | dict(zip(axes, values, strict=True)) for variant, *values in combinations]
        return [nested(base | each) for each in (*over, *map(flat, parts.runs))]
    except (TypeError, ValueError) as error:
        single = "; a single configuration must be in a list" if "data" in grid else ""
        raise ConfigError(f"{error}{single}") from error


# ---- messages -------------------------------------------------------------------------------

_EXPECTED = {"int": "an integer", "float": "a number", "str": "text", "bool": "true or false"}
_EXPECTED |= {"object": "a table", "array": "a list", "null": "nothing"}
_CHOICES = {
    "data.name": list(DATA),
    "data.missing": ["error", "drop"],
    "data.decimal": [".", ","],
    "train.trainer": list(TRAINERS),
    "network.dtype": ["float64", "float32"],
    "record.ntg_dtype": ["float64"],
    "pruning.kind": ["paper", "authors"],
}


def converted(table: Mapping[str, Any], kind: type[Any]) -> Any:
    """Convert plain values to a table; a ConfigError says what is wrong, and what was meant."""
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(_explained(str(error), table, kind)) from error


def _explained(message: str, table: Mapping[str, Any], kind: type[Struct]) -> str:
    what, _, path = message.removesuffix("`").partition(" - at `$")
    begin, _, detail = what.partition("`")
    name, detail = path.removeprefix("."), detail.partition("`")[0]
    if begin == "Object contains unknown field ":
        return _unknown_key(name, detail, table, kind)
    if begin == "Object missing required field ":
        missing = f"{name}.{detail}".removeprefix(".")
        if missing in _CHOICES:
            return f"{name} must have a {detail}: one of {', '.join(_CHOICES[missing])}"
        return f"{missing} is missing"
    value: Any = table
    for key, index in re.findall(r"\.([^.\[]+)|\[(\d+)\]", path):
        value = value.get(key) if key else value[int(index)]
    if choices := _CHOICES.get(name):
        meant = _did_you_mean(str(value), choices)
        return f"{name} must be one of {', '.join(choices)}, got {_storage.brief(value)}{meant}"
    if begin == "Expected ":
        kinds = [_EXPECTED.get(one, one) for one in detail.split(" | ")]
        return f"{name} must be {' or '.join(kinds)}, got {_storage.brief(value)}"
    return f"{name}: {what}"


def sections() -> dict[str, dict[str, tuple[str, ...]]]:
    """Return the keys of every table, by its name and, of data and train, by its kind."""
    tables: dict[str, dict[str, Any]] = {"train": TRAIN, "data": DATA}
    for name, one in (("network", Network), ("record", _RECORD), ("stop", _STOP)):
        tables[name] = {"": one}
    tables |= {"pruning": {"": Pruning}, "transfer": {"": Transfer}}
    return {
        name: {
            tag: (*filter(None, [kind.__struct_config__.tag_field]), *kind.__struct_fields__)
            for tag, kind in kinds.items()
        }
        for name, kinds in tables.items()
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
    """Return a value as JSON has it: NumPy's scalars as Python's, other sequences as lists."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, float) and finite and not math.isfinite(value):
        raise ValueError(f"{fn}: {name} must be finite, got {value}")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{fn}: {name} must have text as keys, got {key!r}")
        return {
            key: as_plain(fn, f"{name}.{key}", entry, finite=finite) for key, entry in value.items()
        }
    if isinstance(value, (list, tuple, range)):
        return [as_plain(fn, f"{name}[{i}]", entry, finite=finite) for i, entry in enumerate(value)]
    raise TypeError(
        f"{fn}: {name} must be a number, text, True, False, None, a list or a dict of such, "
        f"got {type(value).__name__}"
    )


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the parameters of a table by their full names, such as "network.gamma".

    Tables may be nested, named in full, or both; an empty one stays. ValueError if a parameter is
    given twice.
    """
    result: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{prefix}{key}"
        part = flat(value, f"{name}.") if isinstance(value, Mapping) and value else {name: value}
        if twice := part.keys() & result.keys():
            raise ValueError(f"{min(twice)} is given twice")
        result |= part
    return result


def nested(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table in which ``{"network.gamma": 1}`` has become ``{"network": {"gamma": 1}}``."""
    result: dict[str, Any] = {}
    for name, value in flat(table).items():
        *tables, last = name.split(".")
        inner = result
        for one in tables:
            inner = inner.setdefault(one, {})
            if not isinstance(inner, dict):
                raise ValueError(f"{one} is given twice, or is a table in one place only")
        if not isinstance(inner.setdefault(last, value), type(value)):
            raise ValueError(f"{name} is given twice, or is a table in one place only")
    return result
