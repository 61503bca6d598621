"""Write the numbers, figures and tables of ../reproduction.md and relu.md from a folder of results.

    python docs/reproduction/make.py RESULTS

RESULTS is what `asymfast paper ... --out RESULTS` has written. Its experiments replace their
sections; other sections stay as they are. Runs of 2000 steps that show when the order of the
settings changes are computed if they are not there yet (half a minute of CPU time).
"""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import msgspec
import pandas as pd
from asymfast._run_loop import duration
from asymfast.study import Experiment, Store, read_experiment, results, sweep
from asymfast.study.config import parse
from asymfast.study.panels import experiment_figure, last_leads
from asymfast.study.reproduction import COLUMNS, as_number, length
from PIL import Image

FOLDER = Path(__file__).parent
PAGES = {"swish": FOLDER.with_suffix(".md"), "relu": FOLDER / "relu.md"}
BEGIN, END = "<!-- Written by make.py from here on. -->\n", "<!-- Up to here. -->\n"
DPI, COLOURS = 80, 96  # of the figures, small enough for a repository
HEADER = ["| claim | in the paper | ours, by setting | agrees |", "|---|---|---|---|"]


def section(one):
    """Return a figure of the paper: how it was run, a row for each claim, the picture."""
    experiment, config = one.experiment, one.experiment.configs[0]
    figure = experiment.presentation.figures.get(experiment.activation, "")
    runs = [info["run"] for infos in one.infos.values() for info in infos]
    leaps = sum(run.get("method_taken") == "leap" for run in runs)
    settings = "; ".join(f"({i}) {at.name()}" for i, at in enumerate(one.runs, 1))
    image = f"{FOLDER.name}/" * (experiment.activation == "swish") + experiment.stem
    lines = [
        f"### {experiment.title}: {figure}",
        "",
        f"asymfast {runs[0]['asymfast']}, {length(experiment)}, {len(one.seeds)} seeds, "
        f"{config.network.dtype}, {duration(one.cpu_seconds)} of CPU time"
        f"{f', {leaps} of {len(runs)} runs in leaps' if leaps else ''}; "
        f"[all numbers]({image}.csv). Settings: {settings}.",
        "",
        *(HEADER if one.verdicts else []),
    ]
    forms = {column.measure: column.form for column in COLUMNS}
    for verdict in one.verdicts:
        claim = verdict.claim
        form = forms.get(claim.measure, ".1e")
        ours = "; ".join(as_number(found[claim.measure], form) for found in one.measures.values())
        agrees = f"{verdict.seeds} of {verdict.of}{'' if verdict.holds else ', **not the mean**'}"
        lines.append(f"| {claim.text} | {claim.source} | {ours} | {agrees} |")
    return "\n".join([*lines, "", f"![{experiment.title}]({image}.png)", ""])


def write_files(one):
    """Write every measure, a row for each setting and seed, and a small figure."""
    rows = [
        {**setting._asdict(), "seed": seed, **{name: values[i] for name, values in found.items()}}
        for setting, found in one.measures.items()
        for i, seed in enumerate(one.seeds)
    ]
    pd.DataFrame(rows).to_csv(FOLDER / f"{one.experiment.stem}.csv", index=False)
    drawn = io.BytesIO()
    experiment_figure(one).savefig(drawn, format="png", dpi=DPI)
    few = Image.open(drawn).convert("RGB").quantize(COLOURS)
    few.save(FOLDER / f"{one.experiment.stem}.png", optimize=True)


def early(folder):
    """Train the text's simulated data for 2000 steps, with records on a logarithmic scale."""
    whole = read_experiment("simulated")
    tables = [config.table() for config in whole.configs]
    for table in tables:
        table["train"]["steps"], table["record"], table["certificate"] = 2000, {"log": 60}, False
    sweep(tables, out=folder / "early", jobs=1, threads=1)
    short = msgspec.structs.replace(whole, configs=tuple(map(parse, tables)))
    return results(short, Store(folder / "early"))


def leads(title, one):
    """Return the last recorded steps at which gamma = 1 is ahead of all other settings."""
    lines = []
    for what, name, sign in (("loss", "loss", -1), ("smallest eigenvalue", "ntg_eigmin", 1)):
        found = last_leads(one, name, sign)
        last = ["never" if step is None else f"{step:,.0f}" for step in found]
        lines.append(f"| {title}, {what} | {' | '.join(last)} |")
    return lines


def main(folder):
    """Write all files and pages."""
    store = Store(folder / "results", create=False)
    contents = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    found = [results(msgspec.convert(one["experiment"], Experiment), store) for one in contents]
    for one in [one for one in found if one.seeds]:
        write_files(one)
        new = section(one)
        if one.experiment.stem == "simulated_authors":
            seeds = " | ".join(f"seed {seed}" for seed in one.seeds)
            table = [
                f"| the last step at which gamma = 1 leads | {seeds} |",
                f"|---|{'---|' * len(one.seeds)}",
                *leads("text's settings, the first 2000 steps", early(folder)),
                *leads("authors' settings, 50,000 steps", one),
            ]
            new += "\n" + "\n".join(table) + "\n"
        page = PAGES[one.experiment.activation]
        before, _, rest = page.read_text().partition(BEGIN)
        written, _, after = rest.partition(END)
        sections = re.split(r"(?m)^(?=### )", written)
        heading = new.partition("\n")[0]
        at = [i for i, old in enumerate(sections) if old.partition("\n")[0] == heading]
        place = at[0] if at else len(sections)
        sections[place : place + 1] = [f"{new}\n"]
        page.write_text(f"{before}{BEGIN}{''.join(sections)}{END}{after}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
