"""Stochastic gradient descent of a network or of an ensemble."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _check, _core
from ._job import Job, Snapshot
from ._schedule import RECORDS, of_steps
from .network import Network
from .record import Record
from .run import Run
from .stop import Stop


def sgd(
    net: Network,
    X: ArrayLike,
    y: ArrayLike,
    *,
    lr: float | Callable[[int], float],
    batch_size: int,
    epochs: int,
    loss: str = "half_sse",
    train_output: bool = False,
    rng: Any = 0,
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
) -> Run:
    """Stochastic gradient descent on mini-batches drawn without replacement.

    Every epoch the samples are put into a new random order and cut into batches; a step is
    W <- W - lr dL/dW for the loss L of the batch alone, and a <- a - lr dL/da if asked, both
    gradients taken at the same point.

    Parameters
    ----------
    lr : float or callable(epoch) -> float
        Step size > 0; a callable is asked for epochs 0, 1, ... before the run starts.
    batch_size : int
        From 1 to n. Where it does not divide n, the last batch of an epoch holds the rest.
    epochs : int
        At least 1. A step is one batch: there are ceil(n / batch_size) of them in an epoch.
    loss : {"half_sse", "mse", "cross_entropy"}
        That of a batch: half_sse is half the sum of squares over its samples, mse and cross_entropy
        are means over them, also over the fewer ones of a last batch.
    train_output : bool
        Train the output weights too, with dL/da_jq = sqrt(lam_j) sum_i sigma(Z_ij) dL/df_iq.
    rng : seed, or list or tuple of B of them
        What `numpy.random.default_rng` takes. Its first 64-bit integer keys the sampler. One seed
        draws the same batches for all members of an ensemble, a list one sequence for each.
    net, X, y, record, X_test, y_test, threads, device, backend, progress, callback, checkpoint,
    checkpoint_every, stop, max_memory
        As in `gradient_descent`. Recorded losses are those of all samples; `time` is the sum of the
        learning rates; `Record(times=...)` takes the nearest step. The default schedule has about
        50 records at ends of epochs. With `checkpoint`, rng must not be None.

    Returns
    -------
    Run
        Its network has the trained output weights.

    Raises
    ------
    TypeError, ValueError, DivergenceError, OverflowError, MemoryError, KeyboardInterrupt, OSError,
    RuntimeError
        As `gradient_descent`.

    Notes
    -----
    The batches depend on the seed, n, batch_size and the epoch alone: with all integers modulo
    2^64, mix(z) = SplitMix64's finaliser and u_i(key) = mix(key + (i + 1) 0x9E3779B97F4A7C15),
    epoch e has the key u_e(key), and its order is the Fisher-Yates shuffle of 0 .. n-1 that for
    i = n-1, ..., 1 swaps entries i and floor((i + 1) u / 2^64), u being u_0, u_1, ... of that key.

    Cost of a step on b samples: 4 b m d flop, with output weights 2 b m k more; memory O(b m). Late
    steps below the rounding of the weights are not lost: what a step loses is added to the next.

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
    epochs = _check.integer(fn, "epochs", epochs, low=1)
    rates = _rates(fn, lr, epochs)
    if not isinstance(train_output, (bool, np.bool_)):
        raise TypeError(f"{fn}: train_output must be True or False, got {train_output!r}")
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
        trains_output=bool(train_output),
    )
    n = job.X.shape[1]
    batch_size = _check.integer(fn, "batch_size", batch_size, low=1)
    if batch_size > n:
        raise ValueError(f"{fn}: batch_size must be at most n = {n}, got {batch_size}")
    if rng is None and checkpoint is not None:
        raise ValueError(f"{fn}: checkpoint needs a seed, got rng=None, which differs every time")
    keys = _keys(fn, rng, net.B)
    in_epoch = -(-n // batch_size)
    starts = _starts(rates, in_epoch)
    end = float(starts[-1]) * (epochs // len(rates))
    constant = not callable(lr)
    settings = {
        "method": "sgd",
        "lr": rates[0] if constant else rates,
        "batch_size": batch_size,
        "epochs": epochs,
        "train_output": bool(train_output),
        "sampler_keys": keys,
    }
    schedule = of_steps(
        fn,
        job.record,
        epochs * in_epoch,
        f"the sum of the learning rates, {end:g}"
        if job.record.times is not None
        else f"epochs * ceil(n / batch_size) = {epochs * in_epoch}",
        step_at=_step_at(rates, starts, in_epoch),
        every=in_epoch * -(-epochs // RECORDS),
    )
    return job.train(
        lambda arguments: _core.sgd(arguments, rates, epochs, batch_size, bool(train_output), keys),
        schedule,
        settings,
        progress,
        f"lr = {rates[0]:g}" if constant else "this lr",
    )


# The learning rates are one for each epoch, or a single one for all of them.


def _rates(fn: str, lr: float | Callable[[int], float], epochs: int) -> list[float]:
    if not callable(lr):
        return [_check.number(fn, "lr", lr, low=0, low_open=True)]
    return [
        _check.number(fn, f"lr({epoch})", lr(epoch), low=0, low_open=True)
        for epoch in range(epochs)
    ]


def _keys(fn: str, rng: Any, B: int | None) -> list[int]:
    """Keys of the members' samplers."""

    def key(seed: Any) -> int:
        try:
            generator = np.random.default_rng(seed)
        except (TypeError, ValueError) as error:
            raise type(error)(
                f"{fn}: rng must be what numpy.random.default_rng takes, got {seed!r}"
            ) from error
        return int(generator.integers(0, 2**64, dtype=np.uint64))

    if not isinstance(rng, (list, tuple)) or B is None:
        return [key(rng)] * (B or 1)
    if len(rng) != B:
        raise ValueError(f"{fn}: rng must be one seed or a list of B = {B}, got {len(rng)}")
    return [key(seed) for seed in rng]


def _starts(rates: list[float], in_epoch: int) -> NDArray[np.float64]:
    """The time at the start of every epoch of `rates`, and at the end of the last one."""
    with np.errstate(over="ignore"):  # infinite times are found in the record
        return np.concatenate([[0.0], np.cumsum(rates) * in_epoch])


def _step_at(
    rates: list[float], starts: NDArray[np.float64], in_epoch: int
) -> Callable[[float], float]:
    """The step at a time, as `of_steps` wants it."""

    def step_at(time: float) -> float:
        epoch = min(int(np.searchsorted(starts, time, side="right")) - 1, len(rates) - 1)
        return epoch * in_epoch + float(time - starts[epoch]) / rates[epoch]

    return step_at
