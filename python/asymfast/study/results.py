"""The paper's experiments: descriptions, claims, and what a store holds of them.

A description is a TOML file with a grid, as `sweep` takes it, and two further tables: ``paper``
(title, panels, figures) and ``quick`` (changes for short runs).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from itertools import permutations
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from asymfast import _storage
from asymfast.datasets import NAMES as DATA_SETS
from asymfast.scaling import node_scaling_name
from asymfast.study.config import (
    Config,
    ConfigError,
    Presentation,
    Table,
    converted,
    expanded,
    flat,
    nested,
    packaged,
    parse,
    read_toml,
)
from asymfast.study.stages import stages
from asymfast.study.store import Arrays, Store
from asymfast.study.train import scaling

Floats = npt.NDArray[np.float64]

NAMES = (
    "simulated",
    "simulated_authors",
    "concrete",
    "energy",
    "airfoil",
    "plant",
    "mnist",
    "cifar10",
    "cifar10_gamma",
    "cifar100",
)
"""The experiments that come with the package; "fig1" is Figure 1, which needs no runs."""

_TABLES = {*DATA_SETS} - {"mnist"}
_SHORT = {"train.steps", "train.epochs", "network.m", "data.n"}  # changes that claims depend on
_FEW = 0.05  # of the nodes are "few" when networks are pruned
_FLOOR = 1e-12  # of the loss at the start
_NODES = 10  # that are followed: those that moved most


class Setting(NamedTuple):
    """A node scaling, Eqs. (1) and (35)."""

    gamma: float
    alpha: float | None = None

    def name(self, *, symbols: bool = False) -> str:
        """Return ``gamma = 0.5, alpha = 0.7``, or with Greek letters for a figure."""
        return node_scaling_name(self.gamma, self.alpha, symbols=symbols)


class Experiment(Struct, frozen=True, forbid_unknown_fields=True):
    """One of the paper's experiments: its runs, and how they are shown.

    `configs` has all settings with one seed, then with the next; `quick`: its table ``quick`` was
    applied; `short`: its runs have other steps, samples or nodes than described.
    """

    name: str
    presentation: Presentation
    activation: str
    quick: bool
    configs: tuple[Config, ...]
    short: bool = False

    @property
    def settings(self) -> tuple[Setting, ...]:
        """The node scalings, in their order."""
        return tuple(dict.fromkeys(map(setting_of, self.configs)))

    @property
    def seeds(self) -> tuple[int, ...]:
        """The repetitions."""
        return tuple(dict.fromkeys(config.seed for config in self.configs))

    @property
    def stem(self) -> str:
        """Name of its files: neither ReLU nor quick runs replace the paper's own."""
        parts = [self.name]
        if self.activation != "swish":
            parts.append(self.activation)
        return "-".join([*parts, "quick"] if self.quick else parts)

    @property
    def title(self) -> str:
        """Title, activation, and whether the runs are quick ones."""
        return f"{self.presentation.title}, {self.activation}{', quick' if self.quick else ''}"


def setting_of(config: Config) -> Setting:
    """Return the node scaling of a run."""
    return Setting(config.network.gamma, config.network.alpha)


