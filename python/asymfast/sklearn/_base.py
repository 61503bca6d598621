"""What regressor and classifier share: parameters, the network's inputs, training."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from ..network import ACTIVATIONS, Network
from ..record import Record, Stop
from ..run import DivergenceError, Run
from ..train import automatic_batch_step, sgd, watching_steps

Array = NDArray[Any]

PARAMETERS = """n_hidden : int, default=500
        Hidden nodes.
    gamma : float in [0, 1], default=0.5
        1 is the symmetric scaling 1/m, the kernel regime; smaller values let single nodes learn
        more.
    alpha : float > 0, default=0.5
        Decay of the asymmetric part of the scaling, lam_j ~ j^(-1/alpha); see
        `asymfast.node_scaling`.
    activation : str, default="relu"
        See `asymfast.Network`.
    fit_intercept : bool, default=True
        Append a constant 1 to the inputs, so that every hidden node has a bias.
    learning_rate_init : "auto" or float > 0, default="auto"
        Step size in the first epoch, from which it falls linearly to 0 in epoch `max_iter`. "auto"
        starts with 0.8 (regression) or 12.8 (classification, where only a bound is known) of the
        largest stable step of a batch, and again with half of it where the loss has not fallen. A
        number is used as it is; asymfast.DivergenceError is raised if it is too large.
    batch_size : "auto" or int, default="auto"
        Samples of a step; "auto": 32 (regression) or 16 (classification), at most n.
    max_iter : int, default=500
        Largest number of epochs.
    tol : float >= 0, default=1e-4
        Training ends when the loss (with `early_stopping` the loss on the held-out data) has not
        fallen by more than this within `n_iter_no_change` epochs; in classification also when the
        training loss is below 50 tol, where nearly all labels are fitted.
    n_iter_no_change : int, default=20
        See `tol`.
    early_stopping : bool, default=False
        Hold out a part of the data to measure that loss on.
    validation_fraction : float in (0, 1), default=0.1
        Fraction of the data held out.
    random_state : int, RandomState or None, default=None
        Determines the initial weights, the held-out part and the batches.
    n_jobs : int or None, default=None
        Threads; -1: what OpenMP offers; None: the same, but one where a step is short. No result
        depends on it."""

ATTRIBUTES = """network_ : asymfast.Network
        The network with the lowest loss of all epochs; its last input is the constant if
        `fit_intercept`.
    n_iter_ : int
        Number of epochs.
    loss_curve_ : (n_iter_ + 1,) array
        Training loss after 0, 1, ... epochs.
    validation_scores_ : (n_iter_ + 1,) array or None
        R2 or accuracy on the held-out data.
    learning_rate_ : float
        The step size of the first epoch.
    n_features_in_, feature_names_in_
        As in every estimator of scikit-learn."""

_BATCHES = {"mse": 32, "cross_entropy": 16}
_MARGINS = {"mse": 0.8, "cross_entropy": 12.8}  # of the largest stable step of a batch
_MOST_HALVINGS = 20
_WORTH_THREADS = 1e7  # products in a step, a millisecond; in less, threads wait too often


def validated(estimator: BaseEstimator, *data: Any, **checks: Any) -> Any:
    """Apply scikit-learn's checks, without warnings about sums that are not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        return validate_data(estimator, *data, **checks)


def _loss_of_a_constant(y: Array, loss: str) -> float:
    """The training loss of the best constant prediction."""
    if loss == "cross_entropy":
        p = np.unique(y, return_counts=True)[1] / len(y)
        return float(-(p * np.log(p)).sum())
    return float(y.var(axis=0, dtype=np.float64).mean())


def _annealed(rate: float, epochs: int) -> Callable[[int], float]:
    return lambda epoch: rate * (1 - epoch / epochs)


