"""Many runs: sweeps, and the paper's experiments, with one configuration language and one store.

==================  =========================================================================
`sweep`             compute the runs of a grid, resumable, on one machine or on many
`load_sweep`        their results as one xarray Dataset
`train_config`      one of these runs, here and now
`paper`             the paper's experiments: runs, tables, verdicts on its claims, figures
`read_experiment`   the description of one of them
`results`           what a store holds of it
==================  =========================================================================

All need the extra ``sweep``.
"""

from asymfast._optional import require

for _module in ("msgspec", "filelock"):
    require(_module, "sweep", "asymfast.study")

from asymfast.study.config import ConfigError  # noqa: E402
from asymfast.study.load import load_sweep  # noqa: E402
from asymfast.study.reproduction import PaperResult, paper  # noqa: E402
from asymfast.study.results import Experiment, Results, read_experiment, results  # noqa: E402
from asymfast.study.runner import SweepResult, sweep  # noqa: E402
from asymfast.study.store import Store, StoreError  # noqa: E402
from asymfast.study.train import train_config  # noqa: E402

__all__ = [
    "ConfigError",
    "Experiment",
    "PaperResult",
    "Results",
    "Store",
    "StoreError",
    "SweepResult",
    "load_sweep",
    "paper",
    "read_experiment",
    "results",
    "sweep",
    "train_config",
]