def read_experiment(
    source: str | Path,
    *,
    quick: bool = False,
    activation: str = "swish",
    changes: Mapping[str, Any] | None = None,
) -> Experiment:
    """Read the description of an experiment.

    Parameters
    ----------
    source : str or pathlib.Path
        One of `NAMES`, or a TOML file of the same form, whose name becomes the experiment's.
    quick : bool
        Apply the changes in its table ``quick``: fewer seeds, steps and samples.
    activation : str
        Of the networks.
    changes : mapping, optional
        Further parameters by their full names, such as ``{"train.steps": 100}``. Those that the
        experiment does not have are ignored; a smaller number of steps keeps the number of records.
        "seeds" is the number of repetitions.

    Raises
    ------
    FileNotFoundError
        Neither a known name nor a file.
    ConfigError
        A ValueError: not TOML, or an entry is unknown, missing, or has the wrong type; the message
        names file and entry.
    """
    if source in NAMES:
        place: Any = resources.files("asymfast.study") / "configs" / f"{source}.toml"
        name, shown = str(source), f"{source}.toml"
    else:
        path = _storage.path("read_experiment", "source", source)
        if not path.is_file():
            raise FileNotFoundError(
                f"read_experiment: source must be one of {', '.join(NAMES)}, or a TOML file, "
                f"got {str(source)!r}"
            )
        name, shown, place = path.stem, str(path), path
    try:
        with resources.as_file(place) as file:
            content = flat(read_toml(file))
        for key in [key for key in content if key.startswith("quick.")]:
            value = content.pop(key)
            if quick:
                content[key.removeprefix("quick.")] = value
        _change(content, {**(changes or {}), "network.activation": activation})
        grid = nested(content)
        configs = tuple(sorted(map(parse, expanded(grid)), key=lambda config: config.seed))
        if "paper" not in grid:
            raise ConfigError("the table paper, with title and panels, is missing")
    except ValueError as error:
        raise ConfigError(f"{shown}: {error}") from error
    presentation = converted(grid["paper"], Presentation)
    known = packaged("shown.toml", "panels", dict[str, Any])
    if unknown := [panel for panel in presentation.panels if panel not in known]:
        raise ConfigError(
            f"{shown}: paper.panels must be among {', '.join(known)}, got {unknown[0]!r}"
        )
    at: dict[tuple[Setting, int], Config] = {}
    for config in configs:
        if at.setdefault((setting_of(config), config.seed), config) != config:
            raise ConfigError(
                f"{shown}: an experiment may vary gamma, alpha and seed alone, of which its "
                "tables and figures are; sweep takes grids over other parameters"
            )
    short = quick or not _SHORT.isdisjoint(changes or {})
    return Experiment(name, presentation, activation, quick, configs, short)


