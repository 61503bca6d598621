"""Training runs: gradient descent and gradient flow of a network or of an ensemble."""

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


def gradient_descent(
    net: Network,
    X: ArrayLike,
    y: ArrayLike,
    *,
    steps: int,
    lr: float = 1.0,
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
) -> Run:
    """Full-batch gradient descent W <- W - lr dL/dW on the input weights.

    Parameters
    ----------
    net : Network
        Where to start. All members of an ensemble are trained at once, each to the very bits of its
        single run.
    X : (n, d) array, of an ensemble also (B, n, d)
        Inputs in the network's dtype.
    y : (n,) or (n, k) array, of an ensemble also (B, n) or (B, n, k)
        Targets, or integer labels for cross_entropy.
    steps : int
        At least 1.
    lr : float
        Step size > 0. Mind the loss: on half_sse the largest stable step falls with n.
    loss : {"half_sse", "mse", "cross_entropy"}
        See `Network.loss`. half_sse is the paper's L_m.
    record : Record, optional
        What to record, and when.
    X_test, y_test : arrays, optional
        Test data as X and y, for `Run.test_loss`.
    threads : int, optional
        Default: what OpenMP offers. No result depends on it.
    device : {"cpu", "cuda"}
        "cuda" needs a build with CUDA.
    backend : {"cpu", "reference"}, optional
        Fast kernels, or plain loops that read like the paper.
    progress : bool or callable(fraction, loss)
        True draws a bar on stderr if that is a terminal.
    callback : callable(Snapshot), optional
        Called at every record; returning False ends the run there.
    checkpoint : path-like, optional
        A file that keeps the state of the run. If it is there, the run goes on from it, to the very
        bits of a run that was never interrupted, even by kill -9; the arguments that the numbers
        depend on must be the same. A finished run is returned at once.
    checkpoint_every : float
        Seconds between checkpoints, > 0; there is one at each end as well.
    stop : Stop, optional
        Early stopping.

    Returns
    -------
    Run

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, dtype, shape or range; before any work is done.
    DivergenceError
        With the run so far. Of an ensemble: after the others have finished.
    KeyboardInterrupt
        Ctrl-C, as any exception of `progress` and `callback`, comes with the run so far in its
        attribute ``run``.
    CheckpointError
        A ValueError: the checkpoint is damaged, no checkpoint, or that of another run.
    OSError
        A checkpoint or the record's folder cannot be written, as when the disk is full: with the
        run so far; the last good checkpoint is kept.
    RuntimeError
        device="cuda" without CUDA.

    Notes
    -----
    Source: Sections 2 and H. Cost of a step: 4 n m d flop and n m activations; of a record with
    NTG and eigenvalue on q samples: q^2 m + q^3 / 3. In float64, 1000 steps agree with a plain
    NumPy loop to 1e-10.
    """
    fn = "gradient_descent"
    lr = _check.number(fn, "lr", lr, low=0, low_open=True)
    steps = _check.integer(fn, "steps", steps, low=1)
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
    )
    planned = of_steps(
        fn,
        job.record,
        steps,
        f"lr * steps = {lr * steps:g}" if job.record.times else f"steps = {steps}",
        step_at=lambda time: round(time / lr),
    )
    settings = {"method": "gradient_descent", "lr": lr, "steps": steps}
    return job.train(
        lambda arguments: _core.gradient_descent(arguments, lr, steps),
        planned,
        settings,
        progress,
        f"lr = {lr:g}",
    )


def gradient_flow(
    net: Network,
    X: ArrayLike,
    y: ArrayLike,
    *,
    t_end: float,
    method: str = "rk4",
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
) -> Run:
    """Gradient flow dW/dt = -dL/dW from time 0 to t_end.

    Parameters
    ----------
    t_end : float
        Final time > 0. Gradient descent with step lr is at time lr * step.
    method : {"rk4"}
        The classical Runge-Kutta method of order 4.
    dt : float, optional
        Fixed step: equal steps of at most dt between the recorded times. None: the step starts
        from the stability limit 2.78 / eig_max and is then controlled by step doubling.
    rtol : float
        For dt=None: relative error of the residual f - y aimed at, in (0, 1). Rounding limits it to
        about 1e-12 in float64 and 1e-5 in float32.
    net, X, y, loss, record, X_test, y_test, threads, device, backend, progress, callback,
    checkpoint, checkpoint_every, stop
        As in `gradient_descent`. An ensemble with dt=None, whose members step differently, is
        recorded at ``Record(times=...)``.

    Returns
    -------
    Run

    Raises
    ------
    TypeError, ValueError, DivergenceError, KeyboardInterrupt, OSError, RuntimeError
        As `gradient_descent`.

    Notes
    -----
    Source: Section 2, gradient flow. A step costs 4 gradients, under error control 6. The measured
    order is 4 for smooth activations; ReLU's kinks lower it.
    """
    fn = "gradient_flow"
    t_end = _check.number(fn, "t_end", t_end, low=0, low_open=True)
    method = _check.choice(fn, "method", method, ("rk4",))
    rtol = _check.number(fn, "rtol", rtol, low=0, high=1, low_open=True, high_open=True)
    if dt is not None:
        dt = _check.number(fn, "dt", dt, low=0, low_open=True)
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
    )
    planned = _flow_schedule(fn, job.record, t_end, dt, ensemble=job.net.B is not None)
    settings = {"method": method, "t_end": t_end, "dt": dt, "rtol": None if dt else rtol}
    return job.train(
        lambda arguments: _core.gradient_flow_rk4(arguments, t_end, dt or 0.0, rtol),
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
