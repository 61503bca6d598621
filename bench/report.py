"""Results as text: blocks for the screen, and the table of bench/README.md.

python bench/report.py bench/results.json      # writes the table between the README's markers
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from contenders import OURS

Row = dict[str, Any]
README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def limits(peaks: dict[str, Any] | None) -> str:
    """The machine's peaks in one line."""
    if peaks is None:
        return (
            "the machine's peaks were not measured: no compiler that builds peaks.cpp or peaks.cu"
        )
    where = peaks.get("device") or f"{peaks['threads']} threads"
    return (
        f"measured peaks, {where}: "
        f"fma {peaks['fma_float32'] / 1e9:.0f} Gflop/s float32, "
        f"{peaks['fma_float64'] / 1e9:.0f} float64; "
        f"exp {peaks['exp_ns_float32']:.2f} ns an element and thread float32, "
        f"{peaks['exp_ns_float64']:.2f} float64; triad {peaks['triad'] / 1e9:.1f} GB/s"
    )


def block(row: Row, *, judged: bool = True) -> str:
    """Everything about a workload, best first; with its target if the measurement is to be judged.

    A quick one is a first impression, on whatever machine: it meets or misses nothing.
    """
    sizes = " ".join(f"{name}={size}" for name, size in row["sizes"].items())
    lines = [f"\n{row['name']} {row['title']}: {row['unit']}, {sizes} {settings(row)}"]
    for one in sorted(row["contenders"], key=lambda one: one["median"]):
        low, high = one["quartiles"]
        count = f"  {one['evaluations']} evaluations" if "evaluations" in one else ""
        lines.append(
            f"  {one['library']:16s}{one['program']:32s}{duration(one['median']):>10s}"
            f"  (min {duration(one['min'])}, quartiles {duration(low)} .. {duration(high)})"
            f"{peak(row, one)}{count}"
        )
    lines += [f"  left out: {name} ({reason})" for name, reason in row["left_out"].items()]
    lines += [f"  WRONG: {name} {text}; not timed" for name, text in row["disagree"].items()]
    if not judged:
        row = {**row, "target": None}
        row.pop("limit_seconds", None)
    return "\n".join([*lines, f"  {verdict(row)}"])


def settings(row: Row) -> str:
    if row.get("device") == "cuda":
        return f"{row['dtype']}, {(row.get('peaks') or {}).get('device', 'GPU')}"
    return f"{row['dtype']}, {row['threads']} thread{'s' * (row['threads'] > 1)}"


def ours(row: Row) -> Row | None:
    """Our fastest program."""
    return _fastest(one for one in row["contenders"] if one["library"] == OURS)


def best_peer(row: Row, among: str = "") -> Row | None:
    """The fastest program of the others, of those whose name starts with `among`."""
    return _fastest(
        one
        for one in row["contenders"]
        if one["library"] != OURS and one["program"].startswith(among)
    )


def _fastest(contenders: Any) -> Row | None:
    return min(contenders, key=lambda one: one["median"], default=None)


def ratio(row: Row, among: str = "") -> float | None:
    """Our median over that of the best of the others."""
    mine, other = ours(row), best_peer(row, among)
    return mine["median"] / other["median"] if mine and other else None


def met(row: Row) -> bool | None:
    """Whether the target was met; None without one."""
    mine = ours(row)
    if mine is None:
        return None
    if "limit_seconds" in row:
        return bool(mine["median"] < row["limit_seconds"])
    share = ratio(row, row["target_peers"])
    return None if share is None or row["target"] is None else share <= row["target"]


def verdict(row: Row) -> str:
    if ours(row) is None:
        return "ours cannot do this yet"
    answer = {True: "met", False: "not met", None: ""}[met(row)]
    if "limit_seconds" in row:
        return f"target below {duration(row['limit_seconds'])}: {answer}"
    share, other = ratio(row), best_peer(row)
    if share is None or other is None:
        return "no peer to compare with"
    goal = f", target {aim(row)}: {answer}" if row["target"] is not None else ""
    return f"ours / best of the others ({other['library']}, {other['program']}) = {share:.3f}{goal}"


def aim(row: Row) -> str:
    """The target, and against whom with what result where not all of the others count."""
    if not row["target_peers"]:
        return f"{row['target']:g}"
    share = ratio(row, row["target_peers"])
    reached = "" if share is None else f", reached {share:.2f}"
    return f"{row['target']:g} of {row['target_peers']}{reached}"


def peak(row: Row, one: Row) -> str:
    """Part of the machine's peak that a contender reaches."""
    if "least_seconds" not in row:
        return ""
    return f"  {100 * row['least_seconds'] / one['median']:3.0f} % of peak"


def duration(seconds: float) -> str:
    """Three digits and a unit."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "us")):
        if seconds * factor >= 1 or unit == "us":
            break
    return f"{seconds * factor:.3g} {unit}"


# --- bench/README.md -----------------------------------------------------------------------------


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    head = "| work | ours | best of the others | ratio | target | part of peak | at the peak |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    for row in rows:
        mine, other, share = ours(row), best_peer(row), ratio(row)
        name = f"{row['name']} {row['title']}, {row['unit']}, {settings(row)}"
        if mine is None:
            lines.append(f"| {name} | - | | | | | |")
            continue
        goal = ""
        if "limit_seconds" in row:
            goal = f"< {duration(row['limit_seconds'])}: {'met' if met(row) else 'missed'}"
        elif row["target"] is not None:
            goal = f"{aim(row)}: {'met' if met(row) else 'missed'}"
        against = (
            f"{duration(other['median'])} ({other['library']}, {other['program']})" if other else ""
        )
        part = peak(row, mine).replace("of peak", "").strip()
        bound = row["least_seconds"] / other["median"] if part and other else None
        lines.append(
            f"| {name} | {_with_quartiles(mine)} | {against} "
            f"| {_two_digits(share)} | {goal} | {part} | {_two_digits(bound)} |"
        )
    return "\n".join(lines)


def _two_digits(share: float | None) -> str:
    return "" if share is None else f"{share:.2f}"


def _gpu(facts: Row) -> str:
    cuda = facts.get("cuda")
    if not cuda or not cuda["devices"]:
        return ""
    return f"{cuda['devices'][0]['name']}, CUDA {cuda['runtime']}, driver {cuda['driver']}, "


def _with_quartiles(one: Row) -> str:
    low, high = one["quartiles"]
    return f"{duration(one['median'])} ({duration(low)} .. {duration(high)})"


def origin(rows: list[Row]) -> str:
    """A line on machine and build for each that occurs, and one on the other libraries."""
    builds: dict[str, None] = {}
    versions: dict[str, None] = {}
    for row in rows:
        facts, core = row["provenance"], row["provenance"]["asymfast"]
        changed = " with changes" * facts["changed"]
        builds[
            f"{_gpu(facts)}{facts['cpu']}, {facts['cores']} cores, {core['compiler']}, "
            f"kernels {core['isa']}, Python {facts['python']}, commit {facts['commit']}{changed}"
        ] = None
        for one in row["contenders"]:
            if one["library"] != OURS and one.get("version"):
                versions[f"{one['library']} {one['version']}"] = None
    return "\n".join(f"- {text}" for text in [*builds, ", ".join(sorted(versions))])


def main() -> int:
    rows = json.loads(Path(sys.argv[1]).read_text())["rows"]
    text = README.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    README.write_text(f"{before}{BEGIN}\n{table(rows)}\n\n{origin(rows)}\n{END}{after}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
