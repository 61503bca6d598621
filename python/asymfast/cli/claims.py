"""The paper's claims on how a setting learns, compared with what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import asymfast as af
from asymfast.cli.table import number, percent, text_table

Floats = npt.NDArray[np.float64]
Setting = tuple[float, "float | None"]  # (gamma, alpha)


@dataclass(frozen=True)
class Outcome:
    """What one setting came to; every array holds one number per seed.

    Attributes
    ----------
    run : Run
        The ensemble of all seeds.
    loss_start, loss_end : (B,) float64 arrays
        Training loss before and after training.
    rate : (B,) float64 array
        Mean exponential rate of the loss, log(loss_start / loss_end) per unit of training time.
    weight_change : (B,) float64 array
        ``|w_tj - w_0j|`` at the end, of the node that moved most.
    weight_change_rms : (B,) float64 array
        The same of all nodes: ``sqrt(sum_j lam_j |w_tj - w_0j|^2)``; the lam_j sum to 1.
    ntg_change : (B,) float64 array
        ``|NTG_t - NTG_0|_F / |NTG_0|_F`` at the end.
    eigmin_start, eigmin_end : (B,) float64 arrays
        Smallest eigenvalue of the NTG before and after training.
    """

    run: af.Run
    loss_start: Floats
    loss_end: Floats
    rate: Floats
    weight_change: Floats
    weight_change_rms: Floats
    ntg_change: Floats
    eigmin_start: Floats
    eigmin_end: Floats


@dataclass(frozen=True)
class Claim:
    """``measure`` (a field of `Outcome`) grows with gamma, or falls when ``grows`` is False."""

    text: str
    measure: str
    grows: bool


# The paper does not say when it compares the eigenvalues, over which weights it takes the change,
# and how it measures the rate: two readings of each of the first two are here, and the mean rate.
CLAIMS = (
    Claim("smaller gamma: the most moved weights change more", "weight_change", grows=False),
    Claim("smaller gamma: the weights change more, rms", "weight_change_rms", grows=False),
    Claim("smaller gamma: the NTG changes more", "ntg_change", grows=False),
    Claim("larger gamma: larger smallest eigenvalue at the start", "eigmin_start", grows=True),
    Claim("larger gamma: larger smallest eigenvalue at the end", "eigmin_end", grows=True),
    Claim("larger gamma: the loss falls faster", "rate", grows=True),
)


def outcome(run: af.Run, initial_ntg: npt.NDArray[Any]) -> Outcome:
    """Condense the run of an ensemble.

    Parameters
    ----------
    run : Run
        Of an ensemble of B networks, with NTG and smallest eigenvalue recorded.
    initial_ntg : (B, n, n) array
        The NTG before training.

    Returns
    -------
    Outcome
    """
    assert run.ntg_change is not None
    assert run.ntg_eigmin is not None
    with np.errstate(divide="ignore"):  # a loss of exactly zero was reached infinitely fast
        rate = np.log(run.loss[0] / run.loss[-1]) / run.time[-1]
    return Outcome(
        run=run,
        loss_start=run.loss[0],
        loss_end=run.loss[-1],
        rate=rate,
        weight_change=run.weight_change[-1].max(axis=-1),
        weight_change_rms=np.sqrt((run.network.lam * run.weight_change[-1] ** 2).sum(axis=-1)),
        ntg_change=run.ntg_change[-1] / np.linalg.norm(initial_ntg, axis=(-2, -1)),
        eigmin_start=run.ntg_eigmin[0],
        eigmin_end=run.ntg_eigmin[-1],
    )


def holds(claim: Claim, outcomes: Mapping[Setting, Outcome]) -> tuple[bool, int]:
    """Whether a claim holds.

    Parameters
    ----------
    claim : Claim
        What is claimed.
    outcomes : mapping from (gamma, alpha) to Outcome
        What was measured; seeds in the same order throughout.

    Returns
    -------
    on_average : bool
        Whether the means over the seeds are in the claimed order for every two settings that
        differ in gamma.
    seeds : int
        In how many single seeds that is so.
    """
    ordered = [
        (high, low) if claim.grows else (low, high) for high, low in _pairs(claim.measure, outcomes)
    ]
    each = np.all([larger > smaller for larger, smaller in ordered], axis=0)
    mean = all(larger.mean() > smaller.mean() for larger, smaller in ordered)
    return mean, int(each.sum())


def _pairs(measure: str, outcomes: Mapping[Setting, Outcome]) -> Iterator[tuple[Floats, Floats]]:
    """Give the measure at the larger and the smaller gamma, for every two that differ."""
    for (high_gamma, _), high in outcomes.items():
        for (low_gamma, _), low in outcomes.items():
            if high_gamma > low_gamma:
                yield getattr(high, measure), getattr(low, measure)


def outcomes_table(outcomes: Mapping[str, Outcome]) -> str:
    """One line a setting: means over the seeds; the loss with its standard deviation."""
    header = ["setting", "final loss", "rate", "weights", "rms", "NTG", "eigmin", "at end"]
    rows = [
        [
            name,
            _mean_and_spread(out.loss_end),
            f"{out.rate.mean():.2e}",
            number(out.weight_change.mean()),
            number(out.weight_change_rms.mean()),
            percent(out.ntg_change.mean()),
            f"{out.eigmin_start.mean():.3e}",
            f"{out.eigmin_end.mean():.3e}",
        ]
        for name, out in outcomes.items()
    ]
    return (
        text_table(header, rows, left=1)
        + "\nMeans over the seeds, +- standard deviation. rate: log(first / final loss) / time;"
        + "\nweights: change of the node that moved most; rms: of all nodes, weighted by lam_j;"
        + "\nNTG: its change, relative; eigmin: its smallest eigenvalue, before and after training."
    )


def _mean_and_spread(values: Floats) -> str:
    spread = f" +- {values.std():.1e}" if len(values) > 1 else ""
    return f"{values.mean():.2e}{spread}"


def claims_table(outcomes: Mapping[Setting, Outcome]) -> str:
    """One line a claim of the paper: whether it holds for the means, and in how many seeds."""
    seeds = len(next(iter(outcomes.values())).loss_end)
    rows = []
    for claim in CLAIMS:
        on_average, count = holds(claim, outcomes)
        rows.append([claim.text, "holds" if on_average else "does not hold", f"{count} of {seeds}"])
    return text_table(["claim of the paper", "on average", "seeds"], rows, left=2)


def summary(plan: Mapping[str, Any], outcomes: Mapping[Setting, Outcome]) -> dict[str, Any]:
    """Plan, measured numbers (a list over the seeds each) and verdicts, for a JSON file."""
    measures = [name for name in Outcome.__dataclass_fields__ if name != "run"]
    verdicts = [(claim, *holds(claim, outcomes)) for claim in CLAIMS]
    return {
        "plan": dict(plan),
        "settings": [
            {"gamma": gamma, "alpha": alpha, **{name: getattr(out, name) for name in measures}}
            for (gamma, alpha), out in outcomes.items()
        ],
        "claims": [
            {"claim": claim.text, "measure": claim.measure, "holds": mean, "seeds": seeds}
            for claim, mean, seeds in verdicts
        ],
        "build": af.build_config(),
    }
