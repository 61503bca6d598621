"""Peak memory: what a call allocates, its result included, and what `max_memory` leaves for slopes.

Everything but the slopes sigma'(Z) is fixed by the sizes, and the core that allocates it says how
much it is (``planned_bytes`` of the C++ interface). Slopes are kept, or gathered, as far as memory
allows; the rest is computed again, to the same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _check, _core


def ntg_bytes(n: int, n2: int, d: int, v: NDArray[np.float64], itemsize: int) -> tuple[int, int]:
    """Bytes of an NTG without slopes, and the least for its slopes.

    There are n and n2 samples on its sides and d inputs; v (m,) are the weights of the sum over
    nodes.
    """
    fixed, least = _core.planned_ntg_bytes(n, n2, d, np.ascontiguousarray(v), itemsize)
    return int(fixed), int(least)


def run_bytes(settings: dict[str, Any], **sizes: Any) -> int:
    """Bytes of a run that keeps no slopes, by the method that needs most of those it may take.

    The columns of its record other than ``weight_change`` are not among them. `settings` are the
    trainer's: ``method``; ``descent``; ``dt``; ``batch_size`` and ``train_output`` of sgd. `sizes`
    are those of ``_core.RunSizes``.
    """
    plan, method = _core.RunSizes(**sizes), settings["method"]
    if method == "sgd":
        return int(plan.sgd(settings["batch_size"], settings["train_output"]))
    if method == "gradient_descent":
        return int(plan.gradient_descent(settings.get("descent", "step")))
    return int(plan.gradient_flow(method, settings["dt"] or 0.0))


def operator_bytes(n: int, d: int, m: int, threads: int, itemsize: int) -> int:
    """Bytes of an `NTGOperator` that keeps no slopes."""
    sizes = _core.RunSizes(n=n, d=d, m=m, k=1, B=1, itemsize=itemsize, threads=threads)
    return int(sizes.operator())


def slopes_allowed(fn: str, max_memory: Any, fixed: int, least: int, sizes: str) -> float:
    """Bytes that `max_memory` leaves for slopes; 0.0 means as many as the call likes.

    A ValueError says how much the call needs if that is more.
    """
    if max_memory is None:
        return 0.0
    allowed = _check.POSITIVE(fn, "max_memory", max_memory)
    if allowed < fixed + least:
        raise ValueError(
            f"{fn}: max_memory must be at least {fixed + least} bytes for {sizes}, got {allowed:g}"
        )
    return max(1.0, allowed - fixed)
