"""Training runs: gradient descent and gradient flow of a network or of an ensemble."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check, _core
from ._backend import backend_name, thread_count
from ._data import LOSSES, inputs, targets
from .network import Network
from .record import Record
from .run import Run

_RECORDS = 50  # of a run whose schedule is not given


class DivergenceError(RuntimeError):
    """The loss left all bounds: it is not finite, or 10^10 times what the run began with.

    Attributes
    ----------
    run : Run
        Everything recorded before.
    step : int
        Step at which (the first member of) the run was given up.
    last_loss : float
        Its last acceptable loss.
    bound : float
        Largest stable step at the start: 2 / eig_max for gradient descent, 2.78 / eig_max for RK4,
        with eig_max of the loss' Gauss-Newton matrix, computed to about 1 %.
    """

    def __init__(self, message: str, run: Run, step: int, last_loss: float, bound: float) -> None:
        super().__init__(message)
        self.run = run
        self.step = step
        self.last_loss = last_loss
        self.bound = bound

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.run, self.step, self.last_loss, self.bound)


@dataclass(frozen=True)
class Snapshot:
    """What a callback sees of a record.

    Attributes
    ----------
    step : int
    time : float
    loss, test_loss : float, or (B,) array of an ensemble
        test_loss is None without test data.
    """

    step: int
    time: float
    loss: Any
    test_loss: Any


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
    job = _Job(fn, net, X, y, loss, record, X_test, y_test, threads, device, backend, callback)
    schedule = _descent_schedule(fn, job.record, lr, steps)
    settings = {"method": "gradient_descent", "lr": lr, "steps": steps}
    return job.train(
        lambda arguments: _core.gradient_descent(arguments, lr, steps),
        schedule,
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
    net, X, y, loss, record, X_test, y_test, threads, device, backend, progress, callback
        As in `gradient_descent`. An ensemble with dt=None, whose members step differently, is
        recorded at ``Record(times=...)``.

    Returns
    -------
    Run

    Raises
    ------
    TypeError, ValueError, DivergenceError, KeyboardInterrupt, RuntimeError
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
    job = _Job(fn, net, X, y, loss, record, X_test, y_test, threads, device, backend, callback)
    schedule = _flow_schedule(fn, job.record, t_end, dt, ensemble=job.net.B is not None)
    settings = {"method": method, "t_end": t_end, "dt": dt, "rtol": None if dt else rtol}
    return job.train(
        lambda arguments: _core.gradient_flow_rk4(arguments, t_end, dt or 0.0, rtol),
        schedule,
        settings,
        progress,
        f"dt = {dt:g}" if dt else "dt",
    )


def _descent_schedule(fn: str, record: Record, lr: float, steps: int) -> dict[str, Any]:
    if record.times is not None:
        nearest = [round(time / lr) for time in record.times]
        if nearest[-1] > steps:
            raise ValueError(
                f"{fn}: record.times must end by lr * steps = {lr * steps:g}, "
                f"got {record.times[-1]:g}"
            )
        return _schedule(steps=sorted(set(nearest)))
    if record.steps is not None:
        if record.steps[-1] > steps:
            raise ValueError(
                f"{fn}: record.steps must end by steps = {steps}, got {record.steps[-1]}"
            )
        return _schedule(steps=list(record.steps))
    return _schedule(every=record.every or math.ceil(steps / _RECORDS))


def _flow_schedule(
    fn: str, record: Record, t_end: float, dt: float | None, *, ensemble: bool
) -> dict[str, Any]:
    if record.times is not None:
        if record.times[-1] > t_end:
            raise ValueError(
                f"{fn}: record.times must end by t_end = {t_end:g}, got {record.times[-1]:g}"
            )
        return _schedule(times=list(record.times))
    if dt is None:
        if record.steps is not None:
            raise ValueError(f"{fn}: record.steps needs a fixed dt; with dt=None use record.times")
        if record.every is None:
            return _schedule(times=np.linspace(0, t_end, _RECORDS + 1).tolist())
        if ensemble:
            raise ValueError(
                f"{fn}: record.every needs a fixed dt for an ensemble, whose members step "
                "differently; with dt=None use record.times"
            )
        return _schedule(every=record.every)
    steps = max(1, math.ceil(t_end / dt * (1 - 1e-12)))
    if record.steps is not None:
        if record.steps[-1] > steps:
            raise ValueError(
                f"{fn}: record.steps must end by t_end / dt = {steps}, got {record.steps[-1]}"
            )
        return _schedule(steps=list(record.steps))
    return _schedule(every=record.every or math.ceil(steps / _RECORDS))


def _schedule(
    every: int = 0, steps: list[int] | None = None, times: list[float] | None = None
) -> dict[str, Any]:
    return {"record_every": every, "record_steps": steps or [], "record_times": times or []}


class _Job:
    """The checked arguments that both methods share, and the call into the core."""

    def __init__(
        self,
        fn: str,
        net: Network,
        X: ArrayLike,
        y: ArrayLike,
        loss: str,
        record: Record | None,
        X_test: ArrayLike | None,
        y_test: ArrayLike | None,
        threads: int | None,
        device: str,
        backend: str | None,
        callback: Callable[[Snapshot], object] | None,
    ) -> None:
        if not isinstance(net, Network):
            raise TypeError(f"{fn}: net must be a Network, got {type(net).__name__}")
        if record is not None and not isinstance(record, Record):
            raise TypeError(f"{fn}: record must be a Record, got {type(record).__name__}")
        if callback is not None and not callable(callback):
            raise TypeError(f"{fn}: callback must be callable, got {type(callback).__name__}")
        _require_device(fn, device)
        self.fn, self.net, self.device = fn, net, device
        self.loss = _check.choice(fn, "loss", loss, LOSSES)
        self.record = record or Record()
        self.threads = thread_count(fn, threads)
        self.backend = backend_name(fn, backend)
        self.X = inputs(fn, net, X)
        self.y = targets(fn, net, y, self.X.shape[1], self.loss)
        self.X_test, self.y_test = self._test_data(X_test, y_test)
        self.ntg_on = self.record.samples(fn, self.X.shape[1])
        self.callback = callback

    def _test_data(
        self, X_test: ArrayLike | None, y_test: ArrayLike | None
    ) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
        if (X_test is None) != (y_test is None):
            raise ValueError(f"{self.fn}: X_test and y_test must be given together, got one")
        if X_test is None or y_test is None:
            return None, None
        X = inputs(self.fn, self.net, X_test, "X_test")
        return X, targets(self.fn, self.net, y_test, X.shape[1], self.loss, "y_test")

    def train(
        self,
        call: Callable[[dict[str, Any]], dict[str, Any]],
        schedule: dict[str, Any],
        settings: dict[str, Any],
        progress: bool | Callable[[float, float], object],
        step_text: str,
    ) -> Run:
        W, a, lam = self.net._arrays()
        pulse, close = _progress(self.fn, progress)
        arguments = {
            "W": W,
            "a": a,
            "lam": lam,
            "activation": self.net.activation,
            "X": self.X,
            "y": self.y,
            "X_test": self.X_test,
            "y_test": self.y_test,
            "loss": self.loss,
            **schedule,
            "record_ntg": self.record.ntg,
            "record_eigmin": self.record.eigmin,
            "record_weights": self.record.weights,
            "ntg_on": self.ntg_on.tolist(),
            "pulse": pulse,
            "on_record": self._on_record() if self.callback else None,
            "backend": self.backend,
            "threads": self.threads,
        }
        try:
            result = call(arguments)
            if pulse is not None and result["status"] == "finished":
                pulse(1.0, float(result["loss"][-1, 0]))
        finally:
            close()
        run = self._run(result, settings)
        if result["exception"] is not None:
            error = result["exception"]
            error.run = run
            raise error
        if result["status"] == "diverged":
            raise self._divergence(result, run, step_text)
        return run

    def _on_record(self) -> Callable[..., bool]:
        callback = self.callback
        assert callback is not None
        single = self.net.B is None

        def value(losses: Any) -> Any:
            return float(losses[0]) if single and losses is not None else losses

        return lambda step, time, loss, test_loss: (
            callback(Snapshot(step, time, value(loss), value(test_loss))) is not False
        )

    def _run(self, result: dict[str, Any], settings: dict[str, Any]) -> Run:
        single = self.net.B is None

        def column(name: str) -> Any:
            values = result[name]
            return values[:, 0] if single and values is not None else values

        def shared(name: str) -> Any:
            """(T,) where members step alike, the diverged ones having stayed behind."""
            values = result[name]
            return values if settings.get("dt", 0) is None and not single else values.max(axis=1)

        W = result["W"][0] if single else result["W"]
        return Run(
            steps=shared("steps"),
            time=result["time"],
            loss=column("loss"),
            test_loss=column("test_loss"),
            weight_change=column("weight_change"),
            ntg_change=column("ntg_change"),
            ntg_eigmin=column("ntg_eigmin"),
            weights=column("weights"),
            evaluations=shared("evaluations"),
            initial=self.net,
            network=self.net.with_weights(W),
            diverged=bool(result["diverged"][0]) if single else np.array(result["diverged"]),
            stopped=result["status"] == "stopped",
            config={**settings, **self._config()},
        )

    def _config(self) -> dict[str, Any]:
        net = self.net
        core = _core.build_config()
        return {
            "loss": self.loss,
            "n": self.X.shape[1],
            "d": net.d,
            "m": net.m,
            "k": net.k,
            "B": net.B,
            "activation": net.activation,
            "gamma": _plain(net.gamma),
            "alpha": _plain(net.alpha),
            "dtype": str(net.dtype),
            "record": {name: _plain(value) for name, value in asdict(self.record).items()},
            "device": self.device,
            "backend": self.backend,
            "isa": core["isa"],
            "threads": self.threads or core["threads"],
            "asymfast": core["version"],
            "numpy": np.__version__,
        }

    def _divergence(self, result: dict[str, Any], run: Run, step_text: str) -> DivergenceError:
        step, last, bound = result["diverged_step"], result["last_loss"], result["step_bound"]
        which = "" if run.network.B is None else f" of member {int(np.argmax(run.diverged))}"
        return DivergenceError(
            f"{self.fn}: the loss{which} left all bounds at step {step}, after {last:.3g}, with "
            f"{step_text}; at the start steps up to {bound:.3g} are stable",
            run,
            step,
            last,
            bound,
        )


def _require_device(fn: str, device: str) -> None:
    if _check.choice(fn, "device", device, ("cpu", "cuda")) == "cuda":
        raise RuntimeError(f"{fn}: device='cuda' needs a build with CUDA; this one has none")


def _progress(
    fn: str, progress: bool | Callable[[float, float], object]
) -> tuple[Callable[[float, float], object] | None, Callable[[], None]]:
    """Return the callable to feed, and what to do at the end."""
    if progress is True:
        from .progress import ProgressBar

        bar = ProgressBar(fn)
        return bar, bar.close
    if progress is False or progress is None:
        return None, lambda: None
    if not callable(progress):
        raise TypeError(f"{fn}: progress must be True, False or callable, got {progress!r}")
    return progress, lambda: None


def _plain(value: Any) -> Any:
    """Return a setting as JSON has it: without tuples, arrays and NaN."""
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, np.ndarray):
        return [None if math.isnan(one) else float(one) for one in value]
    return value
