"""A certificate as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

import asymfast._check as _check
from asymfast.theory.certificate import power_of_ten

if TYPE_CHECKING:
    from asymfast.theory.certificate import Certificate, Claim

_WORDS = {True: "yes", False: "NO", None: "undecided"}


def certificate_table(certificate: Certificate, rows: int) -> str:
    """Lay out verdicts, reasons, constants and up to ``rows`` records, as lines of text."""
    rows = _check.integer("table", "rows", rows, low=1)
    lines = [*_head(certificate), "", *_records(certificate, rows)]
    for claim in (*certificate.claims.values(), *certificate.measured.values()):
        lines.append(f"{claim.name}: {claim.text} [{claim.source}]: {_WORDS[claim.holds]}")
    for claim in certificate.initial.values():
        shown = f"{claim.observed[0]:.4g} {'<=' if claim.upper else '>='} {claim.bound[0]:.4g}"
        lines.append(f"{claim.name}: {claim.text} [{claim.source}]: {shown}, {_WORDS[claim.holds]}")
    return "\n".join(lines)


def _head(certificate: Certificate) -> list[str]:
    c = certificate.constants
    lines = [
        f"{certificate.theorem}, delta = {c['delta']:g}",
        f"theorem applies:  {_WORDS[certificate.applies]}",
        *(f"  - {reason}" for reason in certificate.reasons),
    ]
    if certificate.claims:
        lines.append(f"conclusion holds: {_WORDS[certificate.holds]}")
    else:
        lines.append("conclusion holds: the theorem has no bounds for this run")
    if certificate.diverged:
        lines.append("the run diverged")
    kappa = certificate.kappa
    lines.append(
        f"kappa_n = {kappa.value:.6g} (+- {kappa.error:.1g}), "
        + ", ".join(f"{name} = {value:.6g}" for name, value in c.items() if name != "delta")
    )
    if certificate.width is not None:
        lines.append(f"width required: {power_of_ten(certificate.width.log10)}")
    if certificate.learning_rate is not None:
        lines.append(f"learning rate required: below {certificate.learning_rate:.4g}")
    return lines


def _records(certificate: Certificate, rows: int) -> list[str]:
    """A table with observed value and bound of every claim; an asterisk marks what fails."""
    claims = list({**certificate.claims, **certificate.measured}.values())
    if not claims:
        return []
    total = len(certificate.steps)
    shown = sorted({round(i) for i in np.linspace(0, total - 1, min(rows, total))})
    titles = {"(a)": "eig_min", "(b)": "L_m", "(c)": "|dw|/sqrt(lam)", "(d)": "|dNTG|"}
    header = ["step", "time"]
    for claim in claims:
        header += [titles.get(claim.name, claim.name), "<=" if claim.upper else ">="]
    cells = [
        [f"{certificate.steps[t]}", f"{certificate.time[t]:.4g}"]
        + [cell for claim in claims for cell in _cells(certificate, claim, t)]
        for t in shown
    ]
    key = "F: Frobenius norm, above the spectral norm; *: bound not kept; ?: undecided"
    return [*_aligned([header, *cells]), key, ""]


def _cells(certificate: Certificate, claim: Claim, t: int) -> list[str]:
    where = np.flatnonzero(claim.records == t)
    if not len(where):
        return ["-", "-"]
    i = int(where[0])
    mark = "" if claim.passed[i] else "?" if claim.undecided[i] else "*"
    if claim.name == "(d)" and not certificate.spectral[t]:
        mark = f" F{mark}"  # Frobenius norm
    return [f"{claim.observed[i]:.4g}{mark}", f"{claim.bound[i]:.4g}"]


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in table
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return lines
