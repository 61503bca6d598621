"""What regressor and classifier share: parameters, the network's inputs, training."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from .. import _check
from ..network import Network
from ._descent import Settings, descend

Array = NDArray[Any]

PARAMETERS = """m : int, default=500
        Hidden nodes.
    gamma : float in [0, 1], default=0.5
        1 is the symmetric scaling 1/m, the kernel regime; smaller values let single nodes learn
        more.
    alpha : float > 0, default=0.5
        Decay of the asymmetric part of the scaling, lam_j ~ j^(-1/alpha); see
        `asymfast.node_scaling`.
    activation : str, default="swish"
        See `asymfast.Network`.
    fit_intercept : bool, default=True
        Append a constant 1 to the inputs, so that every hidden node has a bias.
    lr : "auto" or float > 0, default="auto"
        Step size of full-batch gradient descent. "auto" starts with 0.9 of the largest stable step
        (`Network.stable_step`: from the largest eigenvalue of the neural tangent Gram matrix) and
        halves it whenever the loss has risen over 50 iterations, which are then repeated. A number
        is used as it is; asymfast.DivergenceError is raised if it is too large.
    max_iter : int, default=1000
        Largest number of iterations.
    tol : float >= 0, default=1e-3
        Training ends when the loss (with `early_stopping` the loss on the held-out data) has not
        fallen by this fraction within `n_iter_no_change` iterations. Checked every 50 iterations.
    n_iter_no_change : int, default=100
        See `tol`.
    early_stopping : bool, default=False
        Hold out a part of the data, and keep the network that performed best on it.
    validation_fraction : float in (0, 1), default=0.1
        Fraction of the data held out.
    random_state : int, RandomState or None, default=None
        Determines the initial weights and the held-out part.
    threads : int or None, default=None
        Default: what OpenMP offers. No result depends on it."""

ATTRIBUTES = """network_ : asymfast.Network
        The trained network; its last input is the constant if `fit_intercept`.
    n_iter_ : int
        Number of iterations.
    loss_curve_ : (n_iter_ + 1,) array
        Training loss after 0, 1, ... iterations.
    validation_curve_ : (n_iter_ + 1,) array or None
        The same on the held-out data.
    lr_ : float
        The last step size.
    n_features_in_, feature_names_in_
        As in every estimator of scikit-learn."""


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


class AsymmetricNetEstimator(BaseEstimator):
    """Common part of `AsymmetricNetRegressor` and `AsymmetricNetClassifier`."""

    def __init__(
        self,
        m: int = 500,
        *,
        gamma: float = 0.5,
        alpha: float = 0.5,
        activation: str = "swish",
        fit_intercept: bool = True,
        lr: float | str = "auto",
        max_iter: int = 1000,
        tol: float = 1e-3,
        n_iter_no_change: int = 100,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        random_state: Any = None,
        threads: int | None = None,
    ) -> None:
        self.m = m
        self.gamma = gamma
        self.alpha = alpha
        self.activation = activation
        self.fit_intercept = fit_intercept
        self.lr = lr
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.threads = threads

    def _train(self, X: Array, y: Array, outputs: int, loss: str, classes: Any = None) -> None:
        """Train a network of that many outputs on y, held-out data drawn from each of `classes`."""
        fn = type(self).__name__
        settings = Settings(
            self.lr, self.max_iter, self.tol, self.n_iter_no_change, self.threads
        ).checked(fn)
        for name in ("fit_intercept", "early_stopping"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise TypeError(f"{fn}: {name} must be a bool, got {getattr(self, name)!r}")
        random = check_random_state(self.random_state)
        X = self._network_inputs(X)
        net = Network.init(
            X.shape[1],
            self.m,
            self.gamma,
            self.alpha,
            self.activation,
            outputs,
            rng=int(random.randint(2**31)),
            dtype=X.dtype,
        )
        held_out = None
        if self.early_stopping:
            share = self.validation_fraction
            interval: dict[str, Any] = {"low": 0, "high": 1, "low_open": True, "high_open": True}
            X, X_held, y, y_held = train_test_split(
                X,
                y,
                test_size=_check.number(fn, "validation_fraction", share, **interval),
                random_state=random,
                stratify=classes,
            )
            held_out = (X_held, y_held)
        course = descend(net, X, y, loss, settings, held_out)
        constant = _loss_of_a_constant(y, loss)
        if not course.converged and 0 < 2 * constant < course.losses[-1]:
            warnings.warn(
                f"{fn}: stopped at max_iter = {self.max_iter} with a training loss of "
                f"{course.losses[-1]:.3g}, far above the {constant:.3g} of a constant prediction; "
                "standardise the inputs (sklearn.preprocessing.StandardScaler) or raise max_iter",
                ConvergenceWarning,
                stacklevel=4,
            )
        self.network_ = course.network
        self.n_iter_ = len(course.losses) - 1
        self.loss_curve_ = np.array(course.losses)
        self.validation_curve_ = np.array(course.held_out_losses) if held_out else None
        self.lr_ = course.lr

    def _outputs(self, X: Any) -> Array:
        """Outputs of the network for the X given to `predict`."""
        check_is_fitted(self)
        X = validated(self, X, dtype=self.network_.dtype, reset=False)
        return self.network_(self._network_inputs(X), threads=self.threads)

    def _network_inputs(self, X: Array) -> Array:
        return np.column_stack([X, np.ones(len(X), X.dtype)]) if self.fit_intercept else X