class AsymmetricNetEstimator(BaseEstimator):
    """Common part of `AsymmetricNetRegressor` and `AsymmetricNetClassifier`."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_hidden": [Interval(Integral, 1, None, closed="left")],
        "gamma": [Interval(Real, 0, 1, closed="both")],
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "fit_intercept": ["boolean"],
        "learning_rate_init": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, 10**7, closed="both")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "random_state": ["random_state"],
        "n_jobs": [None, Options(Integral, {-1}), Interval(Integral, 1, 1024, closed="both")],
    }

    def __init__(
        self,
        n_hidden: int = 500,
        *,
        gamma: float = 0.5,
        alpha: float = 0.5,
        activation: str = "relu",
        fit_intercept: bool = True,
        learning_rate_init: float | str = "auto",
        batch_size: int | str = "auto",
        max_iter: int = 500,
        tol: float = 1e-4,
        n_iter_no_change: int = 20,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        random_state: Any = None,
        n_jobs: int | None = None,
    ) -> None:
        self.n_hidden = n_hidden
        self.gamma = gamma
        self.alpha = alpha
        self.activation = activation
        self.fit_intercept = fit_intercept
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.n_jobs = n_jobs

    @property
    def _threads(self) -> int | None:
        return None if self.n_jobs == -1 else self.n_jobs

    def _train(self, X: Array, y: Array, outputs: int, loss: str, classes: Any = None) -> None:
        """Train a network of that many outputs on y, held-out data drawn from each of `classes`."""
        random = check_random_state(self.random_state)
        X = self._network_inputs(X)
        net = Network.init(
            X.shape[1],
            self.n_hidden,
            self.gamma,
            self.alpha,
            self.activation,
            outputs,
            rng=int(random.randint(2**31)),
            dtype=X.dtype,
        )
        held_out: dict[str, Any] = {}
        if self.early_stopping:
            X, held_out["X_test"], y, held_out["y_test"] = train_test_split(
                X, y, test_size=self.validation_fraction, random_state=random, stratify=classes
            )
        seed = int(random.randint(2**31))
        auto = isinstance(self.batch_size, str)
        batch_size: Any = min(_BATCHES[loss], len(X)) if auto else self.batch_size
        rate = self.learning_rate_init
        if isinstance(rate, str):
            rate = automatic_batch_step(
                net, X, y, batch_size, loss, _MARGINS[loss], seed, self._threads
            )
        run, self.learning_rate_ = self._descend(net, X, y, loss, batch_size, rate, seed, held_out)
        self._warn_unless_learnt(float(run.loss[run.config["best_record"]]), y, loss, len(run.loss))
        self.network_ = run.network
        self.n_iter_ = len(run.loss) - 1
        self.loss_curve_ = np.array(run.loss)
        self.validation_scores_ = run.test_accuracy
        if run.test_loss is not None and loss == "mse":
            spread = _loss_of_a_constant(held_out["y_test"], "mse") or 1.0
            self.validation_scores_ = 1 - run.test_loss / spread

    def _descend(
        self,
        net: Network,
        X: Array,
        y: Array,
        loss: str,
        batch_size: int,
        rate: float,
        seed: int,
        held_out: dict[str, Any],
    ) -> tuple[Run, float]:
        """Train both layers; start again with half the automatic step while the loss rises."""
        is_small = self.n_jobs is None and batch_size * net.W.size < _WORTH_THREADS
        for halvings in range(_MOST_HALVINGS + 1):
            is_last = self.learning_rate_init != "auto" or halvings == _MOST_HALVINGS
            try:
                with watching_steps():
                    run = sgd(
                        net,
                        X,
                        y,
                        lr=_annealed(rate, self.max_iter),
                        batch_size=batch_size,
                        epochs=self.max_iter,
                        loss=loss,
                        train_output=True,
                        rng=seed,
                        record=Record(every=-(-len(X) // batch_size), ntg=False, eigmin=False),
                        stop=Stop(
                            loss=50 * self.tol if loss == "cross_entropy" and self.tol else None,
                            patience=self.n_iter_no_change,
                            min_delta=self.tol,
                        ),
                        threads=1 if is_small else self._threads,
                        **held_out,
                    )
                if is_last or run.loss.min() < run.loss[0]:
                    break
            except DivergenceError:
                if is_last:
                    raise
            rate /= 2
        return run, rate

    def _warn_unless_learnt(self, reached: float, y: Array, loss: str, records: int) -> None:
        constant = _loss_of_a_constant(y, loss)
        if records > self.max_iter and 0 < 2 * constant < reached:
            warnings.warn(
                f"{type(self).__name__}: stopped at max_iter = {self.max_iter} with a training "
                f"loss of {reached:.3g}, far above the {constant:.3g} of a constant prediction; "
                "standardise the inputs (sklearn.preprocessing.StandardScaler) or raise max_iter",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _outputs(self, X: Any) -> Array:
        """Outputs of the network for the X given to `predict`."""
        check_is_fitted(self)
        X = validated(self, X, dtype=self.network_.dtype, reset=False)
        return self.network_(self._network_inputs(X), threads=self._threads)

    def _network_inputs(self, X: Array) -> Array:
        return np.column_stack([X, np.ones(len(X), X.dtype)]) if self.fit_intercept else X
