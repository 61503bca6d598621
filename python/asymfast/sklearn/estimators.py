"""Regression and classification by the network."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from .. import _check
from ..network import ACTIVATIONS, Network
from ..record import Record, Stop
from ..run import DivergenceError, Run
from ..train import automatic_batch_step, sgd

Array = NDArray[Any]

_BATCHES = {"mse": 32, "cross_entropy": 16}
_MARGINS = {"mse": 0.8, "cross_entropy": 12.8}  # of the largest stable step of a batch
_MOST_HALVINGS = 20
_WORTH_THREADS = 1e7  # products in a step, a millisecond; in less, threads wait too often


def validated(estimator: BaseEstimator, *data: Any, **checks: Any) -> Any:
    """Apply scikit-learn's checks, without warnings about sums that are not finite.

    A TypeError refuses masked arrays, whose mask scikit-learn would drop.
    """
    for name, values in zip(("X", "y"), data, strict=False):
        if isinstance(values, np.ma.MaskedArray):
            raise TypeError(
                f"{type(estimator).__name__}: {name} must be a plain array, got a masked one"
            )
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


@_check.guarded
class AsymmetricNetEstimator(BaseEstimator):
    """Common part of `AsymmetricNetRegressor` and `AsymmetricNetClassifier`.

    Parameters
    ----------
    n_hidden : int, default=500
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
        depends on it.

    Attributes
    ----------
    network_ : asymfast.Network
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
        As in every estimator of scikit-learn.
    """

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

    def __init_subclass__(cls, **options: Any) -> None:
        """Put the parameters and attributes of all estimators before those of this one."""
        super().__init_subclass__(**options)
        shared = (AsymmetricNetEstimator.__doc__ or "").partition("\n\n")[2].rstrip()
        head, heading, own = (cls.__doc__ or "").partition("    Attributes\n    ----------\n")
        if heading:
            cls.__doc__ = f"{head}{shared}\n{own}"

    @property
    def _threads(self) -> int | None:
        return None if self.n_jobs == -1 else self.n_jobs

    def _train(self, X: Array, y: Array, outputs: int, loss: str, classes: Any = None) -> None:
        """Train a network of that many outputs on y, held-out data drawn from each of `classes`."""
        random = check_random_state(self.random_state)
        net = Network.init(
            X.shape[1],
            self.n_hidden,
            self.gamma,
            self.alpha,
            self.activation,
            outputs,
            rng=int(random.randint(2**31)),
            dtype=X.dtype,
            bias=bool(self.fit_intercept),
        )
        held_out: dict[str, Any] = {}
        if self.early_stopping:
            X, held_out["X_test"], y, held_out["y_test"] = train_test_split(
                X, y, test_size=self.validation_fraction, random_state=random, stratify=classes
            )
        seed = int(random.randint(2**31))
        auto = isinstance(self.batch_size, str)
        # Python's numbers: those of NumPy, as a grid of parameters has them, round and overflow.
        batch_size = min(_BATCHES[loss], len(X)) if auto else int(self.batch_size)
        epochs, tol = int(self.max_iter), float(self.tol)
        if isinstance(self.learning_rate_init, str):
            how = {"loss": loss, "threads": self._threads}
            rate = automatic_batch_step(net, X, y, batch_size, _MARGINS[loss], seed, **how)
        else:
            rate = float(self.learning_rate_init)
        few = self.n_jobs is None and batch_size * net.W.size < _WORTH_THREADS
        settings = {
            "batch_size": batch_size,
            "epochs": epochs,
            "loss": loss,
            "train_output": True,
            "rng": seed,
            "record": Record(every=-(-len(X) // batch_size), ntg=False, eigmin=False),
            "stop": Stop(
                loss=50 * tol if loss == "cross_entropy" and tol else None,
                patience=self.n_iter_no_change,
                min_delta=tol,
            ),
            "threads": 1 if few else self._threads,
            **held_out,
        }
        run, self.learning_rate_ = self._descend(net, X, y, rate, settings)
        self._warn_unless_learnt(float(run.loss[run.config["best_record"]]), y, loss, len(run.loss))
        self.network_ = run.network
        self.n_iter_ = len(run.loss) - 1
        self.loss_curve_ = np.array(run.loss)
        self.validation_scores_ = run.test_accuracy
        if run.test_loss is not None and loss == "mse":
            spread = _loss_of_a_constant(held_out["y_test"], "mse") or 1.0
            self.validation_scores_ = 1 - run.test_loss / spread

    def _descend(
        self, net: Network, X: Array, y: Array, rate: float, settings: dict[str, Any]
    ) -> tuple[Run, float]:
        """Train both layers; start again with half the automatic step while the loss rises."""
        for halvings in range(_MOST_HALVINGS + 1):
            is_last = self.learning_rate_init != "auto" or halvings == _MOST_HALVINGS
            try:
                run = sgd(net, X, y, lr=_annealed(rate, settings["epochs"]), **settings)
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
        return self.network_(X, threads=self._threads)


@_check.guarded
class AsymmetricNetRegressor(RegressorMixin, AsymmetricNetEstimator):
    """Regression by a wide, shallow network with asymmetrical node scaling.

    Stochastic gradient descent of both layers, in mini-batches, on the mean squared error of
    targets that are standardised inside. Standardise the inputs, as with
    `sklearn.preprocessing.StandardScaler`.

    Attributes
    ----------
    y_mean_, y_scale_ : float, or (k,) array
        Mean and standard deviation of the targets; losses are those of (y - y_mean_) / y_scale_.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from asymfast.sklearn import AsymmetricNetRegressor
    >>> X, y = make_friedman1(n_samples=400, noise=0.5, random_state=0)
    >>> net = AsymmetricNetRegressor(random_state=0).fit(X[:300], y[:300])
    >>> bool(net.score(X[300:], y[300:]) > 0.8)
    True
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any) -> AsymmetricNetRegressor:
        """Train on X (n, d) and y (n,) or (n, k); float32 X trains in float32.

        Raises
        ------
        ValueError, TypeError
            Invalid data or parameters.
        OverflowError
            Numbers that exceed the range of their dtype.
        asymfast.DivergenceError
            An explicit `learning_rate_init` is too large.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            `max_iter` ended the training while its loss was twice that of a constant prediction.
        """
        self._validate_params()
        X, y = validated(
            self, X, y, dtype=(np.float64, np.float32), y_numeric=True, multi_output=True
        )
        targets = np.asarray(y, dtype=np.float64)
        exponent = np.frexp(np.abs(targets).max(axis=0))[1]
        targets = np.ldexp(targets, -exponent)  # at most 1: no square overflows, none matters at 0
        mean, scale = targets.mean(axis=0), targets.std(axis=0)
        self.y_mean_ = np.ldexp(mean, exponent)
        self.y_scale_ = np.where(scale > 0, np.ldexp(scale, exponent), 1.0)
        standardised = ((targets - mean) / np.where(scale > 0, scale, 1.0)).astype(X.dtype)
        if targets.ndim == 2 and targets.shape[1] == 1:
            standardised = standardised[:, 0]
        outputs = 1 if standardised.ndim == 1 else standardised.shape[1]
        self._train(X, standardised, outputs, "mse")
        return self

    def predict(self, X: Any) -> Array:
        """Predictions (n,) or (n, k), shaped as y was, in the dtype of the training inputs."""
        f = self._outputs(X)
        shape = (len(f),) if np.ndim(self.y_mean_) == 0 else (len(f), len(self.y_mean_))
        with np.errstate(over="ignore", invalid="ignore"):
            y = np.asarray(f.reshape(shape) * self.y_scale_ + self.y_mean_, dtype=f.dtype)
        return _check.in_range("AsymmetricNetRegressor", y)


