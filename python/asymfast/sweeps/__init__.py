"""Many runs: grids of configs, and a folder of results that processes and hosts fill together."""

from asymfast.sweeps.config import ConfigError
from asymfast.sweeps.load import load_sweep
from asymfast.sweeps.runner import SweepResult, sweep
from asymfast.sweeps.store import Store, StoreError
from asymfast.sweeps.train import train_config

__all__ = [
    "ConfigError",
    "Store",
    "StoreError",
    "SweepResult",
    "load_sweep",
    "sweep",
    "train_config",
]
