"""The paper's experiments: what they are, running them, and what they show.

=====================  ======================================================================
`read_experiment`      one of the descriptions in ``configs/``, TOML files, or one of yours
`tasks`, `carry_out`   the networks of an experiment; training, pruning and transfer of one
`carry_out_all`        of many, in one process or several
`results`              what a store holds of an experiment: arrays and measures
`verdicts`             whether the claims of Appendices J and K hold in them
`experiment_figure`    the paper's panels, from results alone (extra ``plot``)
`write_report`         everything as one HTML file
=====================  ======================================================================

``asymfast paper`` is made of these.
"""

from __future__ import annotations

from asymfast.experiments.claims import CLAIMS, Claim, Verdict, verdicts
from asymfast.experiments.config import NAMES, Experiment, Setting, read_experiment
from asymfast.experiments.jobs import How, carry_out_all
from asymfast.experiments.panels import experiment_figure
from asymfast.experiments.report import write_report
from asymfast.experiments.results import Repeats, Results, results
from asymfast.experiments.stages import Task, carry_out, tasks

__all__ = [
    "CLAIMS",
    "NAMES",
    "Claim",
    "Experiment",
    "How",
    "Repeats",
    "Results",
    "Setting",
    "Task",
    "Verdict",
    "carry_out",
    "carry_out_all",
    "experiment_figure",
    "read_experiment",
    "results",
    "tasks",
    "verdicts",
    "write_report",
]