@_check.guarded
class AsymmetricNetClassifier(ClassifierMixin, AsymmetricNetEstimator):
    """Classification by a wide, shallow network with asymmetrical node scaling.

    Stochastic gradient descent of both layers, in mini-batches, on the cross-entropy of one output
    for each of two or more classes.
    Standardise the inputs, as with `sklearn.preprocessing.StandardScaler`.

    Attributes
    ----------
    classes_ : (k,) array
        The labels, in the order of the columns of `predict_proba`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from asymfast.sklearn import AsymmetricNetClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> net = AsymmetricNetClassifier(random_state=0).fit(X, y)
    >>> bool(net.score(X, y) > 0.95)
    True
    """

    def fit(self, X: Any, y: Any) -> AsymmetricNetClassifier:
        """Train on X (n, d) and labels y (n,) of any kind; float32 X trains in float32.

        Raises
        ------
        ValueError, TypeError, OverflowError, asymfast.DivergenceError
            As `AsymmetricNetRegressor.fit`, which also says when it warns; a single class.
        """
        self._validate_params()
        X, y = validated(self, X, y, dtype=(np.float64, np.float32))
        with np.errstate(invalid="ignore"):  # it asks whether huge numbers are integers
            check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"AsymmetricNetClassifier: y must have at least 2 classes, got 1 class "
                f"({self.classes_[0]!r})"
            )
        self._train(X, labels, len(self.classes_), "cross_entropy", classes=labels)
        return self

    def decision_function(self, X: Any) -> Array:
        """Outputs (n, k) of the network; of two classes their difference (n,), the log-odds."""
        f = self._outputs(X)
        if len(self.classes_) > 2:
            return f
        with np.errstate(over="ignore"):
            log_odds = f[:, 1] - f[:, 0]
        return _check.in_range("AsymmetricNetClassifier", log_odds)

    def predict_log_proba(self, X: Any) -> Array:
        """Logarithms of the probabilities (n, k), as elsewhere in scikit-learn: -inf of 0."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.predict_proba(X)))

    def predict_proba(self, X: Any) -> Array:
        """Probabilities (n, k) of the classes, in the order of `classes_`."""
        f = self._outputs(X)
        with np.errstate(over="ignore"):
            f = f - f.max(axis=1, keepdims=True)
        return np.asarray(np.exp(f - np.log(np.exp(f).sum(axis=1, keepdims=True))))

    def predict(self, X: Any) -> Array:
        """Most probable labels (n,)."""
        most_probable = self._outputs(X).argmax(axis=1)
        return np.asarray(self.classes_[most_probable])
