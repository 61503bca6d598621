"""The folder of results: the store of runs, and what was written for each experiment.

results/                      the store: one file a run
simulated.json                description, numbers and verdicts of an experiment as it was run
simulated.png, simulated.pdf  its figure
report.html                   all of them
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import asymfast as af
from asymfast.experiments.claims import verdicts
from asymfast.experiments.config import NAMES, Experiment, from_table
from asymfast.experiments.results import Results, results
from asymfast.sweeps.store import Store

_STORE = "results"


def store_folder(folder: Path) -> Path:
    """Where the store of runs is."""
    return folder / _STORE


def stem(experiment: Experiment, activation: str) -> str:
    """Name the files of an experiment: neither ReLU nor a quick run replaces the paper's own."""
    parts = [experiment.name]
    if activation != "swish" and experiment.kind != "closed_form":
        parts.append(activation)
    if experiment.quick and experiment.kind != "closed_form":
        parts.append("quick")
    return "-".join(parts)


def summary(found: Results) -> dict[str, Any]:
    """Description, numbers (a list over the seeds each) and verdicts, for a JSON file."""
    judged = verdicts(found.experiment, found.measures) if found.seeds else []
    return {
        "experiment": asdict(found.experiment),
        "activation": found.activation,
        "seeds": list(found.seeds),
        "cpu_seconds": found.seconds,
        "settings": [
            {"gamma": setting.gamma, "alpha": setting.alpha, **measures}
            for setting, measures in found.measures.items()
        ],
        "claims": [
            {
                "claim": one.claim.text,
                "measure": one.claim.measure,
                "source": one.claim.source,
                "holds": one.holds,
                "seeds": one.seeds,
            }
            for one in judged
        ],
        "build": af.build_config(),
    }


def everything(folder: Path) -> list[tuple[str, Results]]:
    """All experiments that a folder has results of, in the order of the paper.

    Returns
    -------
    list of (str, Results)
        The stem of the files, and what the store holds of the experiment as its JSON file describes
        it. Without those of which no seed is finished.

    Raises
    ------
    ValueError
        A JSON file does not describe an experiment, or a result file is damaged.
    """
    place = store_folder(folder)
    if not place.is_dir():
        return []
    store = Store(place, create=False)
    found = []
    for path in folder.glob("*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, Mapping) or "experiment" not in content:
            continue
        experiment = from_table(dict(content["experiment"]))
        one = results(experiment, str(content["activation"]), store)
        if one.seeds:
            found.append((path.stem, one))
    order = {name: place for place, name in enumerate(NAMES)}
    return sorted(
        found,
        key=lambda pair: (
            pair[1].activation != "swish",
            order.get(pair[1].experiment.name, len(order)),
            pair[0],
        ),
    )
