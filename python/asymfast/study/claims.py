"""What Appendices J and K claim, and whether it holds in what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from asymfast.scaling import node_scaling_name
from asymfast.study.config import Table, packaged

Floats = npt.NDArray[np.float64]


class Setting(NamedTuple):
    """A node scaling, Eqs. (1) and (35)."""

    gamma: float
    alpha: float | None = None

    def name(self, *, symbols: bool = False) -> str:
        """Return ``gamma = 0.5, alpha = 0.7``, or with Greek letters for a figure."""
        return node_scaling_name(self.gamma, self.alpha, symbols=symbols)


Measures = Mapping[Setting, Mapping[str, Floats]]


class Claim(Table, frozen=True):
    """The order of a measure among settings, or a bound of it.

    `measure` is one of `asymfast.study.results.measures_of`; it grows or falls with gamma (or
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
