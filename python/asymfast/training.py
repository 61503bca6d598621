"""Gradient descent of a network or of an ensemble."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import Any

from numpy.typing import ArrayLike

from . import _check, _core
from ._job import Job, Snapshot
from ._schedule import of_steps
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
    max_memory: float | None = None,
    comm: Any = None,
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
        "cuda" needs a build with CUDA and a GPU, on which the whole run then stays between two
        records; see docs/cuda.md.
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
    max_memory : float, optional
        Bytes that the run may allocate, its records included. What is left for the slopes
        sigma'(Z), n m numbers a member, decides whether they are kept from the forward pass to the
        gradient or computed again, which costs up to half the speed and changes no bit. See
        `asymfast.memory` for the formula.
    comm : mpi4py.MPI.Comm, optional
        Share the nodes with its other ranks, which make the same call with the same data (extra
        ``mpi``): `net` is the whole network, or this rank's part by `asymfast.mpi`. The run has
        this rank's nodes, see `asymfast.mpi.gather`; what is no node's is the same on all ranks.
        `progress` and `callback` may be given on some ranks only. Not with an ensemble,
        device="cuda", checkpoint, record.folder, record.top_nodes, stop.wall_seconds.

    Returns
    -------
    Run

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, dtype, shape or range; before any work is done.
    DivergenceError
        With the run so far. Of an ensemble: after the others have finished.
    OverflowError
        A recorded number exceeds the range of float64 although the loss does not; the run is in its
        attribute ``run``.
    MemoryError
        The run needs more than this machine has, whatever else runs: before any work is done. Not
        with `stop` or `callback`, which may end it before its record has grown so large.
    KeyboardInterrupt
        Ctrl-C, as any exception of `progress` and `callback`, comes with the run so far in its
        attribute ``run``.
    CheckpointError
        A ValueError: the checkpoint is damaged, no checkpoint, or that of another run.
    OSError
        A checkpoint or the record's folder cannot be written, as when the disk is full: with the
        run so far; the last good checkpoint is kept.
    RuntimeError
        device="cuda" without CUDA, saying what is missing.

    Notes
    -----
    Source: Sections 2 and H. Cost of a step: 4 n m d flop and n m activations; of a record with
    NTG and eigenvalue on q samples: q^2 m + q^3 / 3. In float64, 1000 steps agree with a plain
    NumPy loop to 1e-10.

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
        max_memory=max_memory,
        comm=comm,
    )
    planned = of_steps(
        fn,
        job.record,
        steps,
        f"lr * steps = {lr * steps:g}" if job.record.times is not None else f"steps = {steps}",
        step_at=lambda time: time / lr,
    )
    settings = {"method": "gradient_descent", "lr": lr, "steps": steps}
    return job.train(
        lambda arguments: _core.gradient_descent(arguments, lr, steps),
        planned,
        settings,
        progress,
        f"lr = {lr:g}",
    )
