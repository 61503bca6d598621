"""An experiment as its TOML file describes it: settings that decide numbers, and nothing else."""

from __future__ import annotations

import tomllib
import types
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from asymfast import _check, _storage

Table = dict[str, Any]

ACTIVATIONS = ("swish", "relu")
NAMES = (
    "fig1",
    "simulated",
    "concrete",
    "energy",
    "airfoil",
    "plant",
    "mnist",
    "cifar10",
    "cifar10_gamma",
    "cifar100",
)
"""The experiments that come with the package, in the order of the paper's figures."""


@dataclass(frozen=True)
class Setting:
    """A node scaling, Eqs. (1) and (35)."""

    gamma: float
    alpha: float | None = None


@dataclass(frozen=True)
class Data:
    """Where the samples come from.

    Attributes
    ----------
    source : {"simulated", "table", "mnist", "features"}
    name : str
        Of a UCI table.
    split_seed : int
        Of a table: all seeds share one split.
    samples, inputs : int or None
        Of simulated data: n and d. Of MNIST and of a feature file: at most so many training
        samples.
    test_samples : int or None
        Of MNIST and of a feature file: at most so many test samples.
    files : tuple of str
        Patterns by which a feature file is found in the data folder.
    sha256 : str or None
        Of a feature file, filled in when it has been found.
    """

    source: str
    name: str | None = None
    split_seed: int = 0
    samples: int | None = None
    inputs: int | None = None
    test_samples: int | None = None
    files: tuple[str, ...] = ()
    sha256: str | None = None


@dataclass(frozen=True)
class NetworkPlan:
    """Shape and precision of the networks; the outputs are those of the data."""

    width: int
    dtype: str = "float64"


@dataclass(frozen=True)
class Training:
    """How the networks are trained.

    Attributes
    ----------
    method : {"gradient_descent", "sgd"}
    loss, lr
        As in the trainers.
    steps : int
        Of gradient descent.
    epochs, batch_size : int
        Of sgd.
    train_output : bool
        Train both layers (sgd).
    """

    method: str
    loss: str
    lr: float
    steps: int | None = None
    epochs: int | None = None
    batch_size: int | None = None
    train_output: bool = False


@dataclass(frozen=True)
class Recording:
    """What is recorded, and when.

    Attributes
    ----------
    every : int
        Steps between records; in sgd epochs.
    ntg : bool
        Change and smallest eigenvalue of the NTG.
    ntg_on : int or None
        On the first so many samples; None: all.
    top_nodes : int
        How many of the most moved nodes are followed.
    certificate : bool
        Compare the run with the convergence theorems (`asymfast.theory.certify`).
    """

    every: int
    ntg: bool = True
    ntg_on: int | None = None
    top_nodes: int = 10
    certificate: bool = False


@dataclass(frozen=True)
class Pruning:
    """Pruning curves: the nodes of least importance go first.

    Attributes
    ----------
    importance : {"paper", "authors"}
        See `asymfast.Network.node_importance`.
    """

    importance: str = "paper"


@dataclass(frozen=True)
class Transfer:
    """An external network, trained on the most important features of held-out samples.

    Attributes
    ----------
    features : tuple of int
        Numbers of features, one external network each.
    hidden : tuple of int
        Widths of its hidden layers, ReLU. One hidden layer is trained by `asymfast.sgd` with all
        samples in a batch; the authors' two by NumPy, with biases and PyTorch's initialisation.
    loss, lr, steps
        Of its gradient descent, which trains all layers.
    importance : {"paper", "authors"}
        See `asymfast.Network.node_importance`.
    standardise : bool
        Shift and scale every feature to mean 0 and variance 1 first; the paper does not.
    """

    features: tuple[int, ...]
    hidden: tuple[int, ...]
    loss: str
    lr: float
    steps: int
    importance: str = "paper"
    standardise: bool = False


@dataclass(frozen=True)
class Experiment:
    """One of the paper's experiments.

    Attributes
    ----------
    name, title : str
    kind : {"closed_form", "regression", "classification"}
    figures : dict
        The paper's figures by activation; "any" where there is none.
    seeds : int
        Repetitions.
    settings : tuple of Setting
    panels : tuple of str
        Of the figure, in the paper's order; see `asymfast.experiments.panels.PANELS`.
    data, network, training, record
        See there; None of a closed form.
    pruning, transfer
        None where there is none.
    quick : bool
        Whether the table ``[quick]`` was applied.
    """

    name: str
    title: str
    kind: str
    figures: Table
    seeds: int = 1
    settings: tuple[Setting, ...] = ()
    panels: tuple[str, ...] = ()
    data: Data | None = None
    network: NetworkPlan | None = None
    training: Training | None = None
    record: Recording | None = None
    pruning: Pruning | None = None
    transfer: Transfer | None = None
    quick: bool = field(default=False, compare=False)

    def changed(self, **changes: Any) -> Experiment:
        """Return the experiment with other settings: ``changed(seeds=1, training={"steps": 9})``.

        A table changes the entries that it names and is ignored where the experiment has no such
        part.
        """
        whole: Table = {}
        for name, value in changes.items():
            part = getattr(self, name)
            if isinstance(value, dict):
                if part is not None:
                    whole[name] = replace(part, **value)
            else:
                whole[name] = value
        return replace(self, **whole)


