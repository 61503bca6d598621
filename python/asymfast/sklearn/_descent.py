"""Gradient descent in rounds of iterations, with an adaptive step size and early stopping."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from .. import _check
from ..network import Network
from ..record import Record
from ..run import DivergenceError
from ..train import gradient_descent, watching_steps

Array = NDArray[Any]

_ROUND = 50  # iterations between two checks of the loss
_MARGIN = 0.9  # of the largest stable step at the start
_MOST_HALVINGS = 40


@dataclass(frozen=True)
class Settings:
    """Settings of the training, named and documented as the estimators' parameters."""

    lr: float | str
    max_iter: int
    tol: float
    n_iter_no_change: int
    threads: int | None

    def checked(self, fn: str) -> Settings:
        """Return the same, or raise TypeError or ValueError in the name of `fn`."""
        lr = self.lr
        if isinstance(lr, str):
            _check.choice(fn, "lr", lr, ("auto",))
        else:
            lr = _check.number(fn, "lr", lr, low=0, low_open=True)
        return Settings(
            lr,
            _check.integer(fn, "max_iter", self.max_iter, low=1),
            _check.number(fn, "tol", self.tol, low=0),
            _check.integer(fn, "n_iter_no_change", self.n_iter_no_change, low=1),
            self.threads,
        )


@dataclass
class Course:
    """Result of a descent: losses after 0, 1, ... iterations, and the last network."""

    network: Network
    lr: float
    converged: bool = False
    losses: list[float] = field(default_factory=list)
    held_out_losses: list[float] = field(default_factory=list)


def descend(
    net: Network,
    X: Array,
    y: Array,
    loss: str,
    settings: Settings,
    held_out: tuple[Array, Array] | None = None,
) -> Course:
    """Train until max_iter, or until the loss no longer falls.

    If `held_out` is given, its loss counts, and the network is the best one at the end of a round;
    otherwise the training loss counts.

    Raises
    ------
    DivergenceError
        An explicit step size is too large.
    """
    automatic = settings.lr == "auto"
    lr = _first_step(net, X, loss, settings) if automatic else float(settings.lr)
    course = Course(net, lr)
    best = _Best(net, settings)
    at, halvings = 0, 0
    while at < settings.max_iter:
        steps = min(_ROUND, settings.max_iter - at)
        try:
            with watching_steps():
                run = gradient_descent(
                    net,
                    X,
                    y,
                    lr=course.lr,
                    steps=steps,
                    loss=loss,
                    record=Record(every=1, ntg=False, eigmin=False),
                    X_test=None if held_out is None else held_out[0],
                    y_test=None if held_out is None else held_out[1],
                    threads=settings.threads,
                )
            rose = run.loss[-1] > run.loss[0]
        except DivergenceError:
            if not automatic or halvings == _MOST_HALVINGS:
                raise
            rose = True
        if automatic and rose and halvings < _MOST_HALVINGS:
            course.lr, halvings = course.lr / 2, halvings + 1  # repeat the round
            continue
        first = int(len(course.losses) > 0)
        course.losses += run.loss[first:].tolist()
        if run.test_loss is not None:
            course.held_out_losses += run.test_loss[first:].tolist()
        net, at = run.network, at + steps
        best.see(net, at, (course.held_out_losses or course.losses)[-1])
        course.converged = best.is_over(at)
        if course.converged:
            break
    course.network = net if held_out is None else best.network
    return course


def _first_step(net: Network, X: Array, loss: str, settings: Settings) -> float:
    stable = float(net.stable_step(X, loss, threads=settings.threads))
    return _MARGIN * stable if stable < float("inf") else 1.0  # where nothing can move


class _Best:
    """The network of the smallest loss, and how long ago the last substantial fall was."""

    def __init__(self, net: Network, settings: Settings) -> None:
        self.network = net
        self._settings = settings
        self._loss = self._mark = float("inf")
        self._since = 0

    def see(self, net: Network, at: int, loss: float) -> None:
        if loss < self._loss:
            self.network, self._loss = net, loss
        if loss < self._mark * (1 - self._settings.tol):
            self._mark, self._since = loss, at

    def is_over(self, at: int) -> bool:
        return at - self._since >= self._settings.n_iter_no_change
