"""What a certificate takes from a `Run`, through its public attributes, in float64 and as L_m."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

import asymfast._check as _check
from asymfast.theory import inputs
from asymfast.theory.network import Model

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RunNumbers:
    """One member of a run, as the theorems see it.

    Attributes
    ----------
    X, y : (n, d) and (n,) float64 arrays
    kind : {"descent", "flow"}
    eta : float
        Learning rate on L_m, half the sum of squares; NaN-free: 0 for a flow.
    steps : (T,) int64 array
    time : (T,) float64 array
        Of the gradient flow of L_m; eta * step for descent.
    loss : (T,) float64 array
        L_m, whatever loss was recorded.
    weight_change : (T, m) float64 array
    eigmin, ntg_change : (T,) float64 arrays
        Smallest eigenvalue, and spectral norm of the change, where ``known``; of ``ntg_change``
        only an upper bound, the Frobenius norm, where it was recorded and not recomputed.
    known : (T,) bool array
        Records at which the NTG on all samples is known.
    spectral : (T,) bool array
        Records at which ``ntg_change`` is the spectral norm itself.
    initial, final : Model
    gamma : float
        Of the scaling; where the network does not say, the largest that lam allows.
    rounding : float
        Of an output, relative to the sum of its absolute terms: 4 units of the run's dtype.
    diverged : bool
    """

    X: Floats
    y: Floats
    kind: Literal["descent", "flow"]
    eta: float
    steps: npt.NDArray[np.int64]
    time: Floats
    loss: Floats
    weight_change: Floats
    eigmin: Floats
    ntg_change: Floats
    known: npt.NDArray[np.bool_]
    spectral: npt.NDArray[np.bool_]
    initial: Model
    final: Model
    gamma: float
    rounding: float
    diverged: bool


def run_numbers(fn: str, run: Any, X: Any, y: Any, member: int | None) -> RunNumbers:
    """Read a run and check that it is one the theorems speak of, on these data.

    Raises
    ------
    TypeError
        `run` is not a Run.
    ValueError
        The run has another loss, several outputs, trained output weights, mini-batches, or no
        records; `member` does not fit; X and y are not its data.
    """
    for name in ("steps", "time", "loss", "weight_change", "initial", "network", "config"):
        if not hasattr(run, name):
            raise TypeError(f"{fn}: run must be a Run, got {type(run).__name__}")
    if not len(run.steps):
        raise ValueError(f"{fn}: run must have records, got none")
    member = _member(fn, run, member)

    def of(values: Any) -> Any:
        return values if member is None or values is None else values[:, member]

    start, end = (_network(fn, each, member) for each in (run.initial, run.network))
    if not np.array_equal(start.a, end.a):
        raise ValueError(f"{fn}: the theorems train the input weights only; this run trained a too")
    X = inputs.array(fn, "X", X, ("n", start.W.shape[1]))
    X = inputs.samples(fn, X)
    y = inputs.array(fn, "y", y, (len(X),))
    # d mse / dW = (2 / n) dL_m / dW, so its flow is that of L_m slowed down by n / 2
    speed, size = _loss(fn, run.config.get("loss"), len(X))
    method = run.config.get("method")
    if method == "gradient_descent":
        kind: Literal["descent", "flow"] = "descent"
        eta = speed * float(run.config["lr"])
    elif "t_end" in run.config:
        kind, eta = "flow", 0.0
    else:
        raise ValueError(
            f"{fn}: the theorems are on full-batch gradient descent and gradient flow, "
            f"this run's method is {method!r}"
        )
    steps = run.steps if run.steps.ndim == 1 else run.steps[:, member]
    loss = size * np.asarray(of(run.loss), dtype=np.float64)
    if steps[0] == 0:
        _same_data(fn, start, X, y, float(loss[0]), run.config.get("dtype"))
    gamma = _gamma(run.initial, start, member)
    known, spectral, eigmin, change = _ntg(run, of, start, end, X)
    diverged = np.asarray(run.diverged)
    return RunNumbers(
        X=X,
        y=y,
        kind=kind,
        eta=eta,
        steps=np.asarray(steps),
        time=speed * np.asarray(run.time, dtype=np.float64),
        loss=loss,
        weight_change=np.asarray(of(run.weight_change), dtype=np.float64),
        eigmin=eigmin,
        ntg_change=change,
        known=known,
        spectral=spectral,
        initial=start,
        final=end,
        gamma=gamma,
        rounding=4 * float(np.finfo(run.config.get("dtype", "float64")).eps),
        diverged=bool(diverged if diverged.ndim == 0 else diverged[member]),
    )


def _member(fn: str, run: Any, member: int | None) -> int | None:
    size = run.network.B
    if size is None:
        if member is not None:
            raise ValueError(f"{fn}: member is for ensembles, and this run is a single network's")
        return None
    if member is None:
        raise ValueError(f"{fn}: this run has {size} members; pass member=0, ..., {size - 1}")
    return _check.integer(fn, "member", member, low=0, high=size - 1)


def _network(fn: str, net: Any, member: int | None) -> Model:
    """The numbers of one member; its weights are not finite after a divergence."""
    W, a, lam = (
        np.asarray(each if member is None else each[member], dtype=np.float64)
        for each in (net.W, net.a, net.lam)
    )
    if a.ndim == 2 and a.shape[1] == 1:
        a = a[:, 0]
    if a.ndim != 1:
        raise ValueError(f"{fn}: the theorems are on one output, this network has {a.shape[1]}")
    return Model(W, a, lam, net.activation)


def _loss(fn: str, loss: Any, n: int) -> tuple[float, float]:
    """(dL/dW over dL_m/dW, L_m over L)."""
    if loss == "half_sse":
        return 1.0, 1.0
    if loss == "mse":
        return 2 / n, n / 2
    raise ValueError(f"{fn}: the theorems are on the squared loss, this run's is {loss!r}")


def _same_data(fn: str, net: Model, X: Floats, y: Floats, recorded: float, dtype: Any) -> None:
    loss = 0.5 * float(np.sum((net.outputs(X) - y) ** 2))
    allowed = 1e-3 if dtype == "float32" else 1e-8
    size = max(loss, recorded) + 0.5 * float(np.sum(y**2))
    if not abs(loss - recorded) <= allowed * size:
        raise ValueError(
            f"{fn}: X and y are not the data of this run; L_m at its start is {loss:.8g} on them, "
            f"and was {recorded:.8g}"
        )


def _gamma(net: Any, start: Model, member: int | None) -> float:
    given = net.gamma
    if given is not None:
        value = float(given if np.ndim(given) == 0 else given[member])
        if math.isfinite(value):
            return value
    return min(1.0, len(start.lam) * float(start.lam.min()))


def _ntg(
    run: Any, of: Any, start: Model, end: Model, X: Floats
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], Floats, Floats]:
    """Smallest eigenvalue and change of the NTG on all samples, at as many records as possible."""
    T = len(run.steps)
    eigmin, change = np.zeros(T), np.zeros(T)
    known, spectral = np.zeros(T, dtype=bool), np.zeros(T, dtype=bool)
    on = run.config.get("record", {}).get("ntg_on")
    everywhere = on is None or (np.ndim(on) == 0 and on >= len(X))
    if everywhere and run.ntg_change is not None and run.ntg_eigmin is not None:
        eigmin, change = (
            np.array(of(each), dtype=np.float64) for each in (run.ntg_eigmin, run.ntg_change)
        )
        known[:] = True
        if getattr(run, "ntg_change_2norm", None) is not None:
            change = np.array(of(run.ntg_change_2norm), dtype=np.float64)
            spectral[:] = True
    weights = of(run.weights)
    if weights is not None:
        at = {t: np.asarray(W, dtype=np.float64) for t, W in enumerate(weights)}
    elif everywhere and known.all():
        at = {}
    else:
        at = {0: start.W} if run.steps[0].min() == 0 else {}
        at[T - 1] = end.W
    if not at:
        return known, spectral, eigmin, change
    K0 = start.ntg(X)
    for t, W in at.items():
        if not np.isfinite(W).all():
            continue
        K = Model(W, start.a, start.lam, start.activation).ntg(X)
        eigmin[t] = np.linalg.eigvalsh(K)[0]
        change[t] = np.abs(np.linalg.eigvalsh(K - K0)).max()
        known[t] = spectral[t] = True
    return known, spectral, eigmin, change
