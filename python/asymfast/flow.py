"""Gradient flow of a network or of an ensemble, to any time."""

from __future__ import annotations

import math
from collections.abc import Callable
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _check, _core
from ._job import Job, Snapshot
from ._schedule import RECORDS, log_times, of_steps, schedule
from .network import Network
from .record import Record
from .run import Run
from .stop import Stop


def gradient_flow(
    net: Network,
    X: ArrayLike,
    y: ArrayLike,
    *,
    t_end: float,
    method: str = "auto",
    dt: float | None = None,
    rtol: float = 1e-6,
    loss: str = "half_sse",
    record: Record | None = None,
    X_test: ArrayLike | None = None,
    y_test: ArrayLike | None = None,
    threads: int | None = None,
    device: str = "cpu",
    backend: str | None = None,
    progress: bool | Callable[[float, float], object] = False,
    callback: Callable[[Snapshot], object] | None = None,
    checkpoint: str | PathLike[str] | None = None,
    checkpoint_every: float = 60.0,
    stop: Stop | None = None,
    max_memory: float | None = None,
    comm: Any = None,
) -> Run:
    """Gradient flow dW/dt = -dL/dW from time 0 to t_end.

    Parameters
    ----------
    t_end : float
        Final time > 0. Gradient descent with step lr is at time lr * step.
    method : {"auto", "rk4", "dopri5", "tangent"}
        "rk4": the classical Runge-Kutta method of order 4, with fixed steps or step doubling.
        "dopri5": Dormand and Prince's pair of orders 5 and 4 with dense output.
        "tangent": a multistep method of order up to 9 that continues the Jacobian J and the neural
        tangent matrix J J^T of past points in time and solves the linear equation they leave for
        f - y exactly; for half_sse and mse, activations but relu, at most 500 outputs n k. Its
        steps grow with time whatever the stiffness.
        "auto": dopri5 or tangent, which by stiffness t_end eig_max, rtol and sizes is the cheaper;
        dopri5 for cross_entropy and for relu, whose kinks cost the high order. With dt: rk4.
        ``run.config["method_taken"]`` says which.
    dt : float, optional
        Of rk4: equal steps of at most dt between the recorded times. None: steps are chosen so that
        rtol is held.
    rtol : float
        For dt=None: relative error of the residual f - y aimed at, in (0, 1). Rounding limits it to
        about 1e-12 of |f| + |y| in float64 and 1e-5 in float32. With relu it holds for a step; a
        run errs by more, and work grows as 1 / rtol.
    net, X, y, loss, record, X_test, y_test, threads, device, backend, progress, callback,
    checkpoint, checkpoint_every, stop, max_memory, comm
        As in `gradient_descent`. An ensemble with dt=None, whose members step differently, is
        recorded at ``Record(times=...)``. Steps of dopri5 and tangent do not end at those times,
        which are interpolated.

    Returns
    -------
    Run
        ``evaluations`` are gradients; NTGs and eigendecompositions are counted as the gradients
        that take as many flop.

    Raises
    ------
    TypeError, ValueError, DivergenceError, OverflowError, MemoryError, KeyboardInterrupt, OSError,
    RuntimeError
        As `gradient_descent`.

    Notes
    -----
    Source: Section 2, gradient flow; the methods: docs/flows.md, with their measured accuracy and
    cost. A step costs 4 gradients (rk4; 6 under error control), 6 (dopri5), or 2 gradients and 2
    NTGs (tangent). The error in time is estimated in the outputs, step by step, and shared out
    equally over log t. The measured orders hold for smooth activations; ReLU's kinks lower them.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=20, d=5, rng=0)
    >>> net = af.Network.init(d=5, m=200, gamma=0.5, alpha=0.7, rng=1)
    >>> run = af.gradient_flow(net, X, y, t_end=1000.0, record=af.Record(times=[10, 100, 1000]))
    >>> [f"{loss:.4g}" for loss in run.loss], run.config["method_taken"]
    (['7.832', '1.993', '0.1704'], 'tangent')
    """
    fn = "gradient_flow"
    t_end = _check.number(fn, "t_end", t_end, low=0, low_open=True)
    method = _check.choice(fn, "method", method, ("auto", "rk4", "dopri5", "tangent"))
    rtol = _check.number(fn, "rtol", rtol, low=0, high=1, low_open=True, high_open=True)
    if dt is not None:
        dt = _check.number(fn, "dt", dt, low=0, low_open=True)
        if method not in ("auto", "rk4"):
            raise ValueError(f"{fn}: dt must be None for method {method!r}, got {dt:g}")
    job = Job(
        fn,
        net,
        X,
        y,
        loss,
        record,
        X_test,
        y_test,
        threads,
        device,
        backend,
        callback,
        checkpoint=checkpoint,
        checkpoint_every=checkpoint_every,
        stop=stop,
        max_memory=max_memory,
        comm=comm,
    )
    planned = _flow_schedule(fn, job.record, t_end, dt, ensemble=job.net.B is not None)
    settings = {"method": method, "t_end": t_end, "dt": dt, "rtol": None if dt else rtol}
    return job.train(
        lambda arguments: _core.gradient_flow(arguments, method, t_end, dt or 0.0, rtol),
        planned,
        settings,
        progress,
        f"dt = {dt:g}" if dt else "dt",
    )


def _flow_schedule(
    fn: str, record: Record, t_end: float, dt: float | None, *, ensemble: bool
) -> dict[str, Any]:
    if record.times is not None:
        if record.times[-1] > t_end:
            raise ValueError(
                f"{fn}: record.times must end by t_end = {t_end:g}, got {record.times[-1]:g}"
            )
        return schedule(times=list(record.times))
    if dt is None:
        if record.steps is not None:
            raise ValueError(f"{fn}: record.steps needs a fixed dt; with dt=None use record.times")
        if record.log is not None:
            return schedule(times=log_times(record, t_end))
        if record.every is None:
            return schedule(times=np.linspace(0, t_end, RECORDS + 1).tolist())
        if ensemble:
            raise ValueError(
                f"{fn}: record.every needs a fixed dt for an ensemble, whose members step "
                "differently; with dt=None use record.times"
            )
        return schedule(every=record.every)
    steps = max(1, math.ceil(t_end / dt * (1 - 1e-12)))
    return of_steps(fn, record, steps, f"t_end / dt = {steps}")
