"""Training: gradient descent, gradient flow and stochastic gradient descent."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Literal, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check, _core
from ._run_loop import RECORDS, ROUNDING, Job, Options, Schedule, of_steps, trainer
from .mpi import require_agreement
from .network import Network
from .record import Record
from .run import DivergenceError, Run


def step_size(fn: str, name: str, lr: Any) -> float | Literal["auto"]:
    """Check a step size."""
    if isinstance(lr, str):
        if lr == "auto":
            return "auto"
        raise ValueError(f"{fn}: {name} must be 'auto' or a number > 0, got {lr!r}")
    return float(_check.POSITIVE(fn, name, lr))


@trainer(lr=step_size, method=_check.one_of("step", "leap", "auto"))
def gradient_descent(
    net: Network,
    X: ArrayLike,
    y: ArrayLike,
    *,
    steps: int,
    lr: float | Literal["auto"] = "auto",
    method: str = "step",
    rtol: float = 1e-6,
    train_output: bool = False,
    **options: Unpack[Options],
) -> Run:
    """Full-batch gradient descent W <- W - lr dL/dW on the input weights, or on both layers.

    Source: Sections 2 and H. Cost of a step: 4 n m d flop and n m activations; of a record with
    NTG and eigenvalue on q samples: q^2 m + q^3 / 3. In float64, 1000 steps agree with a plain
    NumPy loop to 1e-10.

    Parameters
    ----------
    net : Network
        The network at the start. All members of an ensemble are trained together, and each gets
        the same bits as in a run of its own.
    X : (n, d) array, of an ensemble also (B, n, d)
        Inputs in the network's dtype.
    y : (n,) or (n, k) array, of an ensemble also (B, n) or (B, n, k)
        Targets, or integer labels for cross_entropy.
    steps : int
        At least 1.
    lr : "auto" or float
        Step size > 0. "auto": half of the largest stable step at the start, 2 / eig_max of the
        loss' Gauss-Newton matrix (`Network.stable_step`), rounded to three digits; with
        `train_output`, where that matrix changes faster, a fifth, of both layers, and where the
        outputs are below an eighth of the targets (cross_entropy: of 1), the same at multiples of
        the weights at which they are not. An ensemble uses
        the smallest of its members' steps (pass that number to reproduce one member alone); with
        `comm` the eigenvalues of the ranks' parts are added, an upper bound. ``run.config["lr"]``
        is the number used. half_sse is a sum over samples, so its largest stable step falls with
        n. A UserWarning is given if an explicit lr exceeds 2 / eig_max of half_sse or mse: in runs
        of 10 steps or more if the loss rose, in runs of 3000 or more always.
    method : {"step", "leap", "auto"}
        "step": every step. "leap": the same run over many steps at a time, with a controlled error,
        where descent is slow beside its step; for half_sse and mse, all activations but relu, up to
        10 000 outputs n k. "auto": leaps where they are possible and the cheaper, on the CPU; see
        docs/leaps.md. ``run.config["method_taken"]`` says which.
    rtol : float
        Of leaps: relative error of the residual f - y aimed at, in (0, 1). Rounding limits it to
        about 1e-14 of |f| + |y| in float64 and 1e-5 in float32.
    train_output : bool
        Train the output weights too, a <- a - lr dL/da with dL/da_jq = sqrt(lam_j) sum_i
        sigma(Z_ij) dL/df_iq; both gradients are taken at the same point. By steps, on the CPU,
        without `comm`; a step takes about twice as long. The recorded NTG is the one of W, at the
        weights (W, a) of the record; ``Network.ntg(layers="both")`` is that of both.
    loss : {"half_sse", "mse", "cross_entropy"}
        See `Network.loss`. half_sse is the paper's L_m.
    record : Record, optional
        What to record, and when.
    X_test, y_test : arrays, optional
        Test data as X and y, for `Run.test_loss`.
    stop : Stop, optional
        Early stopping.
    progress : bool or callable(fraction, loss)
        True draws a bar by tqdm if stderr is a terminal. A callable is called about every 50 ms,
        with a loss of NaN until the first one is known.
    checkpoint : path-like, optional
        A file that keeps the state of the run. If it exists, the run resumes from it and ends with
        the same bits as a run that was never interrupted, even by kill -9; all arguments on which
        the numbers depend must be the same. A finished run is returned without training.

    Other Parameters
    ----------------
    threads : int, optional
        Default: what OpenMP offers. No result depends on it.
    device : {"cpu", "cuda"}
        "cuda" needs a build with CUDA and a GPU; the run stays on the GPU between records. See
        docs/cuda.md.
    backend : {"cpu", "reference"}, optional
        Fast kernels, or plain loops that read like the paper.
    callback : callable(Snapshot), optional
        Called at every record; the run ends there if it returns False, NumPy's included.
    checkpoint_every : float
        Seconds between checkpoints, > 0; one is also written at the end.
    on_divergence : {"raise", "keep"}
        "keep" returns the run instead of raising DivergenceError: ``run.diverged`` says which
        members of an ensemble diverged, whose records are NaN from there on.
    max_memory : float, optional
        Bytes that the run may allocate, records included. If they do not suffice for the slopes
        sigma'(Z), n m numbers per member, the slopes are computed a second time for the gradient,
        which costs up to half the speed and changes no bit. A run that needs
        more is refused with the least that suffices.
    comm : mpi4py.MPI.Comm, optional
        Share the nodes with its other ranks, which make the same call with the same data (extra
        ``mpi``): `net` is the whole network, or this rank's part by `asymfast.mpi`. The run has
        this rank's nodes, see `asymfast.mpi.gather`; everything that is not per node is identical
        on every rank. `progress` and `callback` may be given on some ranks only. Cannot be combined
        with an ensemble, device="cuda", checkpoint, record.folder, record.top_nodes or
        stop.wall_seconds.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type, dtype, shape or range; raised before any work is done.
    DivergenceError
        The loss diverged and on_divergence is "raise"; the error holds the run so far. If a member
        of an ensemble diverges, the others finish first.
    OverflowError
        A recorded number exceeds the range of float64 although the loss does not; the run is in the
        attribute ``run``.
    MemoryError
        The run needs more memory than this machine has; raised before any work is done. Not checked
        with `stop` or `callback`, which may end the run before its record becomes that large.
    KeyboardInterrupt
        Ctrl-C. Like any exception raised in `progress` or `callback`, it has the run so far in its
        attribute ``run``. With `checkpoint` the steps in progress are completed and the state is
        written first; a second Ctrl-C does not wait for that.
    CheckpointError
        A ValueError: the file is damaged, is not a checkpoint, or belongs to another run.
    OSError
        A checkpoint or the record's folder cannot be written, for example on a full disk; the error
        holds the run so far, and the last complete checkpoint is kept.
    RuntimeError
        device="cuda" without CUDA, saying what is missing.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=100, d=50, rng=0)
    >>> net = af.Network.init(d=50, m=500, gamma=0.5, alpha=0.7, rng=1)
    >>> run = af.gradient_descent(net, X, y, lr=1.0, steps=200, record=af.Record(every=100))
    >>> [f"{loss:.2f}" for loss in run.loss]
    ['51.30', '30.22', '25.55']
    >>> f"{run.ntg_change[-1]:.4f}"
    '0.0164'
    """
    job = Job("gradient_descent", net, X, y, train_output=train_output, **options)
    if job.comm is not None:  # before anything that all ranks must do together
        require_agreement(job.fn, job.comm, lr=lr, steps=steps)
    own = None if lr == "auto" else lr
    if lr == "auto":
        with job.at_the_start():
            lr = _automatic(_safe_step(job, job.X), _BOTH_SAFETY if train_output else _SAFETY)
    planned = of_steps(
        job.fn,
        job.record,
        steps,
        f"lr * steps = {lr * steps:g}" if job.record.times is not None else f"steps = {steps}",
        step_at=lambda time: time / lr,
    )
    settings: dict[str, Any] = {"method": "gradient_descent", "lr": lr, "steps": steps}
    if method != "step":
        settings |= {"descent": method, "rtol": rtol}
    if train_output:
        settings["train_output"] = True
    arguments: dict[str, Any] = {"lr": lr, "steps": steps, "method": method, "rtol": rtol}
    arguments["train_output"] = train_output
    train = partial(
        job.train, _core.gradient_descent, planned, settings, f"lr = {lr:g}", **arguments
    )
    return _warning_beyond(job, own, steps, lambda: _largest_step(job), train)


# Of the largest stable step, which shrinks where the tangent matrix grows in a run, and differs
# from batch to batch.
_SAFETY = 0.5
_BATCH_SAFETY = _BOTH_SAFETY = 0.2
_WARNED_FROM = 10  # steps
_CHECKED_FROM = 3000  # steps; from there the 30 gradients of an eigenvalue are at most 1 % of a run
_MOST_DOUBLINGS = 20  # of the weights
_FAR = 1 / 8  # of the size of the targets
_BATCH_ROWS = 500  # of a batch of sgd that the step is chosen on
_FEW_ROWS = 32  # on which it is chosen at least, in several batches


def _automatic(largest: float, safety: float) -> float:
    """The step that lr="auto" stands for; 1 where the tangent matrix is 0: nothing can move."""
    return float(f"{safety * largest:.3g}") if 0 < largest < math.inf else 1.0


def _largest_step(job: Job, X: NDArray[Any] | None = None, net: Network | None = None) -> float:
    """2 / (1.01 eig_max) at the start, of an ensemble the smallest, of ranks a lower bound.

    Not looked for while arguments are checked only, where it is infinite.
    """
    if job.checks_only:
        return math.inf
    X = job.X if X is None else X
    steps = (job.net if net is None else net).stable_step(
        X if len(X) > 1 else X[0],
        job.loss,
        threads=job.threads or None,
        device="cpu" if job.train_output else job.device,
        backend=None if job.device == "cuda" else job.backend,
        layers="both" if job.train_output else "first",
    )
    largest = float(np.min(steps))
    if job.comm is None:
        return largest
    inverse = sum(1 / one for one in job.comm.allgather(largest))
    return 1 / inverse if inverse > 0 else math.inf


def _safe_step(job: Job, X: NDArray[Any]) -> float:
    """`_largest_step` and, where both layers are trained, also at weights that the targets need.

    The tangent matrix grows with the weights of the other layer. Where the outputs are far smaller
    than the targets (cross_entropy: than 1, where it bends the most), the step must also suit
    weights at which they are not.
    """
    largest = _largest_step(job, X)
    if not job.train_output or job.checks_only:
        return largest
    rows, threads = (X if len(X) > 1 else X[0]), job.threads or None
    # beyond the range of numbers no weights are needed
    with suppress(OverflowError, ValueError), np.errstate(over="ignore"):
        size = 1.0 if job.loss == "cross_entropy" else np.abs(job.y).mean(dtype=np.float64)
        for doublings in range(_MOST_DOUBLINGS):
            W, a = (np.ldexp(one, doublings) for one in (job.net.W, job.net.a))
            net = job.net.with_weights(W, a)
            if np.abs(net(rows, threads=threads)).mean(dtype=np.float64) >= _FAR * size:
                return min(largest, _largest_step(job, X, net)) if doublings else largest
    return largest


def _batches(job: Job, batch_size: int, key: int) -> tuple[list[NDArray[Any]], float]:
    """Inputs of a batch, at most 500 rows, of small ones of several; and the share of the step."""
    order = np.random.default_rng(key).permutation(job.X.shape[1])
    size = min(batch_size, _BATCH_ROWS)
    starts = range(0, max(size, min(len(order), _FEW_ROWS)), size)
    share = size / batch_size if job.loss == "half_sse" else 1.0
    return [np.ascontiguousarray(job.X[:, order[i : i + size]]) for i in starts], share


def _safe_batch_step(job: Job, batch_size: int, key: int) -> float:
    """`_safe_step` for batches, all weights trained."""
    batches, share = _batches(job, batch_size, key)
    return share * min(_safe_step(job, X) for X in batches)


def automatic_batch_step(
    net: Network, X: ArrayLike, y: ArrayLike, batch_size: int, safety: float, key: int, **how: Any
) -> float:
    """The step of `sgd` for both layers that is `safety` of the largest stable one."""
    job = Job("sgd", net, X, y, True, **how)
    return _automatic(_safe_batch_step(job, batch_size, key), safety)


def _warning_beyond(
    job: Job, lr: float | None, steps: int, largest: Callable[[], float], train: Callable[[], Run]
) -> Run:
    """Train, then warn if the caller's lr exceeded 2 / eig_max at the start (None: not a number).

    eig_max is computed only where the loss rose or the run was long, so that no run becomes
    noticeably slower; never for cross_entropy, of which only an upper bound is known, nor in runs
    of a few steps, which compare numbers rather than train.
    """
    try:
        run = train()
    except DivergenceError as error:
        with suppress(UserWarning):  # filters that raise it must not hide what happened
            _warn_beyond(job, lr, error.bound)
        raise
    if np.any(run.diverged):  # on_divergence="keep": the run says so
        return run
    rose = steps >= _WARNED_FROM and bool((np.diff(run.loss, axis=0) > 0).any())
    if lr is not None and job.loss != "cross_entropy" and (rose or steps >= _CHECKED_FROM):
        with suppress(OverflowError):
            _warn_beyond(job, lr, largest())
    return run


def _warn_beyond(job: Job, lr: float | None, largest: float) -> None:
    if lr is not None and lr > 1.01 * largest > 0:  # without the margin of Network.stable_step
        warnings.warn(
            f"{job.fn}: lr = {lr:g} exceeds the largest stable step at the start, "
            f"2 / eig_max = {1.01 * largest:.3g} with loss {job.loss!r}; "
            "use lr='auto' or a step below that",
            UserWarning,
            stacklevel=5,
        )


@trainer(method=_check.one_of("auto", "rk4", "dopri5", "tangent"))
def gradient_flow(
    net: Network,
    X: ArrayLike,
    y: ArrayLike,
    *,
    t_end: float,
    method: str = "auto",
    dt: float | None = None,
    rtol: float = 1e-6,
    train_output: bool = False,
    **options: Unpack[Options],
) -> Run:
    """Gradient flow dW/dt = -dL/dW from time 0 to t_end.

    Source: Section 2, gradient flow; the methods: docs/flows.md, with their measured accuracy and
    cost. A step costs 4 gradients (rk4; 6 under error control), 6 (dopri5), or 2 gradients and 2
    NTGs (tangent). The error in time is estimated in the outputs, step by step, and shared out
    equally over log t. The measured orders hold for smooth activations; ReLU's kinks lower them.

    Parameters
    ----------
    t_end : float
        Final time > 0. Gradient descent with step lr is at time lr * step.
    method : {"auto", "rk4", "dopri5", "tangent"}
        "rk4": the classical Runge-Kutta method of order 4, with fixed steps or step doubling.
        "dopri5": Dormand and Prince's pair of orders 5 and 4 with dense output.
        "tangent": a multistep method of order up to 9 that continues the Jacobian J and the neural
        tangent matrix J J^T of past points in time and solves the linear equation they leave for
        f - y exactly; for half_sse and mse, activations except relu, at most 500 outputs n k. Its
        steps grow with time at any stiffness.
        "auto": dopri5 or tangent, whichever is estimated to be cheaper from the stiffness
        t_end eig_max, rtol and the sizes; dopri5 for cross_entropy, rk4 for relu, whose kinks cost
        the high order. With dt: rk4.
        ``run.config["method_taken"]`` says which.
    dt : float, optional
        For rk4: equal steps of at most dt between the recorded times. None: steps are chosen to
        meet rtol.
    rtol : float
        For dt=None: relative error of the residual f - y aimed at, in (0, 1). Rounding limits it to
        about 1e-12 of |f| + |y| in float64 and 1e-5 in float32. With relu it holds for a step,
        no step is shorter than 0.003 / eig_max, and a run errs by 2e-5 or more.
    train_output : bool
        Train the output weights too, da/dt = -dL/da; as in `gradient_descent`, by rk4 or dopri5.
    net, X, y, loss, record, **options
        As in `gradient_descent`, with its other parameters and its errors. The members of an
        ensemble with dt=None step differently, so it is recorded at ``Record(times=...)``. Steps of
        dopri5 and tangent do not end at those times, which are interpolated.

    Returns
    -------
    Run
        ``evaluations`` are gradients; NTGs and eigendecompositions are counted as the gradients
        that take as many flop.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=20, d=5, rng=0)
    >>> net = af.Network.init(d=5, m=200, gamma=0.5, alpha=0.7, rng=1)
    >>> run = af.gradient_flow(net, X, y, t_end=1000.0, record=af.Record(times=[10, 100, 1000]))
    >>> [f"{loss:.4g}" for loss in run.loss], run.config["method_taken"]
    (['7.832', '1.993', '0.1704'], 'tangent')
    """
    if dt is not None and method not in ("auto", "rk4"):
        raise ValueError(f"gradient_flow: dt must be None for method {method!r}, got {dt:g}")
    job = Job("gradient_flow", net, X, y, train_output=train_output, **options)
    planned = _flow_schedule(job.fn, job.record, t_end, dt, ensemble=job.net.B is not None)
    settings = {"method": method, "t_end": t_end, "dt": dt, "rtol": None if dt else rtol}
    if train_output:
        settings["train_output"] = True
    arguments = {"method": method, "t_end": t_end, "dt": dt or 0.0, "rtol": rtol}
    arguments["train_output"] = train_output
    text = f"dt = {dt:g}" if dt else "dt"
    return job.train(_core.gradient_flow, planned, settings, text, **arguments)


_MOST_STEPS = 2.0**53
_SHORTEST = 1e-300  # of flows: parts of it are numbers, too
_LOG_RANGE = 1e6  # the last time of a logarithmic schedule by the first


def _flow_schedule(
    fn: str, record: Record, t_end: float, dt: float | None, *, ensemble: bool
) -> Schedule:
    if t_end < _SHORTEST:
        raise ValueError(f"{fn}: t_end must be at least {_SHORTEST:g}, got {t_end:g}")
    if record.times is not None:
        if record.times[-1] > t_end * (1 + ROUNDING):
            raise ValueError(
                f"{fn}: record.times must end by t_end = {t_end!r}, got {record.times[-1]!r}"
            )
        times = [time for time in record.times if time < t_end * (1 - ROUNDING)]
        return Schedule(record_times=times if len(times) == len(record.times) else [*times, t_end])
    if dt is None:
        if record.steps is not None:
            raise ValueError(f"{fn}: record.steps needs a fixed dt; with dt=None use record.times")
        if record.log is not None:
            spaced = np.geomspace(t_end / _LOG_RANGE, t_end, record.log)
            return Schedule(record_times=[0.0, *spaced[:-1].tolist(), t_end])
        if record.every is None:
            return Schedule(record_times=np.linspace(0, t_end, RECORDS + 1).tolist())
        if ensemble:
            raise ValueError(
                f"{fn}: record.every needs a fixed dt for an ensemble, whose members step "
                "differently; with dt=None use record.times"
            )
        return Schedule(record_every=record.every)
    if t_end / dt > _MOST_STEPS:
        raise ValueError(
            f"{fn}: t_end / dt must be at most 2^53 steps, got {t_end / dt:g}; dt=None chooses them"
        )
    steps = max(1, math.ceil(t_end / dt * (1 - ROUNDING)))
    return of_steps(fn, record, steps, f"t_end / dt = {steps}")


@trainer(without=("comm",), lr=lambda fn, name, lr: lr if callable(lr) else step_size(fn, name, lr))
def sgd(
    net: Network,
    X: ArrayLike,
    y: ArrayLike,
    *,
    batch_size: int,
    epochs: int,
    lr: float | Literal["auto"] | Callable[[int], float] = "auto",
    train_output: bool = False,
    rng: Any = 0,
    **options: Unpack[Options],
) -> Run:
    """Stochastic gradient descent on mini-batches drawn without replacement.

    In every epoch the samples are shuffled and cut into batches. A step is W <- W - lr dL/dW for
    the loss L of the batch alone and, with `train_output`, a <- a - lr dL/da; both gradients are
    taken at the same point.

    Parameters
    ----------
    batch_size : int
        From 1 to n. Where it does not divide n, the last batch of an epoch holds the rest.
    epochs : int
        At least 1. A step is one batch: there are ceil(n / batch_size) of them in an epoch.
    lr : "auto", float or callable(epoch) -> float
        Step size > 0; a callable is asked for epochs 0, 1, ... before the run starts. "auto": a
        fifth of the largest stable step of a batch at the start, as in `gradient_descent`, measured
        on at most 500 of its rows, of batches below 32 rows on several; with `train_output`, of W
        and a together.
    loss : {"half_sse", "mse", "cross_entropy"}
        Loss of a batch: half_sse is half the sum of squares over its samples; mse and cross_entropy
        are means over its samples, of which the last batch may have fewer.
    train_output : bool
        Train the output weights too, with dL/da_jq = sqrt(lam_j) sum_i sigma(Z_ij) dL/df_iq.
    rng : seed, or sequence of B of them
        What `numpy.random.default_rng` takes. Its first 64-bit integer keys the sampler. With one
        seed all members of an ensemble draw the same batches, with a sequence each has its own.
    net, X, y, record, **options
        As in `gradient_descent`, with its other parameters except `comm`, and with its errors.
        Losses are recorded on all samples; `time` is the sum of the learning rates;
        `Record(times=...)` takes the nearest step. By default there are about 50 records, at the
        ends of epochs. With `checkpoint`, rng must not be None.

    Returns
    -------
    Run
        Its network has the trained output weights.

    Notes
    -----
    The batches depend on the seed, n, batch_size and the epoch alone: with all integers modulo
    2^64, mix(z) = SplitMix64's finaliser and u_i(key) = mix(key + (i + 1) 0x9E3779B97F4A7C15),
    epoch e has the key u_e(key), and its order is the Fisher-Yates shuffle of 0 .. n-1 that for
    i = n-1, ..., 1 swaps entries i and floor((i + 1) u / 2^64), u being u_0, u_1, ... of that key.

    Cost of a step on b samples: 4 b m d flop, with output weights 2 b m k more; memory O(b m). Late
    steps smaller than the rounding of the weights are not lost: the remainder of each step is added
    to the next one.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=200, d=5, rng=0)
    >>> labels = (X[:, 0] > 0).astype(int)
    >>> net = af.Network.init(d=5, m=200, gamma=0.5, alpha=0.7, outputs=2, rng=1)
    >>> run = af.sgd(
    ...     net, X, labels, lr=1.0, batch_size=20, epochs=20, loss="cross_entropy",
    ...     train_output=True
    ... )
    >>> int(run.steps[-1]), f"{run.accuracy[0]:.2f}", f"{run.accuracy[-1]:.2f}"
    (200, '0.38', '0.98')
    """
    fn = "sgd"
    rates = [] if lr == "auto" else _rates(fn, lr, epochs)
    job = Job(fn, net, X, y, train_output=train_output, **options)
    n = job.X.shape[1]
    _check.integer(fn, "batch_size", batch_size, high=n, of="n = ")
    if rng is None and job.checkpoint is not None:
        raise ValueError(f"{fn}: checkpoint needs a seed, got rng=None, which differs every time")
    keys = _keys(fn, rng, net.B)
    in_epoch = -(-n // batch_size)
    own = rates[0] if rates and not callable(lr) else None

    def largest() -> float:
        (first, *_), share = _batches(job, batch_size, keys[0])
        return share * _largest_step(job, first)

    if not rates:
        with job.at_the_start():
            rates = [_automatic(_safe_batch_step(job, batch_size, keys[0]), _BATCH_SAFETY)]
    with np.errstate(over="ignore"):  # infinite times are found in the record
        starts = np.concatenate([[0.0], np.cumsum(rates) * in_epoch])  # of epochs, and the end
    end = float(starts[-1]) * (epochs // len(rates))

    def step_at(time: float) -> float:
        epoch = min(int(np.searchsorted(starts, time, side="right")) - 1, len(rates) - 1)
        return float(epoch * in_epoch + (time - starts[epoch]) / rates[epoch])

    constant = not callable(lr)
    last = min(epochs * in_epoch, _check.LARGEST)
    planned = of_steps(
        fn,
        job.record,
        last,
        f"the sum of the learning rates, {end:g}"
        if job.record.times is not None
        else f"epochs * ceil(n / batch_size) = {last}",
        step_at=step_at,
        every=min(in_epoch * -(-epochs // RECORDS), last),
    )
    settings = {
        "method": "sgd",
        "lr": rates[0] if constant else rates,
        "batch_size": batch_size,
        "epochs": epochs,
        "train_output": train_output,
        "sampler_keys": keys,
    }
    arguments: dict[str, Any] = {"lr": rates, "epochs": epochs, "batch_size": batch_size}
    arguments |= {"train_output": train_output, "keys": keys}
    step_text = f"lr = {rates[0]:g}" if constant else "this lr"
    train = partial(job.train, _core.sgd, planned, settings, step_text, **arguments)
    return _warning_beyond(job, own, epochs * in_epoch, largest, train)


# The learning rates are one for each epoch, or a single one for all of them.
_MOST_RATES = 10**7


def _rates(fn: str, lr: float | Callable[[int], float], epochs: int) -> list[float]:
    if not callable(lr):
        return [lr]
    if epochs > _MOST_RATES:
        raise ValueError(
            f"{fn}: epochs must be at most {_MOST_RATES} where lr is callable, got {epochs}; "
            "give lr as a number"
        )
    return [_check.POSITIVE(fn, f"lr({epoch})", lr(epoch)) for epoch in range(epochs)]


def _keys(fn: str, rng: Any, B: int | None) -> list[int]:
    """Keys of the members' samplers."""

    def key(seed: Any) -> int:
        return int(_check.generator(fn, seed).integers(0, 2**64, dtype=np.uint64))

    if B is None or not _check.is_sequence(rng):
        return [key(rng)] * (B or 1)
    if len(rng) != B:
        raise ValueError(f"{fn}: rng must be one seed or a sequence of B = {B}, got {len(rng)}")
    return [key(seed) for seed in rng]
