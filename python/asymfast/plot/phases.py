"""The phase diagram over (gamma, alpha): from the kernel regime to feature learning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

import asymfast.plot.style as style
from asymfast import _check, theory
from asymfast.network import Network
from asymfast.record import NTG_SAMPLES, Record
from asymfast.scaling import node_scaling
from asymfast.train import gradient_descent, step_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

_GAMMAS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_ALPHAS = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95)

_NETWORK_BYTES = 6000  # besides its weights, their change and the compensation of rounding
_QUIET = np.errstate(under="ignore")  # whatever the caller's numpy.seterr


@dataclass(frozen=True, eq=False)
class PhaseDiagram:
    """Theory and short runs over a grid of node scalings; see `phase_diagram`.

    Attributes
    ----------
    gamma : (G,) float64 array
    alpha : (A,) float64 array
    measure : (G, A) float64 array
        (1 - gamma)^2 sum_j t_j^2 of the limit of wide networks, Eq. (7).
    sum_lam2 : (G, A) float64 array
        sum_j lam_j^2 of the trained networks; it tends to ``measure`` as m grows.
    ntg_change : (G, A, S) float64 array
        |NTG_end - NTG_0|_F / |NTG_0|_F of every seed.
    loss_start, loss_end : (G, A, S) float64 arrays
        L_m before and after training.
    m, steps : int
        Width and number of steps.
    lr : float
        Learning rate of all runs.
    """

    gamma: Floats
    alpha: Floats
    measure: Floats
    sum_lam2: Floats
    ntg_change: Floats
    loss_start: Floats
    loss_end: Floats
    m: int
    steps: int
    lr: float

    @property
    @_QUIET
    def mean_change(self) -> Floats:
        """(G, A): mean of ``ntg_change`` over the seeds."""
        return np.asarray(self.ntg_change.mean(axis=-1))

    @property
    @_QUIET
    def standard_error(self) -> Floats:
        """(G, A): standard error of ``mean_change``; ValueError if there is only one seed."""
        seeds = self.ntg_change.shape[-1]
        if seeds < 2:
            raise ValueError("PhaseDiagram: a standard error needs at least 2 seeds, got 1")
        return np.asarray(self.ntg_change.std(axis=-1, ddof=1) / math.sqrt(seeds))

    @property
    def rank_correlation(self) -> float:
        """Spearman's correlation of ``measure`` and ``mean_change`` over the grid.

        ValueError if one of them has the same value on the whole grid.
        """
        ranks = [_ranks(values.ravel()) for values in (self.measure, self.mean_change)]
        if any(np.ptp(each) == 0 for each in ranks):
            raise ValueError("PhaseDiagram: a rank correlation needs values that differ")
        return float(np.corrcoef(ranks[0], ranks[1])[0, 1])

    def figure(self) -> Figure:
        """Draw measure and NTG change over the grid and against each other (extra ``plot``).

        ImportError without matplotlib, FigureError if it fails to draw.
        """
        with style.drawing("PhaseDiagram.figure", (11.0, 3.6)) as figure:
            measure, change, both = figure.subplots(1, 3)
            _map(measure, "(a) measure of feature learning", self, self.measure)
            _map(change, f"(b) NTG change after {self.steps:,} steps", self, self.mean_change)
            colours = np.broadcast_to(self.gamma[:, None], self.measure.shape)
            points = both.scatter(self.measure, self.mean_change, c=colours, cmap="cividis", s=22)
            figure.colorbar(points, ax=both, label=r"$\gamma$")
            both.set_title("(c) one against the other")
            both.set_xlabel(r"measure $(1-\gamma)^2 \sum_j \tilde\lambda_j^2$")
            norm = r"\Vert \widehat{\Theta}_0 \Vert_F"
            both.set_ylabel(
                rf"$\Vert \widehat{{\Theta}}_t - \widehat{{\Theta}}_0 \Vert_F / {norm}$"
            )
        return figure


def _map(axes: Axes, title: str, diagram: PhaseDiagram, values: Floats) -> None:
    """Values over the grid in colours."""
    image = axes.imshow(values, origin="lower", aspect="auto", vmin=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)
    for axis, grid, room in ((axes.xaxis, diagram.alpha, 32), (axes.yaxis, diagram.gamma, 60)):
        labels = [f"{value:.3g}" for value in grid]
        shown = style.every_label(labels, room)
        axis.set_ticks(range(len(grid))[shown], labels[shown])
    axes.set_xlabel(r"$\alpha$")
    axes.set_ylabel(r"$\gamma$")
    axes.set_title(title)
    axes.figure.colorbar(image, ax=axes)


@_check.arguments(seeds=_check.COUNT, rng=_check.NATURAL)
def phase_diagram(
    X: ArrayLike,
    y: ArrayLike,
    *,
    gamma: Sequence[float] = _GAMMAS,
    alpha: Sequence[float] = _ALPHAS,
    m: int = 500,
    activation: str = "swish",
    steps: int = 200,
    lr: float | Literal["auto"] = "auto",
    seeds: int = 3,
    rng: int = 0,
    threads: int | None = None,
) -> PhaseDiagram:
    """Train briefly at every (gamma, alpha) and compare the change of the NTG with the theory.

    Parameters
    ----------
    X, y : (n, d) and (n,) float64 or float32 arrays
        Training data.
    gamma, alpha : sequences of float
        Increasing values in [0, 1], and in (0, 1), where Eq. (35) exists.
    m : int
        Width of the networks.
    activation : str
        As in `Network`.
    steps : int
        Number of steps of gradient descent on half the sum of squares.
    lr : "auto" or float
        Learning rate of all runs. "auto": as in `gradient_descent`, for the whole grid.
    seeds : int
        Number of initialisations. Each is shared by the whole grid, so that points differ only in
        their scaling.
    rng : int
        Initialisation s is drawn from ``default_rng([rng, s, 1])``.
    threads : int, optional
        As in `gradient_descent`, which trains all G A S networks as one ensemble.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong type or out of range.
    DivergenceError
        As in `gradient_descent`.
    MemoryError
        The networks need more memory than this machine has; raised before any work is done.
    OverflowError
        The relative change of an NTG exceeds the range of float64.

    Notes
    -----
    The variance of the limiting NTG and, by Theorem 4.4, its expected initial velocity are
    proportional to the measure. The NTG is taken on at most 500 samples, the first ones.

    Source: the text below Eq. (7). Cost: G A S runs of `steps` steps, and two NTGs each.

    Examples
    --------
    >>> import asymfast as af
    >>> X, y = af.datasets.simulated(n=20, d=5, rng=0)
    >>> diagram = af.phase_diagram(X, y, gamma=[0.0, 0.5, 1.0], alpha=[0.3, 0.6], m=200, steps=50)
    >>> diagram.measure.round(4)
    array([[0.7677, 0.2544],
           [0.1919, 0.0636],
           [0.    , 0.    ]])
    >>> bool(diagram.mean_change[0, 0] > diagram.mean_change[2, 0])
    True
    """
    fn = "phase_diagram"
    gammas = _grid(fn, "gamma", gamma, is_open=False)
    alphas = _grid(fn, "alpha", alpha, is_open=True)
    inputs = _check.array(fn, "X", X, shape=("n", "d"))
    lr = step_size(fn, "lr", lr)
    networks, d = len(gammas) * len(alphas) * seeds, inputs.shape[1]
    each = _NETWORK_BYTES + 3 * inputs.itemsize * m * d
    _check.require_room(
        fn, networks * each, f"{networks} networks, m = {m}, d = {d}", "take fewer seeds"
    )
    points = [(g, a, s) for g in gammas for a in alphas for s in range(seeds)]
    net = Network.init(
        d=d,
        m=m,
        gamma=[g for g, _, _ in points],
        alpha=[a for _, a, _ in points],
        activation=activation,
        rng=[np.random.default_rng([rng, s, 1]) for _, _, s in points],
        dtype=inputs.dtype,
    )
    start = net.ntg(inputs[:NTG_SAMPLES], threads=threads).astype(np.float64)
    run = gradient_descent(
        net,
        inputs,
        y,
        lr=lr,
        steps=steps,
        record=Record(steps=[0, steps], eigmin=False),
        threads=threads,
    )
    assert run.ntg_change is not None
    shape = (len(gammas), len(alphas), seeds)
    change = _relative(fn, run.ntg_change[-1], start)
    return PhaseDiagram(
        gamma=gammas,
        alpha=alphas,
        measure=np.array([[theory.feature_learning_measure(g, a) for a in alphas] for g in gammas]),
        sum_lam2=np.array([[np.sum(node_scaling(m, g, a) ** 2) for a in alphas] for g in gammas]),
        ntg_change=change.reshape(shape),
        loss_start=run.loss[0].reshape(shape),
        loss_end=run.loss[-1].reshape(shape),
        m=m,
        steps=steps,
        lr=float(run.config["lr"]),
    )


def _relative(fn: str, change: Floats, start: Floats) -> Floats:
    """Changes divided by the Frobenius norms of the initial NTGs; 0 where nothing has changed."""
    with np.errstate(all="ignore"):
        size = np.abs(start).max(axis=(-2, -1))  # the squares may exceed the range of float64
        norm = np.linalg.norm(start / np.where(size > 0, size, 1)[..., None, None], axis=(-2, -1))
        relative = np.where(change == 0, 0.0, change / size / norm)
    if not np.isfinite(relative).all():
        raise OverflowError(
            f"{fn}: the relative change of an NTG exceeds the range of float64: its largest number "
            f"was {size.min():g} at the start; scale the inputs up"
        )
    return relative


def _grid(fn: str, name: str, values: Sequence[float], *, is_open: bool) -> Floats:
    """Increasing values in [0, 1], or in (0, 1) if the ends are excluded."""
    given = np.asarray(values, dtype=object)
    if given.ndim != 1 or given.size == 0:
        raise ValueError(f"{fn}: {name} must be a non-empty sequence, got {_check.brief(values)}")
    check = _check.FRACTION if is_open else _check.UNIT
    grid = np.array([check(fn, name, value) for value in given])
    if np.any(np.diff(grid) <= 0):
        raise ValueError(f"{fn}: {name} must increase, got {grid.tolist()}")
    return grid


def _ranks(values: Floats) -> Floats:
    """Ranks from 0; ties get their mean rank."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(count)
    return np.asarray((ends - 0.5 * (count + 1))[place], dtype=np.float64)
