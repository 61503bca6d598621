"""What is timed: for every workload its sizes, its cost, its data and its target.

The cost is what a perfect program would need: `flops` at the measured peak of fused multiply-adds
and `exps` at the measured speed of exp, both on all threads. The targets are ratios of our time to
that of the fastest of the others in the same run.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Workload:
    """One row of the table.

    Attributes
    ----------
    name, title : str
        "W1" and what it is.
    kind : str
        What the contenders are asked for: a key of their tables of programs.
    unit : str
        What is repeated and timed.
    sizes : dict
        n, d, m, k and so on.
    flops, exps : float
        The least work for one unit.
    target : float or None
        Ours over the best of the others; None: no target, the row is for information.
    target_peers : str
        The target counts against those of the others whose program starts with this.
    data : callable
        Makes the arrays in the workload's dtype, as `data(workload)`.
    dtypes : tuple of str
        Those it is meant for; the first is used when another is asked for.
    seconds : float
        About how long one measurement of one contender should take.
    settings : dict
        lr and the like.
    """

    name: str
    title: str
    kind: str
    unit: str
    sizes: dict[str, int]
    flops: float
    exps: float
    target: float | None
    data: Callable[[Workload], Arrays]
    dtypes: tuple[str, ...] = ("float32", "float64")
    seconds: float = 0.08
    settings: dict[str, Any] = field(default_factory=dict)
    target_peers: str = ""
    dtype: str = "float32"

    @property
    def tolerance(self) -> float:
        """Largest difference allowed from the median of all results, relative to their scale."""
        return self.settings.get("tolerance", 2e-4 if self.dtype == "float32" else 1e-9)


# --- data ----------------------------------------------------------------------------------------


def _cast(workload: Workload, **arrays: np.ndarray) -> Arrays:
    return {name: np.ascontiguousarray(v, dtype=workload.dtype) for name, v in arrays.items()}


def _network(workload: Workload) -> Arrays:
    """Standard normal W, signs a, node scaling by gamma = 1/2 and j^(-1/alpha), alpha = 1/2."""
    sizes = workload.sizes
    d, m, k = sizes["d"], sizes["m"], sizes.get("k", 1)
    rng = np.random.default_rng(1)
    weights = np.arange(1.0, m + 1) ** -2.0
    a = np.where(rng.random((m, k)) < 0.5, -1.0, 1.0)
    return {
        "W": rng.standard_normal((m, d)),
        "a": a[:, 0] if k == 1 else a,
        "lam": 0.5 / m + 0.5 * weights / weights.sum(),
    }


def _simulated(workload: Workload) -> Arrays:
    """Unit rows; sums of sines plus noise (the paper's Appendix J)."""
    n, d, k = workload.sizes["n"], workload.sizes["d"], workload.sizes.get("k", 1)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y = (5 / d * np.sin(np.pi * X).sum(axis=1))[:, None] + rng.standard_normal((n, k))
    return _cast(workload, X=X, y=y[:, 0] if k == 1 else y, **_network(workload))


def _table(workload: Workload) -> Arrays:
    """A standardised UCI table where ASYMFAST_DATA has it, else normal numbers of its shape."""
    n, d = workload.sizes["n"], workload.sizes["d"]
    name = workload.settings["table"]
    if os.environ.get("ASYMFAST_DATA"):
        import asymfast as af

        data = af.datasets.load(name)
        X = np.concatenate([data.X_train, data.X_valid])[:n]
        y = np.concatenate([data.y_train, data.y_valid])[:n]
    else:
        rng = np.random.default_rng(0)
        X = rng.standard_normal((n, d))
        y = np.tanh(X @ rng.standard_normal(d)) + 0.1 * rng.standard_normal(n)
    return _cast(workload, X=X, y=y, **_network(workload))


def _digits(workload: Workload) -> Arrays:
    """MNIST where ASYMFAST_DATA has it, else numbers of its shape; one-hot targets."""
    n, d, k = (workload.sizes[name] for name in "ndk")
    if os.environ.get("ASYMFAST_DATA"):
        import asymfast as af

        data = af.datasets.load("mnist")
        X, y = data.X_train[:n], data.y_train[:n]
    else:
        rng = np.random.default_rng(0)
        X, y = rng.standard_normal((n, d)), np.eye(k)[rng.integers(0, k, n)]
    return _cast(workload, X=X, y=y, **_network(workload))


def _features(workload: Workload) -> Arrays:
    """Classes of normal features, and the order in which the first epoch takes them."""
    n, d, k = (workload.sizes[name] for name in "ndk")
    rng = np.random.default_rng(0)
    labels = rng.integers(0, k, n)
    X = rng.standard_normal((k, d))[labels] + 2 * rng.standard_normal((n, d))
    arrays = _cast(workload, X=X, **_network(workload))
    return {**arrays, "labels": labels, "order": _first_epoch(n, seed=0)}


def _first_epoch(n: int, seed: int) -> np.ndarray:
    """The order of `asymfast.sgd` as its documentation defines it, so that all take the same."""
    full = 2**64

    def hashed(key: int, i: int) -> int:
        z = (key + (i + 1) * 0x9E3779B97F4A7C15) % full
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % full
        z = (z ^ z >> 27) * 0x94D049BB133111EB % full
        return z ^ z >> 31

    key = hashed(int(np.random.default_rng(seed).integers(0, full, dtype=np.uint64)), 0)
    order = np.arange(n)
    for count, i in enumerate(range(n - 1, 0, -1)):
        j = (i + 1) * hashed(key, count) // full
        order[[i, j]] = order[[j, i]]
    return order


def _grams(workload: Workload) -> Arrays:
    """NTGs along a run: the smallest eigenvalue is wanted of each.

    Those of the power-plant table, with its repeated rows, are singular to rounding; those of the
    simulated data are well conditioned.
    """
    import asymfast as af

    arrays = (_table if "table" in workload.settings else _simulated)(workload)
    net = af.Network(arrays["W"], arrays["a"], arrays["lam"], activation="swish")
    X = arrays["X"]
    run = af.gradient_descent(
        net,
        X,
        arrays["y"],
        lr=1.0,
        steps=workload.sizes["matrices"] - 1,
        loss="mse",
        record=af.Record(every=1, ntg=False, eigmin=False, weights=True),
    )
    K = np.stack([net.with_weights(W).ntg(X) for W in run.weights])
    return {"K": K, "scale": np.linalg.norm(K[0])}


def _ensemble(workload: Workload) -> Arrays:
    """B models that share the data."""
    arrays = _simulated(workload)
    rng = np.random.default_rng(2)
    shape = (workload.sizes["B"], *arrays["W"].shape)
    arrays["W"] = rng.standard_normal(shape).astype(workload.dtype)
    return arrays


# --- the list ------------------------------------------------------------------------------------


def _descent_cost(n: int, d: int, m: int, k: int = 1) -> tuple[float, float]:
    """Z and the gradient are matrix products; output and residual cost 2 n m k each way."""
    return 4.0 * n * m * (d + k), float(n * m)


def _descent(
    name: str,
    title: str,
    target: float | None,
    data: Callable[[Workload], Arrays] = _simulated,
    *,
    n: int,
    d: int,
    m: int,
    k: int = 1,
    **settings: Any,
) -> Workload:
    flops, exps = _descent_cost(n, d, m, k)
    sizes = {"n": n, "d": d, "m": m} | ({"k": k} if k > 1 else {})
    return Workload(
        name, title, "descent", "GD step", sizes, flops, exps, target, data, settings=settings
    )


def _ntg(name: str, target: float, *, n: int, d: int, m: int) -> Workload:
    flops = 2.0 * n * m * d + n * (n + 1.0) * (m + d)
    sizes = {"n": n, "d": d, "m": m}
    return Workload(name, "NTG", "ntg", "NTG", sizes, flops, n * m, target, _simulated)


_W1 = {"n": 100, "d": 50, "m": 2000}
_FLOPS, _EXPS = _descent_cost(**_W1)


def _eigmin(name: str, *, n: int, d: int, matrices: int, seconds: float, **table: str) -> Workload:
    return Workload(
        name,
        "smallest eigenvalue along a run",
        "eigmin",
        "eigenvalue",
        {"n": n, "d": d, "m": 2000, "matrices": matrices},
        n**3 / 3.0,
        0.0,
        0.6,
        _grams,
        dtypes=("float64",),
        seconds=seconds,
        settings={"tolerance": 1e-12, **table},  # of the matrix' norm
        target_peers="LAPACK",
    )


WORKLOADS: tuple[Workload, ...] = (
    _descent("W1", "simulated data", 0.55, **_W1, lr=1.0),
    _descent("W2", "concrete", 0.28, _table, n=412, d=8, m=2000, lr=2 / 412, table="concrete"),
    _descent("W2b", "plant", 0.14, _table, n=3827, d=4, m=2000, lr=2 / 3827, table="plant"),
    # Long enough that a call holds several steps: its start is a forward pass of its own.
    replace(
        _descent("W3", "MNIST", 0.85, _digits, n=5000, d=784, m=2000, k=10, lr=1 / 5000),
        seconds=1.6,
    ),
    _ntg("W4a", 0.45, **_W1),
    _ntg("W4b", 0.6, n=1000, d=8, m=2000),
    Workload(
        "W5",
        "Runge-Kutta on W1",
        "rk4",
        "RK4 step",
        _W1,
        4 * _FLOPS,
        4 * _EXPS,
        0.35,
        _simulated,
        settings={"dt": 1.0},
    ),
    _eigmin("W6a", n=1000, d=50, matrices=4, seconds=0.1),
    _eigmin("W6b", n=3827, d=4, matrices=2, seconds=1.0, table="plant"),
    Workload(
        "W7",
        "20 models of W1, 200 steps",
        "ensemble",
        "ensemble",
        {**_W1, "B": 20, "steps": 200},
        20 * 200 * _FLOPS,
        20 * 200 * _EXPS,
        0.6,
        _ensemble,
        seconds=1.0,
        settings={"lr": 1.0},
    ),
    Workload(
        "W8",
        "SGD, cross-entropy, both layers",
        "sgd",
        "epoch of 10 steps",
        {"n": 640, "d": 512, "m": 2000, "k": 10, "batch": 64},
        640 * 2000 * (4.0 * 512 + 6 * 10),
        640 * 2000.0,
        0.8,
        _features,
        seconds=0.8,
        settings={"lr": 0.5},
    ),
    _descent("W9", "small, inside one call", 0.4, n=20, d=5, m=50, lr=1.0),
    Workload(
        "import",
        "import after numpy",
        "import",
        "import",
        {},
        0.0,
        0.0,
        None,
        lambda workload: {},
        seconds=0.0,
    ),
)
