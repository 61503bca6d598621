"""What Appendices J and K claim, and whether it holds in what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Setting(NamedTuple):
    """A node scaling, Eqs. (1) and (35)."""

    gamma: float
    alpha: float | None = None

    def name(self, *, symbols: bool = False) -> str:
        """Return ``gamma = 0.5, alpha = 0.7``, or with Greek letters for a figure."""
        g, a = (r"$\gamma$", r"$\alpha$") if symbols else ("gamma", "alpha")
        alpha = "" if self.alpha is None else f", {a} = {self.alpha:g}"
        return f"{g} = {self.gamma:g}{alpha}"


Measures = Mapping[Setting, Mapping[str, Floats]]


@dataclass(frozen=True)
class Claim:
    """The order of a measure among settings, or a bound of it.

    Attributes
    ----------
    text : str
        For the table.
    measure : str
        See `asymfast.study.results.measures`.
    rule : {"grows", "falls", "at most", "at least"}
        The measure grows or falls with gamma (or alpha), or has the bound ``limit``.
    experiments : tuple of str
        The experiments it is claimed of.
    source : str
        Where.
    by : {"gamma", "alpha", "asymmetry"}
        Which settings are compared: pairs whose gamma differs; pairs of one gamma whose alpha
        differs; or the symmetric one, gamma = 1, with each of the others.
    limit : float
        The bound.
    among : callable(Setting) -> bool
        Settings that a bound is claimed of.
    whole : bool
        Claimed of the end of the whole run: skipped in runs with fewer steps.
    why : str
        Why it does not hold with swish, where that is known.
    """

    text: str
    measure: str
    rule: Literal["grows", "falls", "at most", "at least"]
    experiments: tuple[str, ...]
    source: str
    by: Literal["gamma", "alpha", "asymmetry"] = "gamma"
    limit: float = np.nan
    among: Callable[[Setting], bool] = lambda setting: True
    whole: bool = False
    why: str = ""


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


_J = "Appendix J"
_TABLES = ("concrete", "energy", "airfoil", "plant")
_CIFAR = ("cifar10", "cifar10_gamma", "cifar100")
_SIMULATED = ("simulated",)
_EARLY = (
    "it describes the early part of training; with swish gamma = 1 leads for about the first 100 "
    "of 50 000 steps"
)
_NTG = (*_SIMULATED, *_TABLES, "mnist")

# The paper does not say when it compares eigenvalues, over which weights it takes the change, how
# it measures rates, nor what counts as near zero or significant: where two readings are natural,
# both are here, and the limits are ours.
CLAIMS = (
    Claim(
        "gamma > 0: the loss falls to near zero (below 1e-6 of its start)",
        "loss_left",
        "at most",
        _SIMULATED,
        f"{_J}, simulated data",
        limit=1e-6,
        among=lambda setting: setting.gamma > 0,
        whole=True,
    ),
    Claim(
        "smaller gamma: the most moved weights change more",
        "weight_change",
        "falls",
        (*_NTG, *_CIFAR),
        _J,
    ),
    Claim("smaller gamma: the weights change more, rms", "weight_change_rms", "falls", _NTG, _J),
    Claim("smaller gamma: the NTG changes more", "ntg_change", "falls", _NTG, _J),
    Claim(
        "smaller alpha: the weights change more, rms",
        "weight_change_rms",
        "falls",
        _NTG,
        _J,
        by="alpha",
    ),
    Claim("smaller alpha: the NTG changes more", "ntg_change", "falls", _NTG, _J, by="alpha"),
    Claim(
        "gamma = 1: the NTG hardly changes (by 10 % at most)",
        "ntg_change",
        "at most",
        _SIMULATED,
        f"{_J}, simulated data",
        limit=0.1,
        among=lambda setting: setting.gamma == 1,
    ),
    Claim(
        "gamma < 1: the NTG changes significantly (by 20 % at least)",
        "ntg_change",
        "at least",
        _SIMULATED,
        f"{_J}, simulated data",
        limit=0.2,
        among=lambda setting: setting.gamma < 1,
        whole=True,
    ),
    Claim(
        "larger gamma: larger smallest eigenvalue at the start",
        "eigmin_start",
        "grows",
        _SIMULATED,
        f"{_J}, simulated data",
    ),
    Claim(
        "larger gamma: larger smallest eigenvalue at the end",
        "eigmin_end",
        "grows",
        _SIMULATED,
        f"{_J}, simulated data",
        why=_EARLY,
    ),
    Claim(
        "larger gamma: the loss falls faster",
        "rate",
        "grows",
        _SIMULATED,
        f"{_J}, simulated data",
        why=_EARLY,
    ),
    Claim(
        "smaller gamma: lower test risk of transfer with few features",
        "transfer_few",
        "grows",
        _TABLES,
        f"{_J}, regression",
    ),
    Claim(
        "smaller gamma: better transfer, mean over the numbers of features",
        "transfer_mean",
        "grows",
        _TABLES,
        f"{_J}, regression",
    ),
    Claim(
        "smaller alpha: lower test risk of transfer with few features",
        "transfer_few",
        "grows",
        _TABLES,
        f"{_J}, regression",
        by="alpha",
    ),
    Claim(
        "smaller gamma: higher test accuracy of transfer with few features",
        "transfer_accuracy_few",
        "falls",
        ("mnist",),
        f"{_J}, MNIST",
    ),
    Claim(
        "gamma < 1: more robust to pruning than gamma = 1 (accuracy with 5 % of the nodes)",
        "pruning_accuracy_few",
        "falls",
        ("mnist", *_CIFAR),
        f"{_J}, classification",
        by="asymmetry",
    ),
    Claim(
        "smaller gamma: more robust to pruning (accuracy with 5 % of the nodes)",
        "pruning_accuracy_few",
        "falls",
        ("mnist", *_CIFAR),
        f"{_J}, classification and Figure 12",
    ),
    Claim(
        "smaller alpha: more robust to pruning (accuracy with 5 % of the nodes)",
        "pruning_accuracy_few",
        "falls",
        ("mnist", *_CIFAR),
        f"{_J}, classification",
        by="alpha",
    ),
)


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
    """Return whether a claim holds.

    Parameters
    ----------
    claim : Claim
    measures : mapping of Setting to mapping of str to (S,) array
        The measurements, the seeds in the same order throughout.

    Returns
    -------
    Verdict or None
        ``holds`` is for the means over the seeds and every two settings that are compared; NaN
        never holds. None if it was not measured or there is nothing to compare.
    """
    if any(claim.measure not in found for found in measures.values()):
        return None
    seeds = len(next(iter(measures.values()))[claim.measure])
    if claim.rule in ("at most", "at least"):
        values = [found[claim.measure] for at, found in measures.items() if claim.among(at)]
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