def _change(content: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Change parameters, by their full names, of those that an experiment has."""
    of_a_table = content.get("base.data.name") in _TABLES
    for name, value in changes.items():
        key = f"base.{name}"
        if name == "seeds":
            key, value = "grid.seed", list(range(value))
        elif (name in ("train.steps", "train.epochs") and key not in content) or (
            name == "data.n" and of_a_table
        ):
            continue
        if name == "train.steps" and (every := content.get("base.record.every")):
            content["base.record.every"] = max(1, round(every * value / content[key]))
        if name == "network.m" and (features := content.get("base.transfer.features")):
            content["base.transfer.features"] = [k for k in features if k <= value] or [value]
        content[key] = value


# ---- claims ---------------------------------------------------------------------------------

Measures = Mapping[Setting, Mapping[str, Floats]]


class Claim(Table, frozen=True):
    """The order of a measure among settings, or a bound of it.

    `measure` is one of `measures_of`; it grows or falls with gamma (or
    alpha), or has the bound `limit` in the settings `among`. Compared are, `by` "gamma", pairs
    whose gamma differs; "alpha", pairs of one gamma whose alpha differs; "asymmetry", gamma = 1
    with each of the others. With `whole` it is claimed of the end of the whole run and skipped in
    runs with fewer steps. `why` it does not hold with swish, where that is known; `text` and
    `source` are for the table.
    """

    text: str
    measure: str
    rule: Literal["grows", "falls", "at most", "at least"]
    experiments: tuple[str, ...]
    source: str
    by: Literal["gamma", "alpha", "asymmetry"] = "gamma"
    limit: float = np.nan
    among: Literal["gamma > 0", "gamma = 1", "gamma < 1"] | None = None
    whole: bool = False
    why: str = ""


CLAIMS = packaged("claims.toml", "claims", tuple[Claim, ...])
_AMONG: dict[str | None, Callable[[Setting], bool]] = {
    None: lambda setting: True,
    "gamma > 0": lambda setting: setting.gamma > 0,
    "gamma = 1": lambda setting: setting.gamma == 1,
    "gamma < 1": lambda setting: setting.gamma < 1,
}


@dataclass(frozen=True)
class Verdict:
    """Whether a claim holds for the means over the seeds, and in how many single ones."""

    claim: Claim
    holds: bool
    seeds: int
    of: int

    def reason(self, activation: str, short: bool) -> str:
        """Return one line that says why a claim does not hold; `short` if the runs are."""
        why = "the cause is not known"
        if self.claim.why and activation == "swish":
            why = self.claim.why
        elif short:
            why = "these runs have other steps, samples or nodes than the paper's"
        return f"{self.claim.text}: {why}; see docs/reproduction.md"


def claims_about(name: str, quick: bool = False) -> tuple[Claim, ...]:
    """Return the claims about an experiment; of a quick one those that do not need all steps."""
    return tuple(
        claim for claim in CLAIMS if name in claim.experiments and not (claim.whole and quick)
    )


def verdicts(name: str, quick: bool, measures: Measures) -> list[Verdict]:
    """Return whether each claim about an experiment holds; without those that cannot be decided."""
    decided = [verdict(claim, measures) for claim in claims_about(name, quick)]
    return [one for one in decided if one is not None]


def verdict(claim: Claim, measures: Measures) -> Verdict | None:
    """Return whether a claim holds for the means over the seeds; NaN never holds.

    None if it was not measured, or there is nothing to compare.
    """
    if any(claim.measure not in found for found in measures.values()):
        return None
    seeds = len(next(iter(measures.values()))[claim.measure])
    if claim.rule in ("at most", "at least"):
        values = [found[claim.measure] for at, found in measures.items() if _AMONG[claim.among](at)]
        within: Any = np.less_equal if claim.rule == "at most" else np.greater_equal
        pairs = [(value, np.full(seeds, claim.limit)) for value in values]
    else:
        pairs = list(_pairs(claim, measures))
        within = np.less if claim.rule == "grows" else np.greater
    if not pairs:
        return None
    each = np.all([within(one, other) for one, other in pairs], axis=0)
    mean = all(within(one.mean(), other.mean()) for one, other in pairs)
    return Verdict(claim, bool(mean), int(each.sum()), seeds)


def _pairs(claim: Claim, measures: Measures) -> Iterator[tuple[Floats, Floats]]:
    """Yield the measure of every two settings compared, the smaller gamma or alpha first."""
    for (low, at_low), (high, at_high) in permutations(measures.items(), 2):
        if claim.by == "alpha":
            compared = (
                low.gamma == high.gamma
                and low.alpha is not None
                and high.alpha is not None
                and low.alpha < high.alpha
            )
        else:
            compared = low.gamma < high.gamma and (claim.by == "gamma" or high.gamma == 1)
        if compared:
            yield at_low[claim.measure], at_high[claim.measure]


# ---- results --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Results:
    """An experiment with the seeds that are finished in all of its settings.

    `runs` has for every setting the arrays of `condensed`, stacked over the S seeds; empty when no
    seed is finished. `infos` are those of the training runs: versions, settings, seconds.
    `cpu_seconds` is the CPU time of all stages together.
    """

    experiment: Experiment
    seeds: tuple[int, ...]
    runs: Mapping[Setting, Mapping[str, Floats]]
    infos: Mapping[Setting, Sequence[Mapping[str, Any]]]
    cpu_seconds: float

    @cached_property
    def measures(self) -> dict[Setting, dict[str, Floats]]:
        """Of every setting the numbers in tables and claims, see `measures_of`."""
        return {setting: measures_of(arrays) for setting, arrays in self.runs.items()}

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """Which of the claims about the experiment hold; none without a finished seed."""
        if not self.seeds:
            return []
        return verdicts(self.experiment.name, self.experiment.quick, self.measures)


def results(experiment: Experiment, store: Store) -> Results:
    """Read what is finished of an experiment."""
    runs: dict[tuple[Setting, int], Arrays] = {}
    infos: dict[tuple[Setting, int], dict[str, Any]] = {}
    seconds = 0.0
    for config in experiment.configs:
        tables = stages(config)
        if all(store.finished(table) for table in tables.values()):
            found = {stage: store.load(table) for stage, table in tables.items()}
            info = found["training"][1]
            if info["status"] != "diverged":
                at = setting_of(config), config.seed
                runs[at], infos[at] = condensed(config, found), info
                seconds += sum(one["cpu_seconds"] for _, one in found.values())
    settings = experiment.settings
    seeds = tuple(s for s in experiment.seeds if all((setting, s) in runs for setting in settings))
    stacked = {
        setting: {
            name: _stacked(experiment, [runs[setting, seed][name] for seed in seeds])
            for name in runs[setting, seeds[0]]
        }
        for setting in (settings if seeds else ())
    }
    of_training = {setting: [infos[setting, seed] for seed in seeds] for setting in stacked}
    return Results(experiment, seeds, stacked, of_training, seconds)


def _stacked(experiment: Experiment, arrays: Sequence[Any]) -> Floats:
    """Stack what the seeds have recorded; a ValueError says that they have other records."""
    if len({np.shape(one) for one in arrays}) > 1:
        raise ValueError(
            f"{experiment.name}: the seeds have different records, of which there are no means; "
            "leave out stop, and give a flow record.times (load_sweep loads the runs as they are)"
        )
    return np.stack([np.asarray(one, np.float64) for one in arrays])


def condensed(config: Config, found: Mapping[str, tuple[Arrays, Mapping[str, Any]]]) -> Arrays:
    """Return what figures and tables need of a run of T records.

    steps, time, loss, and test_loss, accuracy, test_accuracy, ntg_change, ntg_eigmin if recorded:
    (T,). ntg_norm (): of the NTG at the start. weight_change (T, 10): of the nodes that moved most,
    the farthest first. weight_change_rms (T,): ``sqrt(sum_j lam_j |w_tj - w_0j|^2)``; the lam_j sum
    to 1. Of the other stages their arrays, with pruning_ or transfer_ before their names.
    """
    training, info = found["training"]
    change = training["weight_change"]
    order = np.argsort(-change[-1], kind="stable")[:_NODES]
    recorded = (
        *("steps", "time", "loss", "test_loss", "accuracy", "test_accuracy"),
        *("ntg_change", "ntg_eigmin"),
    )
    result = {name: training[name] for name in recorded if name in training}
    result["weight_change"] = change[:, order]
    result["weight_change_rms"] = np.sqrt(change**2 @ scaling(config))
    if "ntg_norm" in info:
        result["ntg_norm"] = np.asarray(info["ntg_norm"])
    for stage in ("pruning", "transfer"):
        for name, values in found.get(stage, ({}, {}))[0].items():
            result[f"{stage}_{name}"] = values
    return result


def measures_of(found: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return one number a seed, (S,), for each thing that tables and claims are about.

    `found` are the arrays of `condensed`, with a leading axis over the seeds.

    loss_start, loss_end, test_loss_end, accuracy_end, test_accuracy_end: as recorded.
    loss_left: loss_end / loss_start. rate: log(loss_start / loss) / time at the first record
    with a loss below 1e-12 of its start, or the last one: rounding takes over below that.
    weight_change: of the node that moved most; weight_change_rms: of all, weighted by lam_j.
    ntg_change: relative to the NTG at the start. eigmin_start, eigmin_end: of the NTG.
    transfer_few: test loss with the fewest features; transfer_mean: mean over their numbers;
    transfer_accuracy_few: test accuracy with the fewest. pruning_few, pruning_accuracy_few:
    test loss and accuracy with 5 % of the nodes.
    """
    loss = found["loss"]
    result = {
        "loss_start": loss[:, 0],
        "loss_left": loss[:, -1] / loss[:, 0],
        "rate": _rates(loss, found["time"]),
        "weight_change": found["weight_change"][:, -1, 0],
        "weight_change_rms": found["weight_change_rms"][:, -1],
    }
    at_end = {"loss", "test_loss", "accuracy", "test_accuracy"} & found.keys()
    result |= {f"{name}_end": found[name][:, -1] for name in at_end}
    if "ntg_change" in found:
        result["ntg_change"] = found["ntg_change"][:, -1] / found["ntg_norm"]
    if (eigmin := found.get("ntg_eigmin")) is not None:
        result |= {"eigmin_start": eigmin[:, 0], "eigmin_end": eigmin[:, -1]}
    for name, key in (("few", "loss"), ("accuracy_few", "accuracy")):
        if (curve := found.get(f"transfer_test_{key}")) is not None:
            result[f"transfer_{name}"] = curve[:, 0]
        if (curve := found.get(f"pruning_test_{key}")) is not None:
            result[f"pruning_{name}"] = curve[:, max(1, round(_FEW * curve.shape[1])) - 1]
    if "transfer_test_loss" in found:
        result["transfer_mean"] = found["transfer_test_loss"].mean(axis=1)
    return result


def _rates(loss: Floats, time: Floats) -> Floats:
    """Mean exponential rate of (S, T) losses down to the floor that rounding sets."""
    below = loss <= _FLOOR * loss[:, :1]
    last = np.where(below.any(axis=1), below.argmax(axis=1), loss.shape[1] - 1)
    rows = np.arange(len(loss))
    with np.errstate(divide="ignore"):  # a loss of exactly zero was reached infinitely fast
        rates: Floats = np.log(loss[:, 0] / loss[rows, last]) / time[rows, last]
    return rates
