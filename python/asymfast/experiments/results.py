"""What the store holds of an experiment: every setting with its repetitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asymfast.experiments.config import Experiment, Setting
from asymfast.experiments.stages import Task
from asymfast.experiments.training import Arrays
from asymfast.sweeps.store import Store

Floats = npt.NDArray[np.float64]

_FEW = 0.05  # of the nodes are "few" when networks are pruned
_FLOOR = 1e-12  # of the loss at the start


@dataclass(frozen=True, eq=False)
class Repeats:
    """The S repetitions of one setting, seed by seed.

    Attributes
    ----------
    training, pruning, transfer : tuple of dict of arrays
        Of each seed; empty where the experiment has no such stage.
    infos : tuple of dict
        Of the training runs: versions, settings, seconds.
    seconds : float
        CPU seconds of all stages and seeds together.
    """

    training: tuple[Arrays, ...]
    pruning: tuple[Arrays, ...]
    transfer: tuple[Arrays, ...]
    infos: tuple[dict[str, Any], ...]
    seconds: float

    def stacked(self, stage: str, name: str) -> Floats | None:
        """An array of a stage with a leading axis over the seeds; None where there is none."""
        parts: tuple[Arrays, ...] = getattr(self, stage)
        if not parts or name not in parts[0]:
            return None
        return np.stack([np.asarray(part[name], dtype=np.float64) for part in parts])

    def measures(self) -> dict[str, Floats]:
        """One number a seed for each thing that tables and claims speak of.

        loss_start, loss_end, test_loss_end, accuracy_end, test_accuracy_end: as recorded.
        loss_left: loss_end / loss_start. rate: log(loss_start / loss) / time at the first record
        with a loss below 1e-12 of its start, or the last: further down rounding holds it up.
        weight_change: of the node that moved most; weight_change_rms: of all, weighted by lam_j.
        ntg_change: relative to the NTG at the start. eigmin_start, eigmin_end: of the NTG.
        transfer_few: test loss with the fewest features; transfer_mean: mean over their numbers;
        transfer_accuracy_few: test accuracy with the fewest.
        pruning_few, pruning_accuracy_few: test loss and accuracy with 5 % of the nodes;
        pruning_lost: test accuracy lost by that.
        """
        found: dict[str, Floats] = {}
        loss = self.stacked("training", "loss")
        time = self.stacked("training", "time")
        assert loss is not None
        assert time is not None
        found["loss_start"], found["loss_end"] = loss[:, 0], loss[:, -1]
        found["rate"] = _rates(loss, time)
        found["loss_left"] = loss[:, -1] / loss[:, 0]
        for name in ("test_loss", "accuracy", "test_accuracy"):
            values = self.stacked("training", name)
            if values is not None:
                found[f"{name}_end"] = values[:, -1]
        change = self.stacked("training", "weight_change")
        rms = self.stacked("training", "weight_change_rms")
        assert change is not None
        assert rms is not None
        found["weight_change"], found["weight_change_rms"] = change[:, -1, 0], rms[:, -1]
        ntg, norm = (self.stacked("training", name) for name in ("ntg_change", "ntg_norm"))
        eigmin = self.stacked("training", "ntg_eigmin")
        if ntg is not None and norm is not None and eigmin is not None:
            found["ntg_change"] = ntg[:, -1] / norm
            found["eigmin_start"], found["eigmin_end"] = eigmin[:, 0], eigmin[:, -1]
        return {**found, **self._transfer_measures(), **self._pruning_measures()}

    def _transfer_measures(self) -> dict[str, Floats]:
        loss = self.stacked("transfer", "test_loss")
        if loss is None:
            return {}
        found = {"transfer_few": loss[:, 0], "transfer_mean": loss.mean(axis=1)}
        accuracy = self.stacked("transfer", "test_accuracy")
        if accuracy is not None:
            found["transfer_accuracy_few"] = accuracy[:, 0]
        return found

    def _pruning_measures(self) -> dict[str, Floats]:
        loss = self.stacked("pruning", "test_loss")
        if loss is None:
            return {}
        few = max(1, round(_FEW * loss.shape[1])) - 1
        found = {"pruning_few": loss[:, few]}
        accuracy = self.stacked("pruning", "test_accuracy")
        if accuracy is not None:
            found["pruning_accuracy_few"] = accuracy[:, few]
            found["pruning_lost"] = accuracy[:, -1] - accuracy[:, few]
        return found


def _rates(loss: Floats, time: Floats) -> Floats:
    """Mean exponential rate of (S, T) losses down to the floor that rounding sets."""
    below = loss <= _FLOOR * loss[:, :1]
    last = np.where(below.any(axis=1), below.argmax(axis=1), loss.shape[1] - 1)
    rows = np.arange(len(loss))
    with np.errstate(divide="ignore"):  # a loss of exactly zero was reached infinitely fast
        rates: Floats = np.log(loss[:, 0] / loss[rows, last]) / time[rows, last]
    return rates


@dataclass(frozen=True, eq=False)
class Results:
    """An experiment with the seeds that are finished in all of its settings.

    Attributes
    ----------
    experiment : Experiment
    activation : str
    seeds : tuple of int
    repeats : dict of Setting to Repeats
        Empty when no seed is finished.
    """

    experiment: Experiment
    activation: str
    seeds: tuple[int, ...]
    repeats: Mapping[Setting, Repeats]

    @property
    def measures(self) -> dict[Setting, dict[str, Floats]]:
        """See `Repeats.measures`."""
        return {setting: repeats.measures() for setting, repeats in self.repeats.items()}

    @property
    def seconds(self) -> float:
        """CPU seconds that all of it took."""
        return sum(repeats.seconds for repeats in self.repeats.values())


def results(experiment: Experiment, activation: str, store: Store) -> Results:
    """Read what is finished of an experiment.

    Parameters
    ----------
    experiment : Experiment
        As it was run.
    activation : str
    store : Store

    Returns
    -------
    Results
        Of the seeds for which every stage of every setting is finished, so that settings are
        compared over the same repetitions.

    Raises
    ------
    StoreError
        A file is damaged.
    """
    seeds = tuple(
        seed
        for seed in range(experiment.seeds)
        if all(
            store.finished(config)
            for setting in experiment.settings
            for config in Task(experiment, activation, setting, seed).stages().values()
        )
    )
    repeats = {
        setting: _repeats(experiment, activation, setting, seeds, store)
        for setting in (experiment.settings if seeds else ())
    }
    return Results(experiment, activation, seeds, repeats)


def _repeats(
    experiment: Experiment,
    activation: str,
    setting: Setting,
    seeds: tuple[int, ...],
    store: Store,
) -> Repeats:
    found: dict[str, list[tuple[Arrays, dict[str, Any]]]] = {}
    for seed in seeds:
        for stage, config in Task(experiment, activation, setting, seed).stages().items():
            found.setdefault(stage, []).append(store.load(config))
    arrays = {
        stage: tuple(arrays for arrays, _ in found.get(stage, ()))
        for stage in ("training", "pruning", "transfer")
    }
    infos = [info for pairs in found.values() for _, info in pairs]
    return Repeats(
        **arrays,
        infos=tuple(info for _, info in found["training"]),
        seconds=float(sum(info["cpu_seconds"] for info in infos)),
    )