def read_experiment(source: str | Path, *, quick: bool = False) -> Experiment:
    """Read the description of an experiment.

    Parameters
    ----------
    source : str or pathlib.Path
        One of `NAMES`, or a TOML file of the same form, whose name becomes the experiment's.
    quick : bool
        Apply the changes in its table ``[quick]``: fewer seeds, steps and samples.

    Raises
    ------
    FileNotFoundError
        Neither a known name nor a file.
    ImportError
    ValueError
        Not TOML, or an entry is unknown, missing, or of the wrong kind; the message names it.
    """
    if isinstance(source, str) and source in NAMES:
        own = resources.files("asymfast.experiments") / "configs" / f"{source}.toml"
        name, content = source, _content(own.read_bytes(), f"{source}.toml")
    else:
        path = _storage.path("read_experiment", "source", source)
        if not path.is_file():
            raise FileNotFoundError(
                f"read_experiment: source must be one of {', '.join(NAMES)}, or a TOML file, "
                f"got {str(source)!r}"
            )
        name, content = path.stem, _content(path.read_bytes(), str(path))
    fast = content.pop("quick", {})
    if quick:
        content = _merged(content, fast)
    experiment: Experiment = _build(
        Experiment, {**content, "name": name, "quick": quick}, f"experiment {name}"
    )
    _require_sense(experiment)
    return experiment


def _content(raw: bytes, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(raw.decode("utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{name} is not TOML: {error}") from error


def from_table(table: Table) -> Experiment:
    """Return the experiment that ``dataclasses.asdict`` made a table of, also by way of JSON.

    Raises
    ------
    ValueError
        It is not such a table.
    """
    given = {key: _without_none(value) for key, value in table.items() if value is not None}
    experiment: Experiment = _build(Experiment, given, "experiment")
    _require_sense(experiment)
    return experiment


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list | tuple):
        return [_without_none(entry) for entry in value]
    return value


def as_table(part: Any) -> Table:
    """Return a part of a description as plain values, without those that were left out."""
    return {key: value for key, value in asdict(part).items() if value not in (None, ())}


def _merged(base: Table, changes: Mapping[str, Any]) -> Table:
    """Tables within tables are merged, everything else is replaced."""
    merged = dict(base)
    for name, value in changes.items():
        below = merged.get(name)
        if isinstance(value, dict) and isinstance(below, dict):
            merged[name] = _merged(below, value)
        else:
            merged[name] = value
    return merged


def _build(kind: Any, table: Any, where: str) -> Any:
    """Fill a dataclass from a table, refusing what is unknown, missing or of the wrong kind."""
    if not isinstance(table, Mapping):
        raise ValueError(f"{where}: expected a table, got {table!r}")
    known = {entry.name: entry for entry in fields(kind)}
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise ValueError(
            f"{where}: unknown entry {unknown[0]!r}; it may have {', '.join(sorted(known))}"
        )
    missing = [
        name
        for name, entry in known.items()
        if name not in table and entry.default is MISSING and entry.default_factory is MISSING
    ]
    if missing:
        raise ValueError(f"{where}: the entry {missing[0]!r} is missing")
    hints = get_type_hints(kind)
    return kind(
        **{name: _value(hints[name], value, f"{where}, {name}") for name, value in table.items()}
    )


def _value(hint: Any, value: Any, where: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        (hint,) = (one for one in get_args(hint) if one is not type(None))
        origin = get_origin(hint)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{where}: expected a list, got {value!r}")
        return tuple(_value(get_args(hint)[0], one, where) for one in value)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ValueError(f"{where}: expected a table, got {value!r}")
        return dict(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint in (bool, int, float, str):
        if type(value) is not hint:
            raise ValueError(f"{where}: expected {hint.__name__}, got {value!r}")
        return value
    return _build(hint, value, where)


def _require_sense(experiment: Experiment) -> None:
    """Check what the kinds of the entries alone do not tell."""
    where = f"experiment {experiment.name}"
    _check.choice(where, "kind", experiment.kind, ("closed_form", "regression", "classification"))
    if experiment.kind == "closed_form":
        return
    for part in ("data", "network", "training", "record"):
        if getattr(experiment, part) is None:
            raise ValueError(f"{where}: the table [{part}] is missing")
    if not experiment.settings:
        raise ValueError(f"{where}: the entry 'settings' is missing")
    assert experiment.data is not None
    assert experiment.training is not None
    assert experiment.record is not None
    _check.integer(where, "seeds", experiment.seeds, low=1)
    _check.integer(where, "record.every", experiment.record.every, low=1)
    sources = ("simulated", "table", "mnist", "features")
    _check.choice(where, "data.source", experiment.data.source, sources)
    method = _check.choice(
        where, "training.method", experiment.training.method, ("gradient_descent", "sgd")
    )
    needed = ("steps",) if method == "gradient_descent" else ("epochs", "batch_size")
    for name in needed:
        if getattr(experiment.training, name) is None:
            raise ValueError(f"{where}: training.{name} is missing; {method} needs it")
