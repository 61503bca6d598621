"""Wide, shallow neural networks with asymmetrical node scaling.

f(x) = sum_j sqrt(lam_j) a_j sigma(w_j.x / sqrt d),  lam_j = gamma/m + (1 - gamma) t_j / sum t.

Training by gradient descent and gradient flow, per-node gradients, neural tangent Gram matrices
and their smallest eigenvalue, in C++, from Python; after Caron, Ayed, Jung, Lee, Lee and Yang,
"Over-parameterised shallow neural networks with asymmetrical node scaling", NeurIPS 2023.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

try:
    from . import _core
except ImportError as error:
    # It is there, but was asked for what this machine lacks, or the processor is too old for it.
    if "ASYMFAST_ISA" in str(error) or "x86-64-v2" in str(error):
        raise ImportError(f"asymfast: {error}") from None
    raise ImportError(
        f"the compiled core of asymfast cannot be loaded ({error}); "
        "build it with: pip install . in a checkout"
    ) from error

from . import cuda
from ._build import build_config
from ._storage import CheckpointError
from .linearised import LinearisedFlow, linearised_flow
from .network import Network
from .ntg import NTGOperator, min_eigenvalue
from .record import Record, Snapshot, Stop
from .run import DivergenceError, Grid, Run, grid
from .scaling import node_scaling
from .train import gradient_descent, gradient_flow, sgd

if TYPE_CHECKING:
    from . import datasets, mpi, plot, theory
    from ._model import Model, load_model
    from .plot.phases import PhaseDiagram, phase_diagram
    from .pruning import PruningCurve, pruning_curve
    from .study import ConfigError, StoreError, SweepResult, load_sweep, sweep, train_config
    from .theory import limiting_ntg, mean_ntg

__version__: str = _core.build_config()["version"]

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DivergenceError",
    "Grid",
    "LinearisedFlow",
    "Model",
    "NTGOperator",
    "Network",
    "PhaseDiagram",
    "PruningCurve",
    "Record",
    "Run",
    "Snapshot",
    "Stop",
    "StoreError",
    "SweepResult",
    "__version__",
    "build_config",
    "cuda",
    "datasets",
    "gradient_descent",
    "gradient_flow",
    "grid",
    "limiting_ntg",
    "linearised_flow",
    "load_model",
    "load_sweep",
    "mean_ntg",
    "min_eigenvalue",
    "mpi",
    "node_scaling",
    "phase_diagram",
    "plot",
    "pruning_curve",
    "sgd",
    "sweep",
    "theory",
    "train_config",
]

# Loaded on first use, so that `import asymfast` stays quick. sklearn and torch need their extras
# and are not in __all__: `from asymfast import *` must go without.
_LAZY_MODULES = ("datasets", "plot", "sklearn", "theory", "torch")
_LAZY = {
    "_model": ("Model", "load_model"),
    "plot.phases": ("PhaseDiagram", "phase_diagram"),
    "pruning": ("PruningCurve", "pruning_curve"),
    "study": ("ConfigError", "StoreError", "SweepResult", "load_sweep", "sweep", "train_config"),
    "theory": ("limiting_ntg", "mean_ntg"),
}
_LAZY_NAMES = {name: module for module, names in _LAZY.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _LAZY_MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _LAZY_NAMES:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY_NAMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    from importlib.util import find_spec

    missing = {of for of in ("sklearn", "torch") if of not in sys.modules and find_spec(of) is None}
    return sorted({*__all__, *_LAZY_MODULES} - missing)
